# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""What the tests of the command stand on: running it as root or as nobody, with what is
true of all its output checked each time; a process that holds an MR; the contract."""

import contextlib
import json
import os
import pty
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
HELPERS = FOLDER / "tool-helpers"
COMMANDS = ("status", "bars", "mr", "query", "test", "doctor", "exec", "monitor")
NOBODY = 65534
COLUMNS = 80
SECONDS = 60
# What a sanitizer ends the program with, unlike anything the program says itself.
FOUND = 99
OK, WRONG, USAGE, NO_P2PMR, NOT_THERE, SYSTEM = range(6)

_part = "tool"


def program():
    return str(HELPERS / "p2pmr") if _part == "tool_asan" else "p2pmr"


def environment(**more):
    return {**os.environ, "TERM": "xterm", "ASAN_OPTIONS": f"exitcode={FOUND}",
            "UBSAN_OPTIONS": f"exitcode={FOUND}:print_stacktrace=1", **more}


def as_user(user):
    return {"user": user, "group": user, "extra_groups": []} if user else {}


@dataclass
class Result:
    status: int
    out: str
    err: str

    @property
    def lines(self):
        return self.out.splitlines()

    @property
    def documents(self):
        return [json.loads(line) for line in self.lines]

    @property
    def document(self):
        document, = self.documents
        return document


def p2pmr(*arguments, status=OK, user=None, **more):
    """Runs the command to its end."""
    command = [program(), *map(str, arguments)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=SECONDS, check=False,
                          env=environment(), **as_user(user), **more)
    result = Result(done.returncode, done.stdout, done.stderr)
    print(f"$ {' '.join(command)}\n{result.out}{result.err}status {result.status}")
    assert result.status == status, f"status {result.status}, not {status}"
    check_output(result, arguments)
    return result


def check_output(result, arguments):
    """What is true of everything that the command says."""
    assert "\033" not in result.out + result.err, "colours, though it is no terminal"
    if result.status > WRONG:
        assert len(result.err.splitlines()) == 1, "not one line that says what is wrong"
        assert result.err.startswith("p2pmr"), result.err
    if result.status in (USAGE, NOT_THERE):
        assert not result.out, "output in spite of the mistake"
    if {"-j", "--json"} & set(arguments):
        assert all(document["command"] in COMMANDS for document in result.documents)
    else:
        narrow(result.out)


def narrow(text):
    for line in text.splitlines():
        assert len(line) <= COLUMNS, f"{len(line)} columns: {line!r}"
        assert line == line.rstrip(), f"blanks at the end: {line!r}"


def on_terminal(*arguments, meanwhile=None, **variables):
    """What the command writes to a terminal; meanwhile is called with its process."""
    parent, child = pty.openpty()
    done = subprocess.Popen([program(), *arguments], stdin=child, stdout=child, stderr=child,
                            env=environment(**variables))
    os.close(child)
    output = b""
    try:
        if meanwhile:
            meanwhile(done)
        with contextlib.suppress(OSError):
            while part := os.read(parent, 4096):
                output += part
        done.wait(SECONDS)
    finally:
        done.kill()
        os.close(parent)
    assert done.returncode != FOUND, output
    return output.decode()


def function(variable="P2PMR_BAR"):
    return Path(os.environ[variable]).parent.name


def function_file(name, variable="P2PMR_BAR"):
    return Path("/sys/bus/pci/devices", function(variable), name)


def write(path, text):
    Path(path).write_text(f"{text}\n", encoding="ascii")


def parameter(name, module="p2pmr"):
    return Path("/sys/module", module, "parameters", name)


@contextlib.contextmanager
def setting(path, text):
    """A file of sysfs with another content for a while."""
    before = Path(path).read_text(encoding="ascii").strip()
    write(path, text)
    try:
        yield
    finally:
        write(path, before)


def shell(command, **more):
    print(f"# {command}")
    subprocess.run(["sh", "-c", command], check=True, timeout=SECONDS, **more)


class Holder:
    """A process that holds an MR over a BAR, as a user."""

    def __init__(self, user=None, path=None, length=1 << 20, offset=0x10000,
                 registered=0x10000, program=HELPERS / "holder"):
        fd = os.open(path or os.environ["P2PMR_BAR"], os.O_RDWR)
        self.process = subprocess.Popen(
            [program, *map(str, (fd, length, offset, registered))], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            pass_fds=(fd,), **as_user(user))
        os.close(fd)
        self.pid = self.process.pid

    def __enter__(self):
        self.address = int(self.process.stdout.readline())
        return self

    def unmap(self):
        self.process.stdin.write("unmap\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "unmapped\n"

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(SECONDS)
        self.process.stdout.close()


@contextlib.contextmanager
def without_modules():
    shell("rmmod p2pmr_verbs p2pmr")
    try:
        yield
    finally:
        shell("modprobe p2pmr_verbs")


def main(tests, sanitized=()):
    """The contract of test programs; those of the functions that are sanitized run once
    more as the part tool_asan."""
    global _part
    table = {f"{part}/{test.__name__.replace('_', '-')}": (part, test)
             for part, chosen in (("tool", tests), ("tool_asan", sanitized))
             for test in chosen}
    if sys.argv[1:] == ["--list"]:
        print("\n".join(f"{name} timeout=150" for name in table))
        return 0
    if len(sys.argv) != 2 or sys.argv[1] not in table:
        print(f"usage: {sys.argv[0]} --list | NAME", file=sys.stderr)
        return 2
    _part, test = table[sys.argv[1]]
    test()
    return 0
