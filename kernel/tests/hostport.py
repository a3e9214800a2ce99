# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""The BAR's bytes as the machine outside the guest sees them, for the tests in
Python: one line asks, one line answers."""

import itertools
import os

CHUNK = 65536
_numbers = itertools.count()


def ask(*words):
    """Sends one request; returns what follows "ok" in the answer."""
    # An asker that died may have left half a request, and its answer.
    mark = f"#{os.getpid()}.{next(_numbers)} "
    with open(os.environ["P2PMR_HOST"], "r+b", buffering=0) as port:
        request = memoryview(f"\n{mark}{' '.join(map(str, words))}\n".encode())
        # The port takes no more than 32 KiB at once.
        while request:
            request = request[port.write(request):]
        answers = b""
        while not (answer := _marked(mark, answers)):
            part = port.read(65536)
            if not part:
                raise OSError("nobody outside answers")
            answers += part
    verdict, _, rest = answer.partition(" ")
    if verdict != "ok":
        raise OSError(f"the host answers: {rest}")
    return rest


def _marked(mark, answers):
    """What follows the mark in the line that has it, "" if that has not come."""
    for line in answers.decode().splitlines(keepends=True):
        if line.startswith(mark) and line.endswith("\n"):
            return line[len(mark):].strip()
    return ""


def read(bar, offset, length):
    parts = [ask("bar-read", bar, start, min(CHUNK, offset + length - start))
             for start in range(offset, offset + length, CHUNK)]
    return bytes.fromhex("".join(parts))


def write(bar, offset, data):
    for start in range(0, len(data), CHUNK):
        ask("bar-write", bar, offset + start, data[start:start + CHUNK].hex())


def fill(bar, offset, length, byte):
    ask("bar-fill", bar, offset, length, byte)
