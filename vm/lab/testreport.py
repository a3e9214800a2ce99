# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""The results of a test run: a line for each as it happens, the closing line, and the
same for programs as JSON."""

import sys
import time
from dataclasses import asdict, dataclass

from lab.results import results_file, write_results

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"
_WORDS = {PASSED: "ok  ", FAILED: "FAIL", SKIPPED: "skip"}
_COLOURS = {PASSED: "32", FAILED: "31;1", SKIPPED: "33"}
# Of the output of a failed test, so many lines are shown once more at the end.
LAST_LINES = 40


@dataclass
class Result:
    """What came of one test on one target."""

    target: str
    name: str
    result: str
    seconds: float
    reason: str = ""
    output: str = ""


class Report:
    """Collects results and prints them; json_file, if any, gets them at the end."""

    def __init__(self, json_file=None):
        self._start = time.monotonic()
        self._results = []
        self._repeated = []
        self._json = results_file(json_file)

    def add(self, result):
        self._results.append(result)
        self._print(_line(result))
        if result.result == FAILED:
            _print_output(result.output.splitlines())

    def repeated(self, target, name, reason, output):
        """A test that is run once more, which is not its own fault."""
        self._repeated.append({"target": target, "name": name, "reason": reason,
                               "output": output})
        self._print(f"{target} {name}: {reason}; once more, in a new guest")
        _print_output(output.splitlines())

    def note(self, text):
        self._print(text)

    def close(self):
        """Prints the closing lines; returns the exit status."""
        counts = {kind: sum(result.result == kind for result in self._results)
                  for kind in (PASSED, FAILED, SKIPPED)}
        closing = f"{counts[PASSED]} passed, {counts[FAILED]} failed"
        if counts[SKIPPED]:
            closing += f", {counts[SKIPPED]} skipped"
        if self._repeated:
            closing += f"; run once more: {len(self._repeated)}"
        self._repeat_failures()
        print(closing, flush=True)
        write_results(self._json, {**counts, "seconds": round(self._elapsed(), 1),
                                   "repeated": self._repeated,
                                   "tests": [asdict(result) for result in self._results]})
        return 1 if counts[FAILED] else 0

    def _repeat_failures(self):
        """A thousand lines may have passed since, and a log may keep only its end."""
        failed = [result for result in self._results if result.result == FAILED]
        for result in failed if len(self._results) > 1 else ():
            print(_line(result), flush=True)
            _print_output(result.output.splitlines()[-LAST_LINES:])

    def _elapsed(self):
        return time.monotonic() - self._start

    def _print(self, text):
        print(f"[{self._elapsed():6.1f} s] {text}", flush=True)


def _line(result):
    word = _WORDS[result.result]
    if sys.stdout.isatty():
        word = f"\033[{_COLOURS[result.result]}m{word}\033[0m"
    reason = f": {result.reason}" if result.reason else ""
    return f"{word} {result.target} {result.name} ({result.seconds:.1f} s){reason}"


def _print_output(lines):
    for line in lines:
        print(f"         | {line}", flush=True)
