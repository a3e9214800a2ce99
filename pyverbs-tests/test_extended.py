# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""What only libp2pmr's registration can say, and what it answers."""

import errno
import os
import select
import unittest

from bar_base import ALL_ACCESS
from libp2pmr import DEVICE, EVENTFD, HOST, MIXED, REQUIRE_DEVICE, Domain
from memory import PAGE, Bar, Memory

LENGTH = 16 * PAGE


class ExtendedTest(unittest.TestCase):
    """On p2pmr's provider, which libp2pmr chooses."""

    def setUp(self):
        self.domain = Domain(os.environ["P2PMR_DEV"])
        self.addCleanup(self.domain.close)

    def register(self, memory, flags=0, **kwargs):
        region = self.domain.register(memory, ALL_ACCESS, flags=flags, **kwargs)
        self.addCleanup(region.close)
        return region

    def refusal(self, memory, flags=0, **kwargs):
        with self.assertRaises(OSError) as caught:
            self.domain.register(memory, ALL_ACCESS, flags=flags, **kwargs).close()
        return caught.exception.errno

    def test_extended_tells_what_was_registered(self):
        device = self.register(Bar(LENGTH), REQUIRE_DEVICE).info()
        self.assertEqual((device.kind, device.segments), (DEVICE, 1))
        self.assertGreaterEqual(device.page_size, PAGE)
        host = self.register(Memory(LENGTH)).info()
        self.assertEqual((host.kind, host.segments, host.page_size), (HOST, 0, 0))

    def test_extended_tells_mixed(self):
        memory = Memory(LENGTH)
        Bar(4 * PAGE, at=memory.address + 4 * PAGE)
        info = self.register(memory).info()
        self.assertEqual(info.kind, MIXED)
        self.assertGreaterEqual(info.segments, 3)
        self.assertEqual(self.refusal(memory, REQUIRE_DEVICE), errno.EMEDIUMTYPE)
        self.assertEqual(self.domain.foretell(memory), (3, 0))

    def test_extended_requires_device(self):
        self.assertEqual(self.refusal(Memory(LENGTH), REQUIRE_DEVICE), errno.EMEDIUMTYPE)

    def test_extended_refuses_unknown_flags(self):
        bar = Bar(LENGTH)
        self.assertEqual(self.refusal(bar, 8), errno.EINVAL)
        self.assertEqual(self.refusal(bar, EVENTFD | 1 << 31), errno.EINVAL)

    def test_extended_refuses_unmapped(self):
        bar = Bar(LENGTH)
        bar.unmap()
        self.assertEqual(self.refusal(bar, EVENTFD), errno.EFAULT)
        self.assertEqual(self.domain.foretell(bar), (1, errno.EFAULT))

    def test_extended_descriptor_tells_of_revocation(self):
        bar = Bar(LENGTH)
        region = self.register(bar, EVENTFD)
        poll = select.poll()
        poll.register(region.descriptor(), select.POLLIN)
        self.assertEqual(poll.poll(0), [])
        self.assertEqual(region.revoked(), 0)
        bar.unmap(3 * PAGE, PAGE)
        self.assertEqual(poll.poll(20000), [(region.descriptor(), select.POLLIN)])
        self.assertEqual(region.revoked(), 1)

    def test_extended_host_memory_is_not_revoked(self):
        memory = Memory(LENGTH)
        region = self.register(memory, EVENTFD)
        memory.unmap()
        self.assertEqual(region.revoked(), 0)

    def test_extended_without_descriptor(self):
        self.assertEqual(self.register(Bar(LENGTH)).descriptor(), -errno.ENOENT)
