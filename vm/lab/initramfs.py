# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""The guest's initramfs: busybox, and of the target's modules just those that lead
to the root disk. What belongs to one run only is a second archive behind it."""

import lzma
import subprocess
from pathlib import Path

from lab.cpio import Archive
from lab.errors import LabError

NEEDED_MODULES = ("virtio_pci", "virtio_blk", "virtio_console", "ext4")
# ext4 asks for this one by its algorithm's name; where it is built in, all is well.
WANTED_MODULES = ("crc32c_generic",)
GUEST_FILES = Path(__file__).resolve().parent.parent / "guest"


def base(root, kernel):
    """The archive that all guests of a tree share."""
    archive = Archive()
    busybox = next(path for path in (root / "usr/bin/busybox", root / "bin/busybox")
                   if path.exists())
    archive.file("bin/busybox", busybox.read_bytes(), 0o755)
    order = _load_order(root / "lib/modules" / kernel)
    for path in order:
        archive.file(f"modules/{_module_name(path)}.ko", _module_data(path))
    names = "".join(f"{_module_name(path)}\n" for path in order)
    archive.file("modules/order", names.encode())
    return archive.data()


def per_run(files):
    """What is laid over the root of one guest only."""
    archive = Archive()
    archive.file("init", (GUEST_FILES / "early-init").read_bytes(), 0o755)
    for path in sorted(GUEST_FILES.iterdir()):
        if path.name != "early-init":
            archive.file(f"files/usr/lib/p2pmr-lab/{path.name}", path.read_bytes(), 0o755)
    for name, data in files.items():
        archive.file(f"files/{name}", data)
    return archive.data()


def probe(mark):
    """An init that prints a mark and stops the machine."""
    archive = Archive()
    script = f"#!/bin/busybox sh\necho '{mark}'\n/bin/busybox reboot -f\n"
    archive.file("init", script.encode(), 0o755)
    return archive.data()


def _module_name(path):
    return path.name.split(".ko")[0].replace("-", "_")


def _load_order(modules):
    """The paths of the needed modules, each after those it depends on."""
    depends, paths = {}, {}
    for line in (modules / "modules.dep").read_text(encoding="utf-8").splitlines():
        path, _, needs = line.partition(":")
        name = _module_name(Path(path))
        paths[name] = modules / path
        depends[name] = [_module_name(Path(need)) for need in needs.split()]
    built_in = {_module_name(Path(line)) for line in
                (modules / "modules.builtin").read_text(encoding="utf-8").splitlines()}
    order = []

    def add(name):
        if name in built_in or paths[name] in order:
            return
        for need in depends[name]:
            add(need)
        order.append(paths[name])

    for name in WANTED_MODULES + NEEDED_MODULES:
        if name in paths or name in built_in:
            add(name)
        elif name in NEEDED_MODULES:
            raise LabError(f"the target's kernel has no module {name}")
    return order


def _module_data(path):
    if path.suffix == ".xz":
        return lzma.decompress(path.read_bytes())
    if path.suffix == ".zst":
        return subprocess.run(["zstd", "-dc", str(path)],
                              stdout=subprocess.PIPE, check=True).stdout
    return path.read_bytes()
