#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Some of the library's tests once more, under valgrind: no invalid access,
nothing lost."""

import os
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
PART = "lib_valgrind/"
# All that the library allocates, opens and maps; which program has the test. Not those that
# map BARs through sysfs: valgrind wants to read what is mapped, and gives up over these.
TESTS = {
    "copy/long-avx2": "copy_model",
    "lib/failing-map-by-driver": "lib_failing",
    "lib/failing-query": "lib_failing",
    "lib/failing-reg-of-host-memory": "lib_failing",
    "lib/map-of-host-memory": "lib_mapping",
    "lib/map-through-the-driver": "lib_mapping",
    "lib/stock-larger-info": "lib_registering",
}
ERROR = 99
COMMAND = ("valgrind", "--quiet", f"--error-exitcode={ERROR}", "--leak-check=full",
           "--errors-for-leak-kinds=definite,indirect", "--show-leak-kinds=definite,indirect",
           "--trace-children=yes")


def short(name):
    return PART + name.partition("/")[2]


def main():
    if sys.argv[1:] == ["--list"]:
        print("\n".join(f"{short(name)} timeout=300" for name in TESTS))
        return 0
    for name, program in TESTS.items():
        if sys.argv[1:] == [short(name)]:
            # A test that would start itself anew for this would start valgrind.
            stock = {**os.environ, "IBV_DRIVERS": "rxe", "P2PMR_UNDER_VALGRIND": "1"}
            return subprocess.run([*COMMAND, FOLDER / program, name], env=stock,
                                  check=False).returncode
    print(f"usage: {sys.argv[0]} --list | NAME", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
