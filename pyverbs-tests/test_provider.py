# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""What p2pmr's provider adds to the stock one: device memory on a pool in a BAR,
registrations that change, parent domains."""

import errno
import os

import pyverbs.enums as e
import tests.utils as u
from pyverbs.device import DM, AllocDmAttr
from pyverbs.mr import DMMR, MR
from pyverbs.pd import PD, ParentDomain, ParentDomainInitAttr
from pyverbs.pyverbs_error import PyverbsRDMAError
from pyverbs.wr import SGE, SendWR
from tests.base import PyverbsAPITestCase

import behind
import libp2pmr
from bar_base import ALL_ACCESS, SIZE, BarRC, BarTestCase
from memory import PAGE, Bar, Memory

# In the first BAR, not at its beginning.
POOL, POOL_LENGTH = 4 * PAGE, 4 * PAGE
ZERO_BASED = ALL_ACCESS | e.IBV_ACCESS_ZERO_BASED


def choose_provider():
    """The library does, for a process that has not asked for devices yet."""
    libp2pmr.load()
    os.environ["P2PMR_DM_BAR"] = f"{os.environ['P2PMR_BAR']}:{POOL:#x}:{POOL_LENGTH:#x}"


def write_to(client, length, rkey, address):
    """The status of a write by the client."""
    sge = SGE(client.mr.buf, length, client.mr_lkey)
    send_wr = SendWR(opcode=e.IBV_WR_RDMA_WRITE, num_sge=1, sg=[sge])
    send_wr.set_wr_rdma(rkey, address)
    u.send(client, send_wr)
    return u._poll_cq(client.cq)[0].status


class RefusalTestCase(PyverbsAPITestCase):
    """On one context, with a PD."""

    def setUp(self):
        choose_provider()
        super().setUp()
        self.pd = PD(self.ctx)

    def refusal(self, call, *args, **kwargs):
        with self.assertRaises(PyverbsRDMAError) as caught:
            call(*args, **kwargs)
        return caught.exception.error_code


class DeviceMemoryTest(RefusalTestCase):
    """DMs, their copies and their MRs."""

    def alloc(self, length=PAGE, **kwargs):
        return DM(self.ctx, AllocDmAttr(length, **kwargs))

    def test_dm_is_in_the_bar(self):
        behind.fill(0, POOL, POOL_LENGTH, 0xA5)
        with self.alloc() as dm:
            dm.copy_to_dm(8, b"through the DM..", 16)
            self.assertEqual(behind.read(0, POOL, 32), b"\xa5" * 8 + b"through the DM.."
                             + b"\xa5" * 8)
            behind.write(0, POOL + 64, b"from outside")
            self.assertEqual(dm.copy_from_dm(64, 12), b"from outside")

    def test_dm_region_reads_and_writes(self):
        behind.fill(0, POOL, POOL_LENGTH, 0)
        with self.alloc(2 * PAGE) as dm, DMMR(self.pd, PAGE, ZERO_BASED, dm, PAGE) as mr:
            self.assertEqual(mr.length, PAGE)
            dm.copy_to_dm(PAGE, b"the second page.", 16)
            self.assertEqual(behind.read(0, POOL + PAGE, 16), b"the second page.")

    def test_dm_pool_is_shared_and_given_back(self):
        self.assertEqual(self.ctx.query_device_ex().max_dm_size, POOL_LENGTH)
        first = self.alloc(POOL_LENGTH - PAGE)
        with self.alloc(PAGE):
            self.assertEqual(self.refusal(self.alloc, 1), errno.ENOMEM)
        first.close()
        self.alloc(POOL_LENGTH).close()

    def test_dm_refuses_bad_input(self):
        for length, error in ((0, errno.EINVAL), (POOL_LENGTH + 1, errno.ENOMEM),
                              (1 << 63, errno.ENOMEM)):
            self.assertEqual(self.refusal(self.alloc, length), error)
        self.assertEqual(self.refusal(self.alloc, log_align_req=63), errno.EINVAL)
        self.assertEqual(self.refusal(self.alloc, comp_mask=1), errno.EOPNOTSUPP)
        with self.alloc(100) as dm:
            for offset, length in ((2, 4), (0, 3), (100, 4), (96, 8), (2 ** 64 - 4, 4)):
                self.assertEqual(self.refusal(dm.copy_to_dm, offset, bytes(8), length),
                                 errno.EINVAL)
                self.assertEqual(self.refusal(dm.copy_from_dm, offset, length),
                                 errno.EINVAL)
            for offset, length, access, error in (
                    (0, 101, ZERO_BASED, errno.EINVAL), (101, 0, ZERO_BASED, errno.EINVAL),
                    (0, 100, ALL_ACCESS, errno.EINVAL),
                    (4, 8, ZERO_BASED, errno.EOPNOTSUPP)):
                self.assertEqual(self.refusal(DMMR, self.pd, length, access, dm, offset),
                                 error)

    def test_dm_none_without_a_pool(self):
        for pool in ("", "/nowhere", f"{os.environ['P2PMR_BAR']}:12"):
            os.environ["P2PMR_DM_BAR"] = pool
            self.assertEqual(self.ctx.query_device_ex().max_dm_size, 0)


class TransferTestCase(BarTestCase):
    """The client writes what the server has registered."""

    def setUp(self):
        choose_provider()
        super().setUp()

    def connect_to(self, memory):
        self.connect(BarRC, {}, {"memory": memory}, msg_size=PAGE)
        self.client.memory.write(os.urandom(PAGE))

    def write(self, mr, address):
        return write_to(self.client, PAGE, mr.rkey, address)

    def sent(self):
        return self.client.memory.read(0, PAGE)


class DeviceMemoryTrafficTest(TransferTestCase):
    """A peer in a DM."""

    def test_dm_is_written_by_a_peer(self):
        self.connect_to(Memory(SIZE))
        behind.fill(0, POOL, POOL_LENGTH, 0)
        with DM(self.server.ctx, AllocDmAttr(2 * PAGE)) as dm, \
                DMMR(self.server.pd, 2 * PAGE, ZERO_BASED, dm, 0) as mr:
            self.assertEqual(self.write(mr, PAGE), e.IBV_WC_SUCCESS)
            self.assertEqual(dm.copy_from_dm(PAGE, PAGE), self.sent())
            self.assertEqual(behind.read(0, POOL, 2 * PAGE), bytes(PAGE) + self.sent())

    def test_dm_ends_where_it_ends(self):
        self.connect_to(Memory(SIZE))
        behind.fill(0, POOL, POOL_LENGTH, 0)
        with DM(self.server.ctx, AllocDmAttr(PAGE)) as dm, \
                DMMR(self.server.pd, PAGE, ZERO_BASED, dm, 0) as mr:
            self.assertEqual(self.write(mr, 8), e.IBV_WC_REM_ACCESS_ERR)
        self.assertEqual(behind.read(0, POOL, POOL_LENGTH), bytes(POOL_LENGTH))


class ReregistrationTest(TransferTestCase):
    """ibv_rereg_mr() on a BAR."""

    def rereg(self, flags, pd=None, address=0, access=0):
        self.server.mr.rereg(flags, pd or self.server.pd, address, PAGE, access)

    def test_rereg_place_in_bar(self):
        bar = Bar(SIZE)
        self.connect_to(bar)
        behind.fill(0, 0, 2 * PAGE, 0)
        place = bar.address + PAGE
        self.rereg(e.IBV_REREG_MR_CHANGE_TRANSLATION, address=place)
        self.assertEqual(self.write(self.server.mr, place), e.IBV_WC_SUCCESS)
        self.assertEqual(behind.read(0, 0, 2 * PAGE), bytes(PAGE) + self.sent())
        self.assertEqual(self.write(self.server.mr, bar.address), e.IBV_WC_REM_ACCESS_ERR)

    def test_rereg_access_to_bar(self):
        bar = Bar(SIZE)
        self.connect_to(bar)
        behind.fill(0, 0, PAGE, 0)
        self.rereg(e.IBV_REREG_MR_CHANGE_ACCESS, access=e.IBV_ACCESS_LOCAL_WRITE)
        self.assertEqual(self.write(self.server.mr, bar.address), e.IBV_WC_REM_ACCESS_ERR)
        self.assertEqual(behind.read(0, 0, PAGE), bytes(PAGE))

    def test_rereg_pd_of_bar(self):
        bar = Bar(SIZE)
        self.connect_to(bar)
        self.rereg(e.IBV_REREG_MR_CHANGE_PD, pd=PD(self.server.ctx))
        self.assertEqual(self.write(self.server.mr, bar.address), e.IBV_WC_REM_ACCESS_ERR)

    def test_rereg_refused_leaves_it(self):
        bar = Bar(SIZE)
        self.connect_to(bar)
        hole = Bar(PAGE)
        hole.unmap()
        for flags, address, error in (
                (e.IBV_REREG_MR_CHANGE_TRANSLATION, hole.address, errno.EFAULT),
                (1 << 7, bar.address, errno.EINVAL), (0, bar.address, errno.EINVAL)):
            with self.subTest(flags=flags):
                with self.assertRaises(PyverbsRDMAError) as caught:
                    self.rereg(flags, address=address)
                self.assertEqual(caught.exception.error_code, error)
        self.assertEqual(self.write(self.server.mr, bar.address), e.IBV_WC_SUCCESS)
        self.assertEqual(behind.read(0, 0, PAGE), self.sent())


class ParentRC(BarRC):
    """With all its objects in a parent domain."""

    def create_pd(self):
        super().create_pd()
        self.plain_pd, self.pd = self.pd, ParentDomain(self.ctx, ParentDomainInitAttr(self.pd))


class ParentDomainTest(TransferTestCase):
    """Registrations and queue pairs in parent domains."""

    def test_parent_domain_with_bar(self):
        self.connect(ParentRC, {}, {"memory": Bar(SIZE)})
        u.rdma_traffic(**self.traffic_args, send_op=e.IBV_WR_RDMA_WRITE)


class ParentDomainRefusalTest(RefusalTestCase):
    """What they hold, and of what they are not made."""

    def test_parent_domain_refuses_bad_input(self):
        parent = ParentDomain(self.ctx, ParentDomainInitAttr(self.pd))
        self.assertEqual(self.refusal(ParentDomain, self.ctx, ParentDomainInitAttr(parent)),
                         errno.EINVAL)
        with MR(parent, PAGE, ALL_ACCESS, address=Bar(PAGE).address) as mr:
            self.assertEqual(mr.length, PAGE)
        parent.close()
