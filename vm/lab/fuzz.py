# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""`lab fuzz`: runs the fuzzer (kernel/tests/fuzz.c) in a guest for as long as one
likes, and says what it has tried and, on a kernel with KCOV, which lines of the
modules it has come through (coverage.py)."""

import json
import secrets
import sys
import tempfile
from pathlib import Path

from lab import coverage, run, streams, testlist, tree, verdict
from lab.errors import FAILED
from lab.guest import Guest
from lab.progress import say
from lab.results import results_file, write_results

PROGRAM = f"/{testlist.GUEST_TESTS}/fuzz"
# Beyond the time for cases: the last of them, and writing down what there is, where the
# target is not slow.
MARGIN_SECONDS = 300


def fuzz(target, duration, seed, cases, json_file):
    """Runs cases from `seed` on; returns the exit status."""
    results = results_file(json_file)
    seed = secrets.randbits(32) if seed is None else seed
    say(f"lab: {target.name}: fuzzing from seed {seed} for {duration} s")
    made = tree.get(target)
    with tempfile.TemporaryDirectory(prefix="p2pmr-fuzz-") as folder:
        status = _run(target, duration, seed, cases, folder)
        result_file = Path(folder) / "result.json"
        if not result_file.exists():
            say(f"lab: the fuzzer did not come to an end (status {status})")
            return status or FAILED
        result = json.loads(result_file.read_text(encoding="utf-8"))
        points = (Path(folder) / "coverage").read_text(encoding="utf-8")
        result.update(target=target.name, kernel=made.kernel,
                      coverage=coverage.by_file(made, points))
    write_results(results, result)
    print(summary(result))
    return status


def _run(target, duration, seed, cases, folder):
    command = [PROGRAM, "run", "-s", str(seed), "-t", str(duration), "-o", "/mnt/share"]
    if cases:
        command += ["-c", str(cases)]
    request = run.Request(target=target, command=command, share=folder,
                          timeout=duration + MARGIN_SECONDS * target.slowness)
    with run.prepared(request) as (machine, token):
        # Progress goes where the lab's own does: the result is what is asked for.
        guest = Guest(token, {"stdout": streams.to(sys.stderr),
                              "stderr": streams.to(sys.stderr)}, request.timeout)
        return verdict.status(target.name, guest.run(machine))


def summary(result):
    """For people: one line, and what coverage there is."""
    steps = result["steps"]
    tried = sum(step["tried"] for step in steps)
    worked = sum(step["worked"] for step in steps)
    lines = [f"{result['target']} ({result['kernel']}): {result['cases']} cases from seed "
             f"{result['first_seed']}, {tried} steps, of which {worked} did something, "
             f"{result['foretold']} outcomes foretold, {result['seconds']:.0f} s: "
             f"{'nothing found' if result['ok'] else 'FOUND SOMETHING'}"]
    lines += coverage.report(result["coverage"])
    return "\n".join(lines)
