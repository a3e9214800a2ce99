# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""`lab bench`: runs p2pmr-bench in guests whose clock counts instructions, and keeps
what it prints. What is measured is in PLAN; what is made of it is in benchreport.py."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from lab import benchreport, run, streams, tree, verdict
from lab.errors import FAILED, LabError
from lab.guest import Guest
from lab.progress import Step, say
from lab.streams import Lines

QUICK_TIMEOUT = 600
TIMEOUT = 3600
RESULTS = "results.json"

# Names for the kinds of memory, as the pages show them. $BAR is a function's address.
MEMORIES = {
    "host": "host", "thp": "thp", "hugetlb": "hugetlb",
    "bar": "$BAR:2", "bar-wc": "$BAR:2:wc",
    "exporter": "/dev/p2pmr_bar/$BAR2-bar2",
}

PREPARE = """\
set -e
BAR=$(basename "$(dirname "$P2PMR_BAR")")
BAR2=$(basename "$(dirname "$P2PMR_BAR2")")
echo 16 >/proc/sys/vm/nr_hugepages
ulimit -l unlimited
modprobe p2pmr_bar
echo p2pmr_bar >"/sys/bus/pci/devices/$BAR2/driver_override"
echo "$BAR2" >/sys/bus/pci/drivers_probe
udevadm settle 2>/dev/null || sleep 1
"""
UNLOAD = "rmmod p2pmr_bar p2pmr_verbs p2pmr\n"
LOAD = "modprobe -a p2pmr_verbs p2pmr_bar\n"


@dataclass(frozen=True)
class Phase:
    """One call of p2pmr-bench. before: lines of shell that change the guest for it and
    for all after it. quick: also part of a quick run."""

    name: str
    benchmark: str
    memories: tuple
    options: str = ""
    before: str = ""
    quick: bool = False

    def script(self, iterations):
        kinds = " ".join(f'-m "{MEMORIES[memory]}"' for memory in self.memories)
        return (f"{self.before}echo 'phase {self.name}'\n"
                f"p2pmr-bench -ij -n {iterations} {kinds} {self.options} {self.benchmark}\n")


ALL = ("host", "thp", "bar", "bar-wc", "exporter")
PLAN = (
    Phase("registration", "register", ("host", "bar", "exporter"), "-s 4K,64K,2M", quick=True),
    Phase("registration", "register", ("thp", "hugetlb", "bar-wc"), "-s 4K,64K,2M,16M"),
    Phase("registration", "register", ("host", "bar", "exporter"), "-s 16M"),
    Phase("mappings", "register", ("bar",), "-s 64K -v 16"),
    Phase("alive", "register", ("host", "bar"), "-s 4K -a 1000"),
    Phase("transfer", "transfer", ("host", "bar", "bar-wc"), "-s 64,4K,64K", quick=True),
    Phase("transfer", "transfer", ("host", "bar", "bar-wc"), "-s 1M"),
    Phase("staged", "staged", ("bar", "bar-wc"), "-s 64,4K,64K,1M"),
    Phase("copy", "copy", ("host", "bar", "bar-wc"), "-s 8,64,1K,4K,64K,1M"),
    Phase("revocation-1", "revoke", ("bar",), "-a 1"),
    Phase("revocation-100", "revoke", ("bar",), "-a 100"),
    Phase("revocation-1000", "revoke", ("bar",), "-a 1000"),
    # In turn and twice, since a guest that has been up for longer counts differently.
    Phase("unloaded", "register", ("host",), "-s 4K,2M", before=UNLOAD, quick=True),
    Phase("unloaded", "transfer", ("host",), "-s 64,4K", quick=True),
    Phase("loaded", "register", ("host",), "-s 4K,2M", before=LOAD, quick=True),
    Phase("loaded", "transfer", ("host",), "-s 64,4K", quick=True),
    Phase("unloaded", "register", ("host",), "-s 4K,2M", before=UNLOAD, quick=True),
    Phase("unloaded", "transfer", ("host",), "-s 64,4K", quick=True),
    Phase("loaded", "register", ("host",), "-s 4K,2M", before=LOAD, quick=True),
    Phase("loaded", "transfer", ("host",), "-s 64,4K", quick=True),
)


def bench(chosen, quick, out):
    """Measures on these targets and writes results.json, plots and a page into `out`;
    returns the exit status."""
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for target in chosen:
        with Step(f"{target.name}: measuring"):
            rows += _measure(target, quick)
    results = {"version": 1, "quick": quick, "rows": rows}
    (folder / RESULTS).write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    page = benchreport.write(results, folder)
    print(benchreport.summary(results))
    say(f"lab: {page}")
    return FAILED if benchreport.grown(results) else 0


def _measure(target, quick):
    phases = [phase for phase in PLAN if phase.quick or not quick]
    iterations = 5 if quick else 15
    script = PREPARE + "".join(phase.script(iterations) for phase in phases)
    request = run.Request(target=target, command=["sh", "-c", script], icount=True,
                          timeout=QUICK_TIMEOUT if quick else TIMEOUT)
    collector = Collector(target.name, tree.get(target).kernel)
    with run.prepared(request) as (machine, token):
        guest = Guest(token, {"stdout": Lines(collector.line),
                              "stderr": streams.to(sys.stderr)}, request.timeout)
        status = verdict.status(target.name, guest.run(machine))
    if status != 0:
        raise LabError(f"{target.name}: a benchmark failed (status {status})")
    return collector.rows


class Collector:
    """Makes rows of what a guest prints: documents of p2pmr-bench, with the phase that
    they belong to and the names that this file has for memories."""

    def __init__(self, target, kernel):
        self._common = {"target": target, "kernel": kernel}
        self._phase = None
        self.rows = []

    def line(self, line):
        word, _, rest = line.partition(" ")
        if word == "phase":
            self._phase = rest
            return
        try:
            row = json.loads(line)
        except ValueError as error:
            raise LabError(f"not a result: {line}") from error
        del row["command"]
        row["memory"] = _name(row["memory"])
        self.rows.append({**self._common, "phase": self._phase, **row})


def _name(kind):
    if kind in MEMORIES:
        return kind
    if kind.startswith("/dev/"):
        return "exporter"
    return "bar-wc" if kind.endswith(":wc") else "bar"
