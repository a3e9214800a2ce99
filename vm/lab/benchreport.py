# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""What the results of `lab bench` say: a comparison with the goals, and one with the
counts that are committed for a kernel."""

import json
import operator
import statistics
from pathlib import Path

REFERENCE = Path(__file__).resolve().parent.parent.parent / "bench" / "reference.json"
# An instruction count may grow by so much before it is said to have grown.
TOLERANCE = 1.05
# The most of a message that goes in one packet, by the path MTU of tools/loopback.c.
ONE_PACKET = 1024
# Instructions that a message may differ by: where an interrupt of the timer falls.
FEW = 10


class Figures:
    """The rows of one target, found by what they are about: the least, which no interrupt has
    disturbed. Of messages the lower quartile. Now and then the driver's worker is still awake
    when the next one comes, and spares a tenth of the instructions, so that the least is
    chance; in other starts half of the messages take a fifth more, or lose their turn, so
    that the median is. Not of those that are slept for: there the median is steady."""

    def __init__(self, rows, figure="least"):
        self._found = {}
        for row in rows:
            chosen = "median" if row.get("events") and figure == "p25" else figure
            self._found.setdefault(key(row), []).append(row[chosen])

    def get(self, phase, operation, memory, size):
        """The least that was found, or None."""
        return min(self._found.get((phase, operation, memory, size), ()), default=None)

    def taxed(self):
        """(operation, size, loaded, unloaded) of all messages that p2pmr must not make dearer."""
        for phase, operation, memory, size in self._found:
            unloaded = self.get("unloaded", operation, memory, size)
            if phase == "loaded" and "register" not in operation and unloaded:
                yield operation, size, self.get(phase, operation, memory, size), unloaded

    def against_host(self, phase):
        """(ratio, operation, memory, size) of all that was measured on host memory too."""
        for where, operation, memory, size in self._found:
            host = self.get(where, operation, "host", size)
            if where == phase and memory != "host" and host:
                yield (self.get(where, operation, memory, size) / host, operation, memory,
                       size)


def key(row):
    return row["phase"], row["operation"], row["memory"], row["size"]


def by_target(results):
    names = dict.fromkeys(row["target"] for row in results["rows"])
    return {name: [row for row in results["rows"] if row["target"] == name]
            for name in names}


# ------------------------------------------------------------------- goals --

def goals(rows):
    """(what, the figure, what is to be reached, reached?) as far as they were measured."""
    figures, messages = Figures(rows), Figures(rows, "p25")
    found = [
        _at_most("registering 4 KiB of a BAR, instructions",
                 figures.get("registration", "register", "bar", 4096), 20000),
        _flat(figures, 16 << 20),
        _flat(figures, 1 << 30),
        _flat(figures, 64 << 30),
        _flat_footprint(figures, 2 << 20),
        _flat_footprint(figures, 64 << 30),
        _a_page(figures, 2 << 20),
        _cheaper("BAR against host memory, 2 MiB", figures, 2 << 20, 4),
        _cheaper("BAR against host memory, 16 MiB", figures, 16 << 20, 4),
        _cheaper("BAR against host memory, 1 GiB", figures, 1 << 30,
                 3 if _keeps_table(rows[0]["kernel"]) else 5),
        _tax("registering 4 KiB of host memory, p2pmr loaded, more instructions", figures,
             "register", 4096, 400),
        _tax_on_packets(messages),
        _tax_on_longer(messages),
        _same(messages),
    ]
    return [goal for goal in found if goal]


def version(kernel):
    """The first two numbers of a kernel's, to be compared."""
    return tuple(int(part) for part in kernel.split(".")[:2])


def _keeps_table(kernel):
    """Whether this kernel's rdma_rxe has an entry for each page of an MR: those after 6.1 do,
    Debian's 6.12 since 6.12.117."""
    return version(kernel) >= (6, 4)


def _at_most(what, figure, limit):
    return figure and (what, f"{figure:,}", f"at most {limit:,}", figure <= limit)


def _flat(figures, size):
    small = figures.get("registration", "register", "exporter", 4096)
    large = figures.get("registration", "register", "exporter", size)
    return small and large and (f"an exporter's extents: {size_text(size)} against 4 KiB",
                                f"{large / small:.2f} times", "at most 2 times",
                                large <= 2 * small)


def _flat_footprint(figures, size):
    small = figures.get("footprint", "footprint", "exporter", 4096)
    large = figures.get("footprint", "footprint", "exporter", size)
    if small is None or large is None:
        return None
    # Nothing at all was not seen.
    return (f"memory for an MR of {size_text(size)} against 4 KiB",
            f"{large:,} bytes, {small:,}", "the same within 10 %", 0 < large <= small * 1.1)


def _a_page(figures, size):
    """What looking at each page costs on top of what an exporter's extents do."""
    bar = figures.get("registration", "register", "bar", size)
    extents = figures.get("registration", "register", "exporter", size)
    small = figures.get("registration", "register", "bar", 4096)
    base = figures.get("registration", "register", "exporter", 4096)
    if not (bar and extents and small and base):
        return None
    more = ((bar - extents) - (small - base)) / (size >> 12)
    return ("looking at the pages of a BAR, instructions for each", f"{more:.0f}", "under 60",
            more < 60)


def _cheaper(what, figures, size, times):
    host = figures.get("registration", "register", "host", size)
    bar = figures.get("registration", "register", "bar", size)
    return host and bar and (what, f"{host / bar:.1f} times cheaper",
                             f"at least {times} times", host >= times * bar)


