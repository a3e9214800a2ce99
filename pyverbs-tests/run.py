#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Runs p2pmr's pyverbs tests on this machine, against the modules that are loaded and
a BAR whose content may be overwritten. Wants python3-pyverbs and rdma-core's tests."""

import argparse
import importlib.util
import os
import sys
import unittest
from pathlib import Path

# Where it is installed, packages put files and nobody else.
sys.dont_write_bytecode = True

import libp2pmr  # pylint: disable=wrong-import-position
import loading  # pylint: disable=wrong-import-position
import upstream  # pylint: disable=wrong-import-position


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dev", required=True, help="soft-RoCE device, such as rxe0")
    parser.add_argument("--bar", required=True, metavar="FILE",
                        help="BAR to map: .../resource2 of a PCI function, or a file in "
                             "/dev/p2pmr_bar; 64 KiB from its beginning are OVERWRITTEN")
    parser.add_argument("--bar2", metavar="FILE",
                        help="BAR of another function; without it some tests are skipped")
    parser.add_argument("-k", dest="patterns", action="append", metavar="PART",
                        help="only tests whose name contains this; may be repeated")
    parser.add_argument("-v", "--verbose", action="store_true", help="name each test")
    parser.add_argument("--list", action="store_true", help="list the tests, run none")
    return parser.parse_args()


def name_bar(variable, path):
    """As the lab does: the file, and the one for write-combining where there is one."""
    if not os.access(path, os.R_OK | os.W_OK):
        raise SystemExit(f"{path}: there is no such file, or it may not be written")
    os.environ[variable] = path
    for combining in (f"{path}_wc", f"{path}-wc"):
        if Path(combining).exists():
            os.environ[f"{variable}_WC"] = combining


def load_library():
    """Before pyverbs asks for devices, since the provider is chosen once in a process."""
    try:
        libp2pmr.load()
    except OSError as error:
        raise SystemExit(f"libp2pmr is not installed: {error}") from error


def check_machine():
    """One line for what is most often missing."""
    if importlib.util.find_spec("pyverbs") is None:
        raise SystemExit("there is no pyverbs: on Debian, install python3-pyverbs")
    if not upstream.INSTALLED.is_dir():
        raise SystemExit(f"{upstream.INSTALLED}: rdma-core's tests are not there; on Debian "
                         "they come with python3-pyverbs, unless documentation is left out")
    if not Path("/dev/p2pmr").exists():
        raise SystemExit("/dev/p2pmr: there is none; load p2pmr's modules (modprobe p2pmr_verbs)")


def main():
    arguments = parse_arguments()
    check_machine()
    if not Path("/sys/class/infiniband", arguments.dev).exists():
        raise SystemExit(f"{arguments.dev}: there is no such RDMA device")
    os.environ["P2PMR_DEV"] = arguments.dev
    # Inside the lab too, what was not named is not there.
    for variable in ("P2PMR_HOST", "P2PMR_BAR_WC", "P2PMR_BAR2", "P2PMR_BAR2_WC"):
        os.environ.pop(variable, None)
    name_bar("P2PMR_BAR", arguments.bar)
    if arguments.bar2:
        name_bar("P2PMR_BAR2", arguments.bar2)
    load_library()
    table = loading.load(arguments.dev)
    chosen = [table[name] for name in sorted(table)
              if not arguments.patterns or any(part in name for part in arguments.patterns)]
    if arguments.list:
        print("\n".join(test.id() for test in chosen))
        return 0
    runner = unittest.TextTestRunner(verbosity=2 if arguments.verbose else 1)
    result = runner.run(unittest.TestSuite(chosen))
    return 0 if result.wasSuccessful() and result.testsRun else 1


if __name__ == "__main__":
    sys.exit(main())
