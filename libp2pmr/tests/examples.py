#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""The examples do what they say, as a newcomer would start them."""

import os
import re
import select
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import hostport

FOLDER = Path(__file__).resolve().parent / "examples"
ADDRESS, PORT = "192.0.2.1", "7471"
SECONDS = 30


def function():
    return Path(os.environ["P2PMR_BAR"]).parent


@contextmanager
def example(name, *arguments):
    """Starts one; it is gone afterwards, whatever happens."""
    with subprocess.Popen([FOLDER / name, *arguments], text=True,
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


def expect_line(process, pattern):
    """The next line; its absence within the time is a failure."""
    assert select.select([process.stdout], [], [], SECONDS)[0], f"no line with {pattern!r}"
    line = process.stdout.readline()
    assert re.search(pattern, line), f"{line!r} has no {pattern!r}"
    return line


def ended_well(process):
    assert process.wait(SECONDS) == 0, process.returncode


def example_remote_write():
    hostport.fill(0, 0, 4096, 0)
    message = "straight into the device"
    with example("remote_write", ADDRESS, PORT, function().name, "2") as server:
        for _ in range(SECONDS):
            # The server may not listen yet.
            if subprocess.run([FOLDER / "remote_write", ADDRESS, PORT, message],
                              check=False).returncode == 0:
                break
            assert server.poll() is None, "the server has ended"
            time.sleep(1)
        expect_line(server, f"^{message}$")
        ended_well(server)
    assert hostport.read(0, 0, 64) == message.encode().ljust(64, b"\0")


TESTS = {"lib/" + test.__name__.replace("_", "-"): test for test in (
    example_remote_write,)}


def main():
    if sys.argv[1:] == ["--list"]:
        print("\n".join(f"{name} timeout=150" for name in TESTS))
        return 0
    if len(sys.argv) != 2 or sys.argv[1] not in TESTS:
        print(f"usage: {sys.argv[0]} --list | NAME", file=sys.stderr)
        return 2
    TESTS[sys.argv[1]]()
    return 0


if __name__ == "__main__":
    sys.exit(main())
