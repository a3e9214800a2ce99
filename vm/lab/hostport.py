# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Requests of the guest to the host: reading and writing the files behind the BARs
from outside the guest, unplugging and plugging the functions. One line asks, one line
answers. Who asks may be gone before the answer comes, or before its line ends; so that
the next one is not taken in, a request may begin with a mark that its answer repeats,
and an empty line ends what was begun."""

import hashlib

from lab.errors import LabError

LARGEST = 65536
BLOCK = 1 << 20


class HostPort:
    """Answers request lines; bars are the files behind the functions' BARs, slots what
    plugs the functions (see qemu.Slots), if there is a machine to do it in."""

    def __init__(self, bars, slots=None):
        self._bars = bars
        self._slots = slots
        self._requests = {
            "bar-read": self._read,
            "bar-write": self._write,
            "bar-fill": self._fill,
            "bar-sha256": self._sha256,
            "unplug": self._unplug,
            "plug": self._plug,
            "plugged": self._plugged,
        }

    def answer(self, line):
        """The answer to a line, None if there is none to give."""
        words = line.split()
        if not words:
            return None
        mark = words.pop(0) + " " if words[0].startswith("#") else ""
        return mark + self._answer(words)

    def _answer(self, words):
        try:
            if not words or words[0] not in self._requests:
                raise ValueError(f"no such request: {' '.join(words)!r}")
            return " ".join(["ok", *self._requests[words[0]](*words[1:])])
        except (ValueError, TypeError, IndexError, OSError, LabError) as error:
            return f"error {error}".replace("\n", " ")

    def _open(self, index, offset, length):
        """The BAR's file, placed at offset; the range must lie inside it."""
        number, start, size = int(index), int(offset), int(length)
        if number < 0 or start < 0 or size < 0:
            raise ValueError("negative number")
        handle = open(self._bars[number], "r+b", buffering=0)
        if start + size > handle.seek(0, 2):
            handle.close()
            raise ValueError("beyond the end of the BAR")
        handle.seek(start)
        return handle

    def _read(self, index, offset, length):
        if int(length) > LARGEST:
            raise ValueError(f"more than {LARGEST} bytes at once")
        with self._open(index, offset, length) as handle:
            return [handle.read(int(length)).hex()]

    def _write(self, index, offset, data):
        content = bytes.fromhex(data)
        with self._open(index, offset, len(content)) as handle:
            handle.write(content)
        return []

    def _fill(self, index, offset, length, byte):
        left, value = int(length), bytes([int(byte)])
        with self._open(index, offset, length) as handle:
            while left:
                count = min(left, BLOCK)
                handle.write(value * count)
                left -= count
        return []

    def _sha256(self, index, offset, length):
        left, digest = int(length), hashlib.sha256()
        with self._open(index, offset, length) as handle:
            while left:
                block = handle.read(min(left, BLOCK))
                digest.update(block)
                left -= len(block)
        return [digest.hexdigest()]

    def _slot(self, index):
        if not self._slots or int(index) not in range(len(self._bars)):
            raise ValueError(f"no function {index} to plug or unplug")
        return int(index)

    def _unplug(self, index):
        """Only asks the guest to let go; when it has, the function is not plugged."""
        number = self._slot(index)
        self._slots.unplug(number)
        return []

    def _plug(self, index):
        number = self._slot(index)
        self._slots.plug(number)
        return []

    def _plugged(self, index):
        number = self._slot(index)
        return ["yes" if self._slots.plugged(number) else "no"]