def _tax(what, figures, operation, size, limit):
    loaded = figures.get("loaded", operation, "host", size)
    unloaded = figures.get("unloaded", operation, "host", size)
    return loaded and unloaded and (what, f"{loaded - unloaded:,}", f"at most {limit:,}",
                                    loaded - unloaded <= limit)


def _dearest(messages, of_one_packet, compare):
    """(what p2pmr costs it, its kind and size) of the messages to which it costs most; None if
    there are none of these."""
    found = [(compare(loaded, unloaded), f"{operation} of {size_text(size)}")
             for operation, size, loaded, unloaded in messages.taxed()
             if (size <= ONE_PACKET) == of_one_packet]
    return max(found, key=lambda dearer: dearer[0], default=None)


def _tax_on_packets(messages):
    found = _dearest(messages, True, operator.sub)
    return found and ("messages of one packet in host memory, p2pmr loaded, more instructions",
                      f"{found[0]:,} ({found[1]})", f"at most {FEW}", found[0] <= FEW)


def _tax_on_longer(messages):
    """Their packets are alive together, and whether the CPU's slab has room for all depends on
    who took from it before, which is a hundredth."""
    found = _dearest(messages, False, operator.truediv)
    return found and ("longer messages, p2pmr loaded",
                      f"{100 * (found[0] - 1):+.1f} % ({found[1]})", "at most 2 % more",
                      found[0] <= 1.02)


def _same(messages):
    """Of all kinds of messages the one that differs most from that of host memory."""
    worst = max(messages.against_host("transfer"),
                key=lambda found: abs(found[0] - 1), default=None)
    if not worst:
        return None
    ratio, operation, memory, size = worst
    return ("messages to and from BARs against host memory's, the one that differs most",
            f"{100 * (ratio - 1):+.1f} % ({operation} of {size_text(size)}, {memory})",
            "within 2 %", abs(ratio - 1) <= 0.02)


def size_text(number):
    for unit, shift in (("GiB", 30), ("MiB", 20), ("KiB", 10)):
        if number >= 1 << shift:
            return f"{number >> shift} {unit}"
    return f"{number} B"


# ---------------------------------------------------------------- perftest --

def clocked(rows):
    """(operation, memory, [least, middle, most]): how the medians of perftest with a buffer in
    a BAR compare with those in host memory, over all sizes; but of bandwidths, which have two
    decimals, those with host memory's of 1 MB/s at least. No goals: the clock of a virtual
    machine is noise."""
    slow = {(row["operation"], row["size"]) for row in rows
            if row["memory"] == "host" and row["unit"] == "MB/s" and row["median"] < 1}
    figures = Figures((row for row in rows if (row["operation"], row["size"]) not in slow),
                      "median")
    found = {}
    for ratio, operation, memory, _ in figures.against_host("perftest"):
        found.setdefault((operation, memory), []).append(ratio)
    return [(*about, [min(ratios), statistics.median(ratios), max(ratios)])
            for about, ratios in found.items()]


# --------------------------------------------------------------- reference --

# What is measured in a quick run too, and the same in each: work that another thread
# does for a message makes counts vary.
JUDGED = ("registration",)
JUDGED_SIZES = (4096, 65536, 2 << 20)


def judged(row):
    return (row["phase"] in JUDGED and row["memory"] in ("bar", "exporter")
            and row["size"] in JUDGED_SIZES)


def commit(results):
    """Makes these counts the ones to compare with, for the kernels that they are of."""
    known = {"SPDX-License-Identifier": "GPL-2.0 OR BSD-2-Clause", **reference()}
    for rows in by_target(results).values():
        known[rows[0]["kernel"]] = least_of(row for row in rows if judged(row))
    REFERENCE.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")


def reference():
    if not REFERENCE.exists():
        return {}
    return json.loads(REFERENCE.read_text(encoding="utf-8"))


def name(row):
    return "/".join(str(part) for part in key(row))


def grown(results):
    """Lines about counts that are larger than those committed for their kernel."""
    known = reference()
    lines = []
    for target, rows in by_target(results).items():
        committed = known.get(rows[0]["kernel"], {})
        for about, least in least_of(rows).items():
            before = committed.get(about)
            if before and least > before * TOLERANCE:
                lines.append(f"{target} {about}: {least:,}, was {before:,}")
    return lines


def least_of(rows):
    """The least count of all rows about the same, by its name."""
    found = {}
    for row in rows:
        found[name(row)] = min(found.get(name(row), row["least"]), row["least"])
    return found


def summary(results):
    """What a person reads in a terminal."""
    lines = []
    for target, rows in by_target(results).items():
        lines.append(f"{target}, kernel {rows[0]['kernel']}")
        for what, figure, limit, reached in goals(rows):
            lines.append(f"  {'reached' if reached else 'short  '}  {what}: {figure} "
                         f"({limit})")
        lines += [f"  {what} of perftest, {operation}, {memory}: {middle:.2f} of host memory's "
                  f"({least:.2f} to {most:.2f} by size)"
                  for operation, memory, (least, middle, most) in clocked(rows)
                  for what in ("latency" if operation.endswith("_lat") else "speed",)]
        if rows[0]["kernel"] not in reference():
            lines.append("  no counts are committed for this kernel, so none are compared")
    return "\n".join(lines + [f"grown: {line}" for line in grown(results)]
                     + [f"not measured: {what}" for what in results.get("missing", ())])
