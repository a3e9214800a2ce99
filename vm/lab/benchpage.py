# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""The results of `lab bench` for people: plots by gnuplot, and a page for a browser."""

import html
import subprocess

from lab.benchreport import by_target, clocked, goals, size_text
from lab.errors import LabError

PAGE = "index.html"
COLOURS = {"host": "#777777", "thp": "#b09060", "hugetlb": "#60a060", "bar": "#c03030",
           "bar-wc": "#e08030", "exporter": "#3060c0", "mixed": "#8040a0",
           "bar-far": "#c03030", "bar-near": "#3060c0", "host-again": "#b8b8b8"}
# What the names of memory mean, where a reader cannot guess.
LEGEND = (("host", "private memory, pages of 4 KiB"), ("thp", "the same in transparent huge pages"),
          ("hugetlb", "the same in huge pages set aside"), ("bar", "a PCI BAR, uncached"),
          ("bar-wc", "the same, write-combined"),
          ("exporter", "a BAR through p2pmr_bar, which hands over extents"),
          ("mixed", "a BAR, and host memory in every other mapping"),
          ("bar-far", "perftest: the server's buffer is in a BAR"),
          ("bar-near", "perftest: the client's is"),
          ("host-again", "perftest: neither is, once more; what this differs by is noise"))

# Of two operations in one plot, those whose line is not dashed.
PLAIN = ("", "to", "from", "straight", "stream")
# Labels that find room below a plot.
TICS = 8
# file, title, phase, operations; where there are several, each is a line of its own
PLOTS = (
    ("register", "ibv_reg_mr()", "registration", ("register",)),
    ("deregister", "ibv_dereg_mr()", "registration", ("deregister",)),
    ("write", "RDMA WRITE into the memory", "transfer", ("write",)),
    ("read", "RDMA READ from the memory", "transfer", ("read",)),
    ("send", "SEND into the memory", "transfer", ("send",)),
    ("write-from", "RDMA WRITE from the memory", "transfer", ("write-from",)),
    ("staged", "straight into the BAR, or staged in host memory", "staged",
     ("straight", "staged")),
    ("stream", "a stream straight into the BAR, or staged in host memory, 16 messages", "staged",
     ("stream", "stream/staged")),
    ("staged-timed", "the same by the clock: one message", "staged-timed", ("straight", "staged")),
    ("stream-timed", "the same by the clock: a stream of 16", "staged-timed",
     ("stream", "stream/staged")),
    ("copy-to", "copies by the CPU to the memory", "copy", ("to", "to/memcpy")),
    ("copy-from", "copies by the CPU from the memory", "copy", ("from", "from/memcpy")),
    ("copy-to-timed", "the same by the clock, to the memory", "copy-timed", ("to", "to/memcpy")),
    ("copy-from-timed", "the same by the clock, from the memory", "copy-timed",
     ("from", "from/memcpy")),
    ("write-bw", "perftest: ib_write_bw", "perftest", ("ib_write_bw",)),
    ("read-bw", "perftest: ib_read_bw", "perftest", ("ib_read_bw",)),
    ("send-bw", "perftest: ib_send_bw", "perftest", ("ib_send_bw",)),
    ("write-rate", "perftest: messages of ib_write_bw", "perftest", ("ib_write_bw/rate",)),
    ("write-lat", "perftest: ib_write_lat", "perftest", ("ib_write_lat",)),
    ("read-lat", "perftest: ib_read_lat", "perftest", ("ib_read_lat",)),
    ("send-lat", "perftest: ib_send_lat", "perftest", ("ib_send_lat",)),
)
# Phases shown as tables: title, how the names begin, what each figure is divided by
TABLES = (
    ("Registration with others beside it", ("alive-", "parallel-"), None),
    ("Copies from byte 1 or byte 8 of a page on", ("copy-from-byte-",), None),
    ("Several mappings in one range", ("mappings-",), None),
    ("The kernel's memory for a region, bytes", ("footprint",), None),
    ("munmap() that revokes, for each region", ("revocation-",), "alive"),
    ("Posting and polling, instructions in user space", ("provider",), None),
)


# ------------------------------------------------------------------- plots --

