# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Building the project for a target: through its CMake build, inside the target's tree
(its compiler, its headers) but at the host's speed."""

import hashlib
import os
import subprocess
from contextlib import contextmanager
from pathlib import Path

from lab import cache, namespace, sources
from lab.cpio import Archive
from lab.errors import LabError
from lab.progress import Step, say

SOURCE = Path(__file__).resolve().parent.parent.parent

# Run inside the tree, with the project at /src and this build's folder at /out.
SCRIPT = """
kernel=$1
if [ "$2" = provider ]; then
	provider="-DP2PMR_BUILD_PROVIDER=ON -DP2PMR_RDMA_CORE_SRC=/out/rdma-core"
else
	provider=-DP2PMR_BUILD_PROVIDER=OFF
fi
# A kernel of the lab's own has no debugging information, but its reports are better read
# and its coverage is shown with that of the modules.
if grep -qsx CONFIG_DEBUG_INFO_NONE=y "/lib/modules/$kernel/build/include/config/auto.conf"; then
	export KCFLAGS=-g
fi
cmake -S /src -B /out/build -DCMAKE_BUILD_TYPE=RelWithDebInfo \
	-DCMAKE_INSTALL_PREFIX=/usr -DP2PMR_KERNEL_DIR=/lib/modules/$kernel/build \
	$provider
cmake --build /out/build -j "$(nproc)"
rm -rf /out/installed
DESTDIR=/out/installed cmake --install /out/build
cd /out/installed
# Which modules are loaded is for each run to say.
rm -f usr/lib/modprobe.d/p2pmr.conf
# In a tree with merged /usr, /lib is a link that a folder must not replace.
if [ -d lib ]; then
	mkdir -p usr
	cp -a lib usr/
	rm -r lib
fi
# depmod must see the project's modules in their place among all others, and leave
# the tree as it is.
base=/tmp/base/lib/modules/$kernel
mkdir -p "$base/kernel" "$base/updates" "usr/lib/modules/$kernel/updates"
mount --bind "/lib/modules/$kernel/kernel" "$base/kernel"
mount --bind "usr/lib/modules/$kernel/updates" "$base/updates"
cp "/lib/modules/$kernel/modules.order" "/lib/modules/$kernel"/modules.builtin* "$base/"
depmod -b /tmp/base "$kernel"
cp "$base"/modules.* "usr/lib/modules/$kernel/"
"""


def get(tree):
    """The project installed for this tree, as an archive, brought up to date; empty
    where there is nothing to build."""
    if not (SOURCE / "CMakeLists.txt").exists():
        return b""
    with _folder(tree) as folder:
        _update(tree, folder)
        return (folder / "project.cpio").read_bytes()


def in_build(tree, script, writable=False):
    """Runs a shell script inside the tree with this checkout's build at /out; returns
    its output. The build must have been brought up to date."""
    with _folder(tree) as folder:
        binds = [(SOURCE, "/src", False), (folder, "/out", writable)]
        command = namespace.in_tree(tree.root, script, binds=binds)
        result = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True, check=False)
    if result.returncode != 0:
        raise LabError(f"{tree.target.name}: {result.stderr.strip() or result.stdout}")
    return result.stdout


@contextmanager
def _folder(tree):
    """This checkout's build folder for the tree, held alone."""
    name = f"{tree.name}-{tree.kernel}-{checkout()}"
    with cache.locked(f"builds-{name}", waiting_for=f"building for {tree.target.name}"):
        yield cache.root() / "builds" / name


def checkout():
    """A name for this checkout: two on one machine do not share what they build."""
    return hashlib.sha256(str(SOURCE).encode()).hexdigest()[:8]


def _update(tree, folder):
    """Builds unless the sources are those of the last finished build."""
    state = folder / "built-from"
    rdma_core = sources.get(tree)
    built_from = f"{fingerprint()} {rdma_core}"
    if state.exists() and state.read_text(encoding="utf-8") == built_from:
        return
    if not rdma_core:
        say(f"{tree.target.name}: no sources of rdma-core {tree.facts()['rdma-core']}, so "
            "it is built without the provider (P2PMR_SOURCES can name a folder with them)")
    # Tools stopped half-way may leave objects that look finished.
    unfinished = folder / "unfinished"
    if unfinished.exists():
        cache.remove(folder)
    folder.mkdir(parents=True, exist_ok=True)
    state.unlink(missing_ok=True)
    unfinished.touch()
    with Step(f"{tree.target.name}: building"):
        _build(tree, folder, unfinished, rdma_core)
    archive = Archive()
    archive.tree(folder / "installed", "files")
    cache.replace_file(folder / "project.cpio", archive.data())
    cache.replace_file(state, built_from.encode())
    unfinished.unlink()


def fingerprint():
    """Changes whenever a file of the project does."""
    digest = hashlib.sha256()
    for path, folders, files in os.walk(SOURCE):
        folders[:] = sorted(name for name in folders if name not in (".git", "build"))
        for name in sorted(files):
            facts = os.lstat(os.path.join(path, name))
            digest.update(f"{path}/{name} {facts.st_size} {facts.st_mtime_ns} "
                          f"{facts.st_mode}\n".encode())
    return digest.hexdigest()


def _build(tree, folder, unfinished, rdma_core):
    binds = [(SOURCE, "/src", False), (folder, "/out", True)]
    if rdma_core:
        (folder / "rdma-core").mkdir(exist_ok=True)
        binds.append((rdma_core, "/out/rdma-core", False))
    command = namespace.in_tree(
        tree.root, SCRIPT, binds=binds,
        arguments=[tree.kernel, "provider" if rdma_core else ""])
    result = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True, errors="replace",
                            check=False)
    log = folder / "build.log"
    log.write_text(result.stdout, encoding="utf-8")
    if result.returncode < 0:
        raise LabError(f"{tree.target.name}: the build was stopped")
    if result.returncode > 0:
        # A failure of the tools themselves, not an interruption: what is there is sound.
        unfinished.unlink()
        raise LabError(f"{tree.target.name}: the build failed:\n{result.stdout.rstrip()}")
