#!/bin/sh
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
# The one command that runs the tests on any machine runs them on this one.
run=$(dirname "$0")/pyverbs-tests/run.py

# It ends with a line that says what is wrong, and not with a traceback.
refuses() {
	line=$1
	shift
	if "$@" >/tmp/pyverbs-refusal 2>&1; then
		echo "not refused: $*"
		exit 1
	fi
	cat /tmp/pyverbs-refusal
	[ "$(wc -l </tmp/pyverbs-refusal)" -eq 1 ] || exit 1
	grep -q "$line" /tmp/pyverbs-refusal || exit 1
}

# Without what is at a path.
without() {
	path=$1
	shift
	unshare --mount sh -c 'mount -t tmpfs none "$0" && exec "$@"' "$path" "$@"
}

case "$1" in
--list)
	echo "pyverbs/run-by-one-command timeout=300"
	;;
pyverbs/run-by-one-command)
	"$run" --help | grep -q OVERWRITTEN || exit 1
	# Bad input: a line, and no test.
	refuses nobody "$run" --dev nobody --bar "$P2PMR_BAR"
	refuses /nowhere "$run" --dev "$P2PMR_DEV" --bar /nowhere
	refuses modprobe without /dev "$run" --dev "$P2PMR_DEV" --bar "$P2PMR_BAR"
	refuses python3-pyverbs without /usr/lib/python3/dist-packages \
		"$run" --dev "$P2PMR_DEV" --bar "$P2PMR_BAR"
	refuses documentation without /usr/share/doc "$run" --dev "$P2PMR_DEV" --bar "$P2PMR_BAR"
	"$run" --dev "$P2PMR_DEV" --bar "$P2PMR_BAR" -k no-such-test && exit 1
	# With one BAR, what takes two is skipped; and both kinds of proof are in it.
	"$run" --dev "$P2PMR_DEV" --bar "$P2PMR_BAR" -v -k write- -k munmap \
		-k extended-tells 2>&1 |
		tee /tmp/pyverbs-run
	grep -q "^OK (skipped=" /tmp/pyverbs-run || exit 1
	# Where the provider could not be built, nothing that takes it is installed.
	if ! [ -f "$(dirname "$run")/test_provider.py" ]; then
		"$run" --dev "$P2PMR_DEV" --bar "$P2PMR_BAR" --list >/tmp/pyverbs-list || exit 1
		grep -q write_seen /tmp/pyverbs-list || exit 1
		grep -e dm_is_in -e rereg_place /tmp/pyverbs-list && exit 1
		exit 0
	fi
	# It is the provider that passes them: another one does not.
	IBV_DRIVERS=rxe "$run" --dev "$P2PMR_DEV" --bar "$P2PMR_BAR" -v \
		-k dm-is-in-the-bar -k rereg-place -k parent-domain-with 2>&1 |
		tee /tmp/pyverbs-run
	grep -q "^FAILED (errors=3)" /tmp/pyverbs-run
	;;
*)
	echo "usage: $0 --list | NAME" >&2
	exit 2
	;;
esac
