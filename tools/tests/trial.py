#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""test and exec: RDMA into a BAR that is named, and nothing else touched; a program with
the provider."""

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import hostport
import tool
from tool import NOBODY, NOT_THERE, OK, WRONG, p2pmr, parameter, setting

SIZE = 16 << 20
CREATED = Path("/sys/class/infiniband/p2pmr_test")
PROVIDERS = Path("/usr/lib/x86_64-linux-gnu/libibverbs")


def whole_bar(index=0):
    return hostport.ask("bar-sha256", index, 0, SIZE)


def has_provider():
    return any(PROVIDERS.glob("libp2pmr-rdmav*.so"))


def test_bar():
    hostport.write(0, 0, bytes(range(256)) * 32)
    before = whole_bar()
    text = p2pmr("test", tool.function(), 2).out
    assert text.count("all bytes right") == 2 and text.endswith("it works\n"), text
    document = p2pmr("test", "--json", tool.function(), 2).document
    assert document["ok"] and document["restored"] and document["device"] == "rxe0"
    assert document["length"] == 4096 and document["caching"] == "uncached"
    assert document["provider"] == ("p2pmr" if has_provider() else "stock")
    assert whole_bar() == before, "what was in the BAR is not there any more"


def test_piece():
    """Any piece of it, and with the other caching; across the longest message."""
    before = whole_bar()
    for options in (("-o", "0x123", "-l", "3"), ("--offset=1M", "--length=9M", "-w")):
        document = p2pmr("test", "-j", *options, tool.function(), 2).document
        assert document["ok"], document
    assert document["offset"] == 1 << 20 and document["length"] == 9 << 20
    assert document["caching"] == "write-combining"
    end = SIZE - 5
    assert p2pmr("test", "-j", "-o", end, tool.function(), 2).document["length"] == 5
    p2pmr("test", "-o", end, "-l", 6, tool.function(), 2, status=NOT_THERE)
    assert whole_bar() == before


def test_goes_through_the_bar():
    """It is RDMA that has moved the bytes, and the module has seen it."""
    count = lambda: p2pmr("status", "-j").document["counters"]["registered"]
    before = count()
    p2pmr("test", "--device=rxe0", tool.function(), 2)
    assert count() == before + 1


def test_registers():
    """Never without being told; and what keeps no data is found out."""
    p2pmr("test", tool.function(), 0, status=NOT_THERE)
    refused = p2pmr("test", "--registers", tool.function(), 0, status=WRONG)
    assert "policy" in refused.err and not refused.out, refused
    with setting(parameter("allow_registers"), "request" if has_provider() else "Y"):
        document = p2pmr("test", "-j", "-r", tool.function(), 0, status=WRONG).document
        assert document["write"]["done"] and document["write"]["differing"] > 0, document
        assert not document["ok"]
        assert "it does not work" in p2pmr("test", "-r", tool.function(), 0, status=WRONG).out


def test_of_strangers():
    """A user who may open the file may try it, and nobody else."""
    refused = p2pmr("test", tool.function(), 2, user=NOBODY, status=NOT_THERE)
    assert "may not open" in refused.err
    path = tool.function_file("resource2")
    os.chown(path, NOBODY, 0)
    try:
        p2pmr("test", tool.function(), 2, user=NOBODY)
    finally:
        os.chown(path, 0, 0)


def test_stopped():
    """Whoever does not want to wait for the end need not, and the BAR has its bytes back."""
    def packets():
        counters = Path("/sys/class/infiniband", os.environ["P2PMR_DEV"], "ports/1/hw_counters")
        return int((counters / "sent_pkts").read_text(encoding="utf-8"))

    before, sent = whole_bar(), packets()
    beginning = hostport.ask("bar-sha256", 0, 0, 4096)
    words = [tool.program(), "test", "-l", str(SIZE), tool.function(), "2"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          env=tool.environment()) as process:
        while hostport.ask("bar-sha256", 0, 0, 4096) == beginning:
            assert process.poll() is None, "it is over"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    assert process.returncode == -signal.SIGINT and not out, (process.returncode, out)
    assert "stopped" in err and len(err.splitlines()) == 1, err
    assert whole_bar() == before
    # To and fro, a KiB in each packet.
    assert packets() - sent < 2 * SIZE // 1024, packets() - sent


def test_shows_progress():
    """On a terminal, from the second second on; it is gone when the result comes."""
    beginning = hostport.ask("bar-sha256", 0, 0, 4096)

    def lasts(process):
        while hostport.ask("bar-sha256", 0, 0, 4096) == beginning:
            assert process.poll() is None, "it is over"
        process.send_signal(signal.SIGSTOP)
        time.sleep(3)
        process.send_signal(signal.SIGCONT)

    output = tool.on_terminal("test", "-l", str(SIZE), tool.function(), "2", meanwhile=lasts)
    shown, _, result = output.rpartition("\r\033[K")
    assert re.search(r"\r(RDMA WRITE|reading the BAR) \.\.\. +\d+ %\033\[K", shown), output
    assert result.count("all bytes right") == 2 and "%" not in result, output


def test_disabled():
    path = tool.function_file("enable")
    tool.write(path, 0)
    try:
        refused = p2pmr("test", tool.function(), 2, status=NOT_THERE)
        assert f"echo 1 >{path}" in refused.err
    finally:
        tool.write(path, 1)


@contextmanager
def without_device():
    device = os.environ["P2PMR_DEV"]
    tool.shell(f"rdma link delete {device}")
    try:
        yield
    finally:
        tool.shell(f"rdma link add {device} type rxe netdev dummy0")


def test_creates_device():
    with without_device():
        missing = p2pmr("test", tool.function(), 2, status=NOT_THERE)
        assert "--create-device" in missing.err
        document = p2pmr("test", "-j", "--create-device=dummy0", tool.function(), 2).document
        assert document["ok"] and document["device"] == CREATED.name, document
        assert not CREATED.exists()
        p2pmr("test", "-c", "dummy0", tool.function(), 2, user=NOBODY, status=NOT_THERE)
        p2pmr("test", "-c", "nosuch0", tool.function(), 2, status=NOT_THERE)
        # The device goes again, whatever comes of the test.
        with setting(parameter("builtin_exporter"), "N"):
            p2pmr("test", "-c", "dummy0", tool.function(), 2, status=WRONG)
        assert not CREATED.exists()


def execute(*words, status=OK):
    done = subprocess.run([tool.program(), "exec", *words], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, check=False,
                          env=tool.environment(RDMAV_DRIVERS="rxe"))
    print(words, done)
    assert done.returncode == status
    return done


def exec_program():
    say = "echo ${RDMAV_DRIVERS-none} $IBV_DRIVERS $*"
    if not has_provider():
        assert "provider" in execute("true", status=125).stderr
        return
    assert execute("--", "sh", "-c", say, "sh", "-x", "--help").stdout == "none p2pmr -x --help\n"
    assert execute("sh", "-c", "exit 42", status=42).stdout == ""
    for words, status in ((("no-such-program",), 127), (("/etc/passwd",), 126)):
        assert len(execute(*words, status=status).stderr.splitlines()) == 1


def exec_chooses_the_provider():
    """The device is p2pmr's in the program: only that provider has this call."""
    script = ("import os, pyverbs.device as d; c = d.Context(name=os.environ['P2PMR_DEV']);"
              "print('p2pmr' in open('/proc/self/maps').read())")
    expected = "True\n" if has_provider() else ""
    status = OK if has_provider() else 125
    assert execute("python3", "-c", script, status=status).stdout == expected


def exec_without_provider():
    moved = [(path, path.with_suffix(".away")) for path in PROVIDERS.glob("libp2pmr-rdmav*.so")]
    for path, away in moved:
        path.rename(away)
    try:
        assert "is the provider installed?" in execute("true", status=125).stderr
    finally:
        for path, away in moved:
            away.rename(path)


if __name__ == "__main__":
    sys.exit(tool.main((test_bar, test_piece, test_goes_through_the_bar, test_registers,
                        test_of_strangers, test_stopped, test_shows_progress, test_disabled,
                        test_creates_device,
                        exec_program, exec_chooses_the_provider, exec_without_provider),
                       sanitized=(test_bar, test_registers, test_creates_device,
                                  exec_program)))
