# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""A mapping that goes takes the region with it: the peer's next access fails with a
remote access error, and the BAR keeps its bytes."""

import mmap

import pyverbs.enums as e
import tests.utils as u
from pyverbs.mr import MR
from pyverbs.wr import SGE, SendWR

import behind
from bar_base import ALL_ACCESS, BarRC, BarTestCase
from memory import PAGE, Bar

LENGTH = 8 * PAGE
OPERATIONS = (e.IBV_WR_RDMA_WRITE, e.IBV_WR_RDMA_READ)


class RevocationTest(BarTestCase):
    """The server owns the region, the client is the peer."""

    def setUp(self):
        super().setUp()
        self.bar = None

    def connect_owner(self):
        self.bar = Bar(LENGTH)
        self.connect(BarRC, {}, {"memory": self.bar}, msg_size=LENGTH)

    def access(self, opcode):
        """The status of the client's access to the whole region."""
        sge = SGE(self.client.mr.buf, LENGTH, self.client.mr_lkey)
        send_wr = SendWR(opcode=opcode, num_sge=1, sg=[sge])
        send_wr.set_wr_rdma(self.client.rkey, self.client.raddr)
        u.send(self.client, send_wr)
        return u._poll_cq(self.client.cq)[0].status

    def check_revoked_by(self, event):
        for opcode in OPERATIONS:
            with self.subTest(opcode=opcode):
                self.connect_owner()
                self.assertEqual(self.access(opcode), e.IBV_WC_SUCCESS)
                event()
                behind.fill(0, 0, LENGTH, 0xA5)
                self.assertEqual(self.access(opcode), e.IBV_WC_REM_ACCESS_ERR)
                self.assertEqual(behind.read(0, 0, LENGTH), bytes([0xA5]) * LENGTH)
                # The owner may still deregister, once.
                self.server.mr.close()
                self.server.ctx.close()
                self.client.ctx.close()

    def test_munmap_revokes(self):
        self.check_revoked_by(lambda: self.bar.unmap())

    def test_munmap_of_a_page_revokes(self):
        self.check_revoked_by(lambda: self.bar.unmap(3 * PAGE, PAGE))

    def test_mprotect_revokes(self):
        self.check_revoked_by(lambda: self.bar.protect(mmap.PROT_READ))

    def test_new_region_after_revocation(self):
        self.connect_owner()
        self.bar.unmap()
        self.server.mr.close()
        again = Bar(LENGTH)
        self.server.mr = MR(self.server.pd, LENGTH, ALL_ACCESS, address=again.address)
        self.client.rkey, self.client.raddr = self.server.mr.rkey, self.server.mr.buf
        self.client.memory.write(bytes(range(256)) * (LENGTH // 256))
        self.assertEqual(self.access(e.IBV_WR_RDMA_WRITE), e.IBV_WC_SUCCESS)
        self.assertEqual(again.read(), self.client.memory.read(0, LENGTH))
