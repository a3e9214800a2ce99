// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Signals at a time that suits, see signals.h. */
#include "signals.h"

#include <signal.h>
#include <stddef.h>

static sigset_t before;

void signals_hold(void)
{
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &before);
}

void signals_let_go(void)
{
	sigprocmask(SIG_SETMASK, &before, NULL);
}

bool signals_wait(void)
{
	static const int ends[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
	struct sigaction action;
	sigset_t waiting;

	sigpending(&waiting);
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		/* One that is ignored (nohup) waits, too. */
		if (sigismember(&waiting, ends[i]) &&
		    !sigaction(ends[i], NULL, &action) &&
		    action.sa_handler != SIG_IGN)
			return true;
	}
	return false;
}
