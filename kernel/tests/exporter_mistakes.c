// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Whatever an exporter answers wrongly is refused, with a line that names it and
 * says why, and never reaches an RDMA device.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "chardev.h"
#include "exporting.h"
#include "modules.h"
#include "revoked.h"
#include "runner.h"
#include "system.h"
#include "watch.h"

#define MAX_EXTENTS 3
#define ASKED	    (2 * PAGE)
#define NOWHERE	    (-PAGE) /* as an address: the last page there could be */
#define RAM	    (-2 * PAGE)
#define RAM_AT	    0x100000 /* on every machine that ever was a PC */
#define MEMORY_BAR  2
#define PORTS	    4 /* no function has fewer */
#define KADDR	    0xffff888000000000ul

struct extent {
	uint64_t offset; /* in the BAR, or NOWHERE, or RAM */
	uint64_t length;
	uint64_t kaddr;
};

/* An answer for two pages, and what is said about it. */
static const struct mistake {
	const char *reason;
	int error;
	int ret;
	struct extent extents[MAX_EXTENTS];
	int count;
} mistakes[] = {
	{ "extent of no length", EIO, 0, { { 0, 0, 0 } }, 1 },
	{ "extent of no length", EIO, 0, { { 0, 0, 0 }, { 0, ASKED, 0 } }, 2 },
	{ "extent of no length",
	  EIO,
	  0,
	  { { 0, ASKED, 0 }, { ASKED, 0, 0 } },
	  2 },
	{ "beyond what was asked", EIO, 0, { { 0, ASKED + 1, 0 } }, 1 },
	{ "beyond what was asked",
	  EIO,
	  0,
	  { { 0, PAGE, 0 }, { PAGE, PAGE, 0 }, { ASKED, PAGE, 0 } },
	  3 },
	/* Together they are two pages, but for a sum of 64 bits. */
	{ "beyond what was asked",
	  EIO,
	  0,
	  { { 0, PAGE, 0 }, { PAGE, -PAGE, 0 }, { 0, ASKED, 0 } },
	  3 },
	{ "not at a physical address", EIO, 0, { { NOWHERE, ASKED, 0 } }, 1 },
	{ "not at a physical address", EIO, 0, { { NOWHERE, PAGE, 0 } }, 1 },
	{ "system RAM", EIO, 0, { { RAM, ASKED, 0 } }, 1 },
	{ "system RAM", EIO, 0, { { 0, PAGE, 0 }, { RAM, PAGE, KADDR } }, 2 },
	{ "end before what was asked", EIO, 0, { { 0, ASKED - 1, 0 } }, 1 },
	{ "end before what was asked", EIO, 0, { { 0, 0, 0 } }, 0 },
	{ "begins inside a page",
	  EIO,
	  0,
	  { { 0, 100, 0 }, { 100, ASKED - 100, 0 } },
	  2 },
	{ "extent has another offset", EIO, 0, { { 8, ASKED, 0 } }, 1 },
	{ "kernel address has another offset",
	  EIO,
	  0,
	  { { 0, ASKED, KADDR + 8 } },
	  1 },
	{ "neither 0 nor an errno", EIO, 1, { { 0, ASKED, 0 } }, 1 },
	{ "neither 0 nor an errno", EIO, -5000, { { 0, ASKED, 0 } }, 1 },
	/* What it did wrong on the way counts more than what it says. */
	{ "beyond what was asked",
	  ENOLINK,
	  -ENOLINK,
	  { { 0, 3 * PAGE, 0 } },
	  1 },
};

static uint64_t address(uint64_t offset, uint64_t bar)
{
	switch (offset) {
	case NOWHERE:
		return NOWHERE;
	case RAM:
		return RAM_AT;
	default:
		return bar + offset;
	}
}

static void answer(const struct mistake *m, unsigned int clear)
{
	char line[256];
	uint64_t first, last;
	int at;

	physical_range(BAR, &first, &last);
	at = snprintf(line, sizeof(line), "answer %d %u", m->ret, clear);
	for (int i = 0; i < m->count; i++) {
		const struct extent *e = &m->extents[i];

		at += snprintf(line + at, sizeof(line) - at, " %lx %lx %lx",
			       address(e->offset, first), e->length, e->kaddr);
	}
	exporter_do("%s\n", line);
}

