# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""From addresses that KCOV has seen to lines of the modules. The compiler puts a call
at the beginning of each basic block; where these calls are is in the module's own
relocations, and what function and line each belongs to is in its debugging information.
A line is counted if a basic block begins in it."""

import re
from collections import Counter, defaultdict

from lab import build

# Prints the calls of KCOV: "MODULE SECTION OFFSET FUNCTION FILE:LINE". What has been
# inlined belongs to the function that it was written in.
_SCRIPT = r"""
cd /out/installed/usr/lib/modules/*/updates 2>/dev/null || cd /out/installed/lib/modules/*/updates
find . -name 'p2pmr*.ko' | while read -r ko; do
    module=$(basename "$ko" .ko)
    for section in .text .text.unlikely .init.text .exit.text; do
        readelf -rW "$ko" | awk -v want="'.rela$section'" '
            $1 == "Relocation" { inside = $3 == want }
            inside && /__sanitizer_cov_trace_pc/ { print "0x" $1 }' >/tmp/calls
        [ -s /tmp/calls ] || continue
        addr2line -f -j "$section" -e "$ko" <"/tmp/calls" | paste -d ' ' - - |
            paste -d ' ' /tmp/calls - | sed "s|^|$module $section |"
    done
done
"""

# From the field that is relocated to the address after the call, which KCOV reports.
_AFTER_CALL = 4
_PART = re.compile(r"(?:.*/)?kernel/((?:core|verbs|bar)/[\w.]+|compat\.h)$")


def by_file(tree, text):
    """[{"file", "lines", "covered", "missed", "functions"}] for what a guest has written, with
    the same of each function; empty if its kernel or its modules are without KCOV."""
    return matched(build.in_build(tree, _SCRIPT), text) if "\npc " in text else []


def matched(calls, text):
    """The same of calls that are known already."""
    seen, sections = _read(text)
    # file -> line -> whether it was come through, and the functions that it is said to be in
    found = defaultdict(lambda: defaultdict(lambda: (False, Counter())))
    for call in calls.splitlines():
        module, section, offset, function, place = call.split(" ", 4)
        name, _, number = place.split(" ")[0].rpartition(":")
        part = _PART.match(name)
        if not part or not number.isdigit() or (module, section) not in sections:
            continue
        address = sections[module, section] + int(offset, 16) + _AFTER_CALL
        hit, functions = found[part[1]][int(number)]
        # The compiler's own variants of it have names with a dot.
        functions[function.partition(".")[0]] += 1
        found[part[1]][int(number)] = (hit or address in seen[module], functions)
    return [_file(name, lines) for name, lines in sorted(found.items())]


def _file(name, lines):
    # Where code was inlined its edges can be taken for what is around it, so most count.
    by_function = defaultdict(dict)
    for number, (hit, functions) in sorted(lines.items()):
        by_function[functions.most_common(1)[0][0]][number] = hit
    whole = {number: hit for number, (hit, _) in lines.items()}
    return {"file": name, **_counted(whole),
            "functions": [{"function": function, **_counted(part)}
                          for function, part in by_function.items()]}


def _counted(lines):
    return {"lines": len(lines), "covered": sum(lines.values()),
            "missed": sorted(number for number, hit in lines.items() if not hit)}


def report(files):
    """For people: each file, and those of its functions that were not come through wholly."""
    text = []
    for file in files:
        text.append(_share(file["file"], file["covered"], file["lines"]))
        for function in file["functions"]:
            if not function["covered"]:
                text.append(f"      {function['function']}: never called")
            elif function["missed"]:
                missed = ", ".join(map(str, function["missed"]))
                text.append(f"      {function['function']}: not {missed}")
    if files:
        text.append(_share("all", *(sum(file[key] for file in files)
                                    for key in ("covered", "lines"))))
    return text


def _share(name, covered, total):
    return f"  {name:<28} {covered:>5} of {total:>5} lines, {100 * covered // total:>3} %"


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
