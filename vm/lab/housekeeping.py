# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""`lab targets` and `lab clean`: what is in the cache, and emptying it."""

import json
import subprocess

from lab import cache, targets, tree
from lab.progress import Step, say


def show_targets(as_json):
    with cache.in_use():
        rows = [_describe(target) for target in targets.TARGETS]
    if as_json:
        print(json.dumps(rows, indent=2))
        return 0
    print(f"{'NAME':<11}{'KERNEL':<24}{'RDMA-CORE':<16}{'BUILT':<7}{'SIZE':<9}ABOUT")
    for row in rows:
        default = " (default)" if row["default"] else ""
        size = f"{row['size'] >> 20} MiB" if row["built"] else "-"
        print(f"{row['name']:<11}{row['kernel'] or '-':<24}{row['rdma-core'] or '-':<16}"
              f"{'yes' if row['built'] else 'no':<7}{size:<9}{row['about']}{default}")
    return 0


def _describe(target):
    made = tree.existing(target)
    facts = made.facts() if made else {}
    return {
        "name": target.name,
        "about": target.about,
        "default": target.name == targets.DEFAULT,
        "built": made is not None,
        "kernel": facts.get("kernel"),
        "rdma-core": facts.get("rdma-core"),
        "size": _size(made.folder) if made else 0,
    }


def _size(folder):
    """Bytes on disk; what an ordinary user may not look into is left out."""
    result = subprocess.run(["du", "-sk", str(folder)], stdout=subprocess.PIPE,
                            stderr=subprocess.DEVNULL, text=True, check=False)
    return int(result.stdout.split()[0]) * 1024


def clean():
    """Empties the cache, but not under the hands of runs that are using it."""
    with cache.in_use(alone=True):
        with Step("emptying the cache"):
            for entry in cache.root().iterdir():
                if entry.name != cache.LOCKS:
                    cache.remove(entry)
    say("lab: the cache is empty")
    return 0
