# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""What the lab can end with: its exit statuses, and the errors that carry them."""

FAILED = 1
USAGE = 2
GUEST_BROKEN = 99
INTERRUPTED = 130


class LabError(Exception):
    """A failure that the user is told about in the words of the exception."""

    status = FAILED


class UsageError(LabError):
    """The command line asks for something that does not exist."""

    status = USAGE


class GuestBroken(LabError):
    """A guest crashed, hung or complained: its result means nothing."""

    status = GUEST_BROKEN
