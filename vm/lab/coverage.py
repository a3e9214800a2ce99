# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""From addresses that KCOV has seen to lines of the modules. The compiler puts a call
at the beginning of each basic block; where these calls are is in the module's own
relocations, and what line each belongs to is in its debugging information. A line is
counted if a basic block begins in it."""

import re
from collections import defaultdict

from lab import build

# Prints the calls of KCOV: "MODULE SECTION OFFSET FILE:LINE".
_SCRIPT = r"""
cd /out/installed/usr/lib/modules/*/updates 2>/dev/null || cd /out/installed/lib/modules/*/updates
find . -name 'p2pmr*.ko' | while read -r ko; do
    module=$(basename "$ko" .ko)
    for section in .text .text.unlikely .init.text .exit.text; do
        readelf -rW "$ko" | awk -v want="'.rela$section'" '
            $1 == "Relocation" { inside = $3 == want }
            inside && /__sanitizer_cov_trace_pc/ { print "0x" $1 }' >/tmp/calls
        [ -s /tmp/calls ] || continue
        addr2line -j "$section" -e "$ko" <"/tmp/calls" |
            paste -d ' ' /tmp/calls - | sed "s|^|$module $section |"
    done
done
"""

# From the field that is relocated to the address after the call, which KCOV reports.
_AFTER_CALL = 4
_PART = re.compile(r"(?:.*/)?kernel/((?:core|verbs|bar)/[\w.]+|compat\.h)$")


def by_file(tree, text):
    """[{"file", "lines", "covered", "missed"}] for what a guest has written; empty if its
    kernel or its modules are without KCOV."""
    return matched(build.in_build(tree, _SCRIPT), text) if "\npc " in text else []


def matched(calls, text):
    """The same of calls that are known already."""
    seen, sections = _read(text)
    lines = defaultdict(dict)
    for call in calls.splitlines():
        module, section, offset, place = call.split(" ", 3)
        name, _, number = place.split(" ")[0].rpartition(":")
        part = _PART.match(name)
        if not part or not number.isdigit() or (module, section) not in sections:
            continue
        address = sections[module, section] + int(offset, 16) + _AFTER_CALL
        lines[part[1]].setdefault(int(number), False)
        lines[part[1]][int(number)] |= address in seen[module]
    return [{"file": name, "lines": len(found), "covered": sum(found.values()),
             "missed": sorted(line for line, hit in found.items() if not hit)}
            for name, found in sorted(lines.items())]


def _read(text):
    """The addresses seen, by module, and where each section of a module was."""
    seen, sections = defaultdict(set), {}
    for line in text.splitlines():
        words = line.split()
        if words[0] == "pc":
            seen[words[1]].add(int(words[2], 16))
        else:
            sections[words[1], words[2]] = int(words[3], 16)
    return seen, sections
