#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""status, bars, mr and query show what there is, to whom it may be shown."""

import os
import sys
from pathlib import Path

import tool
from tool import NOBODY, NOT_THERE, Holder, p2pmr, parameter, setting

SIZE = 16 << 20


def status():
    for user in (None, NOBODY):
        document = p2pmr("status", "--json", user=user).document
        assert document["unavailable"] is None
        states = {module["name"]: module["state"] for module in document["modules"]}
        assert states == {"p2pmr": "loaded", "p2pmr_verbs": "loaded",
                          "p2pmr_bar": "installed"}, states
        values = {(entry["module"], entry["name"]): entry["value"]
                  for entry in document["parameters"]}
        assert values == {(module, path.name): path.read_text(encoding="utf-8").strip()
                          for module in ("p2pmr", "p2pmr_verbs")
                          for path in Path("/sys/module", module).glob("parameters/*")}
        assert values["p2pmr", "builtin_exporter"] == "Y"
        assert [device["name"] for device in document["devices"]] == [os.environ["P2PMR_DEV"]]
        exporter, = document["exporters"]
        assert exporter["builtin"] and exporter["module"] == "p2pmr", exporter
        assert "registered" in document["counters"]
        text = p2pmr("status", user=user).out
        for word in ("p2pmr_verbs", "builtin_exporter", "rxe0", "pci-bar", "registered"):
            assert word in text, word


def json_before_the_command():
    """As rdma(8) has it."""
    for option in ("-j", "--json"):
        assert p2pmr(option, "bars", tool.function()).document == \
            p2pmr("bars", "--json", tool.function()).document


def status_counts():
    before = p2pmr("status", "-j").document
    with Holder():
        after = p2pmr("status", "-j").document
    assert after["counters"]["registered"] == before["counters"]["registered"] + 1
    assert after["devices"][0]["mrs"] == before["devices"][0]["mrs"] + 1
    assert after["exporters"][0]["mappings"] == before["exporters"][0]["mappings"] + 1


def bar(number=2, user=None):
    """What the command says of a BAR of the first function."""
    found, = (entry for entry in p2pmr("bars", "-j", tool.function(), user=user).document["bars"]
              if entry["bar"] == number)
    return found


def bars():
    memory, registers = bar(2), bar(0)
    assert memory["size"] == SIZE and memory["prefetchable"] and memory["id"] == "1af4:1110"
    assert memory["driver"] is None and memory["enabled"] and not memory["claimed"]
    assert memory["access"]["who"] == "root" and memory["access"]["mode"] == "0600"
    assert memory["access"]["path"].endswith("/resource2") and memory["access"]["caller"]
    assert memory["p2pmr"] == {"serves": "yes", "reason": None}
    assert not registers["prefetchable"]
    assert registers["p2pmr"] == {"serves": "no", "reason": "registers"}
    assert not bar(2, NOBODY)["access"]["caller"]
    line, = (line for line in p2pmr("bars").lines
             if line.startswith(f"{tool.function()}    2"))
    assert line.split() == [tool.function(), "2", "16", "MiB", "yes", "-", "root", "yes"]
    short = p2pmr("bars", tool.function().removeprefix("0000:")).lines
    assert short[2].split() == line.split() and len(short) == 3, short


def bars_of_drivers():
    """A BAR that a driver has claimed, which users see as root does."""
    for user in (None, NOBODY):
        claimed = [entry for entry in p2pmr("bars", "-j", user=user).document["bars"]
                   if entry["driver"] == "virtio-pci" and entry["prefetchable"]]
        assert claimed, "the machine's virtio devices are missing"
        for entry in claimed:
            assert entry["claimed"] and entry["access"]["who"] == "nobody", entry
            assert entry["access"]["path"] is None


def bars_by_policy():
    cases = (("builtin_exporter", "N", 2, "no", "exporter-off"),
             ("deny", tool.function(), 2, "no", "ruled-out"),
             ("allow", "1af4:1111", 2, "no", "ruled-out"),
             ("allow_registers", "request", 0, "request", "registers"),
             ("allow_registers", "Y", 0, "yes", None))
    for name, value, number, serves, reason in cases:
        with setting(parameter(name), value):
            assert bar(number)["p2pmr"] == {"serves": serves, "reason": reason}, name
            p2pmr("bars", tool.function())


def bars_through_p2pmr_bar():
    with bound():
        entry = bar(2)
        assert entry["driver"] == "p2pmr_bar" and entry["claimed"]
        assert entry["access"]["path"] == f"/dev/p2pmr_bar/{tool.function()}-bar2"
        assert entry["p2pmr"]["serves"] == "yes"
        assert bar(0)["p2pmr"] == {"serves": "no", "reason": "registers"}
        os.chown(entry["access"]["path"], 0, NOBODY)
        os.chmod(entry["access"]["path"], 0o660)
        assert bar(2, NOBODY)["access"]["who"] == "root, group nogroup"
        assert bar(2, NOBODY)["access"]["caller"]


class bound:
    """The first function under the driver p2pmr_bar."""

    def __enter__(self):
        tool.shell("modprobe p2pmr_bar")
        tool.write(tool.function_file("driver_override"), "p2pmr_bar")
        tool.write("/sys/bus/pci/drivers_probe", tool.function())

    def __exit__(self, *_):
        tool.write(tool.function_file("driver/unbind"), tool.function())
        tool.write(tool.function_file("driver_override"), "")
        tool.shell("rmmod p2pmr_bar")


def mrs(*options, user=None):
    return p2pmr("mr", "-j", *options, user=user).document["mrs"]


