# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""The command line: what the lab's commands and options are, and which part of the
lab each of them calls."""

import argparse
import os
import re
import signal
import sys

from lab import bench, chaos, demo, errors, fuzz, housekeeping, packages, run, targets, tests
from lab.progress import say

DESCRIPTION = """\
Boots stock Debian kernels in virtual machines that have a PCI BAR and soft-RoCE,
with the project installed and its modules loaded, and runs things there.
"""
ENVIRONMENT = """\
environment:
  P2PMR_MIRROR      Debian mirror for the root trees (default: that of this machine)
  P2PMR_BAR_FILE    host file behind the first BAR, kept (default: a temporary one)
  P2PMR_KVM=no      do not even try KVM
  XDG_CACHE_HOME    where the cache p2pmr/ is (default: ~/.cache)

exit status: that of the command or 0; 1 something failed, 2 wrong usage, 99 a guest
crashed, hung or its kernel complained, 130 interrupted.  docs/lab.md has the rest.
"""


class Parser(argparse.ArgumentParser):
    """Says in one line what is wrong."""

    def error(self, message):
        raise errors.UsageError(f"{message} (see '{self.prog} --help')")


def main(arguments):
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        if not arguments:
            _parser().print_help(sys.stderr)
            return errors.USAGE
        options = _parser().parse_args(arguments)
        return options.function(options)
    except errors.LabError as error:
        say(f"lab: {error}")
        return error.status
    except BrokenPipeError:
        # Whoever read the output has gone; nothing more can be said to them.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return errors.FAILED
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        say(f"lab: {where}{error.strerror or error}")
        return errors.FAILED
    except KeyboardInterrupt:
        say("lab: interrupted")
        return errors.INTERRUPTED


def _interrupt(number, frame):
    raise KeyboardInterrupt


def _parser():
    parser = Parser(prog="lab", description=DESCRIPTION, epilog=ENVIRONMENT,
                    formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _demo_command(commands)
    _test_command(commands)
    _run_command(commands)
    _shell_command(commands)
    _packages_command(commands)
    _bench_command(commands)
    _chaos_command(commands)
    _fuzz_command(commands)
    _targets_command(commands)
    _clean_command(commands)
    return parser


def _command(commands, name, text, function):
    parser = commands.add_parser(name, help=text, description=text.capitalize() + ".")
    parser.set_defaults(function=function)
    return parser


def _target_option(parser):
    parser.add_argument("--on", metavar="TARGET", default=targets.DEFAULT,
                        help="the Debian and kernel to use (default: %(default)s)")


def _guest_options(parser):
    _target_option(parser)
    parser.add_argument("--share", metavar="DIR", type=_folder,
                        help="a folder to see in the guest at /mnt/share, writable")
    parser.add_argument("--bar-size", metavar="SIZE", type=_bar_size,
                        default=run.DEFAULT_BAR_SIZE,
                        help="size of each BAR: a power of two, such as 16M or 4G "
                             "(default: 16M)")
    parser.add_argument("--no-modules", action="store_true",
                        help="leave the project's modules installed but not loaded")
    parser.add_argument("--packages", action="store_true",
                        help="a guest that has the project's Debian packages installed and "
                             "no build; nothing is loaded")
    parser.add_argument("--icount", action="store_true",
                        help="one CPU, and time counted in instructions")
    parser.add_argument("--fabric", action="store_true",
                        help="a PCIe switch and a second root complex beside, with devices "
                             "that have DMA engines below them")
    parser.add_argument("--cpu", metavar="MODEL", default="",
                        help="emulate this CPU, as QEMU names it (default: max)")
    parser.add_argument("--append", metavar="ARGUMENTS", default="",
                        help="more arguments for the guest's kernel")


def _demo_command(commands):
    parser = _command(commands, "demo", "show in a minute what the project does",
                      lambda options: demo.run_demo(targets.find(options.on)))
    _target_option(parser)


def _test_command(commands):
    parser = _command(commands, "test", "run the tests", _test)
    parser.add_argument("--on", metavar="TARGET", action="append", default=[],
                        help="run all tests on this target (can be repeated); without it: "
                             "all on trixie, on the others those that differ by kernel, "
                             "and without -k a sample on sanitize")
    parser.add_argument("-k", metavar="PATTERN", action="append", default=[], dest="patterns",
                        help="only tests whose name contains PATTERN; may have * and ? in it")
    parser.add_argument("--all", action="store_true", help="all tests on all targets")
    parser.add_argument("--list", action="store_true", help="only list the tests")
    parser.add_argument("--json", metavar="FILE", help="write the results to FILE as well")


def _run_command(commands):
    parser = _command(commands, "run", "run one command in a new guest", _run)
    parser.usage = ("lab run [--on TARGET] [--share DIR] [--bar-size SIZE] [--no-modules]"
                    " [--packages] [--icount] [--fabric] [--cpu MODEL] [--append ARGUMENTS]"
                    " [--timeout SECONDS] -- COMMAND [ARG]...")
    _guest_options(parser)
    parser.add_argument("--timeout", type=_seconds, metavar="SECONDS",
                        help="how long the command may take; then it is a hang, status 99 "
                        f"(default: {run.DEFAULT_TIMEOUT}, and more on slow targets)")
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="COMMAND",
                        help="the command and its arguments, after --")


def _shell_command(commands):
    parser = _command(commands, "shell", "open an interactive shell in a new guest",
                      lambda options: run.shell(_request(options, timeout=float("inf"))))
    _guest_options(parser)


def _packages_command(commands):
    parser = _command(commands, "packages", "build the Debian packages and say where they are",
                      lambda options: packages.show(targets.find_stock(options.on)))
    _target_option(parser)


def _bench_command(commands):
    parser = _command(commands, "bench", "count what p2pmr costs, and draw it", _bench)
    parser.add_argument("--on", metavar="TARGET", action="append", default=[],
                        help="measure on this target (can be repeated; default: trixie)")
    parser.add_argument("--quick", action="store_true", help="a part of it, in a minute or two")
    parser.add_argument("--commit", action="store_true",
                        help="make the counts those of bench/reference.json for their kernels")
    parser.add_argument("--out", metavar="DIR", default="bench-results",
                        help="where results, plots and the page go (default: %(default)s)")


def _bench(options):
    chosen = [targets.find_stock(name) for name in options.on or [targets.DEFAULT]]
    return bench.bench(chosen, options.quick, options.out, options.commit)


def _chaos_command(commands):
    parser = _command(commands, "chaos", "let things happen to device memory under traffic",
                      _chaos)
    _target_option(parser)
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--rounds", metavar="N", type=_positive,
                        help="so many rounds (default: each event twice at least)")
    length.add_argument("--for", metavar="TIME", type=_duration, dest="duration",
                        help="for so long: seconds, or with a unit, such as 30m or 8h")
    parser.add_argument("--seed", metavar="N", type=_natural,
                        help="what decides what happens (default: a new one, which is shown)")
    parser.add_argument("--json", metavar="FILE", help="write the figures to FILE as well")


def _chaos(options):
    return chaos.chaos(targets.find(options.on), options.rounds, options.duration,
                       options.seed, options.json)


def _fuzz_command(commands):
    parser = _command(commands, "fuzz", "try what nobody would, and see what breaks", _fuzz)
    _target_option(parser)
    parser.add_argument("--for", metavar="TIME", dest="duration", type=_duration, default=600,
                        help="how long: 90s, 30m, 2h (default: 10m)")
    parser.add_argument("--seed", metavar="N", type=_natural,
                        help="begin with this case; they are numbered, and each repeats "
                             "exactly (default: one by chance)")
    parser.add_argument("--cases", metavar="N", type=_positive, default=0,
                        help="no more than this many cases; 1 repeats one")
    parser.add_argument("--json", metavar="FILE", help="write the results to FILE as well")


def _fuzz(options):
    return fuzz.fuzz(targets.find(options.on), options.duration, options.seed, options.cases,
                     options.json)


def _targets_command(commands):
    parser = _command(commands, "targets", "show what there is to run on",
                      lambda options: housekeeping.show_targets(options.json))
    parser.add_argument("--json", action="store_true", help="for programs")


def _clean_command(commands):
    _command(commands, "clean", "remove everything the lab has cached",
             lambda options: housekeeping.clean())


def _request(options, **more):
    return run.Request(
        target=targets.find(options.on), modules=not options.no_modules,
        packages=options.packages, share=options.share or "", bar_size=options.bar_size,
        icount=options.icount, fabric=options.fabric, cpu=options.cpu,
        append=options.append, **more)


def _run(options):
    command = options.command
    if command[:1] == ["--"]:
        command = command[1:]
    if not command:
        raise errors.UsageError("run: no command given (see 'lab run --help')")
    timeout = options.timeout or run.DEFAULT_TIMEOUT * targets.find(options.on).slowness
    return run.command(_request(options, command=command, timeout=timeout))


def _test(options):
    return tests.run(
        only=[targets.find(name) for name in options.on], everything=options.all,
        patterns=options.patterns, list_only=options.list, json_file=options.json)


def _folder(text):
    if not os.path.isdir(text):
        raise argparse.ArgumentTypeError(f"'{text}' is not a folder")
    return os.path.abspath(text)


def _seconds(text):
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0
    if not seconds > 0:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number of seconds")
    return seconds


def _natural(text):
    if not text.isascii() or not text.isdigit() or int(text) >= 1 << 64:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number from 0 to 2^64-1")
    return int(text)


def _positive(text):
    if not _natural(text):
        raise argparse.ArgumentTypeError("none is too few")
    return int(text)


def _duration(text):
    found = re.fullmatch(r"([0-9]{1,9})([smh]?)", text)
    seconds = int(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[found[2]] if found else 0
    if not seconds:
        raise argparse.ArgumentTypeError(f"'{text}' is not a time, such as 90s, 30m or 8h")
    return seconds


def _bar_size(text):
    found = re.fullmatch(r"(\d+)([KMGT]?)", text.upper())
    size = int(found[1]) << (10 * " KMGT".index(found[2] or " ")) if found else 0
    if size < 4096 or size & (size - 1):
        raise argparse.ArgumentTypeError(
            f"'{text}' is not the size of a BAR: a power of two from 4K, such as 16M or 4G")
    return size
