# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Judging how a guest ended: its status counts only if it ended in order and its
kernel log is clean. What was wrong is told with the lines that show it."""

import contextlib
import tempfile
import time

from lab import cache, kernellog
from lab.errors import GuestBroken

# A test's status: the emulator has lost an interrupt that the test was waiting for.
UNHEARD_STATUS = 75
TAIL_LINES = 40
LOGS_KEPT = 50


def status(target, outcome):
    """The command's exit status; raises GuestBroken with the reason otherwise."""
    bad = kernellog.bad_reports(outcome.log)
    if outcome.status is None or outcome.trouble or bad:
        raise GuestBroken(explanation(target, outcome, bad))
    return outcome.status


def fault_of_emulator(bad, status=None, crashed=False):
    """What the emulator has done to a guest or a test, whose kernel log has these bad reports;
    "" if it is not to blame (docs/reliability.md, exceptions)."""
    if bad:
        return "lost a timer's interrupt" if kernellog.lost_timer(bad) else ""
    if status == UNHEARD_STATUS:
        return "lost an interrupt"
    return "crashed" if crashed else ""


def explanation(target, outcome, bad):
    """Why a guest's result is worth nothing, and where the whole log is."""
    reasons = [outcome.trouble] if outcome.trouble else []
    if bad:
        reasons.append(f"{len(bad)} bad report(s) in the kernel log")
    text = [f"{target}: {'; '.join(reasons)}"]
    for report in bad:
        text += quoted(report.lines)
    if not bad and not outcome.hang:
        text += quoted(outcome.log.splitlines()[-TAIL_LINES:])
    text += quoted(outcome.hang.splitlines())
    if outcome.qemu_output:
        text += ["QEMU says:", *quoted(outcome.qemu_output.splitlines())]
    try:
        text.append(f"whole kernel log: {keep_log(target, outcome)}")
    except OSError as error:
        # What is wrong with the guest counts more than that.
        text.append(f"the whole kernel log could not be kept: {error}")
    return "\n".join(text)


def quoted(lines):
    return [f"  | {line}" for line in lines]


def keep_log(target, outcome):
    """Keeps the log of a guest that ended badly, and not too many; returns where."""
    folder = cache.root() / "logs"
    folder.mkdir(exist_ok=True)
    with tempfile.NamedTemporaryFile(
            "w", dir=folder, prefix=time.strftime(f"{target}-%Y%m%d-%H%M%S-"),
            suffix=".log", delete=False, encoding="utf-8") as handle:
        handle.write(outcome.log + outcome.hang)
    _prune(folder)
    return handle.name


def _prune(folder):
    """Removes the oldest logs. Another run may be doing so at the same time."""
    ages = []
    for path in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):
            ages.append((path.stat().st_mtime, path))
    for _, path in sorted(ages)[:-LOGS_KEPT]:
        path.unlink(missing_ok=True)
