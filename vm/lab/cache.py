# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""The cache: where made things live, the locks that keep runs apart, and the one
way in which something becomes visible (made elsewhere, then renamed)."""

import contextlib
import fcntl
import hashlib
import json
import os
import tempfile
from pathlib import Path

from lab import namespace
from lab.errors import LabError
from lab.progress import Step

LOCKS = "locks"


def root():
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    path = Path(base) / "p2pmr"
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LabError(f"no cache at {path}: {error.strerror} (XDG_CACHE_HOME chooses "
                       "another folder for it)") from error
    return path


def key(recipe):
    """A short name for a recipe: the same for the same recipe only."""
    text = json.dumps(recipe, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@contextlib.contextmanager
def locked(name, waiting_for=None, shared=False):
    """Holds the lock of that name; the kernel drops it when the holder dies."""
    folder = root() / LOCKS
    folder.mkdir(exist_ok=True)
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    with open(folder / name, "w", encoding="utf-8") as handle:
        with Step(f"waiting for another run ({waiting_for or name})"):
            fcntl.flock(handle, kind)
        yield


def in_use(alone=False):
    """Held by every run while it reads the cache, and by who empties it alone."""
    return locked("cache", waiting_for="using the cache", shared=not alone)


def made(kind, name, make):
    """The folder KIND/NAME of the cache, made by make(folder) if it is not there.

    An interrupted make leaves only a folder under a temporary name, which nobody
    reads and the next maker removes.
    """
    final = root() / kind / name
    if final.exists():
        return final
    final.parent.mkdir(exist_ok=True)
    with locked(f"{kind}-{name}", waiting_for=f"making {name}"):
        if final.exists():
            return final
        unfinished = final.with_name(f".{name}.unfinished")
        remove(unfinished)
        unfinished.mkdir()
        try:
            make(unfinished)
        except BaseException:
            remove(unfinished)
            raise
        unfinished.rename(final)
    return final


def remove(path):
    """Removes a file or a folder, also one with files of other (sub)users in it."""
    path = Path(path)
    if path.is_dir() and not path.is_symlink():
        namespace.run(["rm", "-rf", "--one-file-system", "--", str(path)])
    else:
        path.unlink(missing_ok=True)


def replace_file(path, data):
    """Writes a file so that readers see the old or the new content, never a part."""
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as temporary:
        temporary.write(data)
    os.replace(temporary.name, path)
