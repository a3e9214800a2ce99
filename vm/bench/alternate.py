# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Runs in a guest for `lab bench`: perftest over all sizes, with the buffer in host
memory, in a BAR of the server, in one of the client, and in host memory once more, in turn:
what the last differs by is noise. Prints what p2pmr-bench does: a JSON document for each
figure. Uses what the tests in that guest have."""

import json
import os
import re
import statistics
import subprocess
import sys
import time

sys.path.insert(0, "/usr/libexec/p2pmr/tests")

import network  # noqa: E402

PROGRAMS = ("ib_write_bw", "ib_read_bw", "ib_send_bw", "ib_write_lat", "ib_read_lat",
            "ib_send_lat", "ib_atomic_bw", "ib_atomic_lat")
# These know one size.
ATOMIC = "ib_atomic_"
# Memory as the report calls it: where the BAR is, seen from the side that asks.
PLACES = {"host": {}, "bar-far": {"server": "P2PMR_BAR"}, "bar-near": {"client": "P2PMR_BAR2"},
          "host-again": {}}
# Two programs that wait for latencies take the CPUs from whoever is to move the messages.
ITERATIONS = {"bw": 30, "lat": 10}
SECONDS = 240
# One that fails or hangs, with host memory too now and then, is tried again.
ATTEMPTS = 3
# Column of a line of the table, what it is, its unit. Columns are counted from 0.
FIGURES = {"bw": ((3, "", "MB/s"), (4, "/rate", "Mmsg/s")), "lat": ((4, "", "us"),)}
# A line of figures begins with size and iterations; there are tabs in it.
LINE = re.compile(r"^\s*\d+\s+\d+(\s+[\d.]+)+\s*$")


def kind(program):
    return program.rpartition("_")[2]


def in_turn(number):
    """The places, in each round another one first."""
    names = list(PLACES)
    first = number % len(names)
    return names[first:] + names[:first]


def run(program, place, gid_index):
    """The lines of figures of the client, as lists of numbers; none if all attempts failed."""
    for _ in range(ATTEMPTS):
        status, text = run_once(program, PLACES[place], gid_index)
        lines = figures(text)
        if lines and not any(status):
            return lines
        print(f"{program} {place}: status {status}\n{text}", file=sys.stderr, flush=True)
    print(f"missing {program} {place}", flush=True)
    return []


def run_once(program, bars, gid_index):
    """The statuses of client and server, and what the client wrote."""
    port = network.free_port()

    def command(side):
        mmap = [f"--mmap={os.environ[bars[side]]}"] if side in bars else []
        sizes = [] if program.startswith(ATOMIC) else ["-a"]
        return [program, "-d", os.environ["P2PMR_DEV"], "-x", str(gid_index), "-F",
                *sizes, "-p", str(port), "-n", str(ITERATIONS[kind(program)]), *mmap]

    server = subprocess.Popen(command("server"), stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for_listener(port, server)
        client = subprocess.run([*command("client"), "127.0.0.1"], stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                timeout=SECONDS, check=False)
        return (client.returncode, server.wait(SECONDS)), client.stdout
    except subprocess.TimeoutExpired as error:
        return ("timeout",), (error.stdout or b"").decode()
    finally:
        server.kill()
        server.wait()


def figures(text):
    """The lines of figures in a client's output."""
    return [[float(word) for word in line.split()]
            for line in text.splitlines() if LINE.match(line)]


def wait_for_listener(port, server):
    end = time.monotonic() + SECONDS
    while (not network.is_listening(port) and server.poll() is None
           and time.monotonic() < end):
        time.sleep(0.05)


def show(program, place, size, suffix, unit, values):
    values = sorted(values)
    print(json.dumps({
        "command": "bench", "benchmark": "perftest", "operation": program + suffix,
        "memory": place, "size": size, "mappings": 1, "alive": 0, "processes": 1,
        "messages": ITERATIONS[kind(program)], "samples": len(values), "unit": unit,
        "least": values[0],
        "p25": values[(len(values) - 1) * 25 // 100],
        "median": statistics.median(values), "mean": round(statistics.fmean(values), 3),
        "p90": values[(len(values) - 1) * 90 // 100], "most": values[-1]}), flush=True)


def main(rounds):
    gid_index = network.ipv4_gid_index()
    for program in PROGRAMS:
        found = {}
        for number in range(rounds):
            print(f"perftest: {program}, {number + 1} of {rounds}", file=sys.stderr, flush=True)
            for place in in_turn(number):
                for line in run(program, place, gid_index):
                    for column, suffix, unit in FIGURES[kind(program)]:
                        key = (place, int(line[0]), suffix, unit)
                        found.setdefault(key, []).append(line[column])
        for (place, size, suffix, unit), values in found.items():
            show(program, place, size, suffix, unit, values)


if __name__ == "__main__":
    main(int(sys.argv[1]))
