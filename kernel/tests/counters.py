# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""What the modules have counted since they were loaded."""

FILE = "/sys/kernel/debug/p2pmr/counters"


def registrations():
    """Of device memory, ever."""
    with open(FILE, encoding="ascii") as file:
        return int(dict(line.split() for line in file)["registered"])