static int registration_error(struct ibv_pd *pd, void *bytes)
{
	struct ibv_mr *mr = ibv_reg_mr(pd, bytes, ASKED, ACCESS_ALL);

	if (!mr)
		return errno;
	assert_int_equal(ibv_dereg_mr(mr), 0);
	return 0;
}

static void each_is_refused(void **state)
{
	char reason[REASON_SIZE], *text;
	int errors[ARRAY_SIZE(mistakes)];
	struct device device;
	void *bytes;

	(void)state;
	exporter_load("");
	device_open(&device);
	bytes = exporter_map(0);
	trace_start();
	for (size_t i = 0; i < ARRAY_SIZE(mistakes); i++) {
		answer(&mistakes[i], 0);
		errors[i] = registration_error(device.pd, bytes);
	}
	text = trace_end();
	for (size_t i = 0; i < ARRAY_SIZE(mistakes); i++) {
		refusal_reason(text, i, reason);
		print_message("%zu: %d %s\n", i, errors[i], reason);
		assert_int_equal(errors[i], mistakes[i].error);
		assert_non_null(
			strstr(reason, "exporter " EXPORTER_MODULE ": "));
		assert_non_null(strstr(reason, mistakes[i].reason));
	}
	assert_int_equal(count_in(text, "p2pmr_refuse: "),
			 ARRAY_SIZE(mistakes));
	free(text);

	exporter_do("truth\n");
	assert_int_equal(registration_error(device.pd, bytes), 0);
	assert_int_equal(munmap(bytes, WINDOW), 0);
	device_close(&device);
	exporter_unload();
}

static void answer_bytes(uint64_t first)
{
	exporter_do("answer 0 0 %lx %x 0\n", first, PORTS);
}

/*
 * RAM is found also where the exporter calls it a BAR: one that is elsewhere, or one
 * of ports, whose numbers are not addresses of memory.
 */
static void no_bar_hides_ram(void **state)
{
	struct trial {
		char address[32];
		unsigned int bar;
		uint64_t first;
		int expected;
	} trials[3] = {
		{ .bar = MEMORY_BAR, .first = RAM_AT, .expected = EIO },
		{ .expected = EIO },
		{ .bar = MEMORY_BAR, .expected = 0 },
	};
	struct device device;
	uint64_t last;
	void *bytes;

	(void)state;
	pci_address(BAR, trials[0].address);
	pci_ports(trials[1].address, &trials[1].bar, &trials[1].first);
	pci_address(BAR, trials[2].address);
	physical_range(BAR, &trials[2].first, &last);
	exporter_load("");
	device_open(&device);
	bytes = exporter_map(0);
	for (size_t i = 0; i < ARRAY_SIZE(trials); i++) {
		const struct trial *t = &trials[i];
		struct ibv_mr *mr;
		int error;

		print_message("%#lx in BAR %u of %s\n", t->first, t->bar,
			      t->address);
		exporter_do("claim %s %u\n", t->address, t->bar);
		answer_bytes(t->first);
		mr = ibv_reg_mr(device.pd, bytes + t->first % PAGE, PORTS,
				ACCESS_ALL);
		error = mr ? 0 : errno;
		if (mr)
			assert_int_equal(ibv_dereg_mr(mr), 0);
		assert_int_equal(error, t->expected);
	}
	assert_int_equal(munmap(bytes, WINDOW), 0);
	device_close(&device);
	exporter_unload();
}

/* Nothing of the core's own is in what the exporter fills, so it cannot hurt. */
static void answer_cleared_afterwards(void **state)
{
	static const struct mistake right = {
		.extents = { { 0, PAGE, 0 }, { PAGE, PAGE, 0 } }, .count = 2
	};
	struct device device;
	struct ibv_mr *mr;
	void *bytes;

	(void)state;
	exporter_load("");
	device_open(&device);
	bytes = exporter_map(0);
	answer(&right, 1);
	mr = must_register(device.pd, bytes, ASKED, ACCESS_ALL);
	assert_exporter_says("users=1 ");
	assert_int_equal(ibv_dereg_mr(mr), 0);
	assert_exporter_says("users=0 ");
	assert_int_equal(munmap(bytes, WINDOW), 0);
	device_close(&device);
	exporter_unload();
}

static const struct test tests[] = {
	TEST("exporter/mistakes-refused", each_is_refused),
	TEST("exporter/no-bar-hides-ram", no_bar_hides_ram),
	TEST("exporter/answer-cleared-afterwards", answer_cleared_afterwards),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
