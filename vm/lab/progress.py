# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Progress on standard error: steps that take longer than a moment say so, with
the time that has passed."""

import sys
import threading
import time

QUIET_SECONDS = 2.0
LINE_EVERY_SECONDS = 10.0


def say(text):
    print(text, file=sys.stderr, flush=True)


class Step:
    """`with Step("trixie: root tree"):` announces itself when it turns out long.
    A step that is no block of code has start(), and an end() that may come again."""

    def __init__(self, name):
        self.name = name
        self._over = threading.Event()
        self._announced = False
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, kind, error, trace):
        self.end("done" if kind is None else "stopped")
        return False

    def start(self):
        self._start = time.monotonic()
        self._thread.start()

    def end(self, result):
        if self._over.is_set():
            return
        self._over.set()
        self._thread.join()
        if self._announced:
            self._write(f"{result} after {self.elapsed():.0f} s", last=True)

    def elapsed(self):
        return time.monotonic() - self._start

    def _watch(self):
        if self._over.wait(QUIET_SECONDS):
            return
        self._announced = True
        terminal = sys.stderr.isatty()
        self._write("…")
        while not self._over.wait(1.0 if terminal else LINE_EVERY_SECONDS):
            self._write(f"… {self.elapsed():.0f} s")

    def _write(self, state, last=False):
        if sys.stderr.isatty():
            # A terminal of the guest's does not return to the first column by itself.
            sys.stderr.write(f"\r\033[Klab: {self.name} {state}" + ("\r\n" if last else ""))
            sys.stderr.flush()
        else:
            say(f"lab: {self.name} {state}")
