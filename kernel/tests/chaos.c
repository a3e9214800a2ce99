// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Chaos under traffic: in round after round something happens to a couple of
 * processes that move bytes into and out of device memory. What was revoked
 * stays revoked, and the couple beside them goes on. `chaos --help` tells of
 * long runs, for which the lab has a command.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bound.h"
#include "chaos_round.h"
#include "chaos_watchdog.h"
#include "runner.h"
#include "system.h"

/* What a round may take, with what it waits for elsewhere, on a busy machine. */
#define ROUND_SECONDS	 120
#define PROGRESS_SECONDS 5
#define DECK_SIZE	 128

static struct {
	uint64_t seed;
	unsigned long rounds, seconds; /* whichever is over first; 0: neither */
	const struct event *only;
} options = { .seed = 1 };

/* All events, each as often as its weight says, in an order of the seed's. */
static size_t shuffle(const struct event *deck[DECK_SIZE], uint64_t seed)
{
	size_t size = 0;

	for (size_t i = 0; i < event_count; i++)
		for (unsigned int n = 0; n < events[i].weight; n++) {
			assert_true(size < DECK_SIZE);
			deck[size++] = &events[i];
		}
	for (size_t i = size - 1; i > 0; i--) {
		size_t j = next_random(&seed) % (i + 1);
		const struct event *event = deck[i];

		deck[i] = deck[j];
		deck[j] = event;
	}
	return size;
}

static uint64_t derived(uint64_t seed, uint64_t number)
{
	seed ^= number * 0xd1342543de82ef95ull;
	return next_random(&seed);
}

static const struct event *event_of_round(uint64_t seed, unsigned long round)
{
	static const struct event *deck[DECK_SIZE];
	static unsigned long dealt = -1ul;
	static size_t size;

	if (options.only)
		return options.only;
	if (!size || dealt != round / size) {
		size = shuffle(deck, seed);
		dealt = round / size;
		shuffle(deck, derived(seed, dealt));
	}
	return deck[round % size];
}

static size_t deck_size(void)
{
	const struct event *deck[DECK_SIZE];

	return shuffle(deck, 0);
}

static time_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec;
}

static unsigned long counts[DECK_SIZE];

/* To the lab: the figures so far, or those of all rounds. */
static void tell(const char *word, const struct tally *tally, time_t start)
{
	printf("%s {\"seed\": %" PRIu64 ", \"rounds\": %lu, "
	       "\"seconds\": %ld, \"transfers\": %lu, \"bytes\": %lu, "
	       "\"failed_transfers\": %lu, \"planted_bytes\": %lu, "
	       "\"events\": {",
	       word, options.seed, tally->rounds, now() - start,
	       tally->transfers, tally->bytes, tally->refused, tally->planted);
	for (size_t i = 0; i < event_count; i++)
		printf("%s\"%s\": %lu", i ? ", " : "", events[i].name,
		       counts[i]);
	printf("}}\n");
}

static bool is_over(unsigned long round, time_t start)
{
	return (options.rounds && round >= options.rounds) ||
	       (options.seconds && now() - start >= (time_t)options.seconds);
}

static void log_round(const char *text, unsigned long round,
		      const struct event *event)
{
	FILE *log = fopen("/dev/kmsg", "w");

	if (!log)
		return;
	fprintf(log, "p2pmr chaos: %s round %lu, %s\n", text, round,
		event->name);
	fclose(log);
}

