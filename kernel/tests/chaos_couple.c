// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* The couple as its director sees it, see chaos_couple.h. */
#include "chaos_couple.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "chaos_side.h"
#include "runner.h"
#include "system.h"

#define POLL_US 500

unsigned int couple_patience;

static const char *const names[SIDES] = { "owner", "peer" };

void couple_start(struct couple *couple, const struct couple_plan *plan)
{
	memset(couple, 0, sizeof(*couple));
	couple->plan = *plan;
	couple->state =
		mmap(NULL, sizeof(*couple->state), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(couple->state != MAP_FAILED);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0,
				    couple->link),
			 0);
	child_start(&couple->children[OWNER], side_own, couple);
	child_start(&couple->children[PEER], side_be_peer, couple);
	close(couple->link[0]);
	close(couple->link[1]);
}

static bool has_ended(struct couple *couple, enum side side)
{
	siginfo_t info = { 0 };

	return waitid(P_PID, couple->children[side].pid, &info,
		      WEXITED | WNOHANG | WNOWAIT) == 0 &&
	       info.si_pid;
}

/* Whether nothing stands against going on waiting. */
static bool is_well(struct couple *couple, char why[WHY_SIZE])
{
	for (enum side s = 0; s < SIDES; s++) {
		struct side_report *report = &couple->state->sides[s];

		if (report->is_wrong) {
			snprintf(why, WHY_SIZE, "%s: %.200s", names[s],
				 report->wrong);
			return false;
		}
		if (!couple->is_dead[s] && has_ended(couple, s)) {
			snprintf(why, WHY_SIZE, "the %s has died", names[s]);
			return false;
		}
	}
	return true;
}

static time_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec;
}

static bool await(struct couple *couple, const char *what,
		  bool (*is_so)(struct couple *, const void *),
		  const void *argument, char why[WHY_SIZE])
{
	time_t end = now() + couple_patience;

	while (!is_so(couple, argument)) {
		if (!is_well(couple, why))
			return false;
		if (now() > end) {
			snprintf(why, WHY_SIZE, "%s: not within %u s", what,
				 couple_patience);
			return false;
		}
		usleep(POLL_US);
	}
	return is_well(couple, why);
}

static bool have_moved(struct couple *couple, const void *argument)
{
	const unsigned long *wanted = argument;

	for (enum side s = 0; s < SIDES; s++)
		if (!couple->is_dead[s] &&
		    couple->state->sides[s].transfers < wanted[s])
			return false;
	return true;
}

bool couple_moves(struct couple *couple, unsigned int transfers,
		  char why[WHY_SIZE])
{
	unsigned long wanted[SIDES];

	/* One more: the next to be counted may be from before. */
	for (enum side s = 0; s < SIDES; s++)
		wanted[s] = couple->state->sides[s].transfers + transfers + 1;
	return await(couple, "checked transfers", have_moved, wanted, why);
}

unsigned long couple_reads(const struct couple *couple)
{
	unsigned long count = 0;

	for (enum side s = 0; s < SIDES; s++)
		count += couple->state->sides[s].reads;
	return count;
}

static bool has_happened(struct couple *couple, const void *argument)
{
	(void)argument;
	return couple->state->stage != EVENT;
}

bool couple_has_happened(struct couple *couple, char why[WHY_SIZE])
{
	int error;

	if (!await(couple, "what the owner does", has_happened, NULL, why))
		return false;
	error = couple->state->error;
	if (error)
		snprintf(why, WHY_SIZE, "what the owner does: %s",
			 strerror(error));
	return !error;
}

static bool have_settled(struct couple *couple, const void *argument)
{
	(void)argument;
	for (enum side s = 0; s < SIDES; s++)
		if (!couple->is_dead[s] && !couple->state->sides[s].has_settled)
			return false;
	return true;
}

bool couple_has_settled(struct couple *couple, char why[WHY_SIZE])
{
	return await(couple, "failing transfers", have_settled, NULL, why);
}

void couple_kill(struct couple *couple, enum side side)
{
	pid_t pid = couple->children[side].pid;

	couple->is_dead[side] = true;
	child_kill(&couple->children[side]);
	/* Somebody may have lent the address space; then it ends a bit later. */
	for (int i = 0; ranges_of(pid, NULL) != ranges_of(pid, "revoked");
	     i++) {
		assert_true(i < 1000);
		usleep(10 * 1000);
	}
}

static bool have_ended(struct couple *couple, const void *argument)
{
	(void)argument;
	for (enum side s = 0; s < SIDES; s++)
		if (!couple->is_dead[s] && !has_ended(couple, s))
			return false;
	return true;
}

/* The sides die as they are to now, so that is_well() is not asked for that. */
static bool both_end(struct couple *couple, char why[WHY_SIZE])
{
	time_t end = now() + couple_patience;

	while (!have_ended(couple, NULL)) {
		if (now() > end) {
			snprintf(why, WHY_SIZE, "the couple does not end");
			return false;
		}
		usleep(POLL_US);
	}
	return true;
}

bool couple_end(struct couple *couple, char why[WHY_SIZE])
{
	bool well;

	couple->state->stage = STOP;
	well = both_end(couple, why);
	for (enum side s = 0; s < SIDES; s++) {
		if (couple->is_dead[s])
			continue;
		if (!well)
			child_kill(&couple->children[s]);
		else
			child_finish(&couple->children[s]);
		couple->is_dead[s] = true;
	}
	well = well && is_well(couple, why);
	munmap(couple->state, sizeof(*couple->state));
	couple->state = NULL;
	return well;
}
