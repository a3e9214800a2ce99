# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""`lab chaos`: a guest in which things happen to device memory under traffic for as many
rounds as wanted, what the guest's program says of it, and the figures of the run. What can
happen, and what must hold after it, is in kernel/tests/chaos*.c."""

import json
import secrets
import sys
import time

from lab import kernellog, run, streams, tree, verdict
from lab.errors import FAILED, LabError
from lab.guest import Guest
from lab.progress import say
from lab.results import results_file, write_results
from lab.streams import Lines
from lab.testlist import GUEST_TESTS

TEST = "chaos/under-traffic"
# The program says something every few seconds, and ends what hangs after two minutes.
SILENCE_SECONDS = 240
PROGRESS_SECONDS = 10
# The emulator is not blamed if it fails sooner.
LEAST_ROUNDS = 20


def chaos(target, rounds, seconds, seed, json_file):
    """Runs so many rounds, or for so many seconds; returns the exit status. Where the emulator
    fails, a new guest goes on, with the next seed."""
    results = results_file(json_file)
    if seed is None:
        seed = secrets.randbelow(1 << 32)
    say(f"lab: chaos on {target.name}, seed {seed}")
    figures = {"target": target.name, "kernel": tree.get(target).kernel, "seed": seed,
               "seeds": [], "failures_of_emulator": 0}
    while not _is_done(figures, rounds, seconds):
        story, outcome = _in_a_guest(target, seed, rounds and rounds - figures.get("rounds", 0),
                                     seconds and seconds - figures.get("seconds", 0))
        add(figures, story.figures)
        figures["seeds"].append(seed)
        what = _of_emulator(outcome, story)
        if not what:
            break
        figures["failures_of_emulator"] += 1
        seed = (seed + 1) % (1 << 64)
        say(verdict.explanation(f"{target.name}: the emulator {what}", outcome, []))
    if not what and not _is_well(target, outcome, story, seed):
        return FAILED
    print(report(figures))
    write_results(results, figures)
    return 0


def _in_a_guest(target, seed, rounds, seconds):
    """What its program said, and how the guest ended."""
    command = [f"/{GUEST_TESTS}/chaos", "--seed", str(seed)]
    if rounds:
        command += ["--rounds", str(rounds)]
    if seconds:
        command += ["--seconds", str(int(seconds))]
    story = Story()
    patience = SILENCE_SECONDS * target.slowness
    request = run.Request(target=target, command=[*command, TEST], timeout=patience)
    with run.prepared(request) as (machine, token):
        guest = Guest(token, {"stdout": Lines(story.line), "stderr": streams.to(sys.stderr)},
                      request.timeout)
        story.heard = lambda: guest.allow(patience)
        try:
            outcome = guest.run(machine)
        finally:
            # Whatever broke the guest, this is how far it came.
            story.tell()
    return story, outcome


def _of_emulator(outcome, story):
    """What the emulator has done to a guest that was well for many rounds; or nothing."""
    if story.failed or story.rounds < LEAST_ROUNDS:
        return ""
    return verdict.fault_of_emulator(kernellog.bad_reports(outcome.log), outcome.status,
                                     outcome.crashed)


def _is_well(target, outcome, story, seed):
    """Raises GuestBroken unless the guest has come to its end, and with a clean log."""
    if story.failed:
        say(f"lab: {target.name}: a round failed: {story.failed}; again: lab chaos --on "
            f"{target.name} --seed {seed} --rounds {int(story.failed.split()[0]) + 1}")
    if verdict.status(target.name, outcome):
        return False
    if not story.is_whole:
        raise LabError("the guest ended its chaos without a summary")
    return True


def _is_done(figures, rounds, seconds):
    return ((rounds and figures.get("rounds", 0) >= rounds)
            or (seconds and figures.get("seconds", 0) + 1 > seconds))


def add(figures, more):
    """Adds those of one more guest; the first seed is that of all."""
    for name, value in more.items():
        if name == "events":
            events = figures.setdefault(name, {})
            for event, count in value.items():
                events[event] = events.get(event, 0) + count
        elif name != "seed":
            figures[name] = figures.get(name, 0) + value


class Story:
    """Takes what the program prints: passes on what people want to read, keeps the rest."""

    def __init__(self):
        self.figures = {}
        self.failed = ""
        self.is_whole = False
        self.heard = lambda: None
        self._told = time.monotonic()
        self._news = False

    @property
    def rounds(self):
        return self.figures.get("rounds", 0)

    def line(self, line):
        self.heard()
        word, _, rest = line.partition(" ")
        if word in ("progress", "summary"):
            self.figures = json.loads(rest)
            self.is_whole = word == "summary"
            self._news = not self.is_whole
            if time.monotonic() - self._told >= PROGRESS_SECONDS:
                self.tell()
        elif word == "failed":
            self.failed = rest
        else:
            print(line, flush=True)

    def tell(self):
        if self._news:
            say(f"lab: {self.rounds:,} rounds, {self.figures['transfers']:,} transfers, "
                f"{self.figures['seconds']:,} s")
        self._news = False
        self._told = time.monotonic()


def report(results):
    """The figures, for people."""
    lines = [f"{results['target']} ({results['kernel']}), seed {results['seed']}: "
             f"{results['rounds']:,} rounds in {results['seconds']:,} s survived",
             f"  {results['transfers']:,} transfers with {results['bytes']:,} bytes checked, "
             f"{results['failed_transfers']:,} transfers refused or failed",
             f"  {results['planted_bytes']:,} bytes planted from outside after a revocation "
             "stayed"]
    if results["failures_of_emulator"]:
        lines.append(f"  in {len(results['seeds'])} guests, since the emulator failed "
                     f"{results['failures_of_emulator']} times; seeds "
                     + ", ".join(map(str, results["seeds"])))
    lines += [f"  {count:6,}  {name}" for name, count in results["events"].items()]
    return "\n".join(lines)
