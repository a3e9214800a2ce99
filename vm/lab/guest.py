# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""One guest from start to end: starts QEMU, moves its streams, answers its requests,
and notes how it ended."""

import contextlib
import os
import re
import selectors
import signal
import socket
import subprocess
import time
from dataclasses import dataclass

from lab import kernellog
from lab.errors import LabError
from lab.hostport import HostPort
from lab.progress import Step, say
from lab.qemu import Slots
from lab.qmp import Monitor
from lab.streams import Lines, MarkedStream

BOOT_SECONDS = 120
# With firmware before the kernel, which reads and checks all that it starts.
FIRMWARE_SECONDS = 120
# Emulation with several threads has two holes: a CPU may still execute the breakpoint by
# which Linux patches its own code after Linux has taken it away, and on a busy machine
# the timer may not tick while Linux tries it. Where that happens before the guest is up
# and with no module of ours loaded, it is started again, and so where QEMU crashes.
BOOT_ATTEMPTS = 3
EMULATION = re.compile(rb"(?:Oops: int3: |Kernel panic - not syncing: IO-APIC \+ timer doesn't "
                       rb"work!).*\r?\n.* Not tainted ")
# Such an end of QEMU's is one of its mistakes.
CRASH = -signal.SIGSEGV
# From the command's end to the end of the streams and of the kernel log.
ENDING_SECONDS = 30
# After so long without a word the guest is taken to have said all; it is listened to
# for so long if it does not fall silent.
SILENCE_SECONDS = 5
LISTEN_SECONDS = 20
# How long the guest may take to make room for what the lab sends it.
SEND_SECONDS = 10


@dataclass
class Outcome:
    """How a guest ended. status is the command's, None if it did not end; hang is the
    part of the log in which the kernel was asked what it was doing; crashed, whether QEMU
    was ended by a fault of its own."""

    status: int | None
    trouble: str
    log: str
    hang: str
    qemu_output: str
    crashed: bool = False


class Guest:
    """A guest to be run once.

    output: name of a stream to a function that takes its bytes
    inputs: file object to a function that reads it and returns bytes for the terminal
    after_each: called after whatever the guest has said
    """

    def __init__(self, token, output, timeout, inputs=None, after_each=lambda: None):
        self.log = b""
        self._timeout = timeout
        self._inputs = inputs or {}
        self._after_each = after_each
        self._end_mark = re.compile(rb"p2pmr-lab: end " + token + rb"\b")
        self._streams = {name: MarkedStream(token, sink) for name, sink in output.items()}
        self._streams["control"] = Lines(self._control)
        self._streams["host"] = Lines(self._request)
        self._sockets = {}
        self._status = None
        self._trouble = ""
        self._log_before_hang = None
        self._phase = "boot"
        self._deadline = 0

    def run(self, machine):
        """Runs the guest to its end, whatever that is."""
        for _ in range(BOOT_ATTEMPTS - 1):
            outcome = self._attempt(machine)
            if self._phase != "boot" or not self._emulation_failed(outcome):
                return outcome
            say("lab: emulation failed while the guest booted; starting it again")
            self.log = b""
            self._trouble = ""
        return self._attempt(machine)

    def _emulation_failed(self, outcome):
        return EMULATION.search(self.log) or (outcome.crashed and not
                                              kernellog.bad_reports(outcome.log))

    def _attempt(self, machine):
        self._booting = Step("booting the guest")
        self._boot_seconds = (BOOT_SECONDS + FIRMWARE_SECONDS * bool(machine.firmware)
                              ) * machine.slowness
        self._ending_seconds = ENDING_SECONDS * machine.slowness
        self._selector = selectors.DefaultSelector()
        process = self._start(machine)
        self._monitor = Monitor(self._sockets["qmp"])
        self._host_port = HostPort(machine.bars, Slots(machine, self._monitor))
        self._booting.start()
        try:
            self._serve(process)
        finally:
            self._booting.end("stopped")
            _stop(process)
            self._drain()
            self._selector.close()
            for connection in self._sockets.values():
                connection.close()
        return self._outcome(process)

    def stop(self, reason=""):
        """Ends the guest early; for use by the functions that take its output."""
        self._phase = "stopped"
        self._trouble = reason

    def allow(self, seconds):
        """Gives the command more time, from now on."""
        self._deadline = time.monotonic() + seconds

    def tell(self, line):
        """Sends a line to the guest's init."""
        self._send("control", line.encode() + b"\n")

    def type(self, keys):
        """Sends bytes to the console, where firmware reads them as keys."""
        self._send("console", keys)

    def _start(self, machine):
        theirs = {}
        for name in machine.channel_names():
            self._sockets[name], theirs[name] = socket.socketpair()
        machine.channels = {name: end.fileno() for name, end in theirs.items()}
        # QEMU must not outlive the lab, and Ctrl-C is for the lab alone.
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--", *machine.command()],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            pass_fds=list(machine.channels.values()), start_new_session=True)
        for end in theirs.values():
            end.close()
        for name, connection in self._sockets.items():
            connection.settimeout(SEND_SECONDS)
            if name != "qmp":
                self._selector.register(connection, selectors.EVENT_READ, name)
        self._deadline = time.monotonic() + self._boot_seconds
        return process

    def _serve(self, process):
        pidfd = os.pidfd_open(process.pid)
        self._selector.register(pidfd, selectors.EVENT_READ, "exit")
        try:
            while not self._finished():
                left = self._deadline - time.monotonic()
                if left <= 0:
                    self._explain_hang()
                    return
                # A poll takes at most some weeks.
                events = self._selector.select(min(left, 1e6))
                for key, _ in events:
                    self._receive(key)
                self._after_each()
                if any(key.data == "exit" for key, _ in events):
                    return
        finally:
            self._selector.unregister(pidfd)
            os.close(pidfd)

    def _finished(self):
        if self._phase == "stopped":
            return True
        return (self._status is not None and self._end_mark.search(self.log)
                and all(stream.ended for stream in self._streams.values()
                        if isinstance(stream, MarkedStream)))

    def _receive(self, key):
        """Handles what one source has; False at its end."""
        if key.data == "exit":
            return False
        if key.data == "input":
            data = self._inputs[key.fileobj]()
            if data is None:
                self._selector.unregister(key.fileobj)
            else:
                self._send("terminal", data)
            return True
        try:
            data = key.fileobj.recv(1 << 16)
        except ConnectionResetError:
            data = b""
        if not data:
            self._selector.unregister(key.fileobj)
            return False
        if key.data == "console":
            self.log += data
        elif isinstance(self._streams[key.data], MarkedStream):
            self._streams[key.data].feed(data)
        else:
            self._streams[key.data](data)
        return True

    def _send(self, name, data):
        # A guest that has gone, or does not read, shows in other ways.
        with contextlib.suppress(OSError):
            self._sockets[name].sendall(data)

    def _request(self, line):
        answer = self._host_port.answer(line)
        if answer is not None:
            self._send("host", answer.encode() + b"\n")

    def _control(self, line):
        word, _, rest = line.partition(" ")
        if word == "ready":
            self._booting.end("done")
            self._phase = "command"
            self._deadline = time.monotonic() + self._timeout
            for source in self._inputs:
                self._selector.register(source, selectors.EVENT_READ, "input")
        elif word == "exit":
            self._phase = "end"
            self._status = int(rest)
            self._deadline = time.monotonic() + self._ending_seconds
        elif word == "failed":
            self.stop(f"the guest did not come up: {rest}")

    def _explain_hang(self):
        """Makes the kernel log who waits and who runs, before the guest goes."""
        self._trouble = {
            "boot": f"no end of the boot within {self._boot_seconds} s",
            "command": f"the command did not end within {self._timeout:g} s",
            "end": f"the guest did not end within {self._ending_seconds} s of its command",
        }[self._phase]
        self._log_before_hang = len(self.log)
        for letter in b"wl":
            self._ask_machine("chardev-send-break", id="console")
            self._send("console", bytes([letter]))
            self._listen()
        if len(self.log) == self._log_before_hang:
            # No interrupt gets through; a non-maskable one makes the kernel panic.
            self._ask_machine("inject-nmi")
            self._listen()

    def _ask_machine(self, command, **arguments):
        # QEMU may hang itself, or go just now: the guest is broken all the same.
        with contextlib.suppress(LabError, OSError, ValueError):
            self._monitor.command(command, **arguments)

    def _listen(self):
        end = time.monotonic() + LISTEN_SECONDS
        while time.monotonic() < end:
            events = self._selector.select(SILENCE_SECONDS)
            if not events:
                return
            for key, _ in events:
                if not self._receive(key):
                    return

    def _drain(self):
        """Takes what QEMU had written before it went."""
        for key in list(self._selector.get_map().values()):
            if key.data in ("exit", "input"):
                continue
            key.fileobj.setblocking(False)
            try:
                while self._receive(key):
                    pass
            except BlockingIOError:
                pass
        for stream in self._streams.values():
            if isinstance(stream, MarkedStream):
                stream.flush()
        self._after_each()

    def _outcome(self, process):
        crashed = False
        if self._status is None and not self._trouble and self._phase != "stopped":
            crashed = process.returncode == CRASH
            self._trouble = f"the guest ended by itself (QEMU's status {process.returncode})"
        end = len(self.log) if self._log_before_hang is None else self._log_before_hang
        return Outcome(self._status, self._trouble, _text(self.log[:end]),
                       _text(self.log[end:]), _complaints(process), crashed)


def _text(data):
    return data.decode(errors="replace").replace("\r", "")


def _complaints(process):
    """What QEMU printed, without its word on being stopped."""
    lines = _text(process.stdout.read()).splitlines()
    return "\n".join(line for line in lines if "terminating on signal" not in line)


def _stop(process):
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
