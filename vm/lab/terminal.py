# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""The user's terminal in `lab shell`: raw while the guest's shell runs, its size told
to the guest, restored on the way out."""

import os
import signal
import sys
import termios
import tty
from contextlib import contextmanager

END_OF_INPUT = b"\x04"


@contextmanager
def raw():
    """Raw mode, if standard input is a terminal at all."""
    if not sys.stdin.isatty():
        yield
        return
    before = termios.tcgetattr(sys.stdin)
    try:
        tty.setraw(sys.stdin)
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def reader():
    """A function that takes what was typed; None after the end of the input."""
    state = {"ended": False}

    def read():
        if state["ended"]:
            return None
        data = os.read(sys.stdin.fileno(), 4096)
        if not data:
            state["ended"] = True
            return END_OF_INPUT
        return data
    return read


def size():
    """Rows and columns, or None without a terminal."""
    if not sys.stdout.isatty():
        return None
    columns, rows = os.get_terminal_size(sys.stdout.fileno())
    return rows, columns


@contextmanager
def on_resize(function):
    """Calls function(rows, columns) whenever the window changes."""
    def handle(number, frame):
        function(*size())
    if size() is None:
        yield
        return
    before = signal.signal(signal.SIGWINCH, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGWINCH, before)
