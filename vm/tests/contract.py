# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""What the lab's own test programs share: the contract of a test program (--list, or
the name of a test to run), and ways to call the lab."""

import os
import subprocess
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent.parent
LAB = str(CHECKOUT / "lab")
TARGET = os.environ.get("P2PMR_TARGET", "trixie")
# By which the lab multiplies a test's own timeout on this target.
SLOWNESS = int(os.environ.get("P2PMR_SLOWNESS", "1"))
# How long a test may take that runs a guest, beside what its command takes: a build, a
# boot and an end on a busy machine. The lab itself gives up earlier.
GUEST_SECONDS = 300
_TESTS = {}


@dataclass
class Run:
    """What came of a call of the lab."""

    status: int
    output: str
    errors: str


def test(timeout=60, part="lab"):
    """Makes a function the test PART/ITS-NAME."""
    def register(function):
        _TESTS[f"{part}/" + function.__name__.replace("_", "-")] = (function, timeout)
        return function
    return register


def main():
    if sys.argv[1:] == ["--list"]:
        for name, (_, timeout) in sorted(_TESTS.items()):
            print(f"{name} timeout={timeout}")
        return 0
    function, _ = _TESTS[sys.argv[1]]
    try:
        function()
    except AssertionError:
        traceback.print_exc()
        return 1
    return 0


def lab(*arguments, program=LAB, **options):
    """Calls the lab and waits for its end."""
    result = subprocess.run([str(program), *arguments], stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            errors="replace", check=False, **options)
    return Run(result.returncode, result.stdout, result.stderr)


def lab_run(*arguments, **options):
    """`lab run` on the target under test."""
    return lab("run", "--on", TARGET, *arguments, **options)


def runs_in_guest(seconds, *arguments):
    """`lab run`, whose command must succeed within so long, or longer on a slow target."""
    result = lab_run("--timeout", str(seconds * SLOWNESS), *arguments)
    print(result.output, result.errors)
    equal(result.status, 0, "status")


def equal(actual, expected, about=""):
    assert actual == expected, f"{about}: {actual!r} is not {expected!r}"


def contains(text, part):
    assert part in text, f"no {part!r} in:\n{text}"
