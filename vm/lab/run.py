# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""A run: everything between a command line and a guest. Gets the tree and the build,
lays out the run's temporary folder, and starts the guest in it."""

import os
import secrets
import shlex
import shutil
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from lab import build, initramfs, kvm, tree
from lab.guest import Guest, Settings
from lab.qemu import Machine

BARS = 2
DEFAULT_BAR_SIZE = 16 << 20


@dataclass
class Request:
    """What the user asked for."""

    target: object
    command: list
    environment: dict = field(default_factory=dict)
    modules: bool = True
    share: str = ""
    bar_size: int = DEFAULT_BAR_SIZE
    icount: bool = False
    timeout: float = 600


def to_standard_streams():
    """The output functions that pass a command's streams on to this process's own."""
    def writer(stream):
        def write(data):
            stream.buffer.write(data)
            stream.buffer.flush()
        return write
    return {"stdout": writer(sys.stdout), "stderr": writer(sys.stderr)}


def run(request, output):
    """Runs a command in a new guest; returns its exit status."""
    made = tree.get(request.target)
    installed = build.get(made)
    with temporary_folder() as folder:
        bars = _bar_files(folder, request.bar_size)
        token = secrets.token_hex(16).encode()
        environment = {
            "P2PMR_TARGET": request.target.name,
            "P2PMR_BAR_FILE": str(bars[0]),
            "P2PMR_BAR2_FILE": str(bars[1]),
            **request.environment,
        }
        files = {
            "etc/p2pmr-lab/environment": _exports(environment),
            "etc/p2pmr-lab/command": _command(request.command),
            "etc/p2pmr-lab/token": token + b"\n",
        }
        if request.modules and installed is not None:
            files["etc/p2pmr-lab/modules"] = b""
        if request.share:
            files["etc/p2pmr-lab/share"] = b""
        archive = folder / "initramfs.cpio"
        archive.write_bytes(made.initramfs.read_bytes() + initramfs.per_run(files)
                            + (installed or b""))
        machine = Machine(
            vmlinuz=made.vmlinuz, initramfs=archive, image=made.image, bars=bars,
            bar_size=request.bar_size, kvm=not request.icount and kvm.usable(made),
            icount=request.icount, share=request.share)
        settings = Settings(target=request.target.name, timeout=request.timeout)
        return Guest(settings, token).run(machine, output)


@contextmanager
def temporary_folder():
    folder = Path(tempfile.mkdtemp(prefix="p2pmr-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _bar_files(folder, size):
    """The host files behind the BARs; the first may be one the user has chosen."""
    paths = [folder / f"bar{number}" for number in range(BARS)]
    if os.environ.get("P2PMR_BAR_FILE"):
        paths[0] = Path(os.environ["P2PMR_BAR_FILE"]).absolute()
    for path in paths:
        with open(path, "ab") as handle:
            handle.truncate(size)
    return paths


def _exports(environment):
    return "".join(f"export {name}={shlex.quote(value)}\n"
                   for name, value in environment.items()).encode()


def _command(words):
    return f"exec {shlex.join(words)}\n".encode()
