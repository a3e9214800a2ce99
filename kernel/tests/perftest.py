#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Debian's perftest, unmodified, with its buffer in a BAR (--mmap) on the server,
on the client, or on both: it runs, it measures something, and where data flows into a
BAR the machine outside sees it."""

import contextlib
import ipaddress
import math
import os
import re
import socket
import subprocess
import sys
import time

import hostport

SIZE = 65536
ITERATIONS = {"bw": 50, "lat": 200}
# Of a test; the runner's own limit is the next one out.
SECONDS = 25
# How far into the BAR to look for the data that went in: perftest's buffer has a half
# to send from and a half to receive into.
LOOK = 4 * SIZE
PLANTED = 0x5A

CALIBRATION = "Correlation coefficient"
MODULE = "/sys/module/p2pmr_verbs/refcnt"
# Program, and the sides that data flows to: there a BAR is seen to change.
PROGRAMS = {
    "ib_write_bw": {"server"},
    "ib_read_bw": {"client"},
    "ib_send_bw": {"server"},
    "ib_write_lat": {"server", "client"},
    "ib_read_lat": {"client"},
    "ib_send_lat": {"server", "client"},
    "ib_atomic_bw": {"server", "client"},
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
        self.program, self.sinks = program, PROGRAMS[program]
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


def ipv4_gid_index():
    """Of the RoCE v2 GID that is a mapped IPv4 address."""
    base = f"/sys/class/infiniband/{os.environ['P2PMR_DEV']}/ports/1"
    for index in sorted(int(name) for name in os.listdir(f"{base}/gids")):
        with contextlib.suppress(OSError, ValueError):
            with open(f"{base}/gid_attrs/types/{index}", encoding="ascii") as file:
                kind = file.read().strip()
            with open(f"{base}/gids/{index}", encoding="ascii") as file:
                gid = ipaddress.IPv6Address(file.read().strip())
            if kind == "RoCE v2" and gid.ipv4_mapped:
                return index
    raise Failure("the device has no RoCE v2 GID of an IPv4 address")


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def is_listening(port):
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(FileNotFoundError), open(table, encoding="ascii") as file:
            for line in file.readlines()[1:]:
                fields = line.split()
                if int(fields[1].rpartition(":")[2], 16) == port and fields[3] == "0A":
                    return True
    return False


def references():
    try:
        with open(MODULE, encoding="ascii") as file:
            return int(file.read())
    except FileNotFoundError:
        return 0


class Run:
    """A server and a client, and the most references that the module had meanwhile."""

    def __init__(self, case):
        self.case, self.end = case, time.monotonic() + SECONDS
        self.before = self.most = references()
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
            self.most = max(self.most, references())
            time.sleep(0.02)

    def go(self):
        gid_index, port = ipv4_gid_index(), free_port()
        try:
            self._start("server", gid_index, port)
            server = self.processes["server"]
            self._wait(lambda: server.poll() is not None or is_listening(port),
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


def plant(case, sink):
    """Zeros where data is to arrive, something else where it may come from."""
    for side in case.sides:
        hostport.fill(BAR_INDEX[side], case.offset, LOOK, 0 if side == sink else PLANTED)


def run_calibrated(case):
    """Once more, as long as it is only perftest's clock that was at fault."""
    end = time.monotonic() + SECONDS
    while True:
        try:
            return run_case(case)
        except Uncalibrated as failure:
            if time.monotonic() > end:
                raise
            print(f"{failure}: its clock is not calibrated, again")


def run_case(case):
    sink = "server" if "server" in case.sinks else "client"
    plant(case, sink)
    run = Run(case)
    run.go()
    run.check_statuses()
    check_figures(case, run)

    live = run.most - run.before
    print(f"regions over a BAR seen alive: {live}")
    if live < len(case.sides):
        raise Failure("the buffer was never registered as device memory")
    if sink in case.sides and not any(hostport.read(BAR_INDEX[sink], case.offset, LOOK)):
        raise Failure(f"nothing has arrived in the {sink}'s BAR")


def main():
    table = dict(cases())
    if len(sys.argv) != 2 or sys.argv[1] not in ("--list", *table):
        print(f"usage: {sys.argv[0]} --list | NAME", file=sys.stderr)
        return 2
    if sys.argv[1] == "--list":
        print("\n".join(table))
        return 0
    try:
        run_calibrated(table[sys.argv[1]])
    except Failure as failure:
        print(failure)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
