#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Debian's perftest, unmodified, with its buffer in a BAR (--mmap) on the server,
on the client, or on both: it registers device memory, runs, and measures something.
With both in a BAR the machine outside sees that the one has received what the other
has sent; with one of them there is nothing to compare it with, and perftest itself
writes its whole buffer before it begins."""

import math
import os
import re
import subprocess
import sys
import time

import counters
import hostport
import network

SIZE = 65536
ITERATIONS = {"bw": 50, "lat": 200}
# Of a test; the runner's own limit is the next one out.
SECONDS = 50
TIMEOUT = 120
SKIPPED = 77
# A buffer has two halves of SIZE. What a side writes, sends, or has read goes out of or
# into the first, what its peer writes, sends or reads into or out of the second.
FIRST, SECOND = 0, SIZE
# In the buffer of ib_write_lat, which alone does not fill it with random numbers.
PLANTED = {FIRST: 0x5A, SECOND: 0xA5}

CALIBRATION = "Correlation coefficient"
# Always a first half and a second one: the two sides may have the same random numbers.
SERVED = (("client", FIRST), ("server", SECOND))
MUTUAL = (SERVED, (("server", FIRST), ("client", SECOND)))
# Program, and which halves must be the same afterwards. An atomic operation leaves
# no copy behind.
PROGRAMS = {
    "ib_write_bw": (SERVED,),
    "ib_read_bw": (SERVED,),
    "ib_send_bw": (SERVED,),
    "ib_write_lat": MUTUAL,
    "ib_read_lat": (SERVED,),
    "ib_send_lat": MUTUAL,
    "ib_atomic_bw": (),
    "ib_atomic_lat": (),
}
SIDES = {"server": ("server",), "client": ("client",), "both": ("server", "client")}
BARS = {"server": "P2PMR_BAR", "client": "P2PMR_BAR2"}
BAR_INDEX = {"server": 0, "client": 1}


class Failure(Exception):
    """The behaviour under test did not come about."""


class Uncalibrated(Failure):
    """perftest could not tell how fast its own CPU's clock runs, and so has no figures:
    that says nothing about the transfer."""


class Case:
    """One run: which program, whose buffer is in a BAR, at what offset, which mapping."""

    def __init__(self, program, sides, offset=0, suffix=""):
        self.program, self.same = program, PROGRAMS[program]
        self.sides, self.offset, self.suffix = sides, offset, suffix
        self.kind = program.rpartition("_")[2]
        self.sized = "atomic" not in program

    def arguments(self, side, gid_index, port):
        """The command line of one side."""
        command = [self.program, "-d", os.environ["P2PMR_DEV"], "-x", str(gid_index),
                   "-p", str(port), "-n", str(ITERATIONS[self.kind]), "-F"]
        if self.sized:
            command += ["-s", str(SIZE)]
        if side in self.sides:
            command.append(f"--mmap={os.environ[BARS[side] + self.suffix]}")
            if self.offset:
                command.append(f"--mmap-offset={self.offset}")
        if side == "client":
            command.append("127.0.0.1")
        return command


def cases():
    for program in PROGRAMS:
        for name, sides in SIDES.items():
            yield f"perftest/{program}-bar-on-{name}", Case(program, sides)
    yield "perftest/ib_write_bw-bar-at-offset", Case("ib_write_bw", ("server",), offset=1 << 20)
    yield "perftest/ib_write_bw-bar-wc", Case("ib_write_bw", ("server", "client"), suffix="_WC")
    yield "perftest/ib_read_bw-bar-wc", Case("ib_read_bw", ("server", "client"), suffix="_WC")


class Run:
    """A server and a client, one process each."""

    def __init__(self, case):
        self.case, self.end = case, time.monotonic() + SECONDS
        self.processes, self.outputs = {}, {}

    def _start(self, side, gid_index, port):
        self.outputs[side] = open(f"/tmp/perftest-{side}.log", "w+", encoding="utf-8",
                                  errors="replace")
        command = self.case.arguments(side, gid_index, port)
        print(side + ":", " ".join(command))
        self.processes[side] = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=self.outputs[side],
            stderr=subprocess.STDOUT)

    def _wait(self, condition, what):
        while not condition():
            if time.monotonic() > self.end:
                raise Failure(f"{what}: not within {SECONDS} s")
            time.sleep(0.02)

    def go(self):
        gid_index, port = network.ipv4_gid_index(), network.free_port()
        if gid_index is None:
            raise Failure("the device has no RoCE v2 GID of an IPv4 address")
        try:
            self._start("server", gid_index, port)
            server = self.processes["server"]
            self._wait(lambda: server.poll() is not None or network.is_listening(port),
                       "the server listens")
            self._start("client", gid_index, port)
            self._wait(lambda: all(process.poll() is not None
                                   for process in self.processes.values())
                       or any(process.poll() for process in self.processes.values()),
                       "both sides end")
        finally:
            for process in self.processes.values():
                if process.poll() is None:
                    process.kill()
                process.wait()
        for side, file in self.outputs.items():
            file.seek(0)
            print(f"--- {side}, exit status {self.processes[side].returncode}")
            print(file.read())

    def check_statuses(self):
        for side, process in self.processes.items():
            if process.returncode:
                raise Failure(f"the {side} ended with status {process.returncode}")

    def figures(self, side):
        """The numbers of the line under the heading."""
        self.outputs[side].seek(0)
        text = self.outputs[side].read()
        found = re.search(r"^ *#bytes .*\n(.*)$", text, re.M)
        if not found:
            raise Failure(f"the {side} reports no result")
        return [float(word) for word in found.group(1).split()]

    def is_calibrated(self, side):
        """Could this side tell how fast its CPU's clock runs?"""
        self.outputs[side].seek(0)
        return CALIBRATION not in self.outputs[side].read()


