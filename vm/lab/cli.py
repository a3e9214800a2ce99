# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""The command line of the lab."""

import argparse
import signal
import sys

from lab import errors, targets
from lab.progress import say


class Parser(argparse.ArgumentParser):
    """Says in one line what is wrong."""

    def error(self, message):
        raise errors.UsageError(f"{message} (see {self.prog} --help)")


def main(arguments):
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        options = _parser().parse_args(arguments)
        return options.function(options)
    except errors.LabError as error:
        say(f"lab: {error}")
        return error.status
    except KeyboardInterrupt:
        say("lab: interrupted")
        return errors.INTERRUPTED


def _interrupt(number, frame):
    raise KeyboardInterrupt


def _parser():
    parser = Parser(prog="lab", description=__doc__)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    run = commands.add_parser("run", help="run one command in a new guest")
    _target_option(run)
    run.add_argument("--share", metavar="DIR", default="")
    run.add_argument("--no-modules", action="store_true")
    run.add_argument("--icount", action="store_true")
    run.add_argument("--timeout", type=float, default=600, metavar="SECONDS")
    run.add_argument("command", nargs="+", metavar="COMMAND")
    run.set_defaults(function=_run)
    return parser


def _target_option(parser):
    parser.add_argument("--on", metavar="TARGET", default=targets.DEFAULT,
                        help="which Debian and kernel (default: %(default)s)")


def _run(options):
    from lab import run
    request = run.Request(
        target=targets.find(options.on), command=options.command,
        modules=not options.no_modules, share=options.share, icount=options.icount,
        timeout=options.timeout)
    return run.run(request, run.to_standard_streams())
