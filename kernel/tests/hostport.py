# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""The BAR's bytes as the machine outside the guest sees them, for the tests in
Python: one line asks, one line answers."""

import os

CHUNK = 65536


def ask(*words):
    """Sends one request; returns what follows "ok" in the answer."""
    with open(os.environ["P2PMR_HOST"], "r+b", buffering=0) as port:
        request = memoryview((" ".join(str(word) for word in words) + "\n").encode())
        # The port takes no more than 32 KiB at once.
        while request:
            request = request[port.write(request):]
        answer = b""
        while not answer.endswith(b"\n"):
            part = port.read(65536)
            if not part:
                raise OSError("nobody outside answers")
            answer += part
    verdict, _, rest = answer.decode().strip().partition(" ")
    if verdict != "ok":
        raise OSError(f"the host answers: {rest}")
    return rest


def read(bar, offset, length):
    parts = [ask("bar-read", bar, start, min(CHUNK, offset + length - start))
             for start in range(offset, offset + length, CHUNK)]
    return bytes.fromhex("".join(parts))


def write(bar, offset, data):
    for start in range(0, len(data), CHUNK):
        ask("bar-write", bar, offset + start, data[start:start + CHUNK].hex())


def fill(bar, offset, length, byte):
    ask("bar-fill", bar, offset, length, byte)
