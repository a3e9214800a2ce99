#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""p2pmr-bench: each benchmark measures what it is asked to, and mistakes are told."""

import json
import os
import re
import resource
import subprocess
import sys
import time
from pathlib import Path

FUNCTION = Path(os.environ["P2PMR_BAR"]).parent.name if "P2PMR_BAR" in os.environ else ""
BAR, BAR_WC = f"{FUNCTION}:2", f"{FUNCTION}:2:wc"
SECONDS = 60
OPERATIONS = {
    "register": ["register", "deregister"],
    "transfer": ["write", "read", "send", "write-from", "read-into", "send-from"],
    "staged": ["straight", "staged", "stream", "stream/staged"],
    "copy": ["to", "to/memcpy", "from", "from/memcpy"],
    "revoke": ["munmap", "peer-told"],
}
# Not by the clock.
OTHERS = ("footprint",)


def bench(*arguments, status=0):
    command = ["p2pmr-bench", *arguments]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=SECONDS, check=False)
    print(f"$ {' '.join(command)}\n{done.stdout}{done.stderr}status {done.returncode}")
    assert done.returncode == status, f"status {done.returncode}, not {status}"
    return done


def rows(*arguments):
    return [json.loads(line) for line in bench("-j", *arguments).stdout.splitlines()]


def each_benchmark():
    for benchmark, operations in OPERATIONS.items():
        begin = time.monotonic_ns()
        found = rows("-m", BAR, "-m", BAR_WC, "-s", "64,8K", "-n", "3", benchmark)
        passed = time.monotonic_ns() - begin
        expected = {(operation, memory, size) for operation in operations
                    for memory in (BAR, BAR_WC) for size in (64, 8192)}
        assert {(row["operation"], row["memory"], row["size"]) for row in found} == expected
        for row in found:
            assert row["benchmark"] == benchmark and row["unit"] == "ns", row
            assert row["samples"] == 3, row
            assert 0 < row["least"] <= row["p25"] <= row["median"], row
            assert row["median"] <= row["p90"] <= row["most"] < passed, row
            assert row["least"] <= row["mean"] <= row["most"], row


def kinds_of_host_memory():
    Path("/proc/sys/vm/nr_hugepages").write_text("2", encoding="ascii")
    try:
        found = rows("-m", "host", "-m", "thp", "-m", "hugetlb", "-s", "64K", "-n", "2",
                     "register")
    finally:
        Path("/proc/sys/vm/nr_hugepages").write_text("0", encoding="ascii")
    assert {row["memory"] for row in found} == {"host", "thp", "hugetlb"}, found


def atomics_of_eight_bytes():
    found = rows("-m", "host", "-m", BAR, "-s", "8", "-n", "2", "transfer")
    assert {row["memory"] for row in found if row["operation"] == "fetch-add"} == {"host", BAR}


def mixed_ranges():
    for mappings in (1, 2, 16):
        found = rows("-m", f"mixed:{BAR}", "-s", "64K", "-n", "2", "-v", str(mappings), "register")
        assert [row["operation"] for row in found] == ["register", "deregister"], found
    # The driver's table has both in it.
    segments = rows("-m", f"mixed:{BAR}", "-s", "64K", "-n", "2", "-v", "16", "transfer")
    assert {row["operation"] for row in segments} == set(OPERATIONS["transfer"]), segments


def several_at_once():
    found = rows("-m", BAR, "-s", "64K", "-n", "3", "-v", "4", "-a", "20", "-p", "3", "register")
    for row in found:
        assert (row["mappings"], row["alive"], row["processes"]) == (4, 20, 3), row
    found = rows("-m", BAR, "-s", "64K", "-n", "2", "-a", "20", "revoke")
    assert {row["alive"] for row in found} == {20}, found


def transfer_reaches_the_bar():
    resource = Path(os.environ["P2PMR_BAR"])
    bench("-m", "host", "-m", BAR, "-s", "4K", "-n", "1", "copy")
    dump = subprocess.run([sys.executable, "-c", "import mmap, sys\n"
                           "with open(sys.argv[1], 'r+b') as f:\n"
                           "    print(mmap.mmap(f.fileno(), 4096)[:4096].count(b'\\1'))",
                           str(resource)], stdout=subprocess.PIPE, text=True, check=True)
    assert int(dump.stdout) == 4096, f"{dump.stdout} bytes were copied"


def streams_are_many_messages():
    found = {row["operation"]: row for row in rows("-m", BAR, "-s", "4K", "-n", "2", "staged")}
    for operation in ("stream", "stream/staged"):
        assert found[operation]["messages"] == 16, found
        assert found[operation]["least"] > found[operation.replace("stream/", "")
                                                 if "/" in operation else "straight"]["least"]


