# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""A guest's output streams: bytes that end with a mark, since a virtio-serial port
has no end of file of its own."""

import sys


class MarkedStream:
    """Passes bytes on until the mark; the mark itself is not passed on."""

    def __init__(self, mark, sink):
        self._mark = mark
        self._sink = sink
        self._held = b""
        self.ended = False

    def feed(self, data):
        if self.ended:
            return
        data = self._held + data
        before, mark, _ = data.partition(self._mark)
        if mark:
            self.ended, self._held = True, b""
            self._sink(before)
            return
        keep = self._possible_start(data)
        self._held = data[len(data) - keep:]
        self._sink(data[:len(data) - keep])

    def flush(self):
        """Passes on what was held back, when no mark will come any more."""
        self._sink(self._held)
        self._held = b""

    def _possible_start(self, data):
        for length in range(min(len(data), len(self._mark) - 1), 0, -1):
            if data.endswith(self._mark[:length]):
                return length
        return 0


class Lines:
    """A sink that calls a function with each complete line, as text."""

    def __init__(self, function):
        self._function = function
        self._rest = b""

    def __call__(self, data):
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._function(line.decode(errors="replace").rstrip("\r"))


def to(stream):
    """A sink that writes to a stream of this process at once."""
    def write(data):
        stream.buffer.write(data)
        stream.buffer.flush()
    return write


def to_standard_streams():
    return {"stdout": to(sys.stdout), "stderr": to(sys.stderr)}
