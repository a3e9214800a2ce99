# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Root trees with packages of a Debian, by mmdebstrap, from the mirror that apt of this
machine uses or the user names."""

import os
import platform
import shlex
import subprocess

from lab import namespace, targets
from lab.errors import LabError

BACKPORTS_PREFERENCE = """\
Package: linux-image-* linux-headers-* linux-kbuild-* linux-modules-* linux-binary-* linux-base*
Pin: release n={suite}-backports
Pin-Priority: 990
"""


def root_tree(target, root, packages):
    """A root with these packages, and what they depend on."""
    source = mirror()
    suites = [target.suite] + ([f"{target.suite}-backports"] if target.backports else [])
    command = [
        "mmdebstrap", "--mode=root", "--variant=minbase", "--format=directory",
        "--include=" + ",".join(packages),
        '--aptopt=APT::Install-Recommends "false"',
    ]
    if target.backports:
        preference = BACKPORTS_PREFERENCE.format(suite=target.suite)
        command.append('--setup-hook=mkdir -p "$1/etc/apt/preferences.d" && '
                       f'echo {shlex.quote(preference)} >"$1/etc/apt/preferences.d/lab"')
    command += [f"--dpkgopt={line}" for line in targets.FILE_FILTERS]
    command += [target.suite, str(root)]
    command += [f"deb {source} {suite} main" for suite in suites]
    # INITRD=No keeps initramfs-tools from making an initramfs that nobody would use.
    try:
        namespace.run(command, env={**os.environ, "INITRD": "No", "LC_ALL": "C.UTF-8"})
    except LabError as error:
        raise LabError(f"{target.name}: no root tree from {source} (if it cannot be "
                       f"reached, name another mirror in P2PMR_MIRROR)\n{error}") from error


def mirror():
    """Where packages come from: as this machine's apt does, or as the user says."""
    chosen = os.environ.get("P2PMR_MIRROR")
    if chosen:
        return chosen
    listing = subprocess.run(
        ["apt-get", "indextargets", "--no-release-info",
         "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)", "Created-By: Packages"],
        stdout=subprocess.PIPE, text=True, check=False).stdout
    codename = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    for line in listing.splitlines():
        uri, release, component = line.split()
        if release == codename and component == "main":
            return uri
    raise LabError("apt on this machine has no Debian mirror configured: "
                   "name one in P2PMR_MIRROR")
