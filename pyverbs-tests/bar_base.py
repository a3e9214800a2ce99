# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""rdma-core's resources and test case, with the registered buffer where a test wants
it: in a BAR or in host memory."""

import pyverbs.enums as e
from pyverbs.mr import MR
from pyverbs.qp import QPAttr
from tests.base import RCResources, RDMATestCase, UDResources

from memory import Memory

ALL_ACCESS = (e.IBV_ACCESS_LOCAL_WRITE | e.IBV_ACCESS_REMOTE_WRITE |
              e.IBV_ACCESS_REMOTE_READ | e.IBV_ACCESS_REMOTE_ATOMIC)
SIZE = 1 << 16


class BarRC(RCResources):
    """An RC queue pair whose MR lies over `memory`, from `offset` on."""

    def __init__(self, dev_name, ib_port, gid_index, memory=None, offset=0, **kwargs):
        self.memory = memory or Memory(SIZE)
        self.offset = offset
        super().__init__(dev_name, ib_port, gid_index, **kwargs)

    def create_mr(self):
        self.mr = MR(self.pd, self.msg_size, ALL_ACCESS,
                     address=self.memory.address + self.offset)

    def create_qp_attr(self):
        attr = QPAttr(port_num=self.ib_port)
        attr.qp_access_flags = ALL_ACCESS
        return attr


class BarUD(UDResources):
    """A UD queue pair whose MR lies over `memory`."""

    def __init__(self, dev_name, ib_port, gid_index, memory=None, msg_size=1000):
        self.memory = memory or Memory(SIZE)
        super().__init__(dev_name, ib_port, gid_index, msg_size=msg_size)

    def create_mr(self):
        self.mr = MR(self.pd, self.msg_size + self.GRH_SIZE, e.IBV_ACCESS_LOCAL_WRITE,
                     address=self.memory.address)


class BarTestCase(RDMATestCase):
    """Two players, connected, each with memory of its own."""

    def setUp(self):
        super().setUp()
        self.iters = 5
        self.traffic_args = None

    def connect(self, resource, client, server, **resource_args):
        """client and server: what to tell the one and the other constructor."""
        self.client = resource(**self.dev_info, **client, **resource_args)
        self.server = resource(**self.dev_info, **server, **resource_args)
        self.client.pre_run(self.server.psns, self.server.qps_num)
        self.server.pre_run(self.client.psns, self.client.qps_num)
        # The suite's helpers of 44 and of 56 want the address by different names.
        for player, peer in ((self.client, self.server), (self.server, self.client)):
            player.rkey = peer.mr.rkey
            player.raddr = player.remote_addr = peer.mr.buf
        self.traffic_args = {"client": self.client, "server": self.server,
                             "iters": self.iters, "gid_idx": self.gid_index,
                             "port": self.ib_port}

    def fill_for_reading(self):
        """rdma-core 44 leaves to its caller what 56 does itself."""
        self.client.mem_write("c" * self.client.msg_size, self.client.msg_size)
        self.server.mem_write("s" * self.server.msg_size, self.server.msg_size)