def check_figures(case, run):
    """Bandwidth: peak, average; latency: least, most, typical, average."""
    numbers = run.figures("client")
    if numbers[1] != ITERATIONS[case.kind]:
        raise Failure(f"{numbers[1]} iterations, not {ITERATIONS[case.kind]}")
    figure = numbers[3] if case.kind == "bw" else numbers[5]
    if not 0 < figure < math.inf:
        failure = Failure if run.is_calibrated("client") else Uncalibrated
        raise failure(f"it measured {figure}")


def plant(case):
    for side in case.sides:
        for half, byte in PLANTED.items():
            hostport.fill(BAR_INDEX[side], case.offset + half, SIZE, byte)


def check_bytes(case):
    """Were both sides in a BAR, the one must have what the other had."""
    for sides_and_halves in case.same:
        if any(side not in case.sides for side, _ in sides_and_halves):
            continue
        one, other = (hostport.read(BAR_INDEX[side], case.offset + half, SIZE)
                      for side, half in sides_and_halves)
        differing = sum(a != b for a, b in zip(one, other))
        print(f"{sides_and_halves}: {differing} of {SIZE} bytes differ")
        if differing:
            raise Failure("what one side had has not arrived in the other's BAR")


def run_calibrated(case):
    """Once more, as long as it is only perftest's clock that was at fault."""
    end = time.monotonic() + SECONDS
    # The last one must be over before the runner's limit: SECONDS after this end.
    while True:
        try:
            return run_case(case)
        except Uncalibrated as failure:
            if time.monotonic() > end:
                raise
            print(f"{failure}: its clock is not calibrated, again")


def run_case(case):
    plant(case)
    before = counters.registrations()
    run = Run(case)
    run.go()
    run.check_statuses()

    made = counters.registrations() - before
    print(f"registrations of device memory: {made}")
    if made < len(case.sides):
        raise Failure("the buffer was never registered as device memory")
    check_bytes(case)
    check_figures(case, run)


def main():
    table = dict(cases())
    if len(sys.argv) != 2 or sys.argv[1] not in ("--list", *table):
        print(f"usage: {sys.argv[0]} --list | NAME", file=sys.stderr)
        return 2
    if sys.argv[1] == "--list":
        print("\n".join(f"{name} timeout={TIMEOUT}" for name in table))
        return 0
    try:
        run_calibrated(table[sys.argv[1]])
    except Uncalibrated as failure:
        print(f"perftest cannot tell how fast this busy CPU's clock runs: {failure}")
        return SKIPPED
    except Failure as failure:
        print(failure)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
