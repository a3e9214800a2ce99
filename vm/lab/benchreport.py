# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""What is made of the results of `lab bench`: a comparison with the goals, one with the
counts that are committed for a kernel, plots by gnuplot, and a page for a browser."""

import html
import json
import subprocess
from pathlib import Path

from lab.errors import LabError

REFERENCE = Path(__file__).resolve().parent.parent.parent / "bench" / "reference.json"
# An instruction count may grow by so much before it is said to have grown.
TOLERANCE = 1.05
PAGE = "index.html"
COLOURS = {"host": "#777777", "thp": "#b09060", "hugetlb": "#60a060", "bar": "#c03030",
           "bar-wc": "#e08030", "exporter": "#3060c0"}


class Figures:
    """The rows of one target, found by what they are about."""

    def __init__(self, rows):
        self._least = {}
        for row in rows:
            known = self._least.get(key(row), row["least"])
            self._least[key(row)] = min(known, row["least"])

    def get(self, phase, operation, memory, size):
        """The least count, which no interrupt has disturbed, or None."""
        return self._least.get((phase, operation, memory, size))


def key(row):
    return row["phase"], row["operation"], row["memory"], row["size"]


def by_target(results):
    names = dict.fromkeys(row["target"] for row in results["rows"])
    return {name: [row for row in results["rows"] if row["target"] == name]
            for name in names}


# ------------------------------------------------------------------- goals --

def goals(rows):
    """(what, the figure, what is to be reached, reached?) as far as they were measured."""
    figures = Figures(rows)
    return [goal for goal in (
        _at_most("registering 4 KiB of a BAR, instructions",
                 figures.get("registration", "register", "bar", 4096), 20000),
        _flat("exporter's extents: 16 MiB against 4 KiB", figures, "exporter"),
        _cheaper("BAR against host memory, 2 MiB", figures, 2 << 20, 4),
        _cheaper("BAR against host memory, 16 MiB", figures, 16 << 20, 4),
        _tax("registering host memory, p2pmr loaded, more instructions", figures,
             "register", 4096, 400),
        _same("an RDMA WRITE of 4 KiB into a BAR, % of host memory's", figures, "write"),
        _same("an RDMA READ of 4 KiB from a BAR, % of host memory's", figures, "read"),
    ) if goal]


def _at_most(what, figure, limit):
    return figure and (what, f"{figure:,}", f"at most {limit:,}", figure <= limit)


def _flat(what, figures, memory):
    small = figures.get("registration", "register", memory, 4096)
    large = figures.get("registration", "register", memory, 16 << 20)
    return small and large and (what, f"{large / small:.2f} times", "at most 2 times",
                                large <= 2 * small)


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


def _same(what, figures, operation):
    host = figures.get("transfer", operation, "host", 4096)
    bar = figures.get("transfer", operation, "bar", 4096)
    return host and bar and (what, f"{100 * bar / host:.1f} %", "within 2 % of 100 %",
                             abs(bar - host) * 50 <= host)


# --------------------------------------------------------------- reference --

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
    for row in results["rows"]:
        before = known.get(row["kernel"], {}).get(name(row))
        if before and row["least"] > before * TOLERANCE:
            lines.append(f"{row['target']} {name(row)}: {row['least']:,}, "
                         f"was {before:,}")
    return lines


def summary(results):
    """What a person reads in a terminal."""
    lines = []
    for target, rows in by_target(results).items():
        lines.append(f"{target}, kernel {rows[0]['kernel']}")
        for what, figure, limit, reached in goals(rows):
            lines.append(f"  {'reached' if reached else 'short  '}  {what}: {figure} "
                         f"({limit})")
        if rows[0]["kernel"] not in reference():
            lines.append("  no counts are committed for this kernel, so none are compared")
    return "\n".join(lines + [f"grown: {line}" for line in grown(results)])


# ------------------------------------------------------------------- plots --

# file, title, phase, operation, what one sample is divided by for the second axis
PLOTS = (
    ("register", "ibv_reg_mr()", "registration", "register"),
    ("deregister", "ibv_dereg_mr()", "registration", "deregister"),
    ("write", "RDMA WRITE", "transfer", "write"),
    ("read", "RDMA READ", "transfer", "read"),
    ("straight", "straight into the BAR", "staged", "straight"),
    ("staged", "into host memory, then copied", "staged", "staged"),
    ("copy-to", "libp2pmr's copy to the memory", "copy", "to"),
    ("copy-from", "libp2pmr's copy from the memory", "copy", "from"),
)


def series(rows, phase, operation):
    """{memory: [(size, least, median, p90)]}, by size."""
    found = {}
    for row in sorted(rows, key=lambda row: row["size"]):
        if (row["phase"], row["operation"]) == (phase, operation):
            found.setdefault(row["memory"], []).append(
                (row["size"], row["least"], row["median"], row["p90"]))
    return found


def quoted(text):
    """A string as gnuplot has it, without escapes."""
    return "'" + text.replace("'", "''") + "'"


def draw(folder, file, title, lines, unit):
    """An SVG of the lines: median by size, with bars from least to 90 %."""
    script = ["set terminal svg size 640,400 font 'sans-serif,12' background 'white'",
              f"set output {quoted(file)}", f"set title {quoted(title)}", "set logscale xy 2",
              "set logscale y 10", "set xlabel 'bytes'", f"set ylabel '{unit}'",
              "set format x '%b%B'", "set format y '%.0s%c'", "set key top left", "set grid"]
    plots = []
    for number, (memory, points) in enumerate(lines.items()):
        script += [f"$d{number} << EOD"]
        script += [f"{size} {median} {least} {most}" for size, least, median, most in points]
        script += ["EOD"]
        plots.append(f"$d{number} using 1:2:3:4 with yerrorlines title {quoted(memory)} "
                     f"linecolor rgb '{COLOURS[memory]}' pointtype 7 pointsize 0.5")
    script.append("plot " + ", ".join(plots))
    result = subprocess.run(["gnuplot"], input="\n".join(script), cwd=folder, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if result.returncode != 0:
        raise LabError(f"gnuplot: {result.stdout.strip()}")


# -------------------------------------------------------------------- page --

STYLE = """
body { font: 15px/1.4 sans-serif; max-width: 1340px; margin: 2em auto; padding: 0 1em; }
table { border-collapse: collapse; } td, th { padding: .2em .8em; text-align: left; }
tr:nth-child(odd) td { background: #f4f4f4; } td.number { text-align: right; }
.reached { color: #207020; } .short { color: #b02020; font-weight: bold; }
img { margin: 4px; border: 1px solid #ddd; }
"""


def write(results, folder):
    """Writes the plots and the page; returns the page's path."""
    parts = []
    for target, rows in by_target(results).items():
        parts.append(f"<h2>{html.escape(target)}: Linux {html.escape(rows[0]['kernel'])}</h2>")
        parts.append(_goal_table(rows))
        for file, title, phase, operation in PLOTS:
            lines = series(rows, phase, operation)
            if lines:
                draw(folder, f"{target}-{file}.svg", title, lines, rows[0]["unit"])
                parts.append(f'<img src="{target}-{file}.svg" alt="{html.escape(title)}">')
        parts.append(_row_table(rows))
    page = folder / PAGE
    page.write_text(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
        f"<title>p2pmr: what it costs</title><style>{STYLE}</style></head><body>\n"
        "<h1>p2pmr: what it costs</h1>\n"
        "<p>Counted in instructions of a virtual machine, so that the figures repeat. Each "
        "is the median; the bars go from the least to the 90 % quantile.</p>\n"
        + "\n".join(parts) + "\n</body></html>\n", encoding="utf-8")
    return page


def _goal_table(rows):
    lines = ["<table><tr><th>goal</th><th>measured</th><th>to reach</th><th></th></tr>"]
    for what, figure, limit, reached in goals(rows):
        word = "reached" if reached else "short"
        lines.append(f"<tr><td>{html.escape(what)}</td><td>{html.escape(figure)}</td>"
                     f"<td>{html.escape(limit)}</td><td class=\"{word}\">{word}</td></tr>")
    return "\n".join(lines + ["</table>"])


def _row_table(rows):
    columns = ("phase", "operation", "memory", "size", "mappings", "alive", "least", "median",
               "p90", "most")
    lines = ["<details><summary>All figures</summary><table><tr>"
             + "".join(f"<th>{column}</th>" for column in columns) + "</tr>"]
    for row in rows:
        cells = "".join(
            f'<td class="number">{row[column]:,}</td>' if isinstance(row[column], int)
            else f"<td>{html.escape(str(row[column]))}</td>" for column in columns)
        lines.append(f"<tr>{cells}</tr>")
    return "\n".join(lines + ["</table></details>"])
