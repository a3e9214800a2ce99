#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Lists the pyverbs tests or runs one, as test programs of the lab do."""

import os
import sys
import unittest
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "pyverbs-tests"
SKIPPED = 77
# Of one test, on a busy machine that emulates.
SECONDS = 150

sys.dont_write_bytecode = True
sys.path[:0] = [str(FOLDER), str(FOLDER.parent)]

import loading  # pylint: disable=wrong-import-position


def run(test):
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2).run(test)
    if not result.wasSuccessful() or result.testsRun != 1:
        return 1
    if result.skipped:
        print(result.skipped[0][1])
        return SKIPPED
    return 0


def main():
    if len(sys.argv) != 2:
        print(f"usage: {sys.argv[0]} --list | NAME", file=sys.stderr)
        return 2
    wanted = sys.argv[1]
    table = loading.load(os.environ["P2PMR_DEV"] if wanted != "--list" else None)
    if wanted == "--list":
        print("\n".join(f"{name} timeout={SECONDS}" for name in sorted(table)))
        return 0
    if wanted not in table:
        print(f"{sys.argv[0]}: no test named {wanted}", file=sys.stderr)
        return 2
    return run(table[wanted])


if __name__ == "__main__":
    sys.exit(main())
