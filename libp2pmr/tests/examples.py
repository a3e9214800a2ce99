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


def bring_back():
    Path("/sys/bus/pci/rescan").write_text("1", encoding="ascii")
    for _ in range(SECONDS):
        if function().exists():
            break
        time.sleep(1)
    (function() / "enable").write_text("1", encoding="ascii")


def example_revocation():
    with example("revocation", os.environ["P2PMR_DEV"], function().name, "2") as process:
        try:
            for _ in range(2):
                expect_line(process, r"^registered: rkey 0x\w+, \d+ bytes .* in 1 piece$")
                (function() / "remove").write_text("1", encoding="ascii")
                expect_line(process, "^revoked$")
                bring_back()
            expect_line(process, "^registered: ")
        finally:
            if not function().exists():
                bring_back()
        process.stdin.close()
        ended_well(process)


# Those that are installed: one of them takes the provider.
TESTS = {"lib/" + test.__name__.replace("_", "-"): test for test in (
    example_remote_write, example_revocation)
         if (FOLDER / test.__name__.removeprefix("example_")).exists()}


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
