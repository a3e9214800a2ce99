#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Programs that people use, unmodified, on the provider: perftest in all its ways,
the pingpongs, rping, and fio's rdma engine. Both sides must end well, and each must
have had the provider loaded."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))

import network

PART = "provider/"
ADDRESS = "192.0.2.1"
PLUGIN = re.compile(r"/libp2pmr-rdmav\d+\.so$", re.M)
SECONDS = 80
TIMEOUT = 120


class Failure(Exception):
    """The program did not do what it is for."""


def perftest(program, *options):
    """Both sides' command lines. -F: do not mind the CPU's clock."""
    command = [program, "-d", "{dev}", "-x", "{gid}", "-p", "{port}", "-n", "40", "-F",
               *options]
    return command, [*command, ADDRESS]


def pingpong(program, *options):
    command = [f"ibv_{program}_pingpong", "-d", "{dev}", "-g", "{gid}", "-p", "{port}",
               "-n", "50", *options]
    return command, [*command, ADDRESS]


def rping():
    common = ["-a", ADDRESS, "-p", "{port}", "-C", "20", "-V"]
    return ["rping", "-s", *common], ["rping", "-c", *common]


def fio(verb):
    common = ["fio", "--ioengine=rdma", "--port={port}", "--size=1m", "--bs=64k",
              "--thread"]
    return ([*common, "--name=receiver", "--rw=read", "--iodepth=16"],
            [*common, "--name=sender", "--rw=write", f"--hostname={ADDRESS}",
             f"--verb={verb}", "--iodepth=1", "--iodepth_batch_complete=1"])


def cases():
    table = {}
    for kind in ("write", "read", "send"):
        for program in (f"ib_{kind}_bw", f"ib_{kind}_lat"):
            table[program] = perftest(program)
            table[f"{program}-cm"] = perftest(program, "-R")
    for program in ("ib_atomic_bw", "ib_atomic_lat"):
        table[program] = perftest(program)
    for program in ("ib_write_lat", "ib_send_lat"):
        table[f"{program}-inline"] = perftest(program, "-I", "64", "-s", "64")
    for program in ("ib_read_bw", "ib_send_bw", "ib_send_lat"):
        table[f"{program}-events"] = perftest(program, "-e")
    table["ib_send_bw-srq"] = perftest("ib_send_bw", "--use-srq", "-q", "2")
    table["ib_send_bw-ud"] = perftest("ib_send_bw", "-c", "UD", "-s", "1024")
    table["ib_send_lat-ud"] = perftest("ib_send_lat", "-c", "UD", "-s", "1024")
    table["ib_write_bw-uc"] = perftest("ib_write_bw", "-c", "UC")
    table["ib_write_bw-chains"] = perftest("ib_write_bw", "-l", "8", "-t", "32")
    table["rc_pingpong"] = pingpong("rc")
    table["rc_pingpong-events"] = pingpong("rc", "-e")
    table["rc_pingpong-new-send"] = pingpong("rc", "-N")
    table["uc_pingpong"] = pingpong("uc")
    table["ud_pingpong"] = pingpong("ud", "-s", "1024")
    table["srq_pingpong"] = pingpong("srq", "-q", "4")
    table["rping"] = rping()
    table["fio-write"] = fio("write")
    table["fio-read"] = fio("read")
    table["fio-send"] = fio("send")
    return {f"{PART}program.{name}": commands for name, commands in table.items()}


def has_plugin(pid):
    try:
        return bool(PLUGIN.search(Path(f"/proc/{pid}/maps").read_text(encoding="ascii")))
    except OSError:
        return False


def run(commands):
    values = {"dev": os.environ["P2PMR_DEV"], "gid": network.ipv4_gid_index(),
              "port": network.free_port()}
    environment = {**os.environ, "IBV_DRIVERS": "p2pmr"}
    processes, loaded, end = [], set(), time.monotonic() + SECONDS
    try:
        for command in commands:
            line = [word.format(**values) for word in command]
            print(" ".join(line), flush=True)
            processes.append(subprocess.Popen(line, env=environment, cwd="/tmp",
                                              stdin=subprocess.DEVNULL))
            if len(processes) == 1:
                # rping and fio listen where /proc/net/tcp does not show it.
                patience = time.monotonic() + 4
                while (time.monotonic() < patience
                       and not network.is_listening(values["port"])):
                    time.sleep(0.05)
        while any(process.poll() is None for process in processes):
            loaded |= {process.pid for process in processes if has_plugin(process.pid)}
            if time.monotonic() > end:
                raise Failure(f"not over within {SECONDS} s")
            if any(process.poll() for process in processes):
                break
            time.sleep(0.01)
        time.sleep(0.5)
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
            process.wait()
    statuses = [process.returncode for process in processes]
    if any(statuses):
        raise Failure(f"exit statuses of server and client: {statuses}")
    if len(loaded) != len(processes):
        raise Failure("a side ran without the provider")


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
