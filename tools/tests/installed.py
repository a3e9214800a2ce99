#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""What comes with the command agrees with it: help, manual page, completion in both
shells, and the schema of its JSON."""

import json
import os
import pty
import re
import select
import subprocess
import sys
import time
from pathlib import Path

import tool
from tool import COMMANDS, NO_P2PMR, WRONG, Holder, p2pmr

PAGE = Path("/usr/share/man/man1/p2pmr.1")
SCHEMA = Path("/usr/share/p2pmr/p2pmr.schema.json")
BASH = Path("/usr/share/bash-completion/completions/p2pmr")
ZSH = "/usr/share/zsh/site-functions"
OPTION = re.compile(r"^  -(\w), --([\w-]+)(=?)", re.M)


def options(command):
    """Letter and name of each option, by the command's help."""
    found = OPTION.findall(p2pmr(command, "--help").out)
    assert ("h", "help", "") in found, found
    return found


def help_of_all():
    text = p2pmr("--help").out
    assert tuple(re.findall(r"^  (\w+) {2,}", text, re.M)) == COMMANDS
    for command in COMMANDS:
        text = p2pmr(command, "-h").out
        assert text.startswith(f"usage: p2pmr {command} [OPTION]...")
        assert ("j", "json", "") in options(command) or command == "exec"
        for line in re.findall(r"^  -.*", text, re.M):
            assert re.match(r"  -\w, --[\w-]+(=[A-Z]+)?  +\S", line), line


def version():
    text = p2pmr("--version").out
    assert text == p2pmr("-V").out and re.fullmatch(r"p2pmr (\S+) \(libp2pmr \1\)\n", text)


def plain_page():
    """The manual page as it is read, without the overstriking of terminals."""
    page = subprocess.run(["mandoc", "-T", "ascii", str(PAGE)], stdout=subprocess.PIPE,
                          text=True, check=True).stdout
    return re.sub(".\b", "", page)


def manual():
    subprocess.run(["mandoc", "-T", "lint", "-W", "warning", str(PAGE)], check=True)
    text = plain_page()
    sections = dict(re.findall(r"^   (\w+)\n(.*?)(?=^   \w+\n|^\w)", text, re.M | re.S))
    common = text[text.index("Options of all commands"):]
    for command in COMMANDS:
        for letter, name, _ in options(command):
            place = common if name in ("json", "help") else sections[command]
            assert re.search(rf"-{letter}, --{name}\b", place), (command, name)
    # Nothing more than there is, either.
    known = {name for command in COMMANDS for _, name, _ in options(command)} | {"version"}
    assert set(re.findall(r"^ +-\w, --([\w-]+)", text, re.M)) == known


def exit_statuses():
    """Those of the manual page are those of the source of the tests."""
    text = plain_page()
    listed = re.findall(r"^     (\d)  ", text[text.index("EXIT STATUS"):], re.M)
    assert listed == [str(number) for number in range(tool.SYSTEM + 1)], listed


