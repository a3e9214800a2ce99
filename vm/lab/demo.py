# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""`lab demo`: one guest goes through a few steps (vm/demo/steps) while the host tells
what happens and checks each claim, from outside the guest where it can."""

import re
import secrets
import sys

from lab import run, streams, verdict
from lab.errors import FAILED, GuestBroken
from lab.guest import Guest
from lab.hostport import HostPort
from lab.streams import Lines

STEPS_PROGRAM = "/usr/libexec/p2pmr/demo/steps"
STEP_SECONDS = 60


class Demo:
    """The story, its claims, and the secrets that the host plants and looks for."""

    def __init__(self, target):
        self._target = target
        self._held = True
        self._step, self._output = None, []
        self._bandwidth = {}
        self._written = f"from host memory, {secrets.token_hex(8)}"
        self._planted = f"planted by the host, {secrets.token_hex(8)}"
        self._before = f"peer, before, {secrets.token_hex(8)}"
        self._after = f"peer, after,  {secrets.token_hex(8)}"
        self._offsets = {"write": 4096 + 7, "read": 1 << 20, "revoke": (2 << 20) + 100}
        self._claims = {
            "kernel": self._kernel, "device": self._device, "refused": self._refused,
            "load": self._load, "accepted": self._accepted, "write": self._write,
            "read": self._read, "revoke": self._revoke,
            "bandwidth-host": self._host_bandwidth, "bandwidth-bar": self._bar_bandwidth,
        }
        self._left = list(self._claims)

    def run(self):
        """Runs the demonstration; True if every claim held."""
        request = run.Request(
            target=self._target, command=[STEPS_PROGRAM], modules=False,
            timeout=STEP_SECONDS * self._target.slowness, environment={
                "DEMO_WRITE_OFFSET": str(self._offsets["write"]),
                "DEMO_WRITE_TEXT": self._written,
                "DEMO_READ_OFFSET": str(self._offsets["read"]),
                "DEMO_READ_LENGTH": str(len(self._planted)),
                "DEMO_REVOKE_OFFSET": str(self._offsets["revoke"]),
                "DEMO_REVOKE_ONE": self._before, "DEMO_REVOKE_TWO": self._after,
            })
        with run.prepared(request) as (machine, token):
            self._bar = HostPort(machine.bars)
            self._plant()
            self._guest = Guest(token, {"stdout": Lines(self._line),
                                        "stderr": streams.to(sys.stderr)}, request.timeout)
            outcome = self._guest.run(machine)
        self._conclude(outcome)
        return self._held

    def _plant(self):
        self._bar.answer(f"bar-write 0 {self._offsets['read']} {self._planted.encode().hex()}")

    def _line(self, line):
        word, _, rest = line.partition(" ")
        if word == "step":
            self._step, self._output = rest, []
            self._guest.allow(STEP_SECONDS * self._target.slowness)
        elif word == "status":
            self._left.remove(self._step)
            self._claims[self._step](int(rest), self._output)
        else:
            self._output.append(line)

    def _conclude(self, outcome):
        heading("The kernel's log, read from outside")
        try:
            verdict.status(self._target.name, outcome)
            self._claim(True, "no warning, no oops, nothing of the kind")
        except GuestBroken as error:
            self._claim(False, f"the guest is broken: {error}")
        for step in self._left:
            self._claim(False, f"step {step} was not reached")

    def _claim(self, holds, text, output=()):
        """Prints one claim; what it did not hold up against follows it."""
        self._held = self._held and bool(holds)
        print(coloured("✓", "32") if holds else coloured("✗", "31;1"), text, flush=True)
        if not holds:
            for line in output:
                print(f"    | {line}", flush=True)

    def _in_bar(self, what, text):
        answer = self._bar.answer(f"bar-read 0 {self._offsets[what]} {len(text)}")
        return answer == f"ok {text.encode().hex()}"

    def _kernel(self, status, output):
        heading("A stock kernel, and Debian's own soft-RoCE")
        show(*output[:1])
        self._claim(status == 0 and "tainted: 0" in output and "p2pmr: not loaded" in output,
                    "Debian's kernel, untainted, without p2pmr", output)

    def _device(self, status, output):
        show(*output[:1], *output[-1:])
        self._claim(status == 0 and "in tree: Y" in output
                    and any("/kernel/drivers/" in line for line in output[1:2]),
                    "rxe0 is run by the kernel's own, unmodified rdma_rxe", output)

    def _refused(self, status, output):
        heading("ibv_reg_mr() on the mapped PCI BAR, without p2pmr")
        show(*output)
        self._claim(status == 1 and output == ["ibv_reg_mr: Bad address"],
                    "refused with EFAULT, as everywhere", output)

    def _load(self, status, output):
        heading("The same program, the same call, with p2pmr loaded")
        show("modprobe p2pmr_verbs")
        self._claim(status == 0, "the modules load into the stock kernel", output)

    def _accepted(self, status, output):
        show(*output)
        self._claim(status == 0 and output[:1] and output[0].startswith("ibv_reg_mr: OK"),
                    "the BAR is registered", output)

    def _write(self, status, output):
        heading("RDMA WRITE from host memory into the BAR")
        show(f"the guest writes \"{self._written}\"", *output)
        self._claim(status == 0 and self._in_bar("write", self._written),
                    "the text is in the file behind the BAR, seen from outside", output)

    def _read(self, status, output):
        heading("RDMA READ from the BAR into host memory")
        show(f"the host has planted \"{self._planted}\"", *output)
        self._claim(status == 0 and f"got: {self._planted}" in output,
                    "the guest has got what the host had planted in that file", output)

    def _revoke(self, status, output):
        heading("Revocation: the program unmaps the BAR while a peer holds its key")
        show(*output)
        self._claim(status == 0 and "after munmap: remote access error" in output,
                    "the peer's next access is refused: IBV_WC_REM_ACCESS_ERR", output)
        self._claim(self._in_bar("revoke", self._before),
                    "what it wrote before is in the BAR, what it tried to write is not")

    def _host_bandwidth(self, status, output):
        heading("Debian's own ib_write_bw, its server's buffer in host memory, then in the BAR")
        self._measured("host memory", status, output)

    def _bar_bandwidth(self, status, output):
        self._measured("the BAR, registered by --mmap", status, output)

    def _measured(self, what, status, output):
        """Shows that such a region carries traffic, and how fast. Where bytes arrive is
        what the steps before have shown: ib_write_bw fills both of its buffers itself."""
        found = re.search(r"^MiB/s: (\d+\.\d+)$", "\n".join(output), re.MULTILINE)
        speed = found[1] if found else "0"
        self._claim(status == 0 and float(speed) > 0, f"{what}: {speed} MiB/s", output)


def run_demo(target):
    print(f"p2pmr on {target.name} ({target.about}), in a virtual machine with a PCI BAR")
    held = Demo(target).run()
    print()
    print("All of it is true." if held else "Not all of it is true.")
    return 0 if held else FAILED


def heading(text):
    print(f"\n{coloured(text, '1')}", flush=True)


def show(*lines):
    for line in lines:
        print(f"    {line.strip()}", flush=True)


def coloured(text, code):
    return f"\033[{code}m{text}\033[0m" if sys.stdout.isatty() else text
