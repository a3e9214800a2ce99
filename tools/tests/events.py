#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""monitor tells what happens, as it happens, to whom it concerns."""

import json
import os
import select
import subprocess
import sys

import tool
from tool import NOBODY, SECONDS, Holder, parameter, setting


class Monitor:
    """The command while it runs."""

    def __init__(self, *options, user=None):
        self.json = "-j" in options
        self.process = subprocess.Popen(
            [tool.program(), "monitor", *options], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, env=tool.environment(), **tool.as_user(user))
        self.read = b""

    def __enter__(self):
        if self.json:
            assert self.event()["event"] == "start"
        else:
            assert self.line().startswith("TIME")
        return self

    def line(self):
        # What has been read is not in the pipe any more, where select() looks.
        while b"\n" not in self.read:
            assert select.select([self.process.stdout], [], [], SECONDS)[0], "no event"
            part = os.read(self.process.stdout.fileno(), 4096)
            assert part, "it has ended"
            self.read += part
        line, _, self.read = self.read.partition(b"\n")
        line = line.decode()
        print(line)
        if not self.json:
            tool.narrow(line)
        return line

    def event(self):
        return json.loads(self.line())

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait(SECONDS)
        self.process.stdout.close()


def monitor():
    with Monitor("-j") as seen:
        with Holder() as holder:
            event = seen.event()
            expected = {"event": "register", "pid": holder.pid, "process": "holder",
                        "uid": 0, "device": os.environ["P2PMR_DEV"], "length": 0x10000,
                        "function": tool.function(), "bar": 2, "offset": 0x10000}
            assert {name: event[name] for name in expected} == expected, event
            holder.unmap()
            revoked = seen.event()
            assert revoked["event"] == "revoke" and revoked["cause"] == "unmapped"
            assert revoked["id"] == event["id"]
        with Holder():
            assert seen.event()["event"] == "register"
        assert seen.event()["event"] in ("deregister", "revoke")


def monitor_for_people():
    with Monitor() as seen, Holder() as holder:
        words = seen.line().split()
        assert words[1:4] == ["register", str(holder.pid), "holder"], words
        holder.unmap()
        assert "unmapped" in seen.line()
        with setting(parameter("builtin_exporter"), "N"):
            tool.p2pmr("test", tool.function(), 2, status=tool.WRONG)
        assert seen.line().split()[1] == "refuse"
        assert seen.line().startswith(" " * 40), "the reason goes on below itself"


def monitor_refusal():
    with Monitor("-j") as seen, setting(parameter("builtin_exporter"), "N"):
        tool.p2pmr("test", tool.function(), 2, status=tool.WRONG)
        event = seen.event()
        assert event["event"] == "refuse" and event["errno"] == 1, event
        assert "builtin_exporter" in event["reason"] and event["process"] == "p2pmr"


def monitor_of_others():
    with Monitor("-j", user=NOBODY) as seen:
        with Holder():
            pass
        with Holder(user=NOBODY) as holder:
            assert seen.event()["pid"] == holder.pid, "an event that is not his"


def monitor_ends():
    with Monitor("-j", "--count=1") as seen, Holder():
        seen.event()
        assert seen.process.wait(SECONDS) == tool.OK


if __name__ == "__main__":
    sys.exit(tool.main((monitor, monitor_for_people, monitor_refusal, monitor_of_others,
                        monitor_ends), sanitized=(monitor, monitor_refusal)))
