# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""The targets: which Debian, which kernel, and what is installed in each."""

from dataclasses import dataclass
from pathlib import Path

from lab.errors import UsageError

CONFIGURATIONS = Path(__file__).resolve().parent.parent / "kernel"

PACKAGES = (
    # compiling for the target, with its own tools
    "gcc", "g++", "make", "cmake", "pkg-config", "libc6-dev", "libcmocka-dev",
    "libibverbs-dev", "librdmacm-dev", "libpci-dev",
    # checking what is compiled, and the manual pages
    "valgrind", "sparse", "mandoc",
    # RDMA
    "rdma-core", "ibverbs-utils", "ibverbs-providers", "rdmacm-utils",
    "python3-pyverbs", "perftest",
    # looking at it
    "gdb", "strace", "fio",
    # what the guest needs to come up, and what tests use
    "busybox-static", "kmod", "mount", "iproute2", "pciutils", "procps",
    "udev", "python3",
    # checking the command's JSON, and its completion in the other shell
    "python3-jsonschema", "zsh",
)

# The kernel depends on a generator of initramfs. The lab has its own initramfs, and
# this generator is the one that can be told not to run (see tree.py).
KERNEL_PACKAGES = ("linux-image-amd64", "linux-headers-amd64", "initramfs-tools")

# Another version would format otherwise, so it is the tool of one Debian.
FORMATTER = "bookworm"
FORMATTER_PACKAGES = ("clang-format",)

# A guest that knows the project from its packages only: what those depend on, what the
# guest needs to come up, what tests use.
CLEAN_PACKAGES = (
    "dkms", "gcc", "libc6-dev", "libibverbs-dev", "pkgconf", "python3-pyverbs", "rdma-core",
    "perftest", "mokutil", "openssl",
    "busybox-static", "kmod", "mount", "iproute2", "pciutils", "procps", "udev", "python3",
)

# Files that no guest reads. Later lines win, as in dpkg's own configuration.
FILE_FILTERS = (
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/info/*",
    "path-exclude=/usr/share/locale/*",
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
    "path-include=/usr/share/doc/rdma-core/*",
    "path-include=/usr/share/doc/python3-pyverbs/*",
    "path-exclude=/usr/lib/udev/hwdb*",
    "path-exclude=/lib/udev/hwdb*",
    "path-exclude=/*lib/modules/*/kernel/sound/*",
    "path-exclude=/*lib/modules/*/kernel/drivers/bluetooth/*",
    "path-exclude=/*lib/modules/*/kernel/drivers/gpu/drm/amd/*",
    "path-exclude=/*lib/modules/*/kernel/drivers/gpu/drm/i915/*",
    "path-exclude=/*lib/modules/*/kernel/drivers/gpu/drm/nouveau/*",
    "path-exclude=/*lib/modules/*/kernel/drivers/gpu/drm/radeon/*",
    "path-exclude=/*lib/modules/*/kernel/drivers/gpu/drm/xe/*",
    "path-exclude=/*lib/modules/*/kernel/drivers/hid/*",
    "path-exclude=/*lib/modules/*/kernel/drivers/hwmon/*",
    "path-exclude=/*lib/modules/*/kernel/drivers/iio/*",
    "path-exclude=/*lib/modules/*/kernel/drivers/isdn/*",
    "path-exclude=/*lib/modules/*/kernel/drivers/media/*",
    "path-exclude=/*lib/modules/*/kernel/drivers/net/wireless/*",
    "path-exclude=/*lib/modules/*/kernel/drivers/scsi/*",
    "path-exclude=/*lib/modules/*/kernel/drivers/staging/*",
    "path-exclude=/*lib/modules/*/kernel/drivers/usb/*",
    "path-exclude=/*lib/modules/*/kernel/net/bluetooth/*",
    "path-exclude=/*lib/modules/*/kernel/net/mac80211/*",
)


@dataclass(frozen=True)
class Target:
    """One Debian with one kernel. backports: its kernel comes from that suite.

    own_kernel: it has the kernel of vm/kernel/NAME.config, and for the rest the tree of the
    target that has its suite's name
    slowness: how many times as long as elsewhere anything may take there; all limits of
    the lab are multiplied by it, and the guest finds it in P2PMR_SLOWNESS
    """

    name: str
    suite: str
    about: str
    backports: bool = False
    own_kernel: bool = False
    slowness: int = 1

    def packages(self):
        more = FORMATTER_PACKAGES if self.name == FORMATTER else ()
        return PACKAGES + KERNEL_PACKAGES + more

    def configuration(self):
        """That of a kernel of the lab's own."""
        return (CONFIGURATIONS / f"{self.name}.config").read_text(encoding="utf-8")

    @property
    def watches_leaks(self):
        """Its kernel can tell what tests leave behind (vm/guest/leaks.py)."""
        return self.own_kernel

    def release(self):
        """What is common to all trees of a release, for the cache's key."""
        return {
            "suite": self.suite,
            "backports": self.backports,
            "filters": FILE_FILTERS,
        }

    def recipe(self):
        """All that decides what is in the tree, for the cache's key."""
        return {**self.release(), "packages": self.packages()}


# The sanitizer kernel is emulated, and does several times the work.
TARGETS = (
    Target("bookworm", "bookworm", "Debian 12, kernel 6.1"),
    Target("trixie", "trixie", "Debian 13, kernel 6.12"),
    Target("backports", "trixie", "Debian 13, newest kernel of its backports", True),
    Target("sanitize", "trixie", "Debian 13, kernel 6.12 with KASAN, lockdep, kmemleak, …",
           own_kernel=True, slowness=5),
)
DEFAULT = "trixie"


def find_stock(name):
    """One with a kernel of Debian's."""
    target = find(name)
    if target.own_kernel:
        raise UsageError(f"not on '{name}', which has a kernel of the lab's own")
    return target


def find(name):
    for target in TARGETS:
        if target.name == name:
            return target
    names = ", ".join(target.name for target in TARGETS)
    raise UsageError(f"no target '{name}' (there are: {names})")
