#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Programs that people use, unmodified, on the provider: perftest in all its ways, with
its buffers in host memory and in BARs, the pingpongs, rping and what else comes with
rdma-core, and fio's rdma engine. Both sides must end well, each must have had the
provider loaded, and buffers in BARs must have been registered as such."""

import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))

import counters
import network

PART = "provider/"
ADDRESS = "192.0.2.1"
PLUGIN = re.compile(r"/libp2pmr-rdmav\d+\.so$", re.M)
SECONDS = 80
TIMEOUT = 120
# perftest's sides first speak by TCP; then the client connects by the connection manager,
# whether or not the server has come to listen there. On a busy machine it has not, and no
# provider has been asked for anything yet.
TOO_EARLY = "RDMA_CM_EVENT_REJECTED; error: 8"
ATTEMPTS = 3


class Failure(Exception):
    """The program did not do what it is for."""


class ClientTooEarly(Failure):
    """Nobody listened yet, which the programs do not provide for."""


@dataclass
class Case:
    """The command lines of both sides."""

    server: list
    client: list
    environment: dict = field(default_factory=dict)
    bars: int = 0  # buffers of device memory
    patience: int = 0  # seconds that a server is given whose port is not known


# --- perftest

PERFTESTS = [f"ib_{kind}_{form}" for kind in ("write", "read", "send", "atomic")
             for form in ("bw", "lat")]


def ways(program):
    """Of running one of perftest's programs: what the way is called, and its options."""
    yield "", ()
    yield "-cm", ("-R",)
    # By the calls of perftest's own time: it prefers ibv_wr_* where there is such a thing.
    yield "-old-post", ("--use_old_post_send",)
    if "write" not in program:  # which perftest itself refuses
        yield "-events", ("-e",)
    yield "-for-a-time", ("-D", "1")
    if "write" in program or "send" in program:
        yield "-inline", ("-I", "64", "-s", "64")
        yield "-uc", ("-c", "UC")
    if "send" in program:
        yield "-srq", ("--use-srq",)
        yield "-ud", ("-c", "UD", "-s", "1024")
    if program.endswith("bw"):
        yield "-both-ways", ("-b",)
        yield "-chains", ("-l", "8", "-t", "32")


def perftest(program, *options):
    # -F: do not mind the CPU's clock. It goes by a count or by the time.
    length = () if "-D" in options else ("-n", "40")
    command = [program, "-d", "{dev}", "-x", "{gid}", "-p", "{port}", "-F", *length,
               *options]
    return Case(command, [*command, ADDRESS])


def in_bars(case):
    """The same with the buffers in BARs."""
    return Case([*case.server, "--mmap={bar}"], [*case.client, "--mmap={bar2}"], bars=2)


def perftest_cases():
    for program in PERFTESTS:
        for way, options in ways(program):
            case = perftest(program, *options)
            yield program + way, case
            yield f"{program}{way}-in-bars", in_bars(case)
    for program in ("ib_read_bw", "ib_send_bw", "ib_send_lat"):
        yield f"{program}-cm-events", perftest(program, "-R", "-e")
    yield "ib_send_bw-srq-of-two", perftest("ib_send_bw", "--use-srq", "-q", "2")


# --- rdma-core's own programs

def pingpong(program, *options, environment=None):
    command = [f"ibv_{program}_pingpong", "-d", "{dev}", "-g", "{gid}", "-p", "{port}",
               "-n", "50", *options]
    return Case(command, [*command, ADDRESS], environment or {})


def pingpong_cases():
    for program, options in (("rc", ()), ("uc", ()), ("ud", ("-s", "1024")),
                             ("srq", ("-q", "4"))):
        yield f"{program}_pingpong", pingpong(program, *options)
        yield f"{program}_pingpong-events", pingpong(program, *options, "-e")
    yield "rc_pingpong-new-send", pingpong("rc", "-N")
    yield "rc_pingpong-checked", pingpong("rc", "-c")
    yield "rc_pingpong-device-memory", pingpong("rc", "-j", "-c",
                                                environment={"P2PMR_DM_BAR": "{bar}"})


def at_port(server, client):
    """Both sides are told the port."""
    return Case([*server, "-p", "{port}"], [*client, "-p", "{port}"])


def cm_cases():
    rping = ["-a", ADDRESS, "-C", "20", "-V"]
    yield "rping", at_port(["rping", "-s", *rping], ["rping", "-c", *rping])
    cmatose = ["ucmatose", "-C", "20", "-b", ADDRESS]
    yield "ucmatose", at_port(cmatose, [*cmatose, "-s", ADDRESS])
    # Its port is always the same.
    udaddy = ["udaddy", "-C", "20", "-b", ADDRESS]
    yield "udaddy", Case(udaddy, [*udaddy, "-s", ADDRESS], patience=4)
    yield "rstream", at_port(["rstream", "-b", ADDRESS, "-S", "4096", "-C", "20"],
                                  ["rstream", "-s", ADDRESS, "-S", "4096", "-C", "20"])
    yield "rdma_client", at_port(["rdma_server"], ["rdma_client", "-s", ADDRESS])


