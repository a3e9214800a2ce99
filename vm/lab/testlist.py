# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Which tests there are, and which of them a run of `lab test` chooses.

A test program prints its tests for --list, one `part/behaviour [timeout=SECONDS]` a
line. Programs installed under GUEST_TESTS run in the guest, those in vm/tests on the
host, where they try the lab itself.
"""

import fnmatch
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from lab import build, targets
from lab.errors import LabError

GUEST_TESTS = "usr/libexec/p2pmr/tests"
HOST_TESTS = Path(__file__).resolve().parent.parent / "tests"
HOST_PART = "lab"
DEFAULT_TIMEOUT = 60

# Nowhere, unless asked for: rdma-core's own suite, the tests of traffic once more with
# the provider, other people's programs on it, and most of what is slow under valgrind, of
# which a sample is enough; and the packages, and documentation that takes them, and modules
# that are loaded again and again, which take minutes; most machines of an unusual fabric, and
# those with Secure Boot; a race that takes as many rounds as it takes.
LEFT_OUT = ("upstream/*", "provider/*.*", "provider_valgrind/*", "packages/*",
            "documentation/building-*", "documentation/using-*", "documentation/fetching-*",
            "documentation/checkout-*", "faults/attach", "faults/load-*", "faults/unload-*",
            "dmabuf/topology-switch-translated", "dmabuf/topology-redirect*-*",
            "security/right-goes-*", "secure_boot/*")
KEPT = ("upstream/test_cq.CQTest", "upstream/test_parent_domain.*", "provider/verbs.write-*",
        "provider/verbs.send-*", "provider/perftest.ib_send_bw-bar-on-both",
        "provider/program.rc_pingpong", "provider/program.rc_pingpong-device-memory",
        "provider/program.ib_send_bw-in-bars", "provider/program.rping",
        "provider_valgrind/failing-qps", "provider_valgrind/failing-mrs",
        "provider_valgrind/failing-device-memory")

# On targets other than the default one, unless asked for: all that depends on the
# kernel. perftest is user space over the same verbs, so a sample of it is enough; copies
# and costs are the CPU's affair, and sanitizers find on one kernel what they would on
# another. Chaos takes minutes, and a machine of two nodes is a guest of its own. Of the
# command, what reads files of the kernel that may differ; counts have a reference for each.
LEFT_OUT_ELSEWHERE = ("lab/*", "perftest/*", "copy/*", "copy_asan/*", "lib_asan/*",
                      "dmabuf_asan/*", "dmabuf/preload-*", "dmabuf/forced-*",
                      "dmabuf/topology-switch", "dmabuf/topology-redirected",
                      "lib_valgrind/*", "provider_asan/*", "provider_valgrind/*",
                      "provider/costs-*", "style/clang-format", "style/kernel-doc",
                      "documentation/*", "tool/*", "tool_asan/*", "bench/*",
                      "chaos/*", "range/numa-keeps")
KEPT_ELSEWHERE = ("perftest/ib_write_bw-bar-on-both", "tool/status", "tool/bars*", "tool/mr",
                  "tool/query*", "tool/monitor", "tool/test-bar", "tool/doctor-healthy",
                  "bench/quick-run")
# On the sanitizer kernel, always: what does not enter the kernel there or finds out nothing
# of it. The lab's own tests, sources, documentation and packages have no guest of this
# kernel, and Secure Boot starts none that Debian has not signed; user space under its own
# sanitizers, copies by the CPU, compilers and shells make no other calls than without; costs
# and speed are those of the sanitizers; and the tests of traffic once more with the provider
# differ in user space only, so the sample above is enough. It knows of no nodes.
LEFT_OUT_ON_SANITIZER = ("lab/*", "style/*", "documentation/*", "packages/*",
                         "secure_boot/*", "*_asan/*", "*_valgrind/*", "copy/*", "bench/*",
                         "provider/costs-*", "perftest/*", "provider/*.*",
                         "tool/completion-*", "lib/header-*", "range/numa-keeps")
KEPT_ON_SANITIZER = ("perftest/ib_write_bw-bar-on-both", "perftest/ib_send_bw-bar-on-both",
                     "provider/verbs.write-*", "provider/verbs.send-*",
                     "provider/program.rc_pingpong-device-memory")
# Of the rest, unless asked for: what ends and what races, what is refused, and what
# others hold; the same paths once more for each kind of memory tell it nothing new. Of few
# parts, since memory is searched for leaks after each.
SAMPLE_ON_SANITIZER = (
    "range/*-races-*", "range/*-removed-*", "range/*-unplugged-*", "range/*-under-*",
    "range/*-with-live-mr", "range/clean-up-*", "range/driver-unbind-revokes",
    "range/munmap-of-middle-revokes", "range/mremap-*", "range/map-fixed-over-it-revokes",
    "range/mprotect-read-only-revokes", "range/rdma-device-deleted-revokes",
    "exporter/takes-back-*", "exporter/waits-alone", "exporter/mistakes-refused", "importer/*",
    "attach/device-deleted-under-dmabuf", "dmabuf/over-after-*", "dmabuf/waits-*",
    "dmabuf/refused-arguments", "verbs/refused-invalid-flags", "verbs/refused-hole-between",
    "verbs/refused-register-bar", "verbs/rereg-*", "verbs/limit-*",
    "verbs/parallel-registration", "verbs/mr-over-mixed-memory-unaligned",
    "verbs/same-pages-*")
# Everywhere else: what needs such a kernel.
LEFT_OUT_BUT_ON_SANITIZER = ("left_behind/*", "faults/*")

# After these the guest is not what other tests expect: up to 6.14 the kernel forgets, when
# a part of a BAR's mapping is unmapped, that it had reserved the part's caching, and until
# reboot nobody can map it with another.
LEAVING_TRACES = ("chaos/*", "fuzz/*", "leaks/chaos", "leaks/fuzz")

# Only with --all: what fetches something large, and is the same for each target.
LEFT_OUT_WITHOUT_ALL = ("style/checkpatch-strict",)

# On targets whose kernel has it, kmemleak is asked after the tests of each program that
# runs in the guest: a test of its own, part LEAKS_PART.
LEAKS_PART = "leaks"
LEAKS_PROGRAM = "/usr/lib/p2pmr-lab/check-leaks"
# Two scans of all memory: tens of seconds where several guests are emulated at once.
LEAKS_TIMEOUT = 180

# What a program lists, and whether that is all of it.
_LIST = 'status=0; "$1" --list || status=$?; echo "status=$status"'


@dataclass(frozen=True)
class Test:
    """One test of one program; program is a path on the host or in the guest."""

    name: str
    program: str
    timeout: float
    on_host: bool


def all_tests(tree):
    """The tests for a target in the order in which they run."""
    found = _from_listing(build.in_build(tree, _listing_script()), on_host=False)
    for program in sorted(HOST_TESTS.iterdir()):
        if program.is_file() and os.access(program, os.X_OK):
            listing = subprocess.run(["sh", "-c", _LIST, "sh", program], check=False,
                                     stdout=subprocess.PIPE, text=True)
            found += _from_listing(f"{program}:\n{listing.stdout}", on_host=True)
    names = [test.name for test in found]
    doubles = sorted({name for name in names if names.count(name) > 1})
    if doubles:
        raise LabError(f"tests with the same name: {', '.join(doubles)}")
    return sorted(found, key=lambda test: (test.on_host, test.name))


def matching(tests, patterns):
    """Those whose name contains one of the patterns; all if there is no pattern."""
    return [test for test in tests
            if not patterns or any(fnmatch.fnmatchcase(test.name, f"*{pattern}*")
                                   for pattern in patterns)]


def chosen(tests, target, complete, everything):
    """Those that run on a target: all, or what differs by kernel; everything is --all."""
    tests = _chosen(tests, target, complete, everything)
    return _with_leak_checks(tests) if target.watches_leaks else tests


def _with_leak_checks(tests):
    """Each part is followed by a look for what its tests have leaked."""
    found = []
    for number, test in enumerate(tests):
        found.append(test)
        part = test.name.partition("/")[0]
        following = tests[number + 1].name if number + 1 < len(tests) else ""
        if not test.on_host and not following.startswith(f"{part}/"):
            found.append(Test(f"{LEAKS_PART}/{part}", LEAKS_PROGRAM, LEAKS_TIMEOUT, False))
    return found


def _chosen(tests, target, complete, everything):
    if target.own_kernel:
        tests = _without(tests, LEFT_OUT_ON_SANITIZER, KEPT_ON_SANITIZER)
        return tests if complete else [test for test in tests
                                       if _any_match(test.name, SAMPLE_ON_SANITIZER)]
    tests = _without(tests, LEFT_OUT_BUT_ON_SANITIZER)
    if not (everything and target.name == targets.DEFAULT):
        tests = _without(tests, LEFT_OUT_WITHOUT_ALL)
    if complete:
        return tests
    tests = _without(tests, LEFT_OUT, KEPT)
    if target.name == targets.DEFAULT:
        return tests
    return _without(tests, LEFT_OUT_ELSEWHERE, KEPT_ELSEWHERE)


def _without(tests, left_out, kept=()):
    return [test for test in tests
            if not _any_match(test.name, left_out) or _any_match(test.name, kept)]


def leaves_traces(test, following):
    """Whether a guest that a test was run in will not do for the one that follows."""
    part = test.name.partition("/")[0]
    return (_any_match(test.name, LEAVING_TRACES)
            and following.name.partition("/")[0] not in (part, "leaks"))


def _any_match(name, patterns):
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _listing_script():
    """Prints each test program's path, its list and its status, in the tree of the
    build."""
    return f"""
    for program in /out/installed/{GUEST_TESTS}/*; do
        [ -f "$program" ] && [ -x "$program" ] || continue
        echo "${{program#/out/installed}}:"
        set -- "$program"
        {_LIST}
    done
    """


def _from_listing(text, on_host):
    found, program, count = [], None, 0
    for line in text.splitlines():
        if line.startswith("/") and line.endswith(":"):
            program, count = line[:-1], len(found)
            continue
        status = re.fullmatch(r"status=(-?\d+)", line)
        if status:
            # Its tests would be missing, and nobody would miss them.
            if status[1] != "0" or len(found) == count:
                raise LabError(f"{program} --list: status {status[1]}, "
                               f"{len(found) - count} tests")
            continue
        form = re.fullmatch(r"([a-z0-9_]+/[\w.+-]+)(?:\s+timeout=(\d+))?\s*", line)
        if not form:
            raise LabError(f"{program} --list: not a test's name: {line!r}")
        found.append(Test(form[1], program, float(form[2] or DEFAULT_TIMEOUT), on_host))
    return found
