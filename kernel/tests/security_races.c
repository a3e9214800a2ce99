// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * What a user without privileges may not register cannot be had by changing the
 * mappings, in another thread, while the kernel looks at them either.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "host.h"
#include "peer.h"
#include "revoked.h"
#include "runner.h"
#include "watch.h"

#define READ_WRITE (PROT_READ | PROT_WRITE)

#define PAGES	   4
#define ROUNDS	   25
#define AT_ONCE	   6
#define NR_STATES  5
#define PATIENCE_S 20

/* A thread that changes what is mapped while another registers it. */
struct changer {
	uint8_t *bytes;
	int read_write;
	int read_only;
	atomic_int parked; /* asked for: odd; done: the same number */
	atomic_int done;
	atomic_bool stop;
	unsigned long changes;
	bool failed;
};

static bool put(struct changer *c, size_t page, unsigned int what)
{
	uint8_t *at = c->bytes + page * PAGE;
	const off_t offset = page * PAGE;
	void *got;

	switch (what % NR_STATES) {
	case 0:
		got = mmap(at, PAGE, READ_WRITE, MAP_SHARED | MAP_FIXED,
			   c->read_write, offset);
		break;
	case 1:
		got = mmap(at, PAGE, READ_WRITE, MAP_PRIVATE | MAP_FIXED,
			   c->read_write, offset);
		break;
	case 2:
		got = mmap(at, PAGE, READ_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
		break;
	case 3:
		return mprotect(at, PAGE, PROT_READ) == 0;
	default:
		got = mmap(at, PAGE, PROT_READ, MAP_SHARED | MAP_FIXED,
			   c->read_only, offset);
	}
	return got == at;
}

static void *keep_changing(void *argument)
{
	struct changer *c = argument;
	uint64_t seed = 6;
	int asked;

	while (!atomic_load(&c->stop)) {
		uint64_t random = next_random(&seed);

		asked = atomic_load(&c->parked);
		if (asked != atomic_load(&c->done)) {
			/* Parked with all of the BAR for reading only. */
			for (size_t page = 0; asked % 2 && page < PAGES; page++)
				c->failed |= !put(c, page, 4);
			atomic_store(&c->done, asked);
		}
		if (asked % 2) {
			usleep(100);
			continue;
		}
		/* Writable BAR more often, so that registrations succeed. */
		if (random >> 40 & 1)
			for (size_t page = 0; page < PAGES; page++)
				c->failed |= !put(c, page, 0);
		else
			c->failed |=
				!put(c, random % PAGES, random / PAGES % 97);
		c->changes++;
		if (random >> 41 & 1)
			usleep(random >> 42 & 1023);
	}
	return NULL;
}

static void tell_changer(struct changer *c, int number)
{
	atomic_store(&c->parked, number);
	for (int i = 0; i < PATIENCE_S * 10000; i++) {
		if (atomic_load(&c->done) == number)
			return;
		usleep(100);
	}
	fail_msg("the other thread does not answer");
}

/*
 * None is left that may write into the BAR. One that had found nothing but host
 * memory writes into that. Returns how many were refused.
 */
static unsigned int assert_none_writes(struct pair *pair,
				       const struct memory *host,
				       struct ibv_mr *const mrs[],
				       unsigned int n)
{
	static uint8_t planted[PAGES * PAGE], seen[PAGES * PAGE];
	unsigned int refused = 0;

	pattern_fill(planted, sizeof(planted), n);
	host_write(0, 0, planted, sizeof(planted));
	for (unsigned int i = 0; i < n; i++) {
		const struct transfer write = {
			.opcode = IBV_WR_RDMA_WRITE,
			.local = host->bytes,
			.lkey = host->mr->lkey,
			.length = PAGES * PAGE,
			.remote = (uintptr_t)mrs[i]->addr,
			.rkey = mrs[i]->rkey,
		};

		if (run_transfer(&pair->near, &write) == IBV_WC_SUCCESS)
			continue;
		refused++;
		pair_reconnect(pair);
	}
	host_read(0, 0, seen, sizeof(seen));
	assert_bytes(seen, planted, sizeof(seen), "file behind the BAR");
	return refused;
}

static unsigned int register_while_it_changes(struct changer *changer,
					      struct ibv_pd *pd,
					      struct ibv_mr *mrs[])
{
	unsigned int n = 0;

	for (int i = 0; i < 4 * AT_ONCE && n < AT_ONCE; i++) {
		mrs[n] = ibv_reg_mr(pd, changer->bytes, PAGES * PAGE,
				    ACCESS_ALL);
		if (mrs[n])
			n++;
		else if (errno != EACCES && errno != EINVAL &&
			 errno != EAGAIN && errno != EFAULT)
			fail_msg("registration: %s", strerror(errno));
	}
	return n;
}

/*
 * Whatever a registration has seen while the mappings changed under it: once
 * they are for reading only no region is left that could be written through.
 */
static void mappings_change_under_the_walk(void **state)
{
	struct changer changer = { .read_write = open(bar_path(BAR), O_RDWR),
				   .read_only = open(bar_path(BAR), O_RDONLY) };
	struct memory host, window;
	unsigned int n, registered = 0, refused = 0;
	struct ibv_mr *mrs[AT_ONCE];
	struct pair pair;
	pthread_t thread;

	(void)state;
	pair_open(&pair);
	memory_map(&host, HOST, PAGES * PAGE);
	memory_register(&host, pair.device.pd);
	memory_map(&window, BAR, PAGES * PAGE);
	changer.bytes = window.bytes;
	assert_int_equal(pthread_create(&thread, NULL, keep_changing, &changer),
			 0);
	for (int round = 0; round < ROUNDS; round++) {
		tell_changer(&changer, 2 * round + 2);
		n = register_while_it_changes(&changer, pair.device.pd, mrs);
		registered += n;
		tell_changer(&changer, 2 * round + 3);
		refused += assert_none_writes(&pair, &host, mrs, n);
		while (n)
			assert_int_equal(ibv_dereg_mr(mrs[--n]), 0);
	}
	atomic_store(&changer.stop, true);
	assert_int_equal(pthread_join(thread, NULL), 0);
	print_message("%u registered, %u of them over by then, %lu changes\n",
		      registered, refused, changer.changes);
	assert_false(changer.failed);
	assert_true(refused > 0);
	memory_release(&window);
	memory_release(&host);
	pair_close(&pair);
	close(changer.read_write);
	close(changer.read_only);
}

#define MOST_ROUNDS 6000
#define LEAST_RACES 3

/* A thread that takes the right to write away once, while another registers. */
struct taker {
	uint8_t *bytes;
	int read_only;
	bool protect; /* by mprotect(), else by another mapping */
	uint64_t delay_ns;
	atomic_bool ready;
	atomic_bool go;
	bool failed;
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

static void *take_once(void *argument)
{
	struct taker *t = argument;
	uint64_t begin;

	atomic_store(&t->ready, true);
	while (!atomic_load(&t->go))
		;
	for (begin = now_ns(); now_ns() - begin < t->delay_ns;)
		;
	if (t->protect)
		t->failed = mprotect(t->bytes, PAGES * PAGE, PROT_READ);
	else
		t->failed = mmap(t->bytes, PAGES * PAGE, PROT_READ,
				 MAP_SHARED | MAP_FIXED, t->read_only,
				 0) != t->bytes;
	return NULL;
}

/* How long a registration takes at least, when nobody disturbs it. */
static uint64_t registration_ns(struct ibv_pd *pd, void *bytes)
{
	uint64_t least = UINT64_MAX;

	for (int i = 0; i < 8; i++) {
		uint64_t begin = now_ns(), took;
		struct ibv_mr *mr =
			must_register(pd, bytes, PAGES * PAGE, ACCESS_ALL);

		took = now_ns() - begin;
		least = took < least ? took : least;
		assert_int_equal(ibv_dereg_mr(mr), 0);
	}
	return least;
}

/* NULL if it was refused. When it returns the mapping is for reading only. */
static struct ibv_mr *register_against(struct taker *taker, struct ibv_pd *pd)
{
	struct ibv_mr *mr;
	pthread_t thread;
	int error;

	atomic_store(&taker->ready, false);
	atomic_store(&taker->go, false);
	assert_int_equal(pthread_create(&thread, NULL, take_once, taker), 0);
	while (!atomic_load(&taker->ready))
		;
	atomic_store(&taker->go, true);
	mr = ibv_reg_mr(pd, taker->bytes, PAGES * PAGE, ACCESS_ALL);
	error = errno;
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_false(taker->failed);
	if (!mr && error != EACCES && error != EAGAIN && error != EFAULT)
		fail_msg("registration: %s", strerror(error));
	return mr;
}

/*
 * Nothing changes any more after this one change, so that nothing but what the
 * registration itself has seen of it can end a region that must not be. Until
 * the kernel has found out late, when all was set up, several times.
 */
static void right_goes_under_the_walk(void **state)
{
	struct taker taker = { .read_only = open(bar_path(BAR), O_RDONLY) };
	int read_write = open(bar_path(BAR), O_RDWR);
	unsigned long before = debugfs_counter("retried"), late = 0;
	unsigned int rounds, registered = 0;
	struct memory host, window;
	uint64_t seed = 6, took;
	struct pair pair;
	struct ibv_mr *mr;

	(void)state;
	pair_open(&pair);
	memory_map(&host, HOST, PAGES * PAGE);
	memory_register(&host, pair.device.pd);
	memory_map(&window, BAR, PAGES * PAGE);
	taker.bytes = window.bytes;
	took = registration_ns(pair.device.pd, window.bytes);
	for (rounds = 0; rounds < MOST_ROUNDS && late < LEAST_RACES; rounds++) {
		assert_ptr_equal(mmap(window.bytes, PAGES * PAGE, READ_WRITE,
				      MAP_SHARED | MAP_FIXED, read_write, 0),
				 window.bytes);
		taker.protect = rounds % 2;
		taker.delay_ns = next_random(&seed) % took;
		mr = register_against(&taker, pair.device.pd);
		if (mr) {
			registered++;
			assert_int_equal(
				assert_none_writes(&pair, &host, &mr, 1), 1);
			assert_int_equal(ibv_dereg_mr(mr), 0);
		}
		late = debugfs_counter("retried") - before;
	}
	print_message("%u rounds, %u registered and over, %lu seen late\n",
		      rounds, registered, late);
	assert_true(late >= LEAST_RACES);
	memory_release(&window);
	memory_release(&host);
	pair_close(&pair);
	close(taker.read_only);
	close(read_write);
}

static const struct test tests[] = {
	TEST("security/mappings-change-under-the-walk",
	     mappings_change_under_the_walk),
	TEST("security/right-goes-under-the-walk", right_goes_under_the_walk),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
