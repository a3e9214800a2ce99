#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Tests of traffic that are there for the kernel modules, once more with the provider:
`transfer/read-bar-wc` is provider/transfer.read-bar-wc here."""

import os
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
PROGRAMS = ("atomics", "messages", "mixed", "model", "transfer")
# Their tests are of a part of the same name, and listing them takes seconds.
SCRIPTS = ("perftest", "pyverbs")
PART = "provider/"


def load(programs):
    """By our names: the program, its own name for the test, and what follows it."""
    table = {}
    for program in programs:
        listing = subprocess.run([FOLDER / program, "--list"], stdout=subprocess.PIPE,
                                 text=True, check=True).stdout
        for line in listing.splitlines():
            name, _, options = line.partition(" ")
            table[PART + name.replace("/", ".")] = (program, name, options)
    return table


def main():
    if len(sys.argv) != 2:
        print(f"usage: {sys.argv[0]} --list | NAME", file=sys.stderr)
        return 2
    if sys.argv[1] == "--list":
        for name, (_, _, options) in load((*PROGRAMS, *SCRIPTS)).items():
            print(name, options)
        return 0
    part = sys.argv[1].removeprefix(PART).partition(".")[0]
    table = load((part,) if part in SCRIPTS else PROGRAMS)
    if sys.argv[1] not in table:
        print(f"{sys.argv[0]}: no test named {sys.argv[1]}", file=sys.stderr)
        return 2
    program, name, _ = table[sys.argv[1]]
    os.environ["IBV_DRIVERS"] = "p2pmr"
    os.execv(FOLDER / program, [program, name])


if __name__ == "__main__":
    sys.exit(main())
