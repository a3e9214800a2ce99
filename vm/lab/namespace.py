# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Running commands with root's powers over a tree: in a mount and PID namespace of
their own, and for an ordinary user in a user namespace as well."""

import os
import shlex
import subprocess

from lab.errors import LabError


def prefix():
    # Nothing of it outlives the lab: what is half-made has no maker then.
    command = ["setpriv", "--pdeathsig", "KILL", "--",
               "unshare", "--mount", "--pid", "--mount-proc", "--fork", "--kill-child"]
    if os.geteuid() != 0:
        command += ["--map-root-user", "--map-auto"]
    return command + ["--"]


def run(command, **options):
    """Runs a command in the namespaces; raises LabError with its output if it fails."""
    result = subprocess.run(
        prefix() + list(command),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
        **options,
    )
    if result.returncode != 0:
        raise LabError(f"{' '.join(command[:3])} … failed:\n{result.stdout.rstrip()}")
    return result.stdout


def in_tree(tree, script, binds=(), arguments=()):
    """The command line that runs a shell script inside a tree.

    binds: (host path, path in the tree, writable). The mounts are private to the
    namespace and go with it.
    """
    quote = shlex.quote
    steps = [
        "set -e",
        f"cd {quote(str(tree))}",
        "mount --rbind /dev dev",
        "mount -t proc proc proc",
        "mount -t tmpfs tmpfs tmp",
    ]
    for source, where, writable in binds:
        steps.append(f"mount --bind {quote(str(source))} .{where}")
        if not writable:
            steps.append(f"mount -o remount,bind,ro .{where}")
    steps.append('exec chroot . /usr/bin/env -i PATH="$PATH" LC_ALL=C.UTF-8 HOME=/tmp '
                 f'/bin/sh -e -c {quote(script)} sh "$@"')
    return prefix() + ["sh", "-c", "\n".join(steps), "sh", *arguments]
