# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Running tests in guests of one target. A test that breaks its guest (a crash, a
bad kernel log) or is not done in time fails, and the tests after it get a new guest."""

import json
import re

from lab import kernellog, run, testlist, verdict
from lab.guest import Guest
from lab.streams import Lines
from lab.testreport import FAILED, PASSED, SKIPPED, Result

SKIP_STATUS = 77
# After these the guest may not be what the next test expects: nothing was put back.
SPOILING = ("timeout", "stuck", verdict.UNHEARD_STATUS)
# Of the kernel log of a test that has failed, so many lines are shown.
LOG_LINES = 20
# What a guest may take around a test: starting it, killing it, reading the log.
MARGIN_SECONDS = 60


def run_tests(target, project, tests, report):
    """Runs the tests of a built project, in as many guests as it takes."""
    repeated = set()
    while tests:
        session = _Session(target, project, tests, report, repeated)
        before = len(repeated)
        session.run()
        if not session.finished and len(repeated) == before:
            report.note(f"{target.name}: the guest could not run tests; "
                        f"{len(tests)} not run")
            return
        tests = [test for test in tests if test.name not in session.finished]


class _Session:
    """One guest and the tests that it gets through."""

    def __init__(self, target, project, tests, report, repeated):
        self._target = target
        self._project = project
        self._tests = tests
        self._report = report
        self._repeated = repeated
        self._ended = []
        self._judged = 0
        self._stray = b""
        self.finished = set()

    def run(self):
        slowness = self._target.slowness
        plan = [{"name": test.name, "program": test.program,
                 "timeout": test.timeout * slowness} for test in self._tests]
        request = run.Request(
            target=self._target, project=self._project,
            command=["/usr/lib/p2pmr-lab/run-tests"],
            files={"tests": json.dumps(plan), **self._watching()},
            timeout=MARGIN_SECONDS * slowness)
        with run.prepared(request) as (machine, token):
            self._guest = Guest(token, {"stdout": Lines(self._event), "stderr": self._strayed},
                                request.timeout, after_each=self._judge)
            outcome = self._guest.run(machine)
        self._conclude(outcome)

    def _watching(self):
        """Whether the guest compares what there is after each test with what there was."""
        return {"watch-leaks": ""} if self._target.watches_leaks else {}

    def _strayed(self, data):
        self._stray += data

    def _event(self, line):
        event = json.loads(line)
        if event["event"] == "start":
            test = next(test for test in self._tests if test.name == event["name"])
            self._guest.allow((test.timeout + MARGIN_SECONDS) * self._target.slowness)
        else:
            self._ended.append(event)

    def _judge(self):
        """Reports tests that have ended, once the log is there up to their end."""
        while self._ended:
            event = self._ended[0]
            end, following = self._end_in_log(event["name"])
            if end < 0:
                return
            log = self._guest.log[self._judged:end].decode(errors="replace").replace("\r", "")
            self._judged = following
            self._ended.pop(0)
            bad = self._finish(event, log)
            if bad or event["status"] in SPOILING or self._leaves_traces(event["name"]):
                self._guest.stop()
                self._ended.clear()

    def _end_in_log(self, name):
        """Where the log of a test ends, and where that of the next one begins. Two CPUs that
        write to the console at once may lose a part of both lines, so that there may be no
        mark of the end, and less than one of the next beginning."""
        log, names = self._guest.log, [test.name for test in self._tests]
        mark = f"finished {name}\r\n".encode()
        end = log.find(mark, self._judged)
        if end >= 0:
            return end, end + len(mark)
        for later in names[names.index(name) + 1:]:
            for word in ("begin", "finished"):
                end = log.find(f"{word} {later}\r\n".encode(), self._judged)
                if end >= 0:
                    return end, end
        return -1, -1

    def _leaves_traces(self, name):
        number = next(n for n, test in enumerate(self._tests) if test.name == name)
        return (number + 1 < len(self._tests)
                and testlist.leaves_traces(*self._tests[number:number + 2]))

    def _finish(self, event, log):
        """Reports a test; returns the bad lines of its kernel log."""
        reports = kernellog.bad_reports(log)
        bad = [line for report in reports for line in report.lines if line.strip()]
        result, reason = meaning(event["status"], event["output"])
        output = event["output"]
        if result == FAILED and not bad:
            output = "\n".join([*verdict.quoted(log.splitlines()[-LOG_LINES:]), output])
        what = verdict.fault_of_emulator(reports, event["status"])
        if what and self._once_more(event["name"], what, "\n".join([output, *bad])):
            return bad
        if event.get("left"):
            result, reason = FAILED, "it left something behind"
        if bad:
            result, reason = FAILED, "bad kernel log"
            output += "\n" + "\n".join(bad)
        self._add(event["name"], result, event["seconds"], reason, output)
        self.finished.add(event["name"])
        return bad

    def _once_more(self, name, what, output):
        """Whether a test is run again, in a new guest, since the emulator has failed it: that
        may happen to a test once."""
        if name in self._repeated:
            return False
        self._repeated.add(name)
        self._report.repeated(self._target.name, name, f"the emulator {what}", output)
        return True

    def _conclude(self, outcome):
        """Reports what is left when the guest is gone."""
        unjudged = outcome.log[self._judged_characters(outcome):]
        bad = kernellog.bad_reports(unjudged)
        if not (outcome.trouble or bad or outcome.status):
            return
        explanation = verdict.explanation(self._target.name, outcome, bad)
        explanation += "\n" + self._stray.decode(errors="replace")
        # The log knows better than the events, which a crash can overtake.
        begun = re.findall(r"p2pmr-lab: begin (\S+)", unjudged)
        what = verdict.fault_of_emulator(bad, crashed=outcome.crashed)
        if what and begun and self._once_more(begun[-1], what, explanation):
            return
        if begun:
            self._add(begun[-1], FAILED, 0, "it broke the guest", explanation)
            self.finished.add(begun[-1])
        else:
            self._add("lab/guest", FAILED, 0, "the guest broke outside of any test",
                      explanation)

    def _judged_characters(self, outcome):
        """Where in the outcome's text the part begins that no test answered for."""
        judged = self._guest.log[:self._judged].decode(errors="replace")
        return min(len(outcome.log), len(judged.replace("\r", "")))

    def _add(self, name, result, seconds, reason, output):
        self._report.add(Result(self._target.name, name, result, seconds, reason, output))


def meaning(status, output):
    """What a test's end means: its result and the reason for it."""
    if status == 0:
        return PASSED, ""
    if status == SKIP_STATUS:
        lines = output.strip().splitlines()
        return SKIPPED, lines[-1] if lines else "no reason given"
    if status == verdict.UNHEARD_STATUS:
        return FAILED, "the emulator lost an interrupt, again"
    if status == "timeout":
        return FAILED, "not done in time"
    if status == "stuck":
        return FAILED, "not done in time, and cannot be killed"
    if status < 0:
        return FAILED, f"killed by signal {-status}"
    return FAILED, f"exit status {status}"
