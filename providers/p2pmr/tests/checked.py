#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""The provider's own tests once more: with the provider's sources in the program under
ASan and UBSan (`provider/X` is provider_asan/X), and some of them under valgrind
(provider_valgrind/X)."""

import os
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
SANITIZED = FOLDER / "provider-asan"
# Every call of the provider, with and without errors. Only what leaves BARs alone:
# valgrind wants to read what is mapped, and gives up over one that is mapped through sysfs.
UNDER_VALGRIND = {
    "failing-contexts": "provider-failing",
    "failing-cqs": "provider-failing",
    "failing-srqs": "provider-failing",
    "failing-qps": "provider-failing",
    "failing-mrs": "provider-failing",
    "failing-device-memory": "provider-failing",
}
ERROR = 99
VALGRIND = ("valgrind", "--quiet", f"--error-exitcode={ERROR}", "--leak-check=full",
            "--errors-for-leak-kinds=definite,indirect",
            "--show-leak-kinds=definite,indirect")


def load():
    """By our names: the command line, and what follows the name in the list."""
    table = {}
    for program in sorted(SANITIZED.iterdir()):
        listing = subprocess.run([program, "--list"], stdout=subprocess.PIPE, text=True,
                                 check=True).stdout
        for line in listing.splitlines():
            name, _, options = line.partition(" ")
            table[f"provider_asan/{name.partition('/')[2]}"] = ([program, name], options)
    for name, program in UNDER_VALGRIND.items():
        table[f"provider_valgrind/{name}"] = (
            [*VALGRIND, FOLDER / program, f"provider/{name}"], "timeout=300")
    return table


def main():
    table = load()
    if len(sys.argv) != 2 or sys.argv[1] not in ("--list", *table):
        print(f"usage: {sys.argv[0]} --list | NAME", file=sys.stderr)
        return 2
    if sys.argv[1] == "--list":
        for name, (_, options) in table.items():
            print(name, options)
        return 0
    command, _ = table[sys.argv[1]]
    if command[0] == VALGRIND[0]:
        os.environ["P2PMR_UNDER_VALGRIND"] = "1"
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
