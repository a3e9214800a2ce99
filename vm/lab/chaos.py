# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""`lab chaos`: a guest in which things happen to device memory under traffic for as many
rounds as wanted, what the guest's program says of it, and the figures of the run. What can
happen, and what must hold after it, is in kernel/tests/chaos*.c."""

import json
import secrets
import sys
import time

from lab import run, streams, tree, verdict
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


def chaos(target, rounds, seconds, seed, json_file):
    """Runs so many rounds, or for so many seconds; returns the exit status."""
    results = results_file(json_file)
    if seed is None:
        seed = secrets.randbelow(1 << 32)
    say(f"lab: chaos on {target.name}, seed {seed}")
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
            status = verdict.status(target.name, guest.run(machine))
        finally:
            # Whatever broke the guest, this is how far it came.
            story.tell()
    if status:
        say(f"lab: {target.name}: a round failed; again: lab chaos --on {target.name} "
            f"--seed {seed} --rounds {story.rounds + 1}")
        return FAILED
    figures = {"target": target.name, "kernel": tree.get(target).kernel, **story.summary()}
    print(report(figures))
    write_results(results, figures)
    return 0


class Story:
    """Takes what the program prints: passes on what people want to read, keeps the rest."""

    def __init__(self):
        self.rounds = 0
        self.heard = lambda: None
        self._summary = None
        self._progress = ""
        self._told = time.monotonic()

    def line(self, line):
        self.heard()
        word, _, rest = line.partition(" ")
        if word == "summary":
            self._summary = json.loads(rest)
        elif word == "progress":
            self._progress = rest
            figures = dict(pair.split("=") for pair in rest.split())
            self.rounds = int(figures["rounds"])
            if time.monotonic() - self._told >= PROGRESS_SECONDS:
                self.tell()
        else:
            print(line, flush=True)

    def tell(self):
        if self._progress:
            say(f"lab: {self._progress}")
        self._progress = ""
        self._told = time.monotonic()

    def summary(self):
        if self._summary is None:
            raise LabError("the guest ended its chaos without a summary")
        return self._summary


def report(results):
    """The figures, for people."""
    lines = [f"{results['target']} ({results['kernel']}), seed {results['seed']}: "
             f"{results['rounds']:,} rounds in {results['seconds']:,} s survived",
             f"  {results['transfers']:,} transfers with {results['bytes']:,} bytes checked, "
             f"{results['failed_transfers']:,} transfers refused or failed",
             f"  {results['planted_bytes']:,} bytes planted from outside after a revocation "
             "stayed"]
    lines += [f"  {count:6,}  {name}" for name, count in results["events"].items()]
    return "\n".join(lines)