def series(rows, phase, operations):
    """{name of the line: [(size, least, median, p90)]}, by size."""
    found = {}
    for row in sorted(rows, key=lambda row: row["size"]):
        if row["phase"] == phase and row["operation"] in operations:
            line = row["memory"]
            if len(operations) > 1:
                line += f", {row['operation']}"
            found.setdefault(line, []).append(
                (row["size"], row["least"], row["median"], row["p90"]))
    return found


def quoted(text):
    """A string as gnuplot has it, without escapes."""
    return "'" + text.replace("'", "''") + "'"


def draw(folder, file, title, lines, unit):
    """An SVG of the lines: median by size, with bars from least to 90 %."""
    sizes = sorted({point[0] for points in lines.values() for point in points})
    # Names of functions have underscores: no markup in texts.
    script = ["set terminal svg noenhanced size 640,400 font 'sans-serif,12' background 'white'",
              f"set output {quoted(file)}", f"set title {quoted(title)}", "set logscale x 2",
              "set logscale y 10", f"set ylabel '{unit}'",
              f"set xtics ({_tics(sizes)})", f"set xrange [{sizes[0] / 1.5}:{sizes[-1] * 1.5}]",
              "set format y '%.0s%c'", "set key top left", "set grid back linecolor rgb '#cccccc'"]
    plots = []
    for number, (name, points) in enumerate(lines.items()):
        memory, _, operation = name.partition(", ")
        dashed = " dashtype 2" if number and operation not in PLAIN else ""
        script += [f"$d{number} << EOD"]
        script += [f"{size} {median} {least} {most}" for size, least, median, most in points]
        script += ["EOD"]
        plots.append(f"$d{number} using 1:2:3:4 with yerrorlines title {quoted(name)} "
                     f"linecolor rgb '{COLOURS[memory]}' linewidth 1.5 pointtype 7 "
                     f"pointsize 0.5{dashed}")
    script.append("plot " + ", ".join(plots))
    result = subprocess.run(["gnuplot"], input="\n".join(script), cwd=folder, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if result.returncode != 0:
        raise LabError(f"gnuplot: {result.stdout.strip()}")


def _tics(sizes):
    """At most TICS of the sizes, as gnuplot has labels."""
    step = -(-len(sizes) // TICS)
    return ", ".join(f"'{size_text(size)}' {size}" for size in sizes[::step])


def _draw_all(folder, target, rows):
    """The plots of a target, as the page shows them."""
    for file, title, phase, operations in PLOTS:
        lines = series(rows, phase, operations)
        if lines and any(len(points) > 1 for points in lines.values()):
            unit = next(row["unit"] for row in rows if row["phase"] == phase
                        and row["operation"] in operations)
            draw(folder, f"{target}-{file}.svg", title, lines, unit)
            yield f'<img src="{target}-{file}.svg" alt="{html.escape(title)}">'


# -------------------------------------------------------------------- page --

STYLE = """
body { font: 15px/1.4 sans-serif; max-width: 1340px; margin: 2em auto; padding: 0 1em; }
table { border-collapse: collapse; margin: .5em 0; }
td, th { padding: .2em .8em; text-align: left; }
tr:nth-child(odd) td { background: #f4f4f4; } td.number, th.number { text-align: right; }
.reached { color: #207020; } .short { color: #b02020; font-weight: bold; }
img { margin: 4px; border: 1px solid #ddd; max-width: 100%; }
.tables { display: flex; flex-wrap: wrap; gap: 0 3em; }
dt { float: left; clear: left; width: 7em; font-weight: bold; } dd { margin-left: 8em; }
h3 { font-size: 1em; margin: 1em 0 0; }
"""
INTRODUCTION = """<p>Counted in instructions of a virtual machine, so that the figures repeat, but
for memory, in bytes; what perftest shows, and what is "by the clock", is measured, with host memory and
BARs in turn. Points are medians, bars go from the least to the 90 % quantile; goals are judged by
the least, those of messages by the lower quartile, or by the median where the program sleeps until
they are there. How the figures come about is in <code>docs/performance.md</code>.</p>"""


def write(results, folder):
    """Writes the plots and the page; returns the page's path."""
    parts = [f"<p class=\"short\">not measured: {html.escape(what)}</p>"
             for what in results.get("missing", ())]
    for target, rows in by_target(results).items():
        parts.append(f"<h2>{html.escape(target)}: Linux {html.escape(rows[0]['kernel'])}</h2>")
        parts.append(_goal_table(rows))
        parts += _draw_all(folder, target, rows)
        parts.append('<div class="tables">')
        parts += _tables(rows)
        parts.append(_clocked_table(rows))
        parts.append("</div>")
        parts.append(_row_table(rows))
    memories = {row["memory"] for row in results["rows"]}
    legend = "".join(f"<dt>{name}</dt><dd>{html.escape(text)}</dd>" for name, text in LEGEND
                     if name in memories)
    page = folder / PAGE
    page.write_text(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
        f"<title>p2pmr: what it costs</title><style>{STYLE}</style></head><body>\n"
        f"<h1>p2pmr: what it costs</h1>\n{INTRODUCTION}<dl>{legend}</dl>\n"
        + "\n".join(parts) + "\n</body></html>\n", encoding="utf-8")
    return page


def _goal_table(rows):
    lines = ["<table><tr><th>goal</th><th>measured</th><th>to reach</th><th></th></tr>"]
    for what, figure, limit, reached in goals(rows):
        word = "reached" if reached else "short"
        lines.append(f"<tr><td>{html.escape(what)}</td><td>{html.escape(figure)}</td>"
                     f"<td>{html.escape(limit)}</td><td class=\"{word}\">{word}</td></tr>")
    return "\n".join(lines + ["</table>"])


def _tables(rows):
    for title, beginnings, divisor in TABLES:
        chosen = [row for row in rows if row["phase"].startswith(beginnings)]
        if chosen:
            yield f"<div><h3>{html.escape(title)}</h3>{_matrix(chosen, divisor)}</div>"


def _matrix(rows, divisor):
    """Medians: a line for each phase, operation and size, a column for each memory."""
    memories = list(dict.fromkeys(row["memory"] for row in rows))
    lines = ["<table><tr><th></th><th></th><th></th>"
             + "".join(f'<th class="number">{html.escape(name)}</th>' for name in memories)
             + "</tr>"]
    about = dict.fromkeys((row["phase"], row["operation"], row["size"]) for row in rows)
    for phase, operation, size in about:
        figures = {row["memory"]: row["median"] / (row[divisor] if divisor else 1)
                   for row in rows
                   if (row["phase"], row["operation"], row["size"]) == (phase, operation, size)}
        cells = "".join(f'<td class="number">{figures[name]:,.0f}</td>' if name in figures
                        else "<td></td>" for name in memories)
        lines.append(f"<tr><td>{html.escape(phase)}</td><td>{html.escape(operation)}</td>"
                     f"<td>{size_text(size) if size else ''}</td>{cells}</tr>")
    return "\n".join(lines + ["</table>"])


def _clocked_table(rows):
    """How perftest's figures compare with those of host memory."""
    lines = [f"<tr><td>{html.escape(operation)}</td><td>{html.escape(memory)}</td>"
             + "".join(f'<td class="number">{ratio:.2f}</td>' for ratio in ratios) + "</tr>"
             for operation, memory, ratios in clocked(rows)]
    if not lines:
        return ""
    return ("<div><h3>perftest by the clock, over all sizes, host memory being 1: speed, or "
            "latency</h3><table>"
            "<tr><th></th><th></th><th>least</th><th>middle</th><th>most</th></tr>"
            + "\n".join(lines) + "</table></div>")


def _is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _row_table(rows):
    columns = ("phase", "operation", "memory", "size", "mappings", "alive", "events", "unit",
               "least", "p25", "median", "mean", "p90", "most")
    lines = ["<details><summary>All figures</summary><table><tr>"
             + "".join(f"<th>{column}</th>" for column in columns) + "</tr>"]
    for row in rows:
        cells = "".join(
            f'<td class="number">{row[column]:,}</td>' if _is_number(row.get(column))
            else f"<td>{html.escape(str(row.get(column, '')))}</td>" for column in columns)
        lines.append(f"<tr>{cells}</tr>")
    return "\n".join(lines + ["</table></details>"])
