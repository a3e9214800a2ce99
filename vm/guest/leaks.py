# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""What the kernel holds for the RDMA modules, counted: what is more after a test than
before it has been left behind. For kernels that account for allocations by the line of
code that made them."""

import ctypes
import fcntl
import json
import mmap
import os
import re
import struct
import subprocess
import time

# Whose allocations and whose mappings of device memory are counted.
OWNERS = re.compile(r"\[(p2pmr\w*|rdma_rxe|ib_core|ib_uverbs|rdma_ucm|rdma_cm)\]")
# What an MR in store has, once.
STORED = re.compile(r"func:(rxe_alloc_mr|__alloc_mr_page_info)\b")
STORES = "/sys/kernel/debug/p2pmr/stores"
MODULES = ("p2pmr", "p2pmr_verbs", "p2pmr_bar", "rdma_rxe", "ib_uverbs", "ib_core")
COUNTS_MODULE = "/usr/libexec/p2pmr/tests/modules/p2pmr_test_counts.ko"
COUNTS = "/sys/kernel/debug/p2pmr_test_counts"
# What is freed later (by a worker, after a grace period) has so long. It is looked at
# again and again, so only a leak takes all of it.
SETTLE_SECONDS = 5 * int(os.environ.get("P2PMR_SLOWNESS", 1))


class Watch:
    """Compares what there is with what there was at the last look."""

    def __init__(self):
        if not os.path.exists(COUNTS):
            subprocess.run(["insmod", COUNTS_MODULE], check=True)
        self._before = counts()

    def left_behind(self):
        """Lines about what is not as it was; what is there becomes what was there."""
        end = time.monotonic() + SETTLE_SECONDS
        while True:
            now = counts()
            lines = differences(self._before, now)
            if not lines or time.monotonic() > end:
                self._before = now
                return lines
            time.sleep(0.2)


def differences(before, now):
    """References must be what they were; of all else there may be less."""
    lines = []
    for name in sorted({*before, *now}):
        was, has = before.get(name, 0), now.get(name, 0)
        if has > was or has < was and name.startswith(("references", "uses")):
            lines.append(f"left behind: {name}: {has}, was {was}")
    return lines


def counts():
    """Name to number."""
    return {**_allocations(), **_mappings(), **_uses(), **_references(), **_resources()}


def _allocations():
    """Without the MRs that p2pmr_verbs has in store, which a worker makes when it likes."""
    stored, found = _stored(), _accounted()
    while (stored, found) != (again := (_stored(), _accounted())):
        stored, found = again
    for name in found:
        if STORED.search(name):
            found[name] -= stored
    return found


def _stored():
    try:
        return sum(int(number) for number in re.findall(r" mrs=(\d+)", _read(STORES)))
    except FileNotFoundError:
        return 0


def _accounted():
    found = {}
    for line in _read("/proc/allocinfo").splitlines():
        owner = OWNERS.search(line)
        if owner:
            _, calls, where = line.split(maxsplit=2)
            if calls != "0":
                found[f"allocations at {where}"] = int(calls)
    return found


def _mappings():
    found = {}
    for line in _read("/proc/vmallocinfo").splitlines():
        owner = OWNERS.search(line)
        if owner:
            name = f"kernel mappings by {line.split()[2]} [{owner[1]}]"
            found[name] = found.get(name, 0) + 1
    return found


def _uses():
    found = {}
    for module in MODULES:
        try:
            found[f"uses of module {module}"] = int(_read(f"/sys/module/{module}/refcnt"))
        except FileNotFoundError:
            pass
    return found


def _references():
    """Without those that p2pmr keeps to the functions that it was asked about last, so that
    it finds them again: it is asked about each BAR before."""
    bars = [os.environ[name] for name in ("P2PMR_BAR", "P2PMR_BAR2")]
    kept = {bar.split("/")[-2] for bar in bars if _asked_about(bar)}
    found = {}
    for line in _read(COUNTS).splitlines():
        name, number = line.split()
        found[f"references to {name}"] = int(number) - (name in kept)
    return found


def _asked_about(bar):
    """Whether p2pmr has answered what memory is behind a mapping of the BAR."""
    # <rdma/p2pmr-abi.h>: HELLO, QUERY, their arguments and a segment
    hello, query = 0xD500, 0xD501
    try:
        with open("/dev/p2pmr", "rb") as device, open(bar, "r+b") as file, \
                mmap.mmap(file.fileno(), mmap.PAGESIZE) as memory:
            fcntl.ioctl(device, hello, bytearray(struct.pack("<6IQ32s", 64, 0, 1, 0, 0, 0, 0, b"")))
            first = ctypes.c_char.from_buffer(memory)
            segment = ctypes.create_string_buffer(88)
            fcntl.ioctl(device, query, bytearray(struct.pack(
                "<2I3Q6I", 56, 0, ctypes.addressof(first), mmap.PAGESIZE,
                ctypes.addressof(segment), len(segment), 1, 0, 0, 0, 0)))
            del first
            return True
    except OSError:
        # Not loaded, not there, or claimed by a driver.
        return False


def _resources():
    """Of each RDMA device: PDs, CQs, QPs, MRs, …"""
    output = subprocess.run(["rdma", "-j", "resource", "show"], stdout=subprocess.PIPE,
                            text=True, check=True).stdout
    found = {}
    for device in json.loads(output or "[]"):
        for kind, number in device.items():
            if kind not in ("ifindex", "ifname"):
                found[f"{kind} of {device['ifname']}"] = number
    return found


def _read(path):
    with open(path, encoding="utf-8", errors="replace") as handle:
        return handle.read()