static void run_rounds(void)
{
	struct chaos chaos = { .random = options.seed };
	time_t start = now(), told = start;
	char why[WHY_SIZE] = "";

	printf("seed %" PRIu64 "\n", options.seed);
	watchdog_start(ROUND_SECONDS * slowness());
	chaos_open(&chaos);
	for (unsigned long round = 0; !is_over(round, start); round++) {
		const struct event *event = event_of_round(options.seed, round);
		bool well;

		log_round("begins", round, event);
		well = chaos_round(&chaos, event, derived(options.seed, ~round),
				   why);
		if (!well) {
			/* cmocka says it only when all has been restored. */
			printf("failed %lu %s: %s\n", round, event->name, why);
			fail_msg("round %lu of seed %" PRIu64 ", %s (%s): %s",
				 round, options.seed, event->name,
				 chaos_place(&chaos), why);
		}
		counts[event - events]++;
		watchdog_feed();
		if (now() - told >= PROGRESS_SECONDS) {
			told = now();
			tell("progress", &chaos.tally, start);
		}
	}
	if (!chaos_close(&chaos, why))
		fail_msg("after the last round: %s", why);
	watchdog_stop();
	tell("summary", &chaos.tally, start);
}

/* Two decks: every event at least twice. */
static void under_traffic(void **state)
{
	(void)state;
	if (!options.rounds && !options.seconds)
		options.rounds = 2 * deck_size();
	run_rounds();
}

/* What must not go unnoticed: an owner that says it has unmapped and has not. */
static int do_nothing(struct owned *owned)
{
	(void)owned;
	return 0;
}

static void notices_what_goes_on(void **state)
{
	static const struct event lie = { .name = "nothing",
					  .sources = 1u << SYSFS_FIRST,
					  .owner = do_nothing,
					  .revokes = true,
					  .kills = SIDES };
	struct chaos chaos = { .random = 7 };
	char why[WHY_SIZE] = "";

	(void)state;
	chaos_open(&chaos);
	assert_false(chaos_round(&chaos, &lie, 7, why));
	assert_non_null(strstr(why, "moved after the revocation"));
	assert_true(chaos_close(&chaos, why));
}

static uint8_t *other_mapping;

static void *scribble(void *argument)
{
	for (uint8_t value = 0;; value++)
		memset(other_mapping, value, OWNED_SIZE + 1);
	return argument;
}

/* Revoked it is, and yet the bytes change, and one behind them. */
static int unmap_and_scribble(struct owned *owned)
{
	pthread_t thread;
	int error;

	other_mapping =
		bar_mmap(BAR, NULL, OWNED_SIZE + PAGE, PROT_READ | PROT_WRITE,
			 MAP_SHARED, CHAOS_VICTIMS_AT);
	if (other_mapping == MAP_FAILED)
		return errno;
	/* Before, it would be a transfer whose bytes are wrong. */
	error = owner_unmaps(owned);
	if (!error && pthread_create(&thread, NULL, scribble, NULL))
		error = EAGAIN;
	return error;
}

static void notices_bytes_that_change(void **state)
{
	static const struct event scribble = { .name = "scribble",
					       .sources = 1u << SYSFS_FIRST,
					       .owner = unmap_and_scribble,
					       .revokes = true,
					       .kills = SIDES };
	struct chaos chaos = { .random = 9 };
	char why[WHY_SIZE] = "";

	(void)state;
	chaos_open(&chaos);
	assert_false(chaos_round(&chaos, &scribble, 9, why));
	assert_non_null(strstr(why, "changed after the revocation"));
	assert_false(chaos_close(&chaos, why));
	assert_non_null(strstr(why, "which is nobody's"));
	soft_roce_delete(SECOND_DEVICE, SECOND_NETDEV);
}

static void stop_survivor(struct chaos *chaos)
{
	assert_int_equal(kill(chaos->survivors.children[OWNER].pid, SIGSTOP),
			 0);
}

static void go_on(struct chaos *chaos)
{
	(void)chaos;
}

static void notices_who_stops(void **state)
{
	static const struct event stop = { .name = "stop",
					   .sources = 1u << SYSFS_FIRST,
					   .happen = stop_survivor,
					   .undo = go_on,
					   .kills = SIDES };
	struct chaos chaos = { .random = 8 };
	char why[WHY_SIZE] = "";

	(void)state;
	chaos_open(&chaos);
	couple_patience /= 3;
	assert_false(chaos_round(&chaos, &stop, 8, why));
	assert_non_null(strstr(why, "survivors: checked transfers"));
	couple_patience *= 3;
	assert_int_equal(kill(chaos.survivors.children[OWNER].pid, SIGCONT), 0);
	assert_true(chaos_close(&chaos, why));
}

