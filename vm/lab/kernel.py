# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Kernels that no package has: built from Debian's own source of the kernel, with a small
configuration of vm/kernel/, in a tree that has what it is built with, and kept."""

import re
import subprocess

from lab import bootstrap, cache, namespace
from lab.errors import LabError
from lab.progress import Step

# Raise it when the script below makes something else of the same source.
FORMAT = 1
SOURCE_PACKAGE = "linux-source"
# What the kernel is built with, beside its source.
PACKAGES = ("gcc", "make", "flex", "bison", "bc", "libelf-dev", "libssl-dev", "libc6-dev",
            "xz-utils", "kmod", "perl", "python3-minimal", SOURCE_PACKAGE)
# Of a failure's output.
LAST_LINES = 40

# Run with the kernel's folder at /out, which has the configuration as `wanted`. A line of
# it that does not hold in the end is an error: the kernel would lack what it is for.
CONFIGURE = r"""
mkdir /out/source
cd /out/source
tar -xf /usr/src/linux-source-*.tar.xz --strip-components=1 --no-same-owner
KCONFIG_ALLCONFIG=/out/wanted make -s allnoconfig 2>&1
{
	grep '^CONFIG_' /out/wanted | grep -vxF -f .config || true
	sed -n 's/^# \(CONFIG_[A-Z0-9_]*\) is not set$/^\1=/p' /out/wanted | grep -f - .config || true
} >/out/unmet
"""
BUILD = r"""
cd /out/source
export KBUILD_BUILD_USER=p2pmr KBUILD_BUILD_HOST=lab
make -s -j "$(nproc)" bzImage modules 2>&1
release=$(make -s kernelrelease)
root=/out/root
headers=/usr/src/linux-headers-$release
mkdir -p "$root$headers" "$root/boot"
make -s INSTALL_MOD_PATH=$root/usr DEPMOD=true modules_install 2>&1
make -s run-command KBUILD_RUN_COMMAND="\$(srctree)/scripts/package/install-extmod-build $root$headers" 2>&1
ln -sfn "$headers" "$root/usr/lib/modules/$release/build"
cp arch/x86/boot/bzImage "$root/boot/vmlinuz-$release"
cp .config "$root/boot/config-$release"
cp System.map "$root/boot/System.map-$release"
cd /
rm -rf /out/source
"""


def recipe(target):
    """What decides what is built, but for the version of the source."""
    return [FORMAT, PACKAGES, target.configuration(), CONFIGURE, BUILD]


def install(target, root):
    """Puts the target's kernel, its modules and headers in the place of those of a root."""
    namespace.run(["sh", "-c", 'cd "$1"; rm -rf boot/* lib/modules/* usr/src/linux-*; '
                               'cp -a "$2/." .', "sh", str(root), str(get(target) / "root")])
    release, = (path.name for path in (root / "lib/modules").iterdir())
    _run(target, root, f"depmod {release}")


def get(target):
    """The folder of the target's kernel, built now if it has not been yet."""
    tree = _builder(target)
    version = _source_version(tree)
    name = f"{target.name}-{version}-{cache.key(recipe(target))}"
    return cache.made("kernels", name, lambda folder: _build(target, version, tree, folder))


def _builder(target):
    """The root in which kernels are built, with the source of one."""
    def make(folder):
        with Step(f"{target.name}: tree to build the kernel in, by mmdebstrap"):
            bootstrap.root_tree(target, folder / "root", PACKAGES)
    key = cache.key([FORMAT, {**target.release(), "packages": PACKAGES}])
    return cache.made("trees", f"{target.suite}-kernel-{key}", make) / "root"


def _source_version(tree):
    """Of the source that is installed there."""
    listing = subprocess.run(
        ["dpkg-query", f"--admindir={tree}/var/lib/dpkg", "--show",
         "--showformat=${Version}\n", SOURCE_PACKAGE + "-*"],
        stdout=subprocess.PIPE, text=True, check=False).stdout.split()
    if len(listing) != 1 or not list((tree / "usr/src").glob("linux-source-*.tar.xz")):
        raise LabError(f"no source of the kernel in {tree}: {SOURCE_PACKAGE} brought "
                       f"{', '.join(listing) or 'nothing'}")
    return listing[0]


def _build(target, version, tree, folder):
    (folder / "wanted").write_text(target.configuration(), encoding="utf-8")
    with Step(f"{target.name}: unpacking and configuring the kernel {version}"):
        _run(target, tree, CONFIGURE, [(folder, "/out", True)])
    unmet = (folder / "unmet").read_text(encoding="utf-8").split("\n")
    if any(unmet):
        raise LabError(f"{target.name}: the kernel {version} is not configured as wanted:\n"
                       + "\n".join(filter(None, unmet)))
    with Step(f"{target.name}: building the kernel (9 minutes on 2 idle CPUs)"):
        _run(target, tree, BUILD, [(folder, "/out", True)])


def _run(target, root, script, binds=()):
    namespace.run(["mkdir", "-p", *(f"{root}{where}" for _, where, _ in binds), str(root)])
    command = namespace.in_tree(root, script, binds=binds)
    result = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True, errors="replace",
                            check=False)
    if result.returncode != 0:
        errors = re.findall(r".*(?:error|Error|\*\*\*).*", result.stdout)
        text = "\n".join(errors[:LAST_LINES] or result.stdout.splitlines()[-LAST_LINES:])
        raise LabError(f"{target.name}: no kernel:\n{text}")
