# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""`lab test`: chooses tests, runs those of the guests and those of the lab itself,
and reports."""

import os
import signal
import subprocess
import tempfile
import time

from lab import build, cache, targets, testlist, testsession, tree
from lab.errors import UsageError
from lab.testreport import Report, Result

# How long what a test leaves behind may take to clean up after itself.
LEAVE_SECONDS = 15


def run(only, everything, patterns, list_only, json_file):
    """only: the targets to test in full; none means the default set."""
    chosen_targets = only or _default(with_own_kernels=everything or not patterns)
    complete = bool(only) or everything
    if list_only:
        return _print_list(chosen_targets, complete, everything, patterns)
    report, count = Report(json_file), 0
    for target in chosen_targets:
        project, tests = _built(target)
        tests = testlist.chosen(testlist.matching(tests, patterns), target, complete,
                                everything)
        count += len(tests)
        testsession.run_tests(target, project, [test for test in tests if not test.on_host],
                              report)
        for test in tests:
            if test.on_host:
                report.add(_run_on_host(target, test))
    if not count:
        raise UsageError(f"test: nothing matches {' '.join(patterns)}")
    return report.close()


def _default(with_own_kernels):
    """All targets: the default one first, last those for which a kernel is to be built,
    which somebody who wants a few tests does not wait for."""
    chosen = [target for target in targets.TARGETS if with_own_kernels or not target.own_kernel]
    return sorted(chosen, key=lambda target: (target.own_kernel, target.name != targets.DEFAULT))


def _built(target):
    """The project as it is now, for all guests of this run, and the tests in it."""
    with cache.in_use():
        made = tree.get(target)
        return build.get(made), testlist.all_tests(made)


def _print_list(chosen_targets, complete, everything, patterns):
    """Every test with the targets it would run on. The names come from the first
    target: all build the same sources, and listing must not set up every one."""
    tests = testlist.matching(_built(chosen_targets[0])[1], patterns)
    for test in tests:
        where = [target.name for target in chosen_targets
                 if testlist.chosen([test], target, complete, everything)]
        if where:
            print(f"{test.name:<50} {' '.join(where)}")
    if not tests:
        raise UsageError(f"test: nothing matches {' '.join(patterns)}")
    return 0


def _run_on_host(target, test):
    """Runs a test of the lab itself; it finds the lab and the target in variables."""
    environment = {**os.environ, "P2PMR_LAB": str(build.SOURCE / "lab"),
                   "P2PMR_TARGET": target.name, "P2PMR_SLOWNESS": str(target.slowness)}
    # The user's file is behind the BAR of one guest; these tests start several.
    environment.pop("P2PMR_BAR_FILE", None)
    start = time.monotonic()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen([test.program, test.name], stdin=subprocess.DEVNULL,
                                   stdout=output, stderr=output, env=environment,
                                   start_new_session=True)
        try:
            status = process.wait(test.timeout * target.slowness)
        except subprocess.TimeoutExpired:
            status = "timeout"
        finally:
            _end_group(process)
        output.seek(0)
        text = output.read().decode(errors="replace")
    result, reason = testsession.meaning(status, text)
    return Result(target.name, test.name, result, time.monotonic() - start, reason, text)


def _end_group(leader):
    """Ends a test and every lab it has left running; their guests go with them."""
    end = time.monotonic() + LEAVE_SECONDS
    number = signal.SIGTERM
    while True:
        try:
            os.killpg(leader.pid, number)
        except ProcessLookupError:
            return
        leader.poll()
        if number == signal.SIGKILL:
            leader.wait()
            return
        number = 0 if time.monotonic() < end else signal.SIGKILL
        time.sleep(0.05)
