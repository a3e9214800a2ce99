# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""One guest from start to end: starts QEMU, moves its streams, answers its requests,
and gives a verdict on how it ended."""

import os
import re
import selectors
import signal
import socket
import subprocess
import time
from dataclasses import dataclass

from lab import cache, kernellog, qemu
from lab.errors import GuestBroken
from lab.hostport import HostPort
from lab.qmp import Monitor

BOOT_SECONDS = 120
# From the command's end to the end of the streams and of the kernel log.
ENDING_SECONDS = 30
SYSRQ_SECONDS = 8
TAIL_LINES = 40


@dataclass
class Settings:
    """What a run asks of its guest, beyond the machine."""

    target: str
    timeout: float = 600


class MarkedStream:
    """A stream of bytes that ends with a mark; the mark itself is not passed on."""

    def __init__(self, mark, sink):
        self._mark = mark
        self._sink = sink
        self._held = b""
        self.ended = False

    def feed(self, data):
        if self.ended:
            return
        data = self._held + data
        before, mark, _ = data.partition(self._mark)
        if mark:
            self.ended, self._held = True, b""
            self._sink(before)
            return
        keep = self._possible_start(data)
        self._held = data[len(data) - keep:]
        self._sink(data[:len(data) - keep])

    def flush(self):
        """Passes on what was held back, when no mark will come any more."""
        self._sink(self._held)
        self._held = b""

    def _possible_start(self, data):
        for length in range(min(len(data), len(self._mark) - 1), 0, -1):
            if data.endswith(self._mark[:length]):
                return length
        return 0


class Guest:
    """A running guest. Use run() once."""

    def __init__(self, settings, token):
        self.settings = settings
        self.status = None
        self.log = b""
        self._end_mark = re.compile(rb"p2pmr-lab: end " + token + rb"\b")
        self._mark = token + b"\n"
        self._streams = {}
        self._lines = {"control": b"", "host": b""}
        self._deadline = 0
        self._trouble = None
        self._phase = "boot"
        self._sockets = {}
        self._selector = selectors.DefaultSelector()

    def run(self, machine, output):
        """Runs the guest to its end; output maps stdout and stderr to functions that
        take bytes. Returns the command's exit status or raises GuestBroken."""
        self._streams = {name: MarkedStream(self._mark, sink) for name, sink in output.items()}
        self._host_port = HostPort(machine.bars)
        process = self._start(machine)
        try:
            self._serve(process)
        finally:
            _stop(process)
            self._drain()
            for connection in self._sockets.values():
                connection.close()
        return self._verdict(process)

    def _start(self, machine):
        theirs = {}
        for name in ("console", "qmp", *qemu.PORTS):
            self._sockets[name], theirs[name] = socket.socketpair()
        machine.channels = {name: end.fileno() for name, end in theirs.items()}
        process = subprocess.Popen(
            machine.command(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, pass_fds=list(machine.channels.values()),
            # Ctrl-C is for the lab, which then stops QEMU in its own way.
            start_new_session=True)
        for end in theirs.values():
            end.close()
        for name, connection in self._sockets.items():
            if name != "qmp":
                self._selector.register(connection, selectors.EVENT_READ, name)
        self._deadline = time.monotonic() + BOOT_SECONDS
        return process

    def _serve(self, process):
        pidfd = os.pidfd_open(process.pid)
        self._selector.register(pidfd, selectors.EVENT_READ, "exit")
        try:
            while not self._finished():
                events = self._selector.select(max(0, self._deadline - time.monotonic()))
                names = [key.data for key, _ in events]
                for name in names:
                    if name != "exit":
                        self._receive(name)
                if "exit" in names:
                    return
                if time.monotonic() >= self._deadline and not self._finished():
                    self._explain_hang()
                    return
        finally:
            self._selector.unregister(pidfd)
            os.close(pidfd)

    def _finished(self):
        if self._trouble:
            return True
        return (self.status is not None and self._end_mark.search(self.log)
                and all(stream.ended for stream in self._streams.values()))

    def _receive(self, name):
        data = self._sockets[name].recv(1 << 16)
        if not data:
            self._selector.unregister(self._sockets[name])
        elif name == "console":
            self.log += data
        elif name in self._lines:
            lines = (self._lines[name] + data).split(b"\n")
            self._lines[name] = lines.pop()
            for line in lines:
                self._line(name, line.decode(errors="replace").strip())
        elif name in self._streams:
            self._streams[name].feed(data)
        return bool(data)

    def _line(self, name, line):
        if name == "host":
            answer = self._host_port.answer(line) + "\n"
            self._sockets["host"].sendall(answer.encode())
            return
        word, _, rest = line.partition(" ")
        if word == "ready":
            self._phase = "command"
            self._deadline = time.monotonic() + self.settings.timeout
        elif word == "exit":
            self._phase = "end"
            self.status = int(rest)
            self._deadline = time.monotonic() + ENDING_SECONDS
        elif word == "failed":
            self._trouble = f"the guest did not come up: {rest}"

    def _explain_hang(self):
        """Makes the kernel log who waits and who runs, before the guest goes."""
        self._trouble = {
            "boot": f"no end of the boot within {BOOT_SECONDS} s",
            "command": f"the command did not end within {self.settings.timeout:g} s",
            "end": f"the guest did not end within {ENDING_SECONDS} s of its command",
        }[self._phase]
        self._hang_report = len(self.log)
        monitor = Monitor(self._sockets["qmp"])
        for letter in b"wl":
            monitor.command("chardev-send-break", id="console")
            self._sockets["console"].sendall(bytes([letter]))
            self._listen(SYSRQ_SECONDS / 2)
        if len(self.log) == self._hang_report:
            # No interrupt gets through; a non-maskable one makes the kernel panic.
            monitor.command("inject-nmi")
            self._listen(SYSRQ_SECONDS)

    def _listen(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for key, _ in self._selector.select(end - time.monotonic()):
                if key.data != "exit" and not self._receive(key.data):
                    return
                if key.data == "exit":
                    return

    def _drain(self):
        """Takes what QEMU had written before it went."""
        for name, connection in self._sockets.items():
            if name == "qmp" or connection.fileno() < 0:
                continue
            connection.setblocking(False)
            try:
                while connection in self._registered() and self._receive(name):
                    pass
            except (BlockingIOError, ConnectionResetError):
                pass
        for stream in self._streams.values():
            stream.flush()

    def _registered(self):
        return {key.fileobj for key in self._selector.get_map().values()}

    def _verdict(self, process):
        text = self.log.decode(errors="replace").replace("\r", "")
        before_hang = text
        if self._trouble and hasattr(self, "_hang_report"):
            before_hang = self.log[:self._hang_report].decode(errors="replace")
        bad = kernellog.bad_reports(before_hang)
        if self.status is not None and not self._trouble and not bad:
            return self.status
        kept = _keep_log(self.settings.target, self.log)
        if bad:
            lines = [line for report in bad for line in report.lines]
            reason = f"{len(bad)} bad report(s) in the kernel log"
        else:
            lines = text.splitlines()[-TAIL_LINES:]
            reason = self._trouble or f"QEMU ended with status {process.returncode}"
            if hasattr(self, "_hang_report"):
                lines = self.log[self._hang_report:].decode(errors="replace").splitlines()
        problems = process.stdout.read().decode(errors="replace").strip()
        raise GuestBroken("\n".join(
            [f"{self.settings.target}: {reason}", *(f"  | {line}" for line in lines),
             *([problems] if problems else []), f"whole kernel log: {kept}"]))


def _stop(process):
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _keep_log(target, log):
    folder = cache.root() / "logs"
    folder.mkdir(exist_ok=True)
    path = folder / f"{target}-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"
    path.write_bytes(log)
    return path
