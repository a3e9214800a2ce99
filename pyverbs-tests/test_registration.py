# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""What may be registered over a BAR, and what is refused with which errno."""

import errno
import mmap

import pyverbs.enums as e
from pyverbs.mr import MR
from pyverbs.pd import PD
from pyverbs.pyverbs_error import PyverbsRDMAError
from tests.base import PyverbsAPITestCase

from bar_base import ALL_ACCESS
from memory import PAGE, Bar, Memory

LENGTH = 16 * PAGE


class RegistrationTest(PyverbsAPITestCase):
    """On one protection domain."""

    def setUp(self):
        super().setUp()
        self.pd = PD(self.ctx)

    def refusal(self, length, access, address):
        with self.assertRaises(PyverbsRDMAError) as caught:
            MR(self.pd, length, access, address=address)
        return caught.exception.error_code

    def accept(self, length, access, address):
        MR(self.pd, length, access, address=address).close()

    def test_register_bar(self):
        bar = Bar(LENGTH)
        for offset, length in ((0, LENGTH), (1, 1), (4095, 2), (PAGE, PAGE), (777, 12345)):
            with self.subTest(offset=offset, length=length):
                with MR(self.pd, length, ALL_ACCESS, address=bar.address + offset) as mr:
                    self.assertEqual(mr.buf, bar.address + offset)
                    self.assertEqual(mr.length, length)

    def test_regions_have_keys_of_their_own(self):
        bar = Bar(LENGTH)
        regions = [MR(self.pd, LENGTH - 100 * i, ALL_ACCESS, address=bar.address)
                   for i in range(20)]
        self.assertEqual(len({mr.rkey for mr in regions}), len(regions))
        self.assertEqual(len({mr.lkey for mr in regions}), len(regions))

    def test_region_reads_and_writes_the_bar(self):
        bar = Bar(LENGTH)
        with MR(self.pd, LENGTH, ALL_ACCESS, address=bar.address) as mr:
            mr.write("through the region", 18, 4090)
            self.assertEqual(bar.read(4090, 18), b"through the region")
            bar.write(b"through the mapping", 8190)
            self.assertEqual(mr.read(19, 8190), b"through the mapping")

    def test_refused_past_the_end(self):
        bar = Bar(LENGTH)
        bar.unmap(LENGTH - PAGE)
        self.accept(LENGTH - PAGE, ALL_ACCESS, bar.address)
        self.assertEqual(self.refusal(LENGTH, ALL_ACCESS, bar.address), errno.EFAULT)

    def test_refused_write_to_read_only(self):
        bar = Bar(LENGTH, protection=mmap.PROT_READ)
        self.assertEqual(self.refusal(LENGTH, e.IBV_ACCESS_LOCAL_WRITE, bar.address),
                         errno.EACCES)
        self.accept(LENGTH, e.IBV_ACCESS_REMOTE_READ, bar.address)

    def test_refused_flags(self):
        bar = Bar(LENGTH)
        for flag in (e.IBV_ACCESS_MW_BIND, e.IBV_ACCESS_ZERO_BASED, e.IBV_ACCESS_HUGETLB):
            with self.subTest(flag=flag):
                self.assertEqual(self.refusal(LENGTH, ALL_ACCESS | flag, bar.address),
                                 errno.EOPNOTSUPP)

    def test_refused_remote_without_local_write(self):
        for memory in (Memory(LENGTH), Bar(LENGTH)):
            self.assertEqual(self.refusal(LENGTH, e.IBV_ACCESS_REMOTE_WRITE, memory.address),
                             errno.EINVAL)
            self.accept(LENGTH, e.IBV_ACCESS_REMOTE_WRITE | e.IBV_ACCESS_LOCAL_WRITE,
                        memory.address)

    def test_refused_unmapped(self):
        bar = Bar(LENGTH)
        self.accept(LENGTH, ALL_ACCESS, bar.address)
        bar.unmap()
        self.assertEqual(self.refusal(LENGTH, ALL_ACCESS, bar.address), errno.EFAULT)
