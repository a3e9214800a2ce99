# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Runs in a guest, without p2pmr: READs of host memory over soft-RoCE while its network
interface goes down and up, until one has succeeded for which no data has come. Why that is
stands in docs/reliability.md. Exit status 0 if it did, 1 if not within SECONDS. (The lab
ends with 99 then, since the kernel has warned.)

usage: read-without-data.py SECONDS"""

import fcntl
import multiprocessing
import socket
import struct
import sys
import time

import pyverbs.enums as e
from pyverbs.pyverbs_error import PyverbsError

from soft_roce import DEPTH, DEVICE, Pair, Workers, taint

PROCESSES, LENGTH = 4, 8
BEFORE, DATA = b"\xee" * LENGTH, b"\x55" * LENGTH
# Half a second: a READ is sent again only when all is up again.
TIMEOUT = 17
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1
IFREQ = "16sH22x"


def read_all(pair):
    """As many at once as can be; returns how many have succeeded, and for how many of these no
    data has come."""
    pair.here.write(BEFORE * DEPTH, DEPTH * LENGTH)
    pair.post_all(e.IBV_WR_RDMA_READ)
    statuses, end = {}, time.monotonic() + 20
    while len(statuses) < DEPTH and time.monotonic() < end:
        _, completions = pair.cq.poll()
        statuses.update((completion.wr_id, completion.status) for completion in completions)
    good = [number for number, status in statuses.items() if status == e.IBV_WC_SUCCESS]
    return len(good), sum(pair.here.read(LENGTH, number * LENGTH) == BEFORE for number in good)


def work(found, restarts):
    """With one pair as long as all succeed."""
    while not found.value:
        try:
            pair, succeeded, empty = Pair(LENGTH, TIMEOUT), DEPTH, 0
            pair.there.write(DATA * DEPTH, DEPTH * LENGTH)
            while succeeded == DEPTH and not empty and not found.value:
                succeeded, empty = read_all(pair)
            with found.get_lock():
                found.value += empty
            pair.close()
        except PyverbsError:
            time.sleep(0.05)  # the interface is down
        with restarts.get_lock():
            restarts.value += 1


def flip(sock, name):
    """Down and up again."""
    request = struct.pack(IFREQ, name.encode(), 0)
    _, flags = struct.unpack(IFREQ, fcntl.ioctl(sock, SIOCGIFFLAGS, request))
    for wanted in (flags & ~IFF_UP, flags | IFF_UP):
        fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack(IFREQ, name.encode(), wanted))


def main(seconds):
    with open(f"/sys/class/infiniband/{DEVICE}/parent", encoding="ascii") as file:
        name = file.read().strip()
    print(f"tainted: {taint()}", flush=True)
    found, restarts = multiprocessing.Value("i"), multiprocessing.Value("i")
    workers = Workers(PROCESSES, work, found, restarts)
    time.sleep(5)
    flips, end = 0, time.monotonic() + seconds
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        while not found.value and time.monotonic() < end and workers.are_alive():
            flip(sock, name)
            flips += 1
            time.sleep(0.3 + flips % 7 / 10)
    print(f"down and up {flips} times, new queue pairs {restarts.value} times, READs that "
          f"succeeded without data: {found.value}", flush=True)
    return 0 if found.value else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
