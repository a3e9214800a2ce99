# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""A run: everything between what the user asked for and a guest. Gets the tree and
the build, lays out the run's temporary folder, and makes the guest in it."""

import os
import secrets
import shlex
import shutil
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from lab import (build, cache, initramfs, kvm, packages, secureboot, streams, terminal,
                 tree, verdict)
from lab.errors import UsageError
from lab.guest import Guest
from lab.qemu import Machine

BARS = 2
DEFAULT_BAR_SIZE = 16 << 20
DEFAULT_TIMEOUT = 600
SETTINGS = "etc/p2pmr-lab"


@dataclass
class Request:
    """What the user asked for; without a command it is an interactive shell.

    files: more settings for the guest, by name, in /etc/p2pmr-lab
    project: what is installed in it, if not what the checkout builds at this moment
    packages: boot a tree that has the project from its packages, with nothing loaded
    secure_boot: a file with the firmware's variables, made if it is not there: start by
        firmware with Secure Boot on, which keeps there what it is told
    """

    target: object
    command: list = field(default_factory=list)
    environment: dict = field(default_factory=dict)
    files: dict = field(default_factory=dict)
    project: bytes | None = None
    packages: bool = False
    modules: bool = True
    share: str = ""
    bar_size: int = DEFAULT_BAR_SIZE
    icount: bool = False
    fabric: bool = False
    cpu: str = ""
    append: str = ""
    secure_boot: Path | None = None
    timeout: float = DEFAULT_TIMEOUT


@contextmanager
def prepared(request):
    """Yields (machine, token): a machine ready to be run once, and the token that
    ends its streams."""
    with cache.in_use(), _temporary_folder() as folder:
        bars = _bar_files(folder, request.bar_size)
        made, project = _system(request)
        token = secrets.token_hex(16)
        files = _settings(request, bars, token, bool(project))
        archive = folder / "initramfs.cpio"
        archive.write_bytes(made.initramfs.read_bytes() + initramfs.per_run(files) + project)
        firmware = None
        if request.secure_boot:
            firmware = secureboot.firmware(made, archive, request.append,
                                           request.secure_boot, folder)
        yield Machine(
            vmlinuz=made.vmlinuz, initramfs=archive, image=made.image, bars=bars,
            bar_size=request.bar_size, kvm=not request.icount and kvm.usable(made),
            icount=request.icount, share=request.share, fabric=request.fabric,
            cpu=request.cpu, append=request.append, terminal=not request.command,
            slowness=request.target.slowness, firmware=firmware), token.encode()


def _system(request):
    """The tree to boot, and what of the project is laid over it."""
    if request.packages:
        if request.target.own_kernel:
            raise UsageError(f"--packages: {request.target.name} has a kernel that no package "
                             f"has (--on {request.target.suite} has one)")
        return packages.installed(request.target), b""
    made = tree.get(request.target)
    return made, build.get(made) if request.project is None else request.project


def command(request):
    """Runs a command with its output on this process's streams; returns its status."""
    with prepared(request) as (machine, token):
        guest = Guest(token, streams.to_standard_streams(), request.timeout)
        return verdict.status(request.target.name, guest.run(machine))


def shell(request):
    """An interactive shell on this process's terminal; returns its status."""
    with prepared(request) as (machine, token):
        guest = Guest(token, {"terminal": streams.to(sys.stdout)}, request.timeout,
                      inputs={sys.stdin: terminal.reader()})

        def resize(rows, columns):
            guest.tell(f"size {rows} {columns}")
        with terminal.raw(), terminal.on_resize(resize):
            outcome = guest.run(machine)
        return verdict.status(request.target.name, outcome)


@contextmanager
def _temporary_folder():
    folder = Path(tempfile.mkdtemp(prefix="p2pmr-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _bar_files(folder, size):
    """The host files behind the BARs; the first may be one the user has chosen."""
    paths = [folder / f"bar{number}" for number in range(BARS)]
    chosen = os.environ.get("P2PMR_BAR_FILE")
    if chosen:
        paths[0] = Path(chosen).absolute()
        if paths[0].exists() and paths[0].stat().st_size > size:
            raise UsageError(f"P2PMR_BAR_FILE: {chosen} is larger than the BAR ({size} bytes)")
    for path in paths:
        try:
            with open(path, "ab") as handle:
                handle.truncate(size)
        except OSError as error:
            setting = "P2PMR_BAR_FILE" if path == paths[0] and chosen else "TMPDIR"
            raise UsageError(f"{setting}: no BAR in {path}: {error.strerror}") from error
    return paths


def _settings(request, bars, token, project):
    """The files that tell the guest's init what this run is about."""
    environment = {
        "P2PMR_TARGET": request.target.name,
        "P2PMR_SLOWNESS": str(request.target.slowness),
        "P2PMR_BAR_FILE": str(bars[0]),
        "P2PMR_BAR2_FILE": str(bars[1]),
        **request.environment,
    }
    exports = "".join(f"export {name}={shlex.quote(value)}\n"
                      for name, value in environment.items())
    files = {"environment": exports, "token": token, **request.files}
    if request.command:
        files["command"] = f"exec {shlex.join(request.command)}\n"
    else:
        files["terminal"] = "{} {}\n".format(*(terminal.size() or (24, 80)))
    if request.modules and project:
        files["modules"] = ""
    if request.share:
        files["share"] = ""
    return {f"{SETTINGS}/{name}": text.encode() for name, text in files.items()}
