# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""ibv_reg_dmabuf_mr(), case by case as rdma-core's own suite has them for the buffers of a
GPU, here for buffers that any machine has. On p2pmr's provider."""

import errno
import os

import pyverbs.enums as e
from pyverbs.mr import DmaBufMR
from pyverbs.pd import PD
from pyverbs.pyverbs_error import PyverbsRDMAError
from tests.base import PyverbsAPITestCase
import tests.utils as u

import dmabuf
import libp2pmr
from bar_base import ALL_ACCESS, BarRC, BarTestCase
from memory import PAGE

LENGTH = 8 * PAGE
FLAGS = (0, e.IBV_ACCESS_LOCAL_WRITE, e.IBV_ACCESS_REMOTE_READ,
         e.IBV_ACCESS_LOCAL_WRITE | e.IBV_ACCESS_REMOTE_WRITE,
         e.IBV_ACCESS_LOCAL_WRITE | e.IBV_ACCESS_REMOTE_ATOMIC,
         e.IBV_ACCESS_LOCAL_WRITE | e.IBV_ACCESS_RELAXED_ORDERING, ALL_ACCESS)


class DmaBufTest(PyverbsAPITestCase):
    """Registering and deregistering."""

    def setUp(self):
        libp2pmr.load()
        super().setUp()
        self.pd = PD(self.ctx)
        self.buffer = dmabuf.make(LENGTH)
        self.addCleanup(self.buffer.close)

    def refusal(self, length, access=ALL_ACCESS, fd=None, offset=0):
        with self.assertRaises(PyverbsRDMAError) as caught:
            DmaBufMR(self.pd, length, access, dmabuf=self.buffer.fd if fd is None else fd,
                     offset=offset)
        return caught.exception.error_code

    def test_dmabuf_registers_with_all_flags(self):
        for access in FLAGS:
            for offset in (0, LENGTH // 2, LENGTH // 2 + 1):
                with self.subTest(access=access, offset=offset):
                    with DmaBufMR(self.pd, LENGTH // 2 - 1, access, dmabuf=self.buffer.fd,
                                  offset=offset) as mr:
                        self.assertNotEqual(mr.lkey, 0)
                        self.assertEqual(mr.rkey or mr.lkey, mr.lkey)
                        self.assertEqual(mr.length, LENGTH // 2 - 1)

    def test_dmabuf_deregisters_twice(self):
        with DmaBufMR(self.pd, LENGTH, ALL_ACCESS, dmabuf=self.buffer.fd) as mr:
            mr.close()
            mr.close()

    def test_dmabuf_refuses_bad_flags(self):
        for access in (e.IBV_ACCESS_REMOTE_WRITE, e.IBV_ACCESS_REMOTE_ATOMIC,
                       e.IBV_ACCESS_REMOTE_WRITE | e.IBV_ACCESS_REMOTE_ATOMIC):
            self.assertEqual(self.refusal(PAGE, access), errno.EINVAL)
        self.assertIn(self.refusal(PAGE, e.IBV_ACCESS_LOCAL_WRITE | e.IBV_ACCESS_MW_BIND),
                      (errno.EINVAL, errno.EOPNOTSUPP))

    def test_dmabuf_refuses_what_it_does_not_have(self):
        for length, offset in ((0, 0), (LENGTH + 1, 0), (LENGTH, 1), (1, LENGTH)):
            with self.subTest(length=length, offset=offset):
                self.assertEqual(self.refusal(length, offset=offset), errno.EINVAL)

    def test_dmabuf_probe(self):
        """As UCX, libfabric and NCCL ask whether the device takes any."""
        self.assertEqual(self.refusal(PAGE, fd=-1), errno.EBADF)
        self.assertEqual(self.refusal(0, access=0, fd=-1), errno.EBADF)
        with open("/dev/null", "rb") as other:
            self.assertEqual(self.refusal(PAGE, fd=other.fileno()), errno.EINVAL)

    def test_dmabuf_outlives_its_descriptor(self):
        fd = os.dup(self.buffer.fd)
        with DmaBufMR(self.pd, PAGE, ALL_ACCESS, dmabuf=fd) as mr:
            os.close(fd)
            self.assertEqual(self.refusal(PAGE, fd=fd), errno.EBADF)
            self.assertNotEqual(mr.lkey, 0)


class DmaBufMemory:
    """What BarRC wants of its memory."""

    def __init__(self, length):
        self.buffer = dmabuf.make(length)
        self.read = self.buffer.read
        self.write = self.buffer.write


class DmaBufMrOf(DmaBufMR):
    """One whose bytes are read and written through the buffer's own mapping."""

    def __init__(self, pd, length, access, memory):
        self.memory = memory
        super().__init__(pd, length, access, dmabuf=memory.buffer.fd)

    def write(self, data, length, offset=0):
        data = data.encode() if isinstance(data, str) else data
        self.memory.write(data[:length], offset)

    def read(self, length, offset):
        return self.memory.read(offset, length)


class DmaBufRC(BarRC):
    """With its MR over a dma-buf; the suite counts its addresses from 0."""

    def create_mr(self):
        self.mr = DmaBufMrOf(self.pd, self.msg_size, ALL_ACCESS, self.memory)


class DmaBufTrafficTest(BarTestCase):
    """Buffers at both ends."""

    def setUp(self):
        libp2pmr.load()
        super().setUp()
        self.connect(DmaBufRC, {"memory": DmaBufMemory(LENGTH)},
                     {"memory": DmaBufMemory(LENGTH)}, msg_size=3000)
        for player in (self.client, self.server):
            self.addCleanup(player.memory.buffer.close)

    def test_dmabuf_send_and_receive(self):
        u.traffic(**self.traffic_args)

    def test_dmabuf_rdma_write(self):
        u.rdma_traffic(**self.traffic_args, send_op=e.IBV_WR_RDMA_WRITE)

    def test_dmabuf_rdma_read(self):
        self.fill_for_reading()
        u.rdma_traffic(**self.traffic_args, send_op=e.IBV_WR_RDMA_READ)
