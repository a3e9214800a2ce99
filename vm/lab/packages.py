# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""The Debian packages of this checkout: building them in a tree that has what they are
built with, and trees that have nothing of the project but its packages."""

import contextlib
import dataclasses
import re
import subprocess

from lab import bootstrap, build, cache, namespace, sources, targets, tree
from lab.errors import LabError
from lab.progress import Step, say

# Raise it when the trees made here become others by the code below.
FORMAT = 1
# Of a failure's output.
LAST_LINES = 40
NO_PROVIDER = "pkg.p2pmr.noprovider"

# Run with the checkout at /src and the folder for the packages at /out.
BUILD = r"""
mkdir /out/p2pmr
cd /src
tar -c --exclude=./.git --exclude=./build --exclude=__pycache__ . | tar -x -C /out/p2pmr
cd /out/p2pmr
if [ -n "$1" ]; then
	sed -i "s/^project(p2pmr VERSION [0-9.]*/project(p2pmr VERSION $1/" CMakeLists.txt
	sed -i "1s/([^)]*)/($1)/" debian/changelog
	sed -i "s/^MODULE_VERSION([^)]*)/MODULE_VERSION(\"$1\")/" kernel/core/main.c
	sed -i "s/^\(#define P2PMR_VERSION P2PMR_MAKE_VERSION\).*/\1($(echo "$1" | tr . ,))/" \
		libp2pmr/infiniband/p2pmr.h
fi
DEB_BUILD_PROFILES=$2 DEB_BUILD_OPTIONS="parallel=$(nproc)" dpkg-buildpackage -us -uc 2>&1
"""
INSTALL = """
apt-get -q -y install /out/*.deb 2>&1
"""


def built(target, version=""):
    """The folder with the packages of the checkout as it is now, and in p2pmr/ what they
    were built from; under another version if one is named."""
    place = workshop(target)
    name = f"packages-{target.suite}-{version or 'own'}-{build.checkout()}"
    with cache.locked(f"builds-{name}", waiting_for=f"building packages for {target.suite}"):
        folder = cache.root() / "builds" / name
        rdma_core = sources.of(target, tree.package_version(place, "libibverbs-dev"))
        _update(folder, f"{build.fingerprint()} {rdma_core}",
                lambda unfinished: _build(target, place, unfinished, version, rdma_core))
    return folder


def in_workshop(target, script, packages, *more):
    """Runs a script in the tree for building with the folder of packages at /out, and more
    where namespace.in_tree() is to put it; returns its status and output."""
    return in_root(workshop(target), script, binds=[(packages, "/out", False), *more])


def workshop(target):
    """The root in which packages are built: with what debian/control asks for."""
    control = (build.SOURCE / "debian/control").read_text(encoding="utf-8")
    wanted = re.search(r"^Build-Depends:((?:.*\n)(?: .*\n)*)", control, re.M)[1]
    needs = [re.match(r"[a-z0-9+.-]+", need.strip())[0] for need in wanted.split(",")]
    recipe = ("build-essential", "lintian", *needs)
    return release_root(target, "packaging", recipe)


def release_root(target, kind, recipe):
    """A root with these packages of the target's release, whatever the kernel."""
    release = dataclasses.replace(target, name=target.suite, backports=False)
    return _root(release, kind, recipe)


def clean(target):
    """A root with a kernel, its headers and what the packages depend on: nothing of the
    project, and nothing that only builds it."""
    return _root(target, "clean", targets.CLEAN_PACKAGES + targets.KERNEL_PACKAGES)


def installed(target):
    """A tree for guests: the clean one with all packages installed."""
    packages = built(target)
    name = f"installed-{target.name}-{build.checkout()}"
    with cache.locked(f"builds-{name}", waiting_for=f"installing packages for {target.name}"):
        folder = cache.root() / "builds" / name
        state = (packages / "made-from").read_text(encoding="utf-8") + str(clean(target))
        _update(folder, state, lambda unfinished: _install(target, packages, unfinished))
    return tree.Tree(target, folder)


@contextlib.contextmanager
def copy_of_clean(target):
    """A copy of the clean root, for as long as it is needed. Yields a function that runs a
    script in it with a folder at /out, and returns status and output."""
    source = clean(target)
    name = f"copy-{target.name}-{build.checkout()}"
    with cache.locked(f"builds-{name}", waiting_for=f"a clean {target.name}"):
        root = cache.root() / "builds" / name
        # An interrupted run may have left it.
        cache.remove(root)
        namespace.run(["cp", "-a", "--reflink=auto", str(source), str(root)])
        try:
            yield lambda script, out, *more: in_root(
                root, script, binds=[(out, "/out", False), *more])
        finally:
            cache.remove(root)


def _root(target, kind, recipe):
    def make(folder):
        with Step(f"{target.name}: {kind} tree by mmdebstrap"):
            bootstrap.root_tree(target, folder / "root", recipe)
    key = cache.key([FORMAT, {**target.recipe(), "packages": recipe}])
    return cache.made("trees", f"{target.name}-{kind}-{key}", make) / "root"


def _update(folder, made_from, make):
    """Makes a folder anew unless it was made from the same."""
    state = folder / "made-from"
    if state.exists() and state.read_text(encoding="utf-8") == made_from:
        return
    unfinished = folder.with_name(f".{folder.name}.unfinished")
    cache.remove(unfinished)
    unfinished.mkdir(parents=True)
    make(unfinished)
    (unfinished / "made-from").write_text(made_from, encoding="utf-8")
    cache.remove(folder)
    unfinished.rename(folder)


def _build(target, root, folder, version, rdma_core):
    binds = [(build.SOURCE, "/src", False), (folder, "/out", True)]
    if rdma_core:
        binds.append((rdma_core, f"/usr/src/{rdma_core.name}", False))
    else:
        say(f"{target.suite}: no sources of its rdma-core, so p2pmr-provider is not built "
            "(P2PMR_SOURCES can name a folder with them)")
    with Step(f"{target.suite}: building packages"):
        status, output = in_root(root, BUILD, binds, [version, "" if rdma_core else NO_PROVIDER])
    (folder / "build.log").write_text(output, encoding="utf-8")
    if status:
        raise LabError(f"{target.suite}: building packages failed (all of it: "
                       f"{folder / 'build.log'}):\n{_end(output)}")


def _install(target, packages, folder):
    with Step(f"{target.name}: installing packages"):
        namespace.run(["cp", "-a", "--reflink=auto", str(clean(target)), str(folder / "root")])
        status, output = in_root(folder / "root", INSTALL, [(packages, "/out", False)])
    if status:
        raise LabError(f"{target.name}: installing packages failed:\n{_end(output)}")
    tree.finish(target, folder)


def _end(output):
    return "\n".join(output.splitlines()[-LAST_LINES:])


def in_root(root, script, binds, arguments=()):
    """Runs a script in a root; returns its status and output. binds: as for in_tree."""
    namespace.run(["mkdir", "-p", *(f"{root}{where}" for _, where, _ in binds)])
    command = namespace.in_tree(root, script, binds=binds, arguments=list(arguments))
    result = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True, errors="replace",
                            check=False)
    return result.returncode, result.stdout


def show(target):
    """`lab packages`: builds them and says where they are."""
    with cache.in_use():
        folder = built(target)
        for path in sorted(folder.glob("*.deb")):
            print(path)
    return 0
