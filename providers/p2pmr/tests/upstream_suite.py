#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""rdma-core's own test suite on the stock provider and on this one, test by test.

    upstream --list               the classes of the suite, as tests of the lab
    upstream upstream/CLASS       runs one on both, and compares
    upstream --table FILE [CLASS]...
                                  runs all, or these: a table and a summary, which is the
                                  output too

A test fails that passes with stock and not here, and one that does not pass without
being listed with its reason (upstream_reasons.txt), or passes though it is. The suite
may end its interpreter, or hang: each class is run in processes of its own, until all
of its tests have had their turn.
"""

import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import unittest
from collections import Counter
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
sys.dont_write_bytecode = True
sys.path.insert(0, str(FOLDER / "pyverbs-tests"))

import upstream  # pylint: disable=wrong-import-position

PART = "upstream/"
# Of the suite's modules, those that ask for another vendor's device.
FOREIGN = re.compile(r"test_(mlx\d|efa|cuda|hns|irdma|mana)")
PROVIDERS = ("rxe", "p2pmr")
PASSED, SKIPPED, FAILED, CRASHED, HUNG = "passed", "skipped", "failed", "crashed", "hung"
REASONS = FOLDER / "upstream_reasons.txt"
# At the end of a reason: where it is one, and whether the tests fail, not skip, there.
CONDITION = re.compile(r" \((kernel|rdma-core) < ([\d.]+)(, fails)?\)$")
# Of a class with one provider, on a busy machine that emulates.
SECONDS = 120
TIMEOUT = 600


# --- in a process of its own: some tests of a class

class Recorder(unittest.TestResult):
    """Writes each outcome down before the next test starts."""

    def __init__(self, file):
        super().__init__()
        self.file = file

    def _write(self, test, outcome, why=""):
        name = test.id().rpartition(".")[2]
        self.file.write(json.dumps([name, outcome, why]) + "\n")
        self.file.flush()

    def startTest(self, test):
        super().startTest(test)
        self._write(test, None)

    def addSuccess(self, test):
        super().addSuccess(test)
        self._write(test, PASSED)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self._write(test, SKIPPED, reason)

    def _bad(self, test, err):
        self._write(test, FAILED, f"{err[0].__name__}: {err[1]}")

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self._bad(test, err)

    def addError(self, test, err):
        super().addError(test, err)
        self._bad(test, err)

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err:
            self._bad(test, err)


def classes(of_module=None):
    """The suite's test classes by name, `module.Class`; of all modules, or of one, since
    importing them is what takes long."""
    modules = [module for module in upstream.suite_modules()
               if not FOREIGN.match(module) and of_module in (None, module)]
    upstream.make_importable(
        (*upstream.MODULES, "base_rdmacm", "rdmacm_utils", "cuda_utils",
         *upstream.suite_modules()))
    upstream.configure(os.environ.get("P2PMR_DEV"))
    table = {}
    for module in modules:
        loaded = __import__(f"tests.{module}", fromlist=["*"])
        for suite in unittest.TestLoader().loadTestsFromModule(loaded):
            for test in suite:
                table.setdefault(f"{module}.{type(test).__name__}", {})[
                    test.id().rpartition(".")[2]] = test
    return table


def run_here(name, done, file):
    tests = classes(name.partition(".")[0])[name]
    suite = unittest.TestSuite(test for method, test in tests.items()
                               if method not in done)
    suite.run(Recorder(file))


# --- outside of it

@contextlib.contextmanager
def huge_pages(count=16):
    """Some tests skip without; 16 are 32 MiB."""
    file = Path("/proc/sys/vm/nr_hugepages")
    before = file.read_text(encoding="ascii")
    file.write_text(str(count), encoding="ascii")
    try:
        yield
    finally:
        file.write_text(before, encoding="ascii")


def run_class(name, provider):
    """{method: [outcome, why]} of a class with a provider."""
    environment = {**os.environ, "P2PMR_DM_BAR": os.environ["P2PMR_BAR"]}
    if provider == "rxe":
        environment.pop("IBV_DRIVERS", None)
    else:
        environment["IBV_DRIVERS"] = provider
    results = {}
    while True:
        with tempfile.NamedTemporaryFile("w+") as file:
            command = [sys.executable, __file__, "--run", name, file.name,
                       json.dumps(list(results))]
            try:
                status = subprocess.run(command, env=environment, timeout=SECONDS,
                                        stdin=subprocess.DEVNULL, check=False).returncode
                end = [CRASHED, f"the interpreter ended with status {status}"]
            except subprocess.TimeoutExpired:
                status, end = None, [HUNG, f"not over within {SECONDS} s"]
            running = None
            for line in file.read().splitlines():
                method, outcome, why = json.loads(line)
                running = method if outcome is None else None
                if outcome and results.get(method, [None])[0] != FAILED:
                    results[method] = [outcome, why]
        if status == 0:
            return results
        if running is None:
            # Not in a test: at its very end, or before the first one.
            if not results:
                raise SystemExit(f"{name} with {provider}: {end[1]}")
            return results
        results[running] = end


def version(text):
    return tuple(int(number) for number in re.findall(r"\d+", text))


def versions():
    """Of what reasons depend on. libibverbs.so.1.14.56.1 is rdma-core 56.1."""
    library, = Path("/usr/lib").glob("*/libibverbs.so.1.*")
    return {"kernel": version(os.uname().release)[:2],
            "rdma-core": version(library.name.partition(".so.")[2])[2:]}


def reasons():
    """{test: (reason, outcome that it explains)}, of those that hold here."""
    table, reason, here = {}, None, versions()
    for line in REASONS.read_text(encoding="utf-8").splitlines():
        if line.startswith("    "):
            if reason:
                table[line.strip()] = reason
        elif line.endswith(":"):
            text, condition = CONDITION.sub("", line[:-1]), CONDITION.search(line[:-1])
            outcome = FAILED if condition and condition[3] else SKIPPED
            holds = not condition or here[condition[1]] < version(condition[2])
            reason = (text, outcome) if holds else None
    return table


def verdict(stock, own, reason):
    """What is wrong with a test's two results, or None."""
    if own[0] == PASSED:
        return f"is listed as one that does not pass: {reason[0]}" if reason else None
    if stock[0] == PASSED:
        return f"passes with stock, here: {own[0]} ({own[1]})"
    if not reason or own[0] != reason[1]:
        return f"{own[0]} without a reason that is listed ({own[1]})"
    return None


