#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""What is not there, not allowed, or not understood has an exit status of its own and one
line that says what is wrong."""

import os
import subprocess
import sys
import tempfile

import tool
from tool import (COMMANDS, NO_P2PMR, NOBODY, NOT_THERE, OK, SYSTEM, USAGE, WRONG, Holder,
                  p2pmr)

# Command lines, and a word of the line that follows.
WRONG_LINES = (
    ((), "which command"),
    (("nonsense",), "'nonsense'"),
    (("--nonsense",), "--nonsense"),
    (("status", "more"), "'more'"),
    (("status", "--watch"), "--watch"),
    (("status", "-x"), "-x"),
    (("status", "--json=yes"), "no argument"),
    (("bars", "one", "two"), "'two'"),
    (("mr", "--interval"), "wants an argument"),
    (("mr", "--interval=0"), "'0'"),
    (("mr", "--count=-1"), "'-1'"),
    (("mr", "-n", "many"), "'many'"),
    (("query", "1", "2"), "PID ADDRESS LENGTH"),
    (("query", "0", "0", "1"), "process"),
    (("query", "-1", "0", "1"), "-1"),
    (("query", "1", "here", "1"), "'here'"),
    (("query", "1", "0", "0"), "'0'"),
    (("query", "1", "0", "1T"), "'1T'"),
    (("query", "1", "0xfffffffffffff000", "4097"), "wraps"),
    (("query", "1", "0", "18446744073709551616"), "length"),
    (("query", "1", "0", "99999999999G"), "length"),
    (("test",), "FUNCTION BAR"),
    (("test", "0000:01:00.0", "6"), "'6'"),
    (("test", "0000:01:00.0", "two"), "'two'"),
    (("test", "-d", "rxe0", "-c", "dummy0", "0000:01:00.0", "2"), "which"),
    (("doctor", "now"), "'now'"),
    (("exec",), "COMMAND"),
    (("exec", "-j", "true"), "-j"),
    (("-j",), "which command"),
    (("--json", "exec", "true"), "JSON"),
    (("monitor", "-n", "0"), "'0'"),
)


def wrong_arguments():
    for line, word in WRONG_LINES:
        result = p2pmr(*line, status=USAGE)
        assert word in result.err, word
    function = tool.function()
    for option, value in (("-l", "0"), ("-l", "2G"), ("-o", "1X")):
        p2pmr("test", option, value, function, 2, status=USAGE)


def nothing_there():
    function = tool.function()
    for line in (("bars", "0000:7f:00.0"), ("bars", "nonsense"), ("bars", "../../x"),
                 ("query", 2 ** 22 + 1, 0, 1), ("test", "0000:7f:00.0", 2),
                 ("test", function, 1), ("test", "-d", "nosuch0", function, 2),
                 ("test", "-o", "16M", function, 2)):
        p2pmr(*line, status=NOT_THERE)


def no_modules():
    with tool.without_modules():
        for user in (None, NOBODY):
            for line, status in ((("status",), NO_P2PMR), (("bars",), NO_P2PMR),
                                 (("mr",), NO_P2PMR), (("monitor",), NO_P2PMR),
                                 (("test", tool.function(), 2), NO_P2PMR),
                                 (("query", "self", 0, 1), OK), (("doctor",), WRONG)):
                result = p2pmr(*line, status=status, user=user)
                assert status != NO_P2PMR or "modprobe p2pmr_verbs" in result.err
        # What can be known without it is still shown.
        document = p2pmr("status", "-j", status=NO_P2PMR).document
        assert {module["state"] for module in document["modules"]} == {"installed"}
        assert document["unavailable"]
        bars = p2pmr("bars", "-j", status=NO_P2PMR).document["bars"]
        assert {entry["p2pmr"]["serves"] for entry in bars} == {"unknown"}


def no_rights():
    """The device is closed to a user: status of its own, and one line."""
    os.chmod("/dev/p2pmr", 0o600)
    try:
        result = p2pmr("mr", user=NOBODY, status=NO_P2PMR)
        assert "Permission denied" in result.err
        p2pmr("mr")
    finally:
        os.chmod("/dev/p2pmr", 0o666)


def nowhere_to_write():
    with open("/dev/full", "wb") as full:
        done = subprocess.run([tool.program(), "status"], stdout=full, stderr=subprocess.PIPE,
                              env=tool.environment(), check=False)
    assert done.returncode == SYSTEM and done.stderr.count(b"\n") == 1, done


def hostile_names():
    """Names of other people's processes reach neither terminal nor JSON as they are."""
    name = b"\033[31m\"\\\xff"
    with tempfile.TemporaryDirectory() as folder:
        program = os.path.join(folder.encode(), name)
        os.symlink(tool.HELPERS / "holder", program)
        with Holder(program=program):
            entry, = p2pmr("mr", "-j").document["mrs"]
            assert entry["process"] == "\033[31m\"\\\ufffd", entry
            assert "?[31m\"\\?" in p2pmr("mr").out


def colours():
    """On a terminal only, and not where they are unwanted."""
    assert "\033[" in tool.on_terminal("status")
    assert "\033[32mok" in tool.on_terminal("doctor")
    assert "\033[" not in tool.on_terminal("status", NO_COLOR="1")
    assert "\033[" in tool.on_terminal("status", NO_COLOR="")
    assert "\033[" not in tool.on_terminal("status", TERM="dumb")
    for command in set(COMMANDS) - {"exec", "monitor", "query", "test"}:
        p2pmr(command)  # which looks for colours itself


if __name__ == "__main__":
    sys.exit(tool.main((wrong_arguments, nothing_there, no_modules, no_rights,
                        nowhere_to_write, hostile_names, colours),
                       sanitized=(wrong_arguments, nothing_there, no_modules, hostile_names)))
