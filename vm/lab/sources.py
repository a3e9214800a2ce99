# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""The sources of exactly the rdma-core that is installed in a tree: the provider is
built against headers that no package of Debian installs. They are fetched on the host,
once, or the user names a folder that has them unpacked."""

import os
import subprocess
import time
from pathlib import Path

from lab import bootstrap, cache
from lab.errors import LabError
from lab.progress import Step

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
# A mirror that had them not is asked again after this many seconds.
RETRY = 24 * 3600


def get(target_tree):
    """The unpacked sources, or None where there are none to be had."""
    return of(target_tree.target, target_tree.facts()["rdma-core"])


def of(target, package):
    """The same for a version of the package."""
    name = f"rdma-core-{_upstream_version(package)}"
    chosen = os.environ.get("P2PMR_SOURCES")
    if chosen and (Path(chosen) / name).is_dir():
        return (Path(chosen) / name).resolve()
    missing = cache.root() / "sources" / f"{name}.missing"
    if missing.exists() and time.time() - missing.stat().st_mtime < RETRY:
        return None
    suite = target.suite
    try:
        return cache.made("sources", name,
                          lambda folder: _fetch(folder, name, package, suite)) / name
    except (LabError, OSError) as error:
        missing.write_text(f"{error}\n", encoding="utf-8")
        return None


def _upstream_version(package):
    """56.1 of 1:56.1-1: without epoch and Debian's own revision."""
    return package.rpartition(":")[2].rpartition("-")[0]


def _fetch(folder, name, package, suite):
    with Step(f"sources of rdma-core {package}"):
        apt = _own_apt(folder / "apt", suite)
        _run(apt + ["update"], folder)
        # Without the .dsc: nothing of it is needed, and mirrors may lack it.
        _run(apt + ["source", "--download-only", "--tar-only", f"rdma-core={package}"],
             folder)
    archives = sorted(folder.glob("rdma-core_*.orig.tar.*"))
    if len(archives) != 1:
        raise LabError(f"apt has fetched {[path.name for path in archives]}")
    _run(["tar", "-xf", archives[0].name, "--no-same-owner"], folder)
    if not (folder / name).is_dir():
        raise LabError(f"{archives[0].name} has no folder {name}")
    cache.remove(folder / "apt")
    archives[0].unlink()


def _own_apt(folder, suite):
    """apt-get with nothing of this machine's but its keys."""
    for part in ("lists/partial", "cache/archives/partial"):
        (folder / part).mkdir(parents=True)
    option = f"[signed-by={KEYRING}] " if KEYRING.exists() else ""
    line = f"deb-src {option}{bootstrap.mirror()} {suite} main\n"
    (folder / "sources.list").write_text(line, encoding="utf-8")
    settings = {
        "Dir::Etc::SourceList": folder / "sources.list",
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::State::Lists": folder / "lists",
        "Dir::Cache": folder / "cache",
        "Debug::NoLocking": "true",
        "APT::Sandbox::User": "root",
        "Acquire::http::Timeout": "10",
        "Acquire::Retries": "0",
    }
    return ["apt-get", "-qq", *(f"-o{key}={value}" for key, value in settings.items())]


def _run(command, folder):
    result = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                            errors="replace", check=False)
    if result.returncode != 0:
        raise LabError(f"{command[0]} failed:\n{result.stdout.rstrip()}")
