# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
"""Entry point of `python3 -m lab`, which the lab command executes."""

import sys

from lab.cli import main

sys.exit(main(sys.argv[1:]))
