# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""rdma-core's own traffic, with BAR memory at one end or at both. Its helpers move data
both ways, so each test has the BAR as local and as remote side."""

import inspect
import os

import pyverbs.enums as e
import tests.utils as u
from pyverbs.wr import SGE, SendWR

import behind
from bar_base import SIZE, BarRC, BarTestCase, BarUD
from memory import Bar


class TrafficTest(BarTestCase):
    """Every operation of the suite's RC and UD traffic."""

    def connect_rc(self, both=False, **arguments):
        server = {"memory": Bar(SIZE)}
        client = {"memory": Bar(SIZE, index=1)} if both else {}
        self.connect(BarRC, client, server, **arguments)

    def test_send_with_bar(self):
        self.connect_rc()
        u.traffic(**self.traffic_args)

    def test_send_between_bars(self):
        self.connect_rc(both=True)
        u.traffic(**self.traffic_args)

    def test_send_imm_with_bar(self):
        # rdma-core 44 asks for it in one way, 56 in another.
        with_imm = ({"is_imm": True} if "is_imm" in inspect.signature(u.traffic).parameters
                    else {"send_op": e.IBV_WR_SEND_WITH_IMM})
        self.connect_rc()
        u.traffic(**self.traffic_args, **with_imm)

    def test_write_with_bar(self):
        self.connect_rc()
        u.rdma_traffic(**self.traffic_args, send_op=e.IBV_WR_RDMA_WRITE)

    def test_write_between_bars(self):
        self.connect_rc(both=True)
        u.rdma_traffic(**self.traffic_args, send_op=e.IBV_WR_RDMA_WRITE)

    def test_read_with_bar(self):
        self.connect_rc()
        self.fill_for_reading()
        u.rdma_traffic(**self.traffic_args, send_op=e.IBV_WR_RDMA_READ)

    def test_read_between_bars(self):
        self.connect_rc(both=True)
        self.fill_for_reading()
        u.rdma_traffic(**self.traffic_args, send_op=e.IBV_WR_RDMA_READ)

    def test_write_with_unaligned_bar(self):
        self.connect_rc(offset=4093, msg_size=9001)
        u.rdma_traffic(**self.traffic_args, send_op=e.IBV_WR_RDMA_WRITE)

    def test_write_with_write_combined_bar(self):
        self.connect(BarRC, {}, {"memory": Bar(SIZE, write_combined=True)})
        u.rdma_traffic(**self.traffic_args, send_op=e.IBV_WR_RDMA_WRITE)

    def test_srq_with_bar(self):
        self.connect_rc(with_srq=True)
        u.traffic(**self.traffic_args)

    def test_compare_and_swap_with_bar(self):
        self.connect_rc(msg_size=8)
        u.atomic_traffic(**self.traffic_args, send_op=e.IBV_WR_ATOMIC_CMP_AND_SWP)
        u.atomic_traffic(**self.traffic_args, send_op=e.IBV_WR_ATOMIC_CMP_AND_SWP,
                         receiver_val=1, sender_val=1)

    def test_fetch_and_add_with_bar(self):
        self.connect_rc(msg_size=8)
        u.atomic_traffic(**self.traffic_args, send_op=e.IBV_WR_ATOMIC_FETCH_AND_ADD)

    def test_fetch_and_add_between_bars(self):
        self.connect_rc(both=True, msg_size=8)
        u.atomic_traffic(**self.traffic_args, send_op=e.IBV_WR_ATOMIC_FETCH_AND_ADD)

    def test_ud_with_bar(self):
        self.connect(BarUD, {}, {"memory": Bar(SIZE)})
        u.traffic(**self.traffic_args)

    def test_ud_between_bars(self):
        self.connect(BarUD, {"memory": Bar(SIZE, index=1)}, {"memory": Bar(SIZE)})
        u.traffic(**self.traffic_args)


class OutsideTest(BarTestCase):
    """What is in the file behind the BAR, seen by the machine outside."""

    def transfer(self, opcode, length, imm=0):
        sge = SGE(self.client.mr.buf, length, self.client.mr_lkey)
        send_wr = SendWR(opcode=opcode, num_sge=1, sg=[sge], imm_data=imm)
        send_wr.set_wr_rdma(self.client.rkey, self.client.raddr)
        u.send(self.client, send_wr)
        u.poll_cq(self.client.cq)

    def test_write_seen_outside(self):
        data = os.urandom(30000)
        self.connect(BarRC, {}, {"memory": Bar(SIZE), "offset": 4095}, msg_size=30000)
        behind.fill(0, 0, SIZE, 0)
        self.client.memory.write(data)
        self.transfer(e.IBV_WR_RDMA_WRITE, 30000)
        expected = bytes(4095) + data + bytes(SIZE - 4095 - 30000)
        self.assertEqual(behind.read(0, 0, SIZE), expected)

    def test_read_planted_outside(self):
        data = os.urandom(30000)
        self.connect(BarRC, {}, {"memory": Bar(SIZE, index=1), "offset": 4095},
                     msg_size=30000)
        behind.write(1, 4095, data)
        self.transfer(e.IBV_WR_RDMA_READ, 30000)
        self.assertEqual(self.client.memory.read(0, 30000), data)

    def test_write_imm_seen_outside(self):
        data = os.urandom(3000)
        self.connect(BarRC, {}, {"memory": Bar(SIZE)}, msg_size=3000)
        behind.fill(0, 0, 3000, 0)
        self.client.memory.write(data)
        u.post_recv(self.server, u.get_recv_wr(self.server))
        self.transfer(e.IBV_WR_RDMA_WRITE_WITH_IMM, 3000, imm=0x01020304)
        completion = u._poll_cq(self.server.cq)[0]
        self.assertEqual(completion.opcode, e.IBV_WC_RECV_RDMA_WITH_IMM)
        self.assertEqual(completion.imm_data, 0x01020304)
        self.assertEqual(behind.read(0, 0, 3000), data)
