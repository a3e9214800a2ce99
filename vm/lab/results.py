# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""The file that a command's --json names."""

import json

from lab.errors import UsageError


def results_file(path):
    """Opens it, or None for no path. Whether it can be written must be known before the
    work, which may take hours."""
    try:
        return open(path, "w", encoding="utf-8") if path else None
    except OSError as error:
        raise UsageError(f"--json {path}: {error.strerror}") from error


def write_results(file, results):
    """Writes what is to be told into the open file, if there is one, and closes it."""
    if file:
        with file:
            json.dump(results, file, indent=1)
            file.write("\n")
