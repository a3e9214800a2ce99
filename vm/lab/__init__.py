# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""The lab: stock Debian kernels in virtual machines, with a PCI BAR to register."""
