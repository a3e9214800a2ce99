# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Whether a target's kernel really boots under KVM on this machine: found out by a
short probe boot, whose answer is kept until the machine boots again."""

import os
import subprocess
import tempfile
from pathlib import Path

from lab import cache, initramfs
from lab.progress import Step

PROBE_SECONDS = 15
PROBE_MARK = b"p2pmr-lab: probe booted"


def usable(tree):
    """True if a guest with this tree's kernel should use KVM. P2PMR_KVM=no says no."""
    if os.environ.get("P2PMR_KVM") == "no" or not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return False
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    qemu = subprocess.run(["qemu-system-x86_64", "--version"], stdout=subprocess.PIPE,
                          text=True, check=True).stdout.splitlines()[0]
    name = cache.key([boot, qemu, tree.kernel])
    folder = cache.root() / "kvm"
    folder.mkdir(exist_ok=True)
    answer = folder / name
    with cache.locked(f"kvm-{name}"):
        if not answer.exists():
            with Step(f"{tree.target.name}: trying KVM (at most {PROBE_SECONDS} s)"):
                booted = _boots(tree)
            cache.replace_file(answer, b"yes" if booted else b"no")
        return answer.read_bytes() == b"yes"


def _boots(tree):
    """Boots the kernel into an initramfs that says so and stops."""
    with tempfile.NamedTemporaryFile(prefix="p2pmr-") as archive:
        archive.write(tree.initramfs.read_bytes() + initramfs.probe(PROBE_MARK.decode()))
        archive.flush()
        command = [
            "setpriv", "--pdeathsig", "KILL", "--", "qemu-system-x86_64", "-nodefaults",
            "-no-user-config", "-no-reboot", "-display", "none", "-machine", "q35",
            "-m", "1G", "-accel", "kvm", "-cpu", "host", "-smp", "2", "-serial", "stdio",
            "-kernel", str(tree.vmlinuz), "-initrd", archive.name,
            "-append", "console=ttyS0,115200 panic=-1 oops=panic",
        ]
        try:
            result = subprocess.run(command, stdin=subprocess.DEVNULL, timeout=PROBE_SECONDS,
                                    stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                    check=False)
        except subprocess.TimeoutExpired:
            return False
    return PROBE_MARK in result.stdout