def complete(*words):
    """What bash offers for the last word."""
    script = f"""
        . {BASH}
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_LINE="$*"
        COMP_POINT=${{#COMP_LINE}}
        _p2pmr
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(["bash", "-c", script, "bash", *words], stdout=subprocess.PIPE,
                          text=True, check=True)
    return done.stdout.split()


def completion_in_bash():
    assert set(complete("p2pmr", "")) == {*COMMANDS, "--json", "--help", "--version"}
    assert complete("p2pmr", "-j", "mo") == ["monitor"]
    assert "--watch" in complete("p2pmr", "--json", "mr", "--")
    assert complete("p2pmr", "mo") == ["monitor"]
    for command in COMMANDS:
        names = {f"--{name}" for _, name, _ in options(command)}
        assert set(complete("p2pmr", command, "--")) == names, command
    address = tool.function()
    assert address in complete("p2pmr", "bars", "")
    assert complete("p2pmr", "test", address, "")[:6] == list("012345")
    assert complete("p2pmr", "test", "-d", "") == [os.environ["P2PMR_DEV"]]
    assert "dummy0" in complete("p2pmr", "test", "--create-device", "")
    assert "self" in complete("p2pmr", "query", "")


def zsh_offers(line, wanted):
    """What zsh shows for two tabs after a line, when it has all that is wanted."""
    parent, child = pty.openpty()
    process = subprocess.Popen(["zsh", "-f", "-i"], stdin=child, stdout=child, stderr=child,
                               env={**os.environ, "TERM": "vt100", "PS1": "", "COLUMNS": "200",
                                    "FPATH_ADDED": ZSH}, start_new_session=True)
    os.close(child)
    setup = ("fpath=($FPATH_ADDED $fpath); autoload -Uz compinit; compinit -u -D; "
             "LISTMAX=1000; setopt nobeep; unsetopt zle_bracketed_paste; echo re''ady\n")
    os.write(parent, setup.encode())
    read_until(parent, ["ready"])
    os.write(parent, f"{line}\t\t".encode())
    output = read_until(parent, wanted)
    process.kill()
    process.wait()
    os.close(parent)
    return output


def read_until(terminal, wanted):
    """What comes until all that is wanted has, or has not in a long time."""
    output, end = "", time.monotonic() + tool.SECONDS / 3
    while not all(re.search(rf"(?<!\w){word}\b", output) for word in wanted):
        if not select.select([terminal], [], [], max(0, end - time.monotonic()))[0]:
            break
        output += os.read(terminal, 4096).decode(errors="replace")
    return output


def completion_in_zsh():
    source = Path(ZSH, "_p2pmr")
    subprocess.run(["zsh", "-n", str(source)], check=True)
    shown = zsh_offers("p2pmr ", COMMANDS)
    for command in COMMANDS:
        assert re.search(rf"\b{command}\b", shown), shown
    # Each branch has the options that the command has.
    text = source.read_text(encoding="utf-8")
    shared = {"json": "$json", "help": "$help"}
    for command in COMMANDS:
        branch = re.search(rf"^\t(?:\w+\|)*{command}(?:\|\w+)*\)\n(.*?);;", text, re.M | re.S)[1]
        for letter, name, value in options(command):
            if name in shared:
                assert shared[name] in branch, (command, name)
            else:
                form = (rf"{{-{letter}\+,--{name}=}}" if value else rf"{{-{letter},--{name}}}")
                assert re.search(form, branch), (command, name)
        known = {name for _, name, _ in options(command)} - set(shared)
        assert set(re.findall(r"\{-\w\+?,--([\w-]+)", branch)) == known, command


def completion_in_zsh_of_options():
    wanted = [f"--{name}" for _, name, _ in options("test")]
    shown = zsh_offers("p2pmr test --", wanted)
    for option in wanted:
        assert option in shown, shown


def json_schema():
    """Documents of all commands, in all conditions that differ, are as the schema says."""
    import jsonschema  # slow to load, so here alone
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    jsonschema.Draft7Validator.check_schema(schema)
    validator = jsonschema.Draft7Validator(schema)

    def valid(*line, status=0):
        for document in p2pmr(*line, "--json", status=status).documents:
            problems = [error.message for error in validator.iter_errors(document)]
            # One for each command, to say which part of the document it is.
            own = validator.evolve(schema={**schema, "oneOf": [
                {"$ref": f"#/definitions/{line[0]}"}]})
            assert not problems, [error.message for error in own.iter_errors(document)]
            assert document["command"] == line[0]

    function = tool.function()
    with Holder() as holder:
        for line in (("status",), ("bars",), ("mr",), ("doctor",), ("test", function, 2),
                     ("query", holder.pid, hex(holder.address - 4096), "2M")):
            valid(*line)
        holder.unmap()
        valid("mr", "--all")
    with tool.without_modules():
        valid("status", status=NO_P2PMR)
        valid("bars", status=NO_P2PMR)
        valid("doctor", status=WRONG)
    events(validator, function)
    assert not validator.is_valid({"command": "mr"}), "the schema takes anything"


def events(validator, function):
    """One event of each kind."""
    with subprocess.Popen([tool.program(), "monitor", "-j", "-n", "4"], stdout=subprocess.PIPE,
                          text=True, env=tool.environment()) as process:
        seen = [json.loads(process.stdout.readline())]
        p2pmr("test", function, 2)
        with tool.setting(tool.parameter("builtin_exporter"), "N"):
            p2pmr("test", function, 2, status=WRONG)
        with Holder():
            seen += [json.loads(line) for line in process.stdout]
    for event in seen:
        assert validator.is_valid(event), event
    assert [event["event"] for event in seen] == ["start", "register", "deregister", "refuse",
                                                  "register"]


if __name__ == "__main__":
    sys.exit(tool.main((help_of_all, version, manual, exit_statuses, completion_in_bash,
                        completion_in_zsh, completion_in_zsh_of_options, json_schema),
                       sanitized=(help_of_all,)))
