#!/bin/sh
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
# The one command that runs the tests on any machine runs them on this one.
run=$(dirname "$0")/pyverbs-tests/run.py

case "$1" in
--list)
	echo "pyverbs/run-by-one-command timeout=300"
	;;
pyverbs/run-by-one-command)
	"$run" --help | grep -q OVERWRITTEN || exit 1
	# Bad input: a line, and no test.
	"$run" --dev nobody --bar "$P2PMR_BAR" && exit 1
	"$run" --dev "$P2PMR_DEV" --bar /nowhere && exit 1
	"$run" --dev "$P2PMR_DEV" --bar "$P2PMR_BAR" -k no-such-test && exit 1
	# With one BAR, what takes two is skipped; and both kinds of proof are in it.
	"$run" --dev "$P2PMR_DEV" --bar "$P2PMR_BAR" -v -k write- -k munmap \
		-k extended-tells 2>&1 |
		tee /tmp/pyverbs-run
	grep -q "^OK (skipped=" /tmp/pyverbs-run
	;;
*)
	echo "usage: $0 --list | NAME" >&2
	exit 2
	;;
esac
