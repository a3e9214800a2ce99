# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""dma-bufs for Python: of a memfd by udmabuf, or of a BAR by /dev/p2pmr where the kernel
has no udmabuf; mapped all the same, to see what is in them."""

import ctypes
import fcntl
import mmap
import os
from pathlib import Path

from memory import Bar

UDMABUF = Path("/dev/udmabuf")
UDMABUF_CREATE = 0x40187542
P2PMR_IOC_HELLO, P2PMR_IOC_EXPORT = 0xD500, 0xD510
P2PMR_ABI_VERSION, P2PMR_EXPORT_WRITE = 1, 1


class UdmabufCreate(ctypes.Structure):
    _fields_ = [("memfd", ctypes.c_uint32), ("flags", ctypes.c_uint32),
                ("offset", ctypes.c_uint64), ("size", ctypes.c_uint64)]


class Hello(ctypes.Structure):
    _fields_ = [("size", ctypes.c_uint32), ("flags", ctypes.c_uint32),
                ("version", ctypes.c_uint32), ("version_min", ctypes.c_uint32),
                ("version_max", ctypes.c_uint32), ("reserved", ctypes.c_uint32),
                ("features", ctypes.c_uint64), ("module_version", ctypes.c_char * 32)]


class Export(ctypes.Structure):
    _fields_ = [("size", ctypes.c_uint32), ("flags", ctypes.c_uint32),
                ("address", ctypes.c_uint64), ("length", ctypes.c_uint64),
                ("fd", ctypes.c_int32), ("reserved", ctypes.c_uint32)]


class Udmabuf:
    """Pages of a file in memory."""

    def __init__(self, length):
        memfd = os.memfd_create("p2pmr", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
        control = os.open(UDMABUF, os.O_RDWR)
        try:
            os.ftruncate(memfd, length)
            fcntl.fcntl(memfd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
            self.fd = fcntl.ioctl(control, UDMABUF_CREATE,
                                  UdmabufCreate(memfd=memfd, flags=1, size=length))
            self.mapping = mmap.mmap(memfd, length)
        finally:
            os.close(control)
            os.close(memfd)

    def read(self, offset, length):
        return self.mapping[offset:offset + length]

    def write(self, data, offset):
        self.mapping[offset:offset + len(data)] = data

    def close(self):
        os.close(self.fd)
        self.mapping.close()


class ExportedBar:
    """The beginning of a BAR: of the first one, and of the second while that is in use."""

    used = set()

    def __init__(self, length):
        self.bar = Bar(length, index=min({0, 1} - self.used))
        self.used.add(self.bar.index)
        self.read, self.write = self.bar.read, lambda data, offset: self.bar.write(data, offset)
        control = os.open("/dev/p2pmr", os.O_RDWR)
        try:
            fcntl.ioctl(control, P2PMR_IOC_HELLO,
                        Hello(size=ctypes.sizeof(Hello), version=P2PMR_ABI_VERSION))
            export = Export(size=ctypes.sizeof(Export), flags=P2PMR_EXPORT_WRITE,
                            address=self.bar.address, length=length)
            fcntl.ioctl(control, P2PMR_IOC_EXPORT, export)
            self.fd = export.fd
        finally:
            os.close(control)

    def close(self):
        os.close(self.fd)
        self.bar.unmap()
        self.used.remove(self.bar.index)


def make(length):
    return Udmabuf(length) if UDMABUF.exists() else ExportedBar(length)
