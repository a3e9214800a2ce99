# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Reading a kernel log for reports of something wrong: which lines start one, how far
it goes, and whether it is one of the listed exceptions (docs/reliability.md)."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

EXCEPTIONS_FILE = Path(__file__).resolve().parent.parent / "kernel-log-exceptions.json"
LONGEST_REPORT = 250
# A report that does not mark its end is over after this many lines without a stack.
QUIET_LINES = 12

# Where a CPU is that waits for an interrupt.
_IDLE = re.compile(r"RIP: \S*(?:safe_halt|default_idle)\+")

# "[   12.345678] ", "[   12.345678][  T123] ", and the "<4>" of a raw log
_PREFIX = re.compile(r"^(?:<\d+>)?\[\s*\d+\.\d+\](?:\[\s*[CT]\d+\])? ?")

# Matched at the start of a message, so that text which only mentions one (a command
# line, a user program's "traps: ... general protection fault") does not count.
_STARTS = re.compile(
    r"""^(?:
      WARNING:\s                                  # WARN_ON, lockdep, suspicious RCU
    | (?:watchdog:\s|\[\ )?BUG:?\s               # also KASAN, soft lockups, bad pages
    | kernel\ BUG\ at\s
    | (?:\w+:\s)?Oops\b
    | (?:general\ protection|stack\ segment|double\ fault|invalid\ opcode)
    | UBSAN:\s | KCSAN:\s | KMSAN:\s
    | refcount_t:\s
    | (?:list_add|list_del|rcu_head)\S*\ corruption
    | (?:slab|kmem_cache)\S*:?.*\bObjects\ remaining
    | kmemleak:\s(?!Kernel\ memory\ leak\ detector\ (?:initialized|disabled)) | unreferenced\ object
    | INFO:\ task\ .*\ blocked\ (?:for\ more\ than|on)\ 
    | (?:rcu:\s)?INFO:\ rcu\S*\ .*\bstall | rcu:\ .*\bstall
    | INFO:\ trying\ to\ register\ non-static\ key
    | INFO:\ lockdep\ is\ turned\ off
    | (?:possible|inconsistent|bad)\ .*(?:locking|lock\ state|unlock\ balance)
    | ODEBUG:\ (?!selftest\ passed)
    | DMA-API:\ .*(?:leak|error|not\ checked|overlapping)
    | Kernel\ panic
    | unregister_netdevice:\ waiting\ for
    | \S*\ ?page\ allocation\ failure | .*:\ page\ allocation\ failure
    | .*:\ vmalloc\ error:\s
    | NMI\ watchdog:\ Watchdog\ detected
    | DMAR:\ \[                                   # an access that the IOMMU stopped
    )""", re.VERBOSE)
# A report of one line, and the only kind that may be announced.
_FAULT = re.compile(r"^DMAR: \[")
_ANNOUNCED = re.compile(r"^p2pmr-lab: expect (.*)")
# Between the two marks allocations are made to fail, which vmalloc() and kmemleak report.
_NO_SCAN_AREA = re.compile(r"^kmemleak: Cannot allocate a scan area")
_PROVOKED = re.compile(r"^.*: vmalloc error: |" + _NO_SCAN_AREA.pattern)
_PROVOKED_FROM = re.compile(r"^p2pmr-lab: allocations fail$")
_PROVOKED_TO = re.compile(r"^p2pmr-lab: allocations succeed$")
_STACK = re.compile(r"^\s*(?:<TASK>|\? )?\s*(\w[\w.]*)\+0x[0-9a-f]+/0x[0-9a-f]+")
_RIP = re.compile(r"^RIP: \w+:(\w[\w.]*)\+0x")
_TRACE = re.compile(r"^\s*Call Trace:")
# What stands between a report's first line and its stack.
_DETAIL = re.compile(
    r"^(?:CPU|Tainted|Hardware name|Workqueue|Code|RIP|RSP|R[A-Z0-9]{2}|FS|CS|CR\d|PKRU|DR\d|"
    r"Modules linked in|task|rcu|NMI backtrace for cpu|Sending NMI from CPU)\b.*")
_ENDS = re.compile(r"^---\[ end ")
_NUMBERS = re.compile(r"0x[0-9a-f]+|\b[0-9a-f]{8,}\b|\d+")