def sleeps_for_events():
    """Whoever sleeps gives up the CPU once for each message at least; one of 1 MiB takes long."""
    count = 20

    def switches(*more):
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_nvcsw
        found = rows("-m", BAR, "-s", "1M", "-n", str(count), *more, "transfer")
        assert {row["operation"] for row in found} == set(OPERATIONS["transfer"]), found
        assert {row["events"] for row in found} == {bool(more)}, found
        return resource.getrusage(resource.RUSAGE_CHILDREN).ru_nvcsw - before

    polling, sleeping = switches(), switches("-e")
    # 6.1's driver has moved the message when the call that posts it returns.
    if tuple(int(part) for part in os.uname().release.split(".")[:2]) >= (6, 4):
        messages = count * len(OPERATIONS["transfer"])
        assert sleeping - polling >= messages * 3 // 4, (polling, sleeping)
    found = rows("-m", BAR, "-s", "8,64K", "-n", "2", "--events", "staged")
    assert {row["operation"] for row in found} == set(OPERATIONS["staged"]), found


def footprint():
    """Of host memory the driver keeps a pointer for each page."""
    text = bench("-m", "host", "-s", "2M", "-a", "2000", "footprint").stdout
    assert text.splitlines()[0].endswith(" bytes"), text
    host = int(text.split()[-1])
    row, = rows("-m", BAR, "-s", "64K", "-a", "4000", "footprint")
    assert (row["unit"], row["operation"], row["alive"]) == ("bytes", "footprint", 4000), row
    assert 512 * 8 <= host < 65536, text
    assert 500 < row["least"] < 16384, row


def copies_from_an_offset():
    found = rows("-m", BAR, "-m", "host", "-s", "64,4K", "-n", "2", "-o", "3", "copy")
    assert len(found) == 16 and {row["offset"] for row in found} == {3}, found
    resource = Path(os.environ["P2PMR_BAR"])
    program = ("import mmap, sys\nwith open(sys.argv[1], 'r+b') as f:\n"
               "    m = mmap.mmap(f.fileno(), 8192)\n    %s")
    subprocess.run([sys.executable, "-c", program % "m[:8192] = bytes(8192)", resource], check=True)
    bench("-m", BAR, "-s", "64", "-n", "1", "-o", "3", "copy")
    kept = subprocess.run([sys.executable, "-c", program % "print(m[:68].hex())", resource],
                          stdout=subprocess.PIPE, text=True, check=True).stdout
    assert kept == "00" * 3 + "01" * 64 + "00\n", kept


def table_for_people():
    lines = bench("-m", "host", "-s", "4K", "-n", "2", "register").stdout.splitlines()
    assert lines[0].split() == ["benchmark", "operation", "memory", "size", "least", "median",
                                "most", "ns"], lines
    assert [line.split()[1] for line in lines[1:]] == ["register", "deregister"], lines
    assert all(re.search(r" 4 KiB ", line) for line in lines[1:]), lines
    # Another name for what the clock counts.
    assert "instructions" in bench("-i", "-s", "4K", "-n", "1", "register").stdout


def mistakes():
    for arguments, words in (
            ([], "which benchmark"), (["nonsense"], "'nonsense'"),
            (["register", "copy"], "one benchmark"), (["-s", "4X", "register"], "'4X'"),
            (["-s", "0", "register"], "'0'"), (["-n", "0", "register"], "'0'"),
            (["-n", "-1", "register"], "'-1'"), (["-a", "x", "register"], "'x'"),
            (["-p", "1000", "register"], "'1000'"), (["-o", "4096", "copy"], "'4096'"),
            (["-o", "1", "register"], "--offset"), (["-e", "revoke"], "--events"),
            (["-v", "", "register"], "''"),
            (["-s", "17179869184G", "register"], "'17179869184G'")):
        assert words in bench(*arguments, status=2).stderr.splitlines()[0]
    for arguments, words in (
            (["-d", "nope", "register"], "nope: No such device"),
            (["-m", "nope", "register"], "cannot map 4 KiB of nope"),
            (["-m", "ffff:00:00.0:2", "copy"], "cannot map"),
            (["-m", BAR, "-s", "64G", "register"], "cannot map 64 GiB")):
        line, = bench(*arguments, status=1).stderr.splitlines()
        assert words in line, line


def help_and_manual():
    text = bench("--help").stdout
    for benchmark in (*OPERATIONS, *OTHERS):
        assert re.search(rf"^  {benchmark} ", text, re.M), benchmark
    page = "/usr/share/man/man1/p2pmr-bench.1"
    subprocess.run(["mandoc", "-T", "lint", "-W", "warning", page], check=True)
    source = Path(page).read_text(encoding="utf-8")
    for name in re.findall(r"^ {2,6}(?:-\S, )?--([a-z]+)", text, re.M):
        assert name in ("help", "usage", "version") or f", -{name}" in source, name


TESTS = {f"bench/{function.__name__.replace('_', '-')}": function for function in (
    each_benchmark, kinds_of_host_memory, atomics_of_eight_bytes, mixed_ranges,
    several_at_once, transfer_reaches_the_bar,
    streams_are_many_messages, sleeps_for_events, footprint, copies_from_an_offset,
    table_for_people, mistakes, help_and_manual)}


if __name__ == "__main__":
    if sys.argv[1:] == ["--list"]:
        print(*TESTS, sep="\n")
    else:
        TESTS[sys.argv[1]]()