/* A process that hangs is shown and ended. */
static void hang(int socket, void *argument)
{
	(void)socket;
	(void)argument;
	watchdog_start(2);
	for (;;)
		pause();
}

static void watchdog_bites(void **state)
{
	struct child child;
	int status;

	(void)state;
	child_start(&child, hang, NULL);
	assert_int_equal(waitpid(child.pid, &status, 0), child.pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	close(child.socket);
}

static void wait_for_ever(int socket, void *argument)
{
	(void)socket;
	(void)argument;
	for (;;)
		pause();
}

/* What is restored after a test that failed would else wait for them. */
static void left_children_end(void **state)
{
	struct child finished, waiting, stopped;

	(void)state;
	child_start(&finished, wait_for_ever, NULL);
	child_kill(&finished);
	child_start(&waiting, wait_for_ever, NULL);
	child_start(&stopped, wait_for_ever, NULL);
	assert_int_equal(kill(stopped.pid, SIGSTOP), 0);
	children_end();
	assert_int_equal(waitpid(-1, NULL, 0), -1);
	assert_int_equal(errno, ECHILD);
	close(waiting.socket);
	close(stopped.socket);
}

#define SHORT_SECONDS 900

static const struct test tests[] = {
	TEST_WITHIN(SHORT_SECONDS, "chaos/under-traffic", under_traffic),
	TEST("chaos/notices-what-goes-on-after-revocation",
	     notices_what_goes_on),
	TEST("chaos/notices-bytes-that-change", notices_bytes_that_change),
	TEST("chaos/notices-who-stops", notices_who_stops),
	TEST("chaos/watchdog-ends-what-hangs", watchdog_bites),
	TEST("chaos/left-children-end", left_children_end),
};

static void usage(FILE *to, const char *program)
{
	fprintf(to,
		"usage: %s [--seed N] [--rounds N] [--seconds N] [--only EVENT] NAME\n"
		"       %s --list\n"
		"Runs the test NAME; the options are for chaos/under-traffic. Events:\n",
		program, program);
	for (size_t i = 0; i < event_count; i++)
		fprintf(to, "  %s\n", events[i].name);
}

static unsigned long long number(const char *text)
{
	char *end;
	unsigned long long value = strtoull(text, &end, 0);

	if (!*text || *end) {
		fprintf(stderr, "not a number: %s\n", text);
		exit(2);
	}
	return value;
}

static void read_option(int option, const char *program)
{
	switch (option) {
	case 's':
		options.seed = number(optarg);
		return;
	case 'r':
		options.rounds = number(optarg);
		return;
	case 't':
		options.seconds = number(optarg);
		return;
	case 'o':
		options.only = find_event(optarg);
		if (options.only)
			return;
		fprintf(stderr, "no such event: %s\n", optarg);
		exit(2);
	case 'h':
		usage(stdout, program);
		exit(0);
	default:
		usage(stderr, program);
		exit(2);
	}
}

int main(int argc, char **argv)
{
	static const struct option known[] = {
		{ "seed", required_argument, NULL, 's' },
		{ "rounds", required_argument, NULL, 'r' },
		{ "seconds", required_argument, NULL, 't' },
		{ "only", required_argument, NULL, 'o' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	bool listing = argc == 2 && !strcmp(argv[1], "--list");
	int option;

	while (!listing &&
	       (option = getopt_long(argc, argv, "", known, NULL)) >= 0)
		read_option(option, argv[0]);
	if (listing)
		optind = 1;
	argv[optind - 1] = argv[0];
	return run_bound_program(argc - optind + 1, argv + optind - 1, tests,
				 ARRAY_SIZE(tests));
}
