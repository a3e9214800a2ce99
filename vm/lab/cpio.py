# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Writing cpio archives in the form that the kernel unpacks as an initramfs; several
of them one after the other make one initramfs."""

import os
import stat
from pathlib import Path


class Archive:
    """Files, folders and links, collected in memory. All belong to root."""

    def __init__(self):
        self._parts = []
        self._number = 0
        self._folders = set()

    def file(self, name, data, mode=0o644):
        self._parents(name)
        self._entry(name, stat.S_IFREG | mode, data)

    def link(self, name, where):
        self._parents(name)
        self._entry(name, stat.S_IFLNK | 0o777, where.encode())

    def tree(self, folder, name):
        """All files and links below a folder, under another name."""
        for path in sorted(folder.rglob("*")):
            inside = f"{name}/{path.relative_to(folder)}"
            if path.is_symlink():
                self.link(inside, os.readlink(path))
            elif path.is_file():
                self.file(inside, path.read_bytes(), stat.S_IMODE(path.stat().st_mode))

    def data(self):
        self._entry("TRAILER!!!", 0, b"")
        return b"".join(self._parts)

    def _parents(self, name):
        for parent in reversed(Path(name).parents):
            folder = str(parent)
            if folder != "." and folder not in self._folders:
                self._folders.add(folder)
                self._entry(folder, stat.S_IFDIR | 0o755, b"")

    def _entry(self, name, mode, data):
        self._number += 1
        encoded = name.encode() + b"\0"
        fields = (self._number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(encoded), 0)
        head = b"070701" + b"".join(b"%08X" % field for field in fields) + encoded
        self._parts += [head, b"\0" * (-len(head) % 4), data, b"\0" * (-len(data) % 4)]
