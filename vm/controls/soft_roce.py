# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Two connected queue pairs of soft-RoCE, and host memory, and processes that use them, for the
programs beside this one."""

import multiprocessing
import os
import sys

sys.path.insert(0, "/usr/libexec/p2pmr/tests")

import network  # noqa: E402
import pyverbs.enums as e  # noqa: E402
from pyverbs.addr import AHAttr, GlobalRoute  # noqa: E402
from pyverbs.cq import CQ  # noqa: E402
from pyverbs.device import Context  # noqa: E402
from pyverbs.mr import MR  # noqa: E402
from pyverbs.pd import PD  # noqa: E402
from pyverbs.qp import QP, QPAttr, QPCap, QPInitAttr  # noqa: E402
from pyverbs.wr import SGE, SendWR  # noqa: E402

DEVICE = os.environ["P2PMR_DEV"]
DEPTH = 16
ACCESS = (e.IBV_ACCESS_LOCAL_WRITE | e.IBV_ACCESS_REMOTE_READ | e.IBV_ACCESS_REMOTE_WRITE)


def taint():
    with open("/proc/sys/kernel/tainted", encoding="ascii") as file:
        return file.read().strip()


class Workers:
    """So many processes that do the same until the program ends."""

    def __init__(self, count, work, *arguments):
        self._processes = [multiprocessing.Process(target=work, args=arguments, daemon=True)
                           for _ in range(count)]
        for process in self._processes:
            process.start()

    def are_alive(self):
        alive = all(process.is_alive() for process in self._processes)
        if not alive:
            print("a process has ended", flush=True)
        return alive


class Pair:
    """As many requests as DEPTH can be on their way from `near` to `far`, of as many bytes
    each as `length`. A request that gets no answer is sent again after 4.096 us * 2 **
    timeout."""

    def __init__(self, length, timeout=14):
        self.length = length
        self.context = Context(name=DEVICE)
        self.pd = PD(self.context)
        self.here = MR(self.pd, DEPTH * length, ACCESS)
        self.there = MR(self.pd, DEPTH * length, ACCESS)
        self.timeout = timeout
        self.gid_index = network.ipv4_gid_index()
        self.make_queue_pairs()

    def make_queue_pairs(self):
        self.cq = CQ(self.context, 4 * DEPTH)
        self.near, self.far = self._queue_pair(), self._queue_pair()
        self._connect(self.near, self.far)
        self._connect(self.far, self.near)

    def _queue_pair(self):
        cap = QPCap(max_send_wr=DEPTH, max_recv_wr=1, max_send_sge=1, max_recv_sge=1)
        return QP(self.pd, QPInitAttr(qp_type=e.IBV_QPT_RC, scq=self.cq, rcq=self.cq, cap=cap))

    def _connect(self, pair, other):
        attr = QPAttr(port_num=1)
        attr.dest_qp_num, attr.path_mtu = other.qp_num, e.IBV_MTU_1024
        attr.rq_psn = attr.sq_psn = 0
        attr.max_rd_atomic = attr.max_dest_rd_atomic = DEPTH
        attr.min_rnr_timer, attr.timeout = 12, self.timeout
        attr.retry_cnt = attr.rnr_retry = 7
        attr.qp_access_flags = ACCESS
        route = GlobalRoute(dgid=self.context.query_gid(1, self.gid_index),
                            sgid_index=self.gid_index)
        attr.ah_attr = AHAttr(port_num=1, is_global=1, gr=route, dlid=0)
        pair.to_rts(attr)

    def post_all(self, opcode):
        """DEPTH requests between `here` and `there`, each of its own bytes and with its
        number as its id."""
        for number in range(DEPTH):
            offset = number * self.length
            request = SendWR(wr_id=number, opcode=opcode, num_sge=1,
                             sg=[SGE(self.here.buf + offset, self.length, self.here.lkey)],
                             send_flags=e.IBV_SEND_SIGNALED)
            request.set_wr_rdma(self.there.rkey, self.there.buf + offset)
            self.near.post_send(request)

    def destroy_queue_pairs(self):
        for thing in (self.far, self.near, self.cq):
            thing.close()

    def close(self):
        self.context.close()
