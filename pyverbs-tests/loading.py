# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Finds the tests: `test_write_to_bar` in any module is pyverbs/write-to-bar."""

import unittest
from pathlib import Path

import upstream

FOLDER = Path(__file__).resolve().parent
PART = "pyverbs/"


def _flatten(suite):
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from _flatten(item)
        else:
            yield item


def _name(test):
    method = test.id().rpartition(".")[2]
    return PART + method.removeprefix("test_").replace("_", "-")


def load(device):
    """All tests by name, for a device or (None) to list them only. A module that cannot
    be imported is an error, not a test."""
    upstream.make_importable()
    upstream.configure(device)
    loader = unittest.TestLoader()
    suite = loader.discover(str(FOLDER), pattern="test_*.py", top_level_dir=str(FOLDER))
    if loader.errors:
        raise SystemExit("\n".join(loader.errors))
    table = {}
    for test in _flatten(suite):
        name = _name(test)
        if name in table:
            raise SystemExit(f"two tests are named {name}")
        table[name] = test
    return table
