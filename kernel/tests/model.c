// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Random operations between host memory and two BARs, against a model of
 * what every byte must be. P2PMR_SEED repeats a sequence.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "exchange.h"
#include "host.h"
#include "runner.h"

#define WINDOW	 (32 * PAGE)
#define STEPS	 400
#define MEMORIES 3
#define REGIONS	 3 /* over each memory: all of it, and two parts */

struct side {
	struct memory memory;	      /* as a whole */
	struct memory parts[REGIONS]; /* the same bytes, other keys */
	size_t starts[REGIONS];
	uint8_t model[WINDOW];
};

struct world {
	uint64_t random;
	struct pair pair;
	struct side sides[MEMORIES];
};

static struct world world;

static size_t below(struct world *w, size_t limit)
{
	return next_random(&w->random) % limit;
}

/* Small lengths as often as large ones. */
static size_t random_length(struct world *w, size_t limit)
{
	size_t most = 1ul << below(w, 17);

	return 1 + below(w, most < limit ? most : limit);
}

static void new_region(struct world *w, struct side *side, int i)
{
	struct memory *part = &side->parts[i];
	size_t start = i ? below(w, WINDOW - 4096) : 0;

	if (part->mr)
		assert_int_equal(ibv_dereg_mr(part->mr), 0);
	side->starts[i] = start;
	part->kind = side->memory.kind;
	part->bytes = side->memory.bytes + start;
	part->size = i ? 16 + below(w, WINDOW - start - 16) : WINDOW;
	memory_register(part, w->pair.device.pd);
}

static void atomic_step(struct world *w, struct side *near, int i,
			struct side *far, int j)
{
	/* Both words on an address that is a multiple of their size. */
	size_t result = 8 * below(w, WINDOW / 8);
	size_t target = 8 * below(w, WINDOW / 8);
	bool add = below(w, 2), match = below(w, 2);
	uint64_t found, operand = next_random(&w->random);
	struct transfer t = {
		.opcode = add ? IBV_WR_ATOMIC_FETCH_AND_ADD
			      : IBV_WR_ATOMIC_CMP_AND_SWP,
		.local = near->memory.bytes + result,
		.lkey = near->parts[i].mr->lkey,
		.length = 8,
		.remote = (uintptr_t)far->memory.bytes + target,
		.rkey = far->parts[j].mr->rkey,
		.swap = operand,
	};

	memcpy(&found, far->model + target, 8);
	t.compare_add = add ? operand : found + !match;
	assert_status(run_transfer(&w->pair.near, &t), IBV_WC_SUCCESS);

	memcpy(near->model + result, &found, 8);
	if (add)
		found += operand;
	else if (match)
		found = operand;
	memcpy(far->model + target, &found, 8);
}

static void transfer_step(struct world *w, enum operation operation,
			  struct side *near, int i, struct side *far, int j)
{
	struct memory *from = &near->parts[i], *to = &far->parts[j];
	size_t limit = from->size < to->size ? from->size : to->size;
	size_t length = random_length(w, limit);
	struct place here = { from, below(w, from->size - length + 1) };
	struct place there = { to, below(w, to->size - length + 1) };
	uint8_t *near_model = near->model + near->starts[i] + here.offset;
	uint8_t *far_model = far->model + far->starts[j] + there.offset;

	exchange(&w->pair, operation, here, there, length);
	if (operation == READ)
		memcpy(near_model, far_model, length);
	else
		memcpy(far_model, near_model, length);
}

static void store_step(struct world *w, struct side *side)
{
	size_t length = random_length(w, 4096);
	size_t offset = below(w, WINDOW - length);

	pattern_fill(side->model + offset, length, w->random);
	memcpy(side->memory.bytes + offset, side->model + offset, length);
}

static void step(struct world *w)
{
	int n = below(w, MEMORIES);
	/* Another memory: copies that overlap themselves have no one result. */
	int f = (n + 1 + below(w, MEMORIES - 1)) % MEMORIES;
	struct side *near = &w->sides[n], *far = &w->sides[f];
	int i = below(w, REGIONS), j = below(w, REGIONS);

	switch (below(w, 9)) {
	case 0:
	case 1:
		atomic_step(w, near, 0, far, 0);
		break;
	case 2:
		store_step(w, near);
		break;
	case 3:
		new_region(w, far, j);
		break;
	default:
		transfer_step(w, below(w, SEND_IMM + 1), near, i, far, j);
	}
}

static uint64_t choose_seed(void)
{
	const char *given = getenv("P2PMR_SEED");
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return given ? strtoull(given, NULL, 0)
		     : (uint64_t)now.tv_sec * 1000000000u + now.tv_nsec;
}

static void check(struct world *w, int step_number)
{
	char what[64];

	for (int m = 0; m < MEMORIES; m++) {
		snprintf(what, sizeof(what), "step %d, memory %d", step_number,
			 m);
		assert_bytes(w->sides[m].memory.bytes, w->sides[m].model,
			     WINDOW, what);
	}
}

static void random_operations(void **state)
{
	static const enum memory_kind kinds[] = { HOST, BAR, BAR2_WC };
	static uint8_t seen[WINDOW];
	struct world *w = &world;

	(void)state;
	w->random = choose_seed();
	print_message("P2PMR_SEED=%" PRIu64 "\n", w->random);
	pair_open(&w->pair);
	for (int m = 0; m < MEMORIES; m++) {
		struct side *side = &w->sides[m];

		memory_map(&side->memory, kinds[m], WINDOW);
		pattern_fill(side->model, WINDOW, m);
		memcpy(side->memory.bytes, side->model, WINDOW);
		for (int i = 0; i < REGIONS; i++)
			new_region(w, side, i);
	}

	for (int i = 0; i < STEPS; i++) {
		step(w);
		check(w, i);
	}

	for (int m = 0; m < MEMORIES; m++) {
		struct side *side = &w->sides[m];

		if (side->memory.kind != HOST) {
			host_read(bar_index(side->memory.kind), 0, seen,
				  WINDOW);
			assert_bytes(seen, side->model, WINDOW,
				     "file behind the BAR");
		}
		for (int i = 0; i < REGIONS; i++)
			assert_int_equal(ibv_dereg_mr(side->parts[i].mr), 0);
		memory_release(&side->memory);
	}
	pair_close(&w->pair);
}

static const struct test tests[] = {
	TEST("verbs/random-operations-match-model", random_operations),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
