# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""A target's root tree, made once by mmdebstrap and kept in two forms: as a folder
to compile in at host speed, and as a disk image that guests start from."""

import json
import platform
import subprocess
from dataclasses import dataclass
from pathlib import Path

from lab import bootstrap, cache, initramfs, kernel, namespace, targets
from lab.errors import LabError
from lab.progress import Step

# Raise it when the code below makes something else of the same recipe.
FORMAT = 1
FREE_SPACE_MIB = 2048


@dataclass(frozen=True)
class Tree:
    """A finished tree and what belongs to it."""

    target: targets.Target
    folder: Path

    @property
    def name(self):
        return self.folder.name

    @property
    def root(self):
        return self.folder / "root"

    @property
    def image(self):
        return self.folder / "root.img"

    @property
    def vmlinuz(self):
        return self.folder / "vmlinuz"

    @property
    def initramfs(self):
        return self.folder / "initramfs.cpio"

    @property
    def kernel(self):
        return self.facts()["kernel"]

    def facts(self):
        """What `lab targets` shows: kernel and rdma-core versions."""
        return json.loads((self.folder / "facts.json").read_text(encoding="utf-8"))


def _cache_name(target):
    more = [kernel.recipe(target)] if target.own_kernel else []
    return f"{target.name}-{cache.key([FORMAT, target.recipe(), *more])}"


def existing(target):
    """The target's tree if it has been made, else None."""
    folder = cache.root() / "trees" / _cache_name(target)
    return Tree(target, folder) if folder.exists() else None


def get(target):
    """The target's tree, made now if it has not been yet."""
    folder = cache.made("trees", _cache_name(target), lambda unfinished: _make(target, unfinished))
    return Tree(target, folder)


def _make(target, folder):
    if platform.machine() != "x86_64":
        raise LabError("the lab's targets are amd64; this machine is not")
    if target.own_kernel:
        base = get(targets.find(target.suite))
        with Step(f"{target.name}: root tree from that of {base.target.name}"):
            namespace.run(["cp", "-a", "--reflink=auto", str(base.root), str(folder / "root")])
        kernel.install(target, folder / "root")
    else:
        with Step(f"{target.name}: root tree by mmdebstrap"):
            bootstrap.root_tree(target, folder / "root", target.packages())
    finish(target, folder)


def finish(target, folder):
    """Makes what belongs to the root in a tree's folder: image, initramfs, facts."""
    root = folder / "root"
    version = only_kernel(root)
    # Where the build and its chroot mount things.
    for place in ("src", "out"):
        namespace.run(["mkdir", "-p", str(root / place)])
    with Step(f"{target.name}: disk image"):
        _make_image(root, folder / "root.img")
    vmlinuz = root / "boot" / f"vmlinuz-{version}"
    (folder / "vmlinuz").write_bytes(vmlinuz.read_bytes())
    (folder / "initramfs.cpio").write_bytes(initramfs.base(root, version))
    facts = {"kernel": version, "rdma-core": package_version(root, "rdma-core")}
    (folder / "facts.json").write_text(json.dumps(facts), encoding="utf-8")


def only_kernel(root):
    """The version of the kernel that is installed there."""
    versions = sorted(path.name for path in (root / "lib/modules").iterdir())
    if len(versions) != 1:
        raise LabError(f"expected one kernel in the tree, found: {versions}")
    return versions[0]


def package_version(root, package):
    """Of what is installed there."""
    command = ["dpkg-query", f"--admindir={root}/var/lib/dpkg",
               "--show", "--showformat=${Version}", package]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


def _make_image(root, image):
    used = int(namespace.run(["du", "-sm", "--apparent-size", str(root)]).split()[0])
    # No journal: guests write to a copy that is thrown away.
    namespace.run(["mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-m", "0",
                   "-E", "lazy_itable_init=1,root_owner=0:0", "-L", "p2pmr",
                   "-d", str(root), str(image), f"{used * 5 // 4 + FREE_SPACE_MIB}M"])
