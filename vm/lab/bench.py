# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""`lab bench`: runs p2pmr-bench in guests whose clock counts instructions, and keeps
what it prints; and perftest, in one whose clock goes. What is measured is in PLAN, TAX,
LARGE and TIMED; what is made of it is in benchreport.py and benchpage.py."""

import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from lab import benchpage, benchreport, run, streams, tree, verdict
from lab.errors import FAILED, GuestBroken, LabError
from lab.guest import Guest
from lab.progress import Step, say
from lab.streams import Lines

QUICK_TIMEOUT = 600
TIMEOUT = 3600
RESULTS = "results.json"
# perftest in turn with its buffers here and there, so many times.
PERFTEST = Path(__file__).resolve().parent.parent / "bench" / "alternate.py"
PERFTEST_ROUNDS = 4

# Names for the kinds of memory, as the pages show them. $BAR is a function's address.
MEMORIES = {
    "host": "host", "thp": "thp", "hugetlb": "hugetlb",
    "bar": "$BAR:2", "bar-wc": "$BAR:2:wc",
    "exporter": "/dev/p2pmr_bar/$BAR2-bar2", "mixed": "mixed:$BAR:2",
}

PREPARE_TIMED = """\
set -e
BAR=$(basename "$(dirname "$P2PMR_BAR")")
ulimit -l unlimited
"""
PREPARE = PREPARE_TIMED + """\
BAR2=$(basename "$(dirname "$P2PMR_BAR2")")
echo 16 >/proc/sys/vm/nr_hugepages
modprobe p2pmr_bar
echo p2pmr_bar >"/sys/bus/pci/devices/$BAR2/driver_override"
echo "$BAR2" >/sys/bus/pci/drivers_probe
udevadm settle 2>/dev/null || sleep 1
"""
UNLOAD = "rmmod p2pmr_bar p2pmr_verbs p2pmr\n"
LOAD = "modprobe -a p2pmr_verbs p2pmr_bar\n"
# A test of the provider shows what it counts; there is none where it was not built.
PROVIDER = """\
echo 'phase provider'
cost=/usr/libexec/p2pmr/tests/provider-cost
[ ! -x $cost ] || $cost provider/costs-less-than-stock || :
"""
COST = re.compile(r"(?P<operation>\S.*?) +(?P<librxe>\d+) +(?P<p2pmr>\d+) +(?P<domain>\d+)"
                  r"(  too many)?")
# A BAR as p2pmr-bench names it.
FUNCTION_BAR = re.compile(r"[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]:[0-5](:wc)?")


@dataclass(frozen=True)
class Phase:
    """One call of p2pmr-bench. before: lines of shell that change the guest for it and
    for all after it. quick: also part of a quick run. samples: if not as many as usual.
    before_kernel: only on kernels before this version."""

    name: str
    benchmark: str
    memories: tuple
    options: str = ""
    before: str = ""
    quick: bool = False
    samples: int = 0
    before_kernel: tuple = ()

    def concerns(self, kernel):
        return not self.before_kernel or benchreport.version(kernel) < self.before_kernel

    def script(self, samples, clock="-i"):
        kinds = " ".join(f'-m "{MEMORIES[memory]}"' for memory in self.memories)
        return (f"{self.before}echo 'phase {self.name}'\n"
                f"p2pmr-bench -j {clock} -n {self.samples or samples} {kinds} {self.options} "
                f"{self.benchmark}\n")


SIZES = "-s 8,64,4K,64K"
# Of a registration, and of messages.
SAMPLES, MESSAGES = 25, 100
PLAN = (
    Phase("registration", "register", ("host", "bar", "exporter"), "-s 4K,64K,2M", quick=True),
    Phase("registration", "register", ("thp", "hugetlb", "bar-wc"), "-s 4K,64K,2M,16M"),
    Phase("registration", "register", ("host", "bar", "exporter"), "-s 16M"),
    Phase("mappings-16", "register", ("bar", "mixed"), "-s 64K -v 16"),
    Phase("mappings-256", "register", ("bar", "mixed"), "-s 1M -v 256"),
    Phase("parallel-4", "register", ("host", "bar"), "-s 4K -p 4"),
    Phase("alive-1", "register", ("host", "bar"), "-s 4K -a 1"),
    Phase("alive-1000", "register", ("host", "bar"), "-s 4K -a 1000"),
    Phase("alive-100000", "register", ("host", "bar"), "-s 4K -a 100000"),
    # What a message costs depends on when the driver's worker runs: the lower quartile of many.
    Phase("transfer", "transfer", ("host", "bar", "bar-wc"), SIZES, quick=True,
          samples=MESSAGES),
    # Who polls for one of these loses its turn now and then, and more is counted.
    Phase("transfer", "transfer", ("host", "bar", "bar-wc"), "-s 1M -e",
          samples=MESSAGES),
    Phase("staged", "staged", ("bar", "bar-wc"), "-s 64,4K,64K"),
    Phase("staged", "staged", ("bar", "bar-wc"), "-s 1M -e"),
    Phase("copy", "copy", ("host", "bar", "bar-wc"), "-s 8,64,1K,4K,64K,1M"),
    Phase("copy-from-byte-1", "copy", ("host", "bar", "bar-wc"), "-s 64,4K,64K -o 1"),
    Phase("copy-from-byte-8", "copy", ("host", "bar", "bar-wc"), "-s 64,4K,64K -o 8"),
    Phase("revocation-1", "revoke", ("bar",), "-a 1"),
    Phase("revocation-100", "revoke", ("bar",), "-a 100"),
    Phase("revocation-10000", "revoke", ("bar",), "-a 10000", samples=3),
    Phase("footprint", "footprint", ("host", "bar", "exporter"), "-s 4K,64K,2M -a 10000"),
)


def _of_host(name, before, quick=True):
    """What p2pmr must not make dearer, with its modules as `before` leaves them."""
    return (Phase(name, "register", ("host",), "-s 4K,2M", before=before, quick=quick),
            Phase(name, "transfer", ("host",), "-s 64,1K,4K", quick=quick, samples=MESSAGES))


# In turn and twice, after a run of each kind that is not judged: a guest that has been up for
# longer counts differently, by what its allocators have left. And not in one in which 100,000
# objects have come and gone.
TAX = (_of_host("warm-up", UNLOAD, quick=False) + _of_host("warm-up", LOAD, quick=False)
       + 2 * (_of_host("unloaded", UNLOAD) + _of_host("loaded", LOAD)))
QUICK = tuple(phase for phase in PLAN + TAX if phase.quick)
# In a guest of its own, with BARs as large as this machine has addresses for.
LARGE_BAR = 64 << 30
LARGE = (
    Phase("registration", "register", ("host", "bar", "exporter"), "-s 1G", samples=3),
    # Later kernels' rdma_rxe ends at 1 GiB.
    Phase("registration", "register", ("exporter",), "-s 64G", samples=3, before_kernel=(6, 4)),
    Phase("footprint", "footprint", ("exporter",), "-s 64G -a 10000", before_kernel=(6, 4)),
)
# In a guest whose clock goes: copies and transfers side by side on two CPUs.
TIMED = (
    Phase("staged-timed", "staged", ("bar", "bar-wc"), "-s 64,4K,64K,1M", samples=50),
    Phase("copy-timed", "copy", ("host", "bar", "bar-wc"), "-s 64,4K,64K,1M", samples=50),
)


def bench(chosen, quick, out, commit=False):
    """Measures on these targets and writes results.json, plots and a page into `out`;
    commit: and makes the counts those to compare with. Returns the exit status."""
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    results = {"version": 1, "quick": quick, "rows": [], "missing": []}
    for target in chosen:
        with Step(f"{target.name}: measuring"):
            for rows in _measure(target, quick):
                results["rows"] += [row for row in rows if "missing" not in row]
                results["missing"] += [f"{target.name}: {row['missing']}" for row in rows
                                       if "missing" in row]
                # What there is stays, should the next guest fail.
                (folder / RESULTS).write_text(json.dumps(results, indent=1) + "\n",
                                              encoding="utf-8")
    page = benchpage.write(results, folder)
    print(benchreport.summary(results))
    if commit and not results["missing"]:
        benchreport.commit(results)
        return 0
    say(f"lab: {page}")
    return FAILED if benchreport.grown(results) or results["missing"] else 0


def _measure(target, quick):
    """The rows of each guest that it takes."""
    if quick:
        yield _count(target, QUICK, SAMPLES, QUICK_TIMEOUT)
        return
    yield _count(target, PLAN, SAMPLES, TIMEOUT, after=PROVIDER)
    yield _count(target, TAX, SAMPLES, TIMEOUT)
    yield _count(target, LARGE, SAMPLES, TIMEOUT, bar_size=LARGE_BAR)
    yield _timed(target)


def _count(target, phases, samples, timeout, after="", **options):
    """The rows of some phases, measured in one guest that counts instructions."""
    kernel = tree.get(target).kernel
    script = PREPARE + "".join(phase.script(samples) for phase in phases
                               if phase.concerns(kernel)) + after
    return _run(run.Request(target=target, command=["sh", "-c", script], icount=True,
                            timeout=timeout, **options))


def _timed(target):
    # perftest maps the second BAR, which therefore has no driver.
    code = (PREPARE_TIMED + "".join(phase.script(phase.samples, clock="") for phase in TIMED)
            + f"echo 'phase perftest'; exec python3 -c \"$0\" {PERFTEST_ROUNDS}")
    return _run(run.Request(
        target=target, timeout=TIMEOUT,
        command=["sh", "-c", code, PERFTEST.read_text(encoding="utf-8")]))


def _run(request):
    name = request.target.name
    collector = Collector(name, tree.get(request.target).kernel)
    with run.prepared(request) as (machine, token):
        guest = Guest(token, {"stdout": Lines(collector.line),
                              "stderr": streams.to(sys.stderr)}, request.timeout)
        why = _failure(name, guest.run(machine))
    if why:
        # What there is stays.
        collector.line(f"missing what follows {collector.last}: {why}")
    return collector.rows


def _failure(name, outcome):
    """Why a guest did not come to its end; "" if it has."""
    try:
        status = verdict.status(name, outcome)
    except GuestBroken as broken:
        say(str(broken))
        return "the guest broke"
    return f"status {status}" if status else ""


class Collector:
    """Makes rows of what a guest prints: documents of p2pmr-bench, with the phase that
    they belong to and the names that this file has for memories."""

    def __init__(self, target, kernel):
        self._common = {"target": target, "kernel": kernel}
        self._phase = None
        self.rows = []

    @property
    def last(self):
        """What the last row is of."""
        row = next((row for row in reversed(self.rows) if "phase" in row), None)
        return f"{row['phase']} {row['operation']}" if row else "the start"

    def line(self, line):
        word, _, rest = line.partition(" ")
        if word == "phase":
            self._phase = rest
            return
        if word == "missing":
            self.rows.append({**self._common, "missing": rest})
            return
        if self._phase == "provider":
            self._cost(line)
            return
        try:
            row = json.loads(line)
        except ValueError as error:
            raise LabError(f"not a result: {line}") from error
        del row["command"]
        row["memory"] = _name(row["memory"])
        self._add(row)

    def _add(self, row):
        self.rows.append({**self._common, "phase": self._phase, **row})

    def _cost(self, line):
        """A line of the provider's table; of what else its test says, none."""
        found = COST.fullmatch(line)
        for name in ("librxe", "p2pmr", "domain") if found else ():
            count = int(found[name])
            self._add({"benchmark": "provider", "operation": found["operation"],
                       "memory": name, "size": 0, "mappings": 1, "alive": 0, "processes": 1,
                       "messages": 1, "samples": 1, "unit": "instructions", "least": count,
                       "p25": count, "median": count, "mean": count, "p90": count,
                       "most": count})


def _name(kind):
    if kind in ("host", "thp", "hugetlb", "bar-far", "bar-near", "host-again"):
        return kind
    for beginning, name in (("mixed:", "mixed"), ("/dev/", "exporter")):
        if kind.startswith(beginning):
            return name
    if not FUNCTION_BAR.fullmatch(kind):
        raise LabError(f"not a kind of memory: {kind}")
    return "bar-wc" if kind.endswith(":wc") else "bar"
