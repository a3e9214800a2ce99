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
def example(name, *arguments, **environment):
    """Starts one; it is gone afterwards, whatever happens."""
    with subprocess.Popen([FOLDER / name, *arguments], text=True, env=os.environ | environment,
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


@contextmanager
def written(message, **environment):
    """The message is on its way; the server, to see what comes of it."""
    hostport.fill(0, 0, 4096, 0)
    with example("remote_write", ADDRESS, PORT, function().name, "2", **environment) as server:
        for _ in range(SECONDS):
            # The server may not listen yet.
            client = subprocess.Popen([FOLDER / "remote_write", ADDRESS, PORT, message])
            try:
                if client.wait(SECONDS) == 0:
                    break
            finally:
                client.kill()
            assert server.poll() is None, "the server has ended"
            time.sleep(1)
        yield server
        expect_line(server, f"^{message}$")
        ended_well(server)
    assert hostport.read(0, 0, 64) == message.encode().ljust(64, b"\0")


def example_remote_write():
    with written("straight into the device"):
        pass


def example_remote_write_in_a_hurry():
    with written("and gone", LD_PRELOAD=str(FOLDER / "hurry.so")) as server:
        expect_line(server, "^not told of the connection$")


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
TESTS = {"lib/" + test.__name__.replace("_", "-"): test for program, test in (
    ("remote_write", example_remote_write), ("remote_write", example_remote_write_in_a_hurry),
    ("revocation", example_revocation)) if (FOLDER / program).exists()}


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
