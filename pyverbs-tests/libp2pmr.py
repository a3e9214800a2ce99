# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""libp2pmr from Python, as far as the tests want it; with a device and a PD of its own,
since pyverbs keeps its pointers to itself."""

import ctypes
import os
from ctypes import POINTER, c_char_p, c_int, c_size_t, c_uint32, c_uint64, c_void_p

REQUIRE_DEVICE, REGISTER_BAR, EVENTFD = 1, 2, 4
HOST, DEVICE, MIXED = 1, 2, 3


class RegAttr(ctypes.Structure):
    _fields_ = [("size", c_uint32), ("flags", c_uint32), ("iova", c_uint64),
                ("has_iova", c_uint32), ("reserved", c_uint32)]


class MrInfo(ctypes.Structure):
    _fields_ = [("size", c_uint32), ("kind", c_uint32), ("segments", c_uint32),
                ("page_size", c_uint32)]


def load():
    """Loading it chooses the provider of the process, so only who asks for it gets it."""
    lib = ctypes.CDLL("libp2pmr.so.1", use_errno=True)
    for name, result, *arguments in (
            ("p2pmr_reg_mr", c_void_p, c_void_p, c_void_p, c_size_t, c_uint32,
             POINTER(RegAttr)),
            ("p2pmr_dereg_mr", c_int, c_void_p),
            ("p2pmr_mr_fd", c_int, c_void_p),
            ("p2pmr_mr_revoked", c_int, c_void_p),
            ("p2pmr_mr_query", c_int, c_void_p, POINTER(MrInfo)),
            ("p2pmr_query", c_void_p, c_void_p, c_size_t),
            ("p2pmr_answer_count", c_size_t, c_void_p),
            ("p2pmr_answer_error", c_int, c_void_p, c_int),
            ("p2pmr_answer_free", None, c_void_p)):
        function = getattr(lib, name)
        function.restype, function.argtypes = result, arguments
    return lib


def _load_verbs():
    verbs = ctypes.CDLL("libibverbs.so.1", use_errno=True)
    for name, result, *arguments in (
            ("ibv_get_device_list", POINTER(c_void_p), POINTER(c_int)),
            ("ibv_get_device_name", c_char_p, c_void_p),
            ("ibv_open_device", c_void_p, c_void_p),
            ("ibv_alloc_pd", c_void_p, c_void_p),
            ("ibv_dealloc_pd", c_int, c_void_p),
            ("ibv_close_device", c_int, c_void_p)):
        function = getattr(verbs, name)
        function.restype, function.argtypes = result, arguments
    return verbs


def _check(pointer):
    if not pointer:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return pointer


class Region:
    """A registration; OSError if it is refused."""

    def __init__(self, lib, pd, memory, access, length, flags):
        self.lib = lib
        attr = RegAttr(size=ctypes.sizeof(RegAttr), flags=flags)
        self.mr = _check(lib.p2pmr_reg_mr(pd, memory.address, length or memory.length, access,
                                          ctypes.byref(attr)))

    def info(self):
        info = MrInfo(size=ctypes.sizeof(MrInfo))
        assert self.lib.p2pmr_mr_query(self.mr, ctypes.byref(info)) == 0
        return info

    def descriptor(self):
        return self.lib.p2pmr_mr_fd(self.mr)

    def revoked(self):
        return self.lib.p2pmr_mr_revoked(self.mr)

    def close(self):
        assert self.lib.p2pmr_dereg_mr(self.mr) == 0


class Domain:
    """A device by its name, with a PD."""

    def __init__(self, device):
        # First of all, for the provider that comes with it.
        self.lib, self.verbs = load(), _load_verbs()
        count = c_int()
        devices = _check(self.verbs.ibv_get_device_list(ctypes.byref(count)))
        found, = (handle for handle in devices[:count.value]
                  if self.verbs.ibv_get_device_name(handle).decode() == device)
        self.context = _check(self.verbs.ibv_open_device(found))
        self.pd = _check(self.verbs.ibv_alloc_pd(self.context))

    def register(self, memory, access, length=None, flags=0):
        return Region(self.lib, self.pd, memory, access, length, flags)

    def foretell(self, memory, length=None):
        """Segments of a range, and what registering it for writing would come to."""
        answer = _check(self.lib.p2pmr_query(memory.address, length or memory.length))
        try:
            return (self.lib.p2pmr_answer_count(answer),
                    -self.lib.p2pmr_answer_error(answer, 1))
        finally:
            self.lib.p2pmr_answer_free(answer)

    def close(self):
        assert self.verbs.ibv_dealloc_pd(self.pd) == 0
        assert self.verbs.ibv_close_device(self.context) == 0