@dataclass
class Report:
    """One report: its lines as the kernel wrote them, and where in the log it began."""

    lines: list
    number: int = 0

    @property
    def title(self):
        """The first line without what differs from run to run."""
        return _NUMBERS.sub("#", message(self.lines[0])).strip()

    @property
    def stack(self):
        """The names of the functions on the stack, without the unreliable ones."""
        names = []
        for line in self.lines:
            text = message(line)
            found = _RIP.match(text) or (None if "? " in text else _STACK.match(text))
            if found:
                names.append(found.group(1))
        return names


def message(line):
    """A line of the log without its timestamp."""
    return _PREFIX.sub("", line.rstrip("\r\n"))


def reports(text):
    """All reports in a log, exceptions included."""
    lines = text.splitlines()
    found, number = [], 0
    while number < len(lines):
        text_here = message(lines[number])
        if _STARTS.match(text_here) or _TRACE.match(text_here):
            end = _end_of_report(lines, number)
            found.append(Report(lines[number:end], number))
            number = end
        else:
            number += 1
    return found


def bad_reports(text, exceptions=None):
    """The reports that make a guest's result worthless."""
    if exceptions is None:
        exceptions = listed_exceptions()
    return [report for report in _unexpected(text)
            if {"title": report.title, "stack": report.stack} not in exceptions]


def _unexpected(text):
    """All reports but the IOMMU faults that were announced, and those of allocations where
    they were made to fail. An announcement answers for one fault that begins as it says; one
    that nothing followed is itself bad."""
    lines = text.splitlines()
    announced = [Report([line]) for line in lines if _ANNOUNCED.match(message(line))]
    unexpected = []
    for report in _without_provoked(lines, reports(text)):
        promise = next((promise for promise in announced if _promises(promise, report)), None)
        if promise:
            announced.remove(promise)
        else:
            unexpected.append(report)
    return unexpected + announced


def _without_provoked(lines, found):
    """Those but the reports of failed allocations between the two marks, the second of
    which must follow."""
    starts = [number for number, line in enumerate(lines) if _PROVOKED_FROM.match(message(line))]
    ends = [number for number, line in enumerate(lines) if _PROVOKED_TO.match(message(line))]
    spans = [(start, next((end for end in ends if end > start), start)) for start in starts]
    return [report for report in found
            if not (_PROVOKED.match(message(report.lines[0]))
                    and any(start < report.number < end for start, end in spans))]


def _promises(promise, report):
    # Newer kernels name a device with its domain.
    first = message(report.lines[0]).replace(" device [0000:", " device [")
    return bool(_FAULT.match(first)
                and first.startswith(_ANNOUNCED.match(message(promise.lines[0]))[1]))


def listed_exceptions():
    entries = json.loads(EXCEPTIONS_FILE.read_text(encoding="utf-8"))["exceptions"]
    return [{"title": entry["title"], "stack": entry["stack"]} for entry in entries]


def _end_of_report(lines, start):
    """The number of the line after a report: its end mark, or where it goes quiet."""
    last = start
    provoked = _PROVOKED.match(message(lines[start]))
    if _FAULT.match(message(lines[start])) or _NO_SCAN_AREA.match(message(lines[start])):
        return start + 1
    for number in range(start, min(len(lines), start + LONGEST_REPORT)):
        text = message(lines[number])
        if _ENDS.match(text):
            return number + 1
        # What may be let through must not take another report with it.
        if number > start and provoked and _STARTS.match(text):
            return number
        if number - last > QUIET_LINES:
            break
        if any(pattern.match(text) for pattern in (_STARTS, _TRACE, _STACK, _DETAIL)) \
                or text.startswith((" ", "\t", "===")):
            last = number
    return last + 1


def lost_timer(bad):
    """Whether these reports are but stalls of RCU, of which Linux itself says that a timer has
    not fired, on a CPU that does nothing: the emulator has not interrupted it."""
    lines = [line for report in bad for line in report.lines]
    text = "\n".join(lines)
    return (all(message(line).startswith(("rcu: ", "Call Trace:")) for line in lines
                if _STARTS.match(message(line)))
            and "Possible timer handling issue on cpu=" in text and bool(_IDLE.search(text)))
