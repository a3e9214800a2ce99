# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Memory to register from Python: a PCI BAR or anonymous pages, mapped through the C
library so that a test decides itself when it is unmapped."""

import ctypes
import mmap
import os
import unittest

PAGE = mmap.PAGESIZE
MAP_FAILED = ctypes.c_void_p(-1).value
# Not among those of the module mmap.
MAP_FIXED = 0x10

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int,
                       ctypes.c_int, ctypes.c_long]
_libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
_libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]


def _check(failed, what):
    if failed:
        error = ctypes.get_errno()
        raise OSError(error, f"{what}: {os.strerror(error)}")


class Memory:
    """A mapping of a file, or of no file; at an address, in the place of what is there."""

    def __init__(self, length, path=None, protection=mmap.PROT_READ | mmap.PROT_WRITE,
                 at=None):
        self.length = length
        self.file = path
        fd, flags = -1, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        if path:
            writable = protection & mmap.PROT_WRITE
            fd, flags = os.open(path, os.O_RDWR if writable else os.O_RDONLY), mmap.MAP_SHARED
        if at:
            flags |= MAP_FIXED
        try:
            self.address = _libc.mmap(at, length, protection, flags, fd, 0)
            _check(self.address == MAP_FAILED, "mmap")
        finally:
            if fd >= 0:
                os.close(fd)

    def read(self, offset=0, length=None):
        return ctypes.string_at(self.address + offset, length or self.length - offset)

    def write(self, data, offset=0):
        ctypes.memmove(self.address + offset, data, len(data))

    def unmap(self, offset=0, length=None):
        length = length or self.length - offset
        _check(_libc.munmap(self.address + offset, length), "munmap")

    def protect(self, protection):
        _check(_libc.mprotect(self.address, self.length, protection), "mprotect")


class Bar(Memory):
    """A BAR under test; index 0 or 1, as host requests count them."""

    def __init__(self, length, index=0, write_combined=False, **kwargs):
        self.index = index
        variable = "P2PMR_BAR" + ("2" if index else "") + ("_WC" if write_combined else "")
        if variable not in os.environ:
            raise unittest.SkipTest(f"no BAR was named for {variable}")
        super().__init__(length, os.environ[variable], **kwargs)