def compare(name, known):
    """Rows of (test, stock's result, ours, our reason, what is wrong)."""
    stock, own = (run_class(name, provider) for provider in PROVIDERS)
    missing = [SKIPPED, "not run"]
    for method in sorted({*stock, *own}):
        ours, theirs = own.get(method, missing), stock.get(method, missing)
        test = f"{name}.{method}"
        reason = known.get(test)
        yield (test, theirs, ours, reason[0] if reason else "",
               verdict(theirs, ours, reason))


def line_of(test, stock, own, reason, wrong):
    why = f"WRONG: {wrong}" if wrong else reason
    return f"{test:<75} {stock[0]:<8} {own[0]:<8} {' '.join(why.split())}".rstrip()


def run_one(name):
    wrong, known = 0, reasons()
    for row in compare(name, known):
        print(line_of(*row), flush=True)
        wrong += bool(row[4])
    return 1 if wrong else 0


def summary(rows):
    for provider, column in zip(PROVIDERS, (1, 2)):
        count = Counter(row[column][0] for row in rows)
        yield f"{provider:<6} " + ", ".join(f"{number} {kind}"
                                            for kind, number in count.most_common())
    explained = Counter((row[2][0], row[3]) for row in rows if row[3] and not row[4])
    for (outcome, reason), number in explained.most_common():
        yield f"{number:>4} {outcome} with p2pmr: {reason}"
    wrong = [f"{row[0]}: {row[4]}" for row in rows if row[4]]
    yield from wrong or ["none that passes with rxe fails with p2pmr, none lacks a reason"]


def make_table(file_name, chosen):
    rows, known = [], reasons()
    library = ".".join(str(number) for number in versions()["rdma-core"])
    with open(file_name, "w", encoding="utf-8") as file:
        # The table may become a file of the project's.
        file.write("# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause\n"
                   f"# rdma-core {library}'s test suite on Linux {os.uname().release}\n\n"
                   f"{'test':<75} {'rxe':<8} {'p2pmr':<8} why not here\n")
        for name in chosen:
            for row in compare(name, known):
                rows.append(row)
                file.write(line_of(*row) + "\n")
                file.flush()
        text = "\n".join(summary(rows))
        file.write(f"\n{text}\n")
    print(text)
    return 1 if any(row[4] for row in rows) else 0


def main():
    arguments = sys.argv[1:]
    if arguments[:1] == ["--run"]:
        with open(arguments[2], "w", encoding="utf-8") as file:
            run_here(arguments[1], json.loads(arguments[3]), file)
        return 0
    if arguments == ["--list"]:
        upstream_classes = classes()
        print("\n".join(f"{PART}{name} timeout={TIMEOUT}" for name in upstream_classes))
        return 0
    if len(arguments) >= 2 and arguments[0] == "--table":
        chosen, known = arguments[2:], classes()
        if set(chosen) <= set(known):
            with huge_pages():
                return make_table(arguments[1], chosen or known)
    name = arguments[0].removeprefix(PART) if len(arguments) == 1 else ""
    if name not in classes(name.partition(".")[0]):
        print(__doc__, file=sys.stderr)
        return 2
    with huge_pages():
        return run_one(name)


if __name__ == "__main__":
    sys.exit(main())
