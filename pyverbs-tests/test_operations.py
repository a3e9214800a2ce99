# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Operations on BAR memory of which the suite has no traffic that would do: those of
unreliable connections, and those that only extended queue pairs have."""

import os
import random
import unittest

import pyverbs.enums as e
import tests.utils as u
from pyverbs.mr import MR
from pyverbs.qp import QPCap, QPEx, QPInitAttr, QPInitAttrEx
from pyverbs.wr import SGE, SendWR

import behind
from bar_base import ALL_ACCESS, SIZE, BarRC, BarTestCase
from memory import PAGE, Bar

OLD_KERNEL = tuple(int(part) for part in os.uname().release.split(".")[:2]) < (6, 2)


class BarUC(BarRC):
    """Its queue pair is unreliable, and connected."""

    def create_qp_init_attr(self):
        return QPInitAttr(qp_type=e.IBV_QPT_UC, scq=self.cq, rcq=self.cq,
                          cap=self.create_qp_cap())


class BarEx(BarRC):
    """Its queue pair is an extended one."""

    def __init__(self, *args, operations, access=ALL_ACCESS, **kwargs):
        self.operations, self.access = operations, access
        super().__init__(*args, **kwargs)

    def create_mr(self):
        self.mr = MR(self.pd, self.msg_size, self.access, address=self.memory.address)

    def create_qp_attr(self):
        attr = super().create_qp_attr()
        # What the region does not allow must be its own refusal.
        attr.qp_access_flags = self.access | e.IBV_ACCESS_FLUSH_PERSISTENT
        return attr

    def create_qps(self):
        attr = QPInitAttrEx(cap=QPCap(), qp_type=e.IBV_QPT_RC, scq=self.cq, rcq=self.cq,
                            pd=self.pd, send_ops_flags=self.operations,
                            comp_mask=e.IBV_QP_INIT_ATTR_PD |
                            e.IBV_QP_INIT_ATTR_SEND_OPS_FLAGS)
        qp = QPEx(self.ctx, attr, self.create_qp_attr())
        self.qps.append(qp)
        self.qps_num.append(qp.qp_num)
        self.psns.append(random.getrandbits(24))


class UnreliableTest(BarTestCase):
    """Sends and writes without acknowledgements."""

    def test_uc_send_with_bar(self):
        self.connect(BarUC, {}, {"memory": Bar(SIZE)})
        u.traffic(**self.traffic_args)

    def test_uc_write_to_bar(self):
        self.connect(BarUC, {}, {"memory": Bar(SIZE)}, msg_size=PAGE)
        behind.fill(0, 0, PAGE, 0)
        data = os.urandom(PAGE)
        self.client.memory.write(data)
        send_wr = SendWR(opcode=e.IBV_WR_RDMA_WRITE_WITH_IMM, num_sge=1,
                         sg=[SGE(self.client.mr.buf, PAGE, self.client.mr_lkey)])
        send_wr.set_wr_rdma(self.client.rkey, self.client.raddr)
        u.post_recv(self.server, u.get_recv_wr(self.server))
        u.send(self.client, send_wr)
        # The receive is what tells that it has come.
        self.assertEqual(u._poll_cq(self.server.cq)[0].status, e.IBV_WC_SUCCESS)
        self.assertEqual(behind.read(0, 0, PAGE), data)


class ExtendedOperationsTest(BarTestCase):
    """Without a buffer of the client's."""

    def connect_with(self, access=ALL_ACCESS, *, operations):
        self.connect(BarEx, {}, {"memory": Bar(SIZE)}, msg_size=PAGE,
                     operations=operations, access=access)
        behind.fill(0, 0, PAGE, 0)

    def status_of(self, post, *arguments):
        qp = self.client.qp
        qp.wr_start()
        qp.wr_id, qp.wr_flags = 1, e.IBV_SEND_SIGNALED
        post(qp, self.client.rkey, *arguments)
        qp.wr_complete()
        return u._poll_cq(self.client.cq)[0].status

    @unittest.skipIf(OLD_KERNEL, "soft-RoCE has atomic writes from Linux 6.2 on")
    def test_atomic_write_to_bar(self):
        self.connect_with(operations=e.IBV_QP_EX_WITH_ATOMIC_WRITE)
        self.assertEqual(self.status_of(QPEx.wr_atomic_write, self.client.raddr + 72,
                                        b"8 bytes."), e.IBV_WC_SUCCESS)
        self.assertEqual(behind.read(0, 64, 24), bytes(8) + b"8 bytes." + bytes(8))

    @unittest.skipIf(OLD_KERNEL, "soft-RoCE has flushes from Linux 6.2 on")
    def test_flush_of_bar(self):
        flush = ALL_ACCESS | e.IBV_ACCESS_FLUSH_GLOBAL
        operations = e.IBV_QP_EX_WITH_FLUSH
        self.connect_with(flush, operations=operations)
        for level, length in ((e.IBV_FLUSH_RANGE, PAGE), (e.IBV_FLUSH_MR, 0)):
            self.assertEqual(self.status_of(QPEx.wr_flush, self.client.raddr, length,
                                            e.IBV_FLUSH_GLOBAL, level), e.IBV_WC_SUCCESS)
        self.assertEqual(self.status_of(QPEx.wr_flush, self.client.raddr, PAGE,
                                        e.IBV_FLUSH_PERSISTENT, e.IBV_FLUSH_RANGE),
                         e.IBV_WC_REM_ACCESS_ERR)
