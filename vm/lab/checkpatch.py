# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""The kernel's checkpatch.pl, of the newest kernel source that apt of this machine has.
It is in no small package, so what is needed of a large one is kept in the cache."""

import os
import re
import subprocess

from lab import cache
from lab.errors import LabError
from lab.progress import Step

SCRIPT = "checkpatch.pl"
# What the script reads from its own folder.
BESIDE = ("const_structs.checkpatch", "spelling.txt")

UNPACK = """
set -e
dpkg-deb --fsys-tarfile linux-source-*.deb |
    tar -xO --wildcards './usr/src/linux-source-*.tar.xz' |
    tar -xJ --strip-components=2 --wildcards --no-anchored {files}
rm linux-source-*.deb
"""


def script():
    """Path of the script; None if apt knows no kernel source."""
    package = _newest_package()
    if not package:
        return None
    name = f"{package}={_version(package)}"
    folder = cache.made("checkpatch", name, lambda unfinished: _fetch(name, unfinished))
    return folder / SCRIPT


def _newest_package():
    names = _output(["apt-cache", "pkgnames", "linux-source-"]).split()
    found = [name for name in names if re.fullmatch(r"linux-source-\d+\.\d+", name)]
    return max(found, default=None, key=lambda name: [
        int(number) for number in name.rpartition("-")[2].split(".")])


def _version(package):
    policy = _output(["apt-cache", "policy", package])
    return re.search(r"Candidate: (\S+)", policy)[1]


def _fetch(name, folder):
    with Step(f"fetching {name} for {SCRIPT}"):
        _output(["apt-get", "download", name], cwd=folder)
        files = " ".join(f"scripts/{file}" for file in (SCRIPT, *BESIDE))
        _output(["sh", "-c", UNPACK.format(files=files)], cwd=folder)
    if not (folder / SCRIPT).exists():
        raise LabError(f"{name} has no {SCRIPT}")


def _output(command, **options):
    result = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True, check=False,
                            env={**os.environ, "LC_ALL": "C"},
                            **options)
    if result.returncode != 0:
        raise LabError(f"{command[0]}: {result.stderr.strip()}")
    return result.stdout
