#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""What comes with the library as it is installed: header, symbols, manual pages,
pkg-config file."""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

MANUAL = Path("/usr/share/man")
HEADER = Path("/usr/include/infiniband/p2pmr.h")

# Both languages; calls every kind of function once, so that linking is tried too.
PROGRAM = """
#include <infiniband/p2pmr.h>

int main(void)
{
	struct p2pmr_map_attr map = { sizeof(map), 0, 0, 0, 0, 0 };
	struct p2pmr_reg_attr reg = { sizeof(reg), 0, 0, 0, 0 };
	struct p2pmr_mr_info info = { sizeof(info), 0, 0, 0 };

	(void)reg;
	(void)info;
	p2pmr_answer_free(p2pmr_query(&map, sizeof(map)));
	return p2pmr_version() != P2PMR_VERSION || p2pmr_unmap(NULL) ||
	       p2pmr_map_bar("nonsense", 0, &map) != NULL;
}
"""
STRICT = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror"]


def output(*command):
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


def pkg_config(*options):
    return output("pkg-config", *options, "libp2pmr").split()


def library():
    folder, = pkg_config("--variable=libdir")
    return f"{folder}/libp2pmr.so.1"


def symbols():
    """What the library exports: name and version."""
    pairs = []
    for line in output("nm", "-D", "--defined-only", library()).splitlines():
        kind, symbol = line.split()[1:]
        if kind != "A":
            name, _, version = symbol.partition("@@")
            pairs.append((name, version))
    assert len(pairs) > 20, pairs
    return pairs


def pages():
    found = sorted(MANUAL.glob("man[37]/p2pmr*"))
    assert len(found) > 20, found
    return found


def compiles(compiler, standard, suffix):
    with tempfile.TemporaryDirectory() as folder:
        source, program = f"{folder}/program{suffix}", f"{folder}/program"
        Path(source).write_text(PROGRAM, encoding="utf-8")
        # Compilers are lenient with what they find in /usr/include.
        copy = Path(folder, "infiniband", HEADER.name)
        copy.parent.mkdir()
        copy.write_bytes(HEADER.read_bytes())
        subprocess.run([compiler, f"-std={standard}", *STRICT, f"-I{folder}", source, "-o", program,
                        *pkg_config("--cflags", "--libs")], check=True)
        subprocess.run([program], check=True)


def header_in_c():
    compiles("gcc", "gnu11", ".c")


def header_in_cxx():
    compiles("g++", "gnu++11", ".cpp")
    compiles("g++", "gnu++20", ".cpp")


def header_declares_what_is_exported():
    declared = set(re.findall(r"\b(p2pmr_\w+)\(", re.sub(r"/\*.*?\*/", "", HEADER.read_text(
        encoding="utf-8"), flags=re.DOTALL)))
    exported = {name for name, _ in symbols()}
    assert declared == exported, declared ^ exported


def symbols_have_versions():
    assert all(version == "P2PMR_0.1" for _, version in symbols()), symbols()


def needs_only_public_interfaces():
    needed = output("readelf", "--dyn-syms", "--wide", library())
    assert "@IBVERBS_1" in needed, "the library does not use libibverbs at all"
    assert "PRIVATE" not in needed, needed


def version_of_pkg_config():
    text = output("pkg-config", "--modversion", "libp2pmr").strip()
    numbers = re.search(r"define P2PMR_VERSION P2PMR_MAKE_VERSION\((\d+), (\d+), (\d+)\)",
                        HEADER.read_text(encoding="utf-8")).groups()
    assert text == ".".join(numbers), (text, numbers)


def manual_lint():
    for page in pages():
        subprocess.run(["mandoc", "-T", "lint", "-W", "warning", str(page)], check=True)


def manual_of_every_call():
    names = {page.name for page in pages()}
    expected = {f"{name}.3" for name, _ in symbols()} | {"p2pmr.7"}
    assert names == expected, names ^ expected
    for page in pages():
        text = page.read_text(encoding="utf-8")
        assert f".Nm {page.stem}\n" in text, page
        for name, section in re.findall(r"\.Xr (p2pmr\w*) (\d)", text):
            assert f"{name}.{section}" in names, f"{page} refers to {name}({section})"


TESTS = {"lib/" + test.__name__.replace("_", "-"): test for test in (
    header_in_c, header_in_cxx, header_declares_what_is_exported, symbols_have_versions,
    needs_only_public_interfaces, version_of_pkg_config, manual_lint, manual_of_every_call)}


def main():
    if sys.argv[1:] == ["--list"]:
        print("\n".join(f"{name} timeout=150" for name in TESTS))
        return 0
    if len(sys.argv) != 2 or sys.argv[1] not in TESTS:
        print(f"usage: {os.path.basename(sys.argv[0])} --list | NAME", file=sys.stderr)
        return 2
    TESTS[sys.argv[1]]()
    return 0


if __name__ == "__main__":
    sys.exit(main())