# --- fio

def fio(verb):
    common = ["fio", "--ioengine=rdma", "--port={port}", "--size=1m", "--bs=64k",
              "--thread"]
    return Case([*common, "--name=receiver", "--rw=read", "--iodepth=16"],
                [*common, "--name=sender", "--rw=write", f"--hostname={ADDRESS}",
                 f"--verb={verb}", "--iodepth=1", "--iodepth_batch_complete=1"])


def fio_cases():
    for verb in ("write", "read", "send"):
        yield f"fio-{verb}", fio(verb)


def cases():
    return {f"{PART}program.{name}": case
            for source in (perftest_cases, pingpong_cases, cm_cases, fio_cases)
            for name, case in source()}


# --- running one

def has_plugin(pid):
    try:
        return bool(PLUGIN.search(Path(f"/proc/{pid}/maps").read_text(encoding="ascii")))
    except OSError:
        return False


class Run:
    """Both sides of a case, as processes."""

    def __init__(self, case):
        self.case = case
        self.values = {"dev": os.environ["P2PMR_DEV"], "gid": network.ipv4_gid_index(),
                       "port": network.free_port(), "bar": os.environ["P2PMR_BAR"],
                       "bar2": os.environ["P2PMR_BAR2"]}
        self.environment = {**os.environ, "IBV_DRIVERS": "p2pmr",
                            **self._filled(case.environment)}
        self.processes, self.loaded, self.outputs = [], set(), []

    def _filled(self, environment):
        return {name: value.format(**self.values) for name, value in environment.items()}

    def _start(self, command):
        line = [word.format(**self.values) for word in command]
        print(" ".join(line), flush=True)
        output = tempfile.TemporaryFile()
        self.outputs.append(output)
        self.processes.append(subprocess.Popen(line, env=self.environment, cwd="/tmp",
                                               stdin=subprocess.DEVNULL, stdout=output,
                                               stderr=subprocess.STDOUT))

    def _tell(self):
        """Prints what they have printed, and returns it."""
        told = ""
        for output in self.outputs:
            with output:
                output.seek(0)
                told += output.read().decode(errors="replace")
        print(told, flush=True)
        return told

    def _is_listening(self):
        port = self.values["port"]
        return network.is_listening(port) or network.cm_is_listening(port)

    def _await_server(self):
        """Some listen at a port of their own, and are given some time."""
        patience = time.monotonic() + (self.case.patience or SECONDS)
        while (time.monotonic() < patience and self.processes[0].poll() is None
               and not self._is_listening()):
            time.sleep(0.05)

    def _await_end(self):
        end = time.monotonic() + SECONDS
        while any(process.poll() is None for process in self.processes):
            self.loaded |= {process.pid for process in self.processes
                            if has_plugin(process.pid)}
            if time.monotonic() > end:
                raise Failure(f"not over within {SECONDS} s")
            if any(process.poll() for process in self.processes):
                # The other one may have something to say, too.
                time.sleep(0.5)
                return
            time.sleep(0.01)

    def go(self):
        try:
            self._start(self.case.server)
            self._await_server()
            self._start(self.case.client)
            self._await_end()
        finally:
            for process in self.processes:
                if process.poll() is None:
                    process.kill()
                process.wait()
            told = self._tell()
        statuses = [process.returncode for process in self.processes]
        if any(statuses):
            if TOO_EARLY in told and "-R" in self.case.client:
                raise ClientTooEarly("the client came before the server listened")
            raise Failure(f"exit statuses of server and client: {statuses}")
        if len(self.loaded) != len(self.processes):
            raise Failure("a side ran without the provider")


def run(case):
    for attempt in range(ATTEMPTS):
        before = counters.registrations()
        try:
            Run(case).go()
            break
        except ClientTooEarly as failure:
            if attempt + 1 == ATTEMPTS:
                raise
            print(f"{failure}; once more")
    made = counters.registrations() - before
    if made < case.bars:
        raise Failure(f"{made} registrations of device memory, not {case.bars}")


def main():
    table = cases()
    if len(sys.argv) != 2 or sys.argv[1] not in ("--list", *table):
        print(f"usage: {sys.argv[0]} --list | NAME", file=sys.stderr)
        return 2
    if sys.argv[1] == "--list":
        print("\n".join(f"{name} timeout={TIMEOUT}" for name in table))
        return 0
    try:
        run(table[sys.argv[1]])
    except Failure as failure:
        print(failure)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
