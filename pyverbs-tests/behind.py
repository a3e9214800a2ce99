# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""The bytes behind a BAR: in the lab as the machine outside sees them, elsewhere by a
mapping of its own, that no test has registered."""

import os

from memory import Bar

OUTSIDE = "P2PMR_HOST" in os.environ
if OUTSIDE:
    import hostport


def _whole_pages(offset, length):
    return -(-(offset + length) // 4096) * 4096


def read(index, offset, length):
    if OUTSIDE:
        return hostport.read(index, offset, length)
    bar = Bar(_whole_pages(offset, length), index)
    try:
        return bar.read(offset, length)
    finally:
        bar.unmap()


def write(index, offset, data):
    if OUTSIDE:
        hostport.write(index, offset, data)
        return
    bar = Bar(_whole_pages(offset, len(data)), index)
    try:
        bar.write(data, offset)
    finally:
        bar.unmap()


def fill(index, offset, length, byte):
    if OUTSIDE:
        hostport.fill(index, offset, length, byte)
    else:
        write(index, offset, bytes([byte]) * length)