def mr():
    assert not mrs() and len(p2pmr("mr").lines) == 1
    with Holder() as holder:
        found, = mrs()
        expected = {"state": "live", "pid": holder.pid, "process": "holder", "uid": 0,
                    "user": "root", "device": os.environ["P2PMR_DEV"], "writable": True,
                    "length": 0x10000, "device_bytes": 0x10000, "segments": 1,
                    "function": tool.function(), "bar": 2, "offset": 0x10000,
                    "exporter": "pci-bar", "importer": "p2pmr_verbs"}
        assert {name: found[name] for name in expected} == expected, found
        words = p2pmr("mr").lines[1].split()
        assert words[:9] == [str(holder.pid), "holder", "root", "rxe0", tool.function(), "2",
                             "0x10000", "64", "KiB"], words
        assert words[9] == "live", words
        holder.unmap()
        assert not mrs()
        assert [entry["state"] for entry in mrs("--all")] == ["revoked"]


def mr_of_others():
    with Holder(), Holder(user=NOBODY) as holder:
        own, = mrs(user=NOBODY)
        assert own["pid"] == holder.pid and own["user"] == "nobody"
        assert {entry["uid"] for entry in mrs()} == {0, NOBODY}
        assert len(p2pmr("mr", user=NOBODY).lines) == 2


def mr_watch():
    with Holder():
        text = p2pmr("mr", "--watch", "--interval=1", "--count=2").out
        first, second = text.split("\n\n")
        assert first.splitlines()[0] == second.splitlines()[0]
        assert len(p2pmr("mr", "-w", "-n", 2, "-i", 1, "-j").documents) == 2
        assert tool.on_terminal("mr", "-n", "1").startswith("\033[H\033[2J")


def query_segments(pid, address, length, **more):
    return p2pmr("query", "-j", pid, hex(address), length, **more).document["segments"]


def query():
    with Holder() as holder:
        document = p2pmr("query", "--json", holder.pid, hex(holder.address), "1M").document
        segment, = document["segments"]
        assert segment == {"offset": 0, "length": 1 << 20, "kind": "device", "readable": True,
                           "writable": True, "shared": True, "path": segment["path"],
                           "function": tool.function(), "bar": 2, "bar_offset": 0x10000,
                           "p2pmr": {"serves": "yes", "reason": None}}, segment
        assert segment["path"].endswith("/resource2")
        found, = mrs()
        assert document["mrs"] == [found["id"]]
        part, = query_segments(holder.pid, holder.address + 0x1234, 0x100)
        assert part["bar_offset"] == 0x11234 and part["length"] == 0x100
        assert query_segments(holder.pid, holder.address + 0x1000, 0xff000)[0]["length"] == 0xff000
        text = p2pmr("query", holder.pid, holder.address, "1M").out
        assert "1 live MR" in text and "0x10000" in text
        after = p2pmr("query", "-j", holder.pid, hex(holder.address + 0x20000),
                      0x1000).document
        assert not after["mrs"], "the MR ends before"
        holder.unmap()
        assert query_segments(holder.pid, holder.address, 4096)[0]["kind"] in ("hole", "host")


def query_through_p2pmr_bar():
    with bound(), Holder(path=f"/dev/p2pmr_bar/{tool.function()}-bar2") as holder:
        segment, = query_segments(holder.pid, holder.address, 4096)
        assert segment["function"] == tool.function() and segment["bar_offset"] == 0x10000


def query_rights():
    """The process's user sees its mappings, and root; nobody else does."""
    with Holder(user=NOBODY) as holder:
        for user in (None, NOBODY):
            segment, = query_segments(holder.pid, holder.address, 4096, user=user)
            assert segment["function"] == tool.function()
    with Holder(registered=0) as holder:
        result = p2pmr("query", holder.pid, holder.address, 4096, user=NOBODY, status=NOT_THERE)
        assert f"process {holder.pid} belongs to somebody else" in result.err
    p2pmr("query", holder.pid, holder.address, 4096, status=NOT_THERE)


def query_host():
    """What is no device memory, and what is nothing at all."""
    import ctypes
    buffer = ctypes.create_string_buffer(16)
    segment, = query_segments(os.getpid(), ctypes.addressof(buffer), 16)
    assert segment["kind"] == "host" and segment["p2pmr"]["serves"] == "host"
    segment, = query_segments("self", 0, 4096)
    assert segment["kind"] == "hole" and segment["p2pmr"]["reason"] == "hole"
    code, = query_segments(os.getpid(), ctypes.addressof(ctypes.c_int.in_dll(
        ctypes.pythonapi, "Py_Version")) & ~4095, 1)
    assert code["kind"] == "host" and code["path"]


def query_read_only():
    """What could be registered for reading only."""
    import ctypes
    import mmap
    libc = ctypes.CDLL(None)
    libc.mmap.restype = ctypes.c_void_p
    with open(os.environ["P2PMR_BAR"], "rb") as file:
        address = libc.mmap(None, 4096, mmap.PROT_READ, mmap.MAP_SHARED, file.fileno(), 0)
    segment, = query_segments(os.getpid(), address, 4096)
    assert segment["kind"] == "device" and not segment["writable"]
    assert segment["p2pmr"] == {"serves": "no", "reason": "rights"}


if __name__ == "__main__":
    sys.exit(tool.main((status, json_before_the_command, status_counts, bars, bars_of_drivers,
                        bars_by_policy, bars_through_p2pmr_bar, mr, mr_of_others, mr_watch, query,
                        query_through_p2pmr_bar, query_rights, query_host, query_read_only),
                       sanitized=(status, bars, mr, mr_watch, query, query_host)))
