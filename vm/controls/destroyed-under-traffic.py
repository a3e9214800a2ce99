# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Runs in a guest, without p2pmr: queue pairs of soft-RoCE are destroyed while others write
to them, for SECONDS or until the kernel has reported something, which is in its log, if it
can still tell. What it is stands in docs/reliability.md. Exit status 0 if it did, 1 if not.

usage: destroyed-under-traffic.py SECONDS"""

import multiprocessing
import subprocess
import sys
import time

import pyverbs.enums as e

from soft_roce import Pair, Workers, taint

PROCESSES, LENGTH = 6, 4096


def work(count):
    pair = Pair(LENGTH)
    while True:
        pair.post_all(e.IBV_WR_RDMA_WRITE)
        pair.destroy_queue_pairs()
        with count.get_lock():
            count.value += 1
        pair.make_queue_pairs()


def reports():
    log = subprocess.run(["dmesg"], check=True, stdout=subprocess.PIPE, text=True).stdout
    return log.count("WARNING: ") + log.count("BUG: ")


def main(seconds):
    print(f"tainted: {taint()}", flush=True)
    count = multiprocessing.Value("l")
    workers = Workers(PROCESSES, work, count)
    before, end = reports(), time.monotonic() + seconds
    while time.monotonic() < end and reports() == before and workers.are_alive():
        time.sleep(2)
    print(f"{count.value} pairs were destroyed", flush=True)
    return 0 if reports() > before else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
