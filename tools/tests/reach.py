#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""bars and doctor tell which NIC's DMA reaches which BAR, and why not. The lab has no NIC:
the files in sysfs say that its DMA engine is one."""

import json
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import tool
from tool import NO_P2PMR, NOBODY, p2pmr, parameter, setting

RDMA = Path("/sys/class/infiniband")
SCHEMA = Path("/usr/share/p2pmr/p2pmr.schema.json")
PCI = Path("/sys/bus/pci/devices")
# In a table of the usual width there is room for so much.
NIC = "nic0"


def engine():
    """The function of the DMA engine."""
    found, = (path.name for path in PCI.iterdir()
              if (path / "vendor").read_text(encoding="ascii").startswith("0x1234"))
    return found


@contextmanager
def nic():
    """One more RDMA device, of which there is nothing but that it is a PCI function."""
    others = {path.name: path.resolve() for path in RDMA.iterdir()}
    tool.shell(f"mount -t tmpfs none {RDMA}")
    try:
        for name, path in others.items():
            (RDMA / name).symlink_to(path)
        (RDMA / NIC).mkdir()
        (RDMA / NIC / "device").symlink_to((PCI / engine()).resolve())
        yield
    finally:
        tool.shell(f"umount {RDMA}")


def reach(user=None):
    """What the command says of the first function's BAR and the NIC."""
    import jsonschema  # slow to load, so here alone
    document = p2pmr("bars", "-j", tool.function(), user=user).document
    jsonschema.validate(document, json.loads(SCHEMA.read_text(encoding="utf-8")))
    entries = document["bars"]
    assert len({str(entry["reach"]) for entry in entries}) == 1, entries
    return entries[0]["reach"]


def root_is_known():
    lines = Path("/proc/cpuinfo").read_text(encoding="ascii").splitlines()
    facts = dict(line.replace("\t", "").split(":", 1) for line in lines if ":" in line)
    return facts["vendor_id"].strip() == "AuthenticAMD" and int(facts["cpu family"]) >= 23


def pair():
    return f"{engine()}/{tool.function()}"


def bars_reach():
    assert reach() == [], "a soft-RoCE device does no DMA"
    assert "REACHED" not in p2pmr("bars").out
    with nic():
        for user in (None, NOBODY):
            entry, = reach(user)
            assert (entry["device"], entry["function"]) == (NIC, engine()), entry
            assert entry["links"] == 3 and entry["translated"], entry
            assert not entry["redirected"] and not entry["same_group"], entry
            if not root_is_known():
                assert entry["reaches"] is False and entry["path"] == "unknown-root", entry
        with setting(parameter("allow_pairs"), pair()):
            entry, = reach()
            assert entry["reaches"] and entry["path"] in ("allowed", "root"), entry
            assert column() == NIC
        with setting(parameter("deny_pairs"), pair()):
            entry, = reach()
            assert entry["reaches"] is False and entry["path"] == "denied", entry
            assert column() == "none"


def column():
    """What people are told of the first function's memory."""
    title, *lines = p2pmr("bars", tool.function()).lines
    assert title.endswith("REACHED BY"), title
    return lines[-1].split()[-1]


def bars_reach_without_module():
    with nic():
        tool.shell("rmmod p2pmr_verbs p2pmr")
        try:
            done = subprocess.run([tool.program(), "bars", "-j", tool.function()], check=False,
                                  stdout=subprocess.PIPE, env=tool.environment())
            assert done.returncode == NO_P2PMR, done
            entry, = tool.Result(0, done.stdout.decode(), "").document["bars"][0]["reach"]
            assert entry == {"device": NIC, "function": engine(), "reaches": None,
                             "path": None}, entry
        finally:
            tool.shell("modprobe p2pmr_verbs")


def doctor_findings():
    done = subprocess.run([tool.program(), "doctor", "-j"], stdout=subprocess.PIPE, check=False,
                          env=tool.environment())
    document = tool.Result(0, done.stdout.decode(), "").document
    return [entry for entry in document["checks"] if entry["check"] == "reach"]


def doctor_reach():
    assert not doctor_findings()
    with nic():
        with setting(parameter("deny_pairs"), pair()):
            entry, = (entry for entry in doctor_findings() if tool.function() in entry["text"])
            assert entry["level"] == "warn" and "parameter deny_pairs" in entry["text"], entry
            assert NIC in entry["text"] and engine() in entry["text"], entry
        if not root_is_known():
            assert all("not known to carry it" in entry["text"] for entry in doctor_findings())
        with setting(parameter("allow_pairs"), "*/*"):
            entries = doctor_findings()
            assert len(entries) >= 2 and all(entry["level"] == "ok" for entry in entries)


if __name__ == "__main__":
    sys.exit(tool.main((bars_reach, bars_reach_without_module, doctor_reach),
                       sanitized=(bars_reach, doctor_reach)))
