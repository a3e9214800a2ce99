// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * A thousand registrations and deregistrations, of every outcome, cost no
 * memory in the end.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bar.h"
#include "endpoint.h"
#include "modules.h"
#include "runner.h"

#define ROUND  1000
#define ROUNDS 3
/* A thousandth of it is less than any object that a registration makes. */
#define TOLERANCE_KIB 96

struct usage {
	long kernel_kib;     /* unreclaimable slab, per-CPU, vmalloc */
	int kernel_mappings; /* areas of ioremap() and vmap() */
	int references;
};

static long meminfo_sum(void)
{
	static const char *const fields[] = { "SUnreclaim:", "Percpu:",
					      "VmallocUsed:", "PageTables:" };
	FILE *file = fopen("/proc/meminfo", "r");
	char line[128], name[64];
	long value, sum = 0;

	assert_non_null(file);
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%63s %ld", name, &value) != 2)
			continue;
		for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
			if (!strcmp(name, fields[i]))
				sum += value;
	}
	fclose(file);
	return sum;
}

/*
 * Freed kernel addresses are purged now and then only, until when each has a
 * descriptor in this cache. Mappings that are not freed count by themselves.
 */
static long lazily_freed(void)
{
	FILE *file = fopen("/proc/slabinfo", "r");
	char line[256], name[64];
	long count, size;

	assert_non_null(file);
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%63s %*d %ld %ld", name, &count, &size) ==
			    3 &&
		    !strcmp(name, "vmap_area")) {
			fclose(file);
			return count * size / 1024;
		}
	}
	fail_msg("no vmap_area in /proc/slabinfo");
	return 0;
}

static int count_kernel_mappings(void)
{
	FILE *file = fopen("/proc/vmallocinfo", "r");
	char line[512];
	int count = 0;

	assert_non_null(file);
	while (fgets(line, sizeof(line), file))
		count += strstr(line, " ioremap") || strstr(line, " vmap");
	fclose(file);
	return count;
}

static struct usage measure(void)
{
	/* What waits for a grace period is freed early if memory is asked for. */
	for (int i = 0; i < 2; i++) {
		FILE *file = fopen("/proc/sys/vm/drop_caches", "w");

		assert_non_null(file);
		fputs("3\n", file);
		fclose(file);
		usleep(300 * 1000);
	}
	return (struct usage){
		.kernel_kib = meminfo_sum() - lazily_freed(),
		.kernel_mappings = count_kernel_mappings(),
		.references = module_references(VERBS_MODULE),
	};
}

/* The kernel's workers may be late with the last of a thousand. */
static struct usage measure_settled(const struct usage *before)
{
	struct usage now = measure();

	for (int i = 0;
	     i < 20 && (now.references != before->references ||
			now.kernel_mappings != before->kernel_mappings);
	     i++)
		now = measure();
	return now;
}

struct ground {
	struct device device;
	struct memory bar, host;
};

static void register_once(struct ground *g, unsigned int i)
{
	static const size_t lengths[] = { 1,	     100,
					  PAGE,	     3 * PAGE + 5,
					  64 * 1024, 256 * 1024 };
	size_t length = lengths[i % ARRAY_SIZE(lengths)];

	assert_int_equal(ibv_dereg_mr(must_register(g->device.pd,
						    g->bar.bytes + i % 5000,
						    length, ACCESS_ALL)),
			 0);
}

/* Refused late and early: what was set up by then must go again. */
static void be_refused(struct ground *g, unsigned int i)
{
	uint8_t *end = g->bar.bytes + g->bar.size;

	if (i % 2)
		assert_null(ibv_reg_mr(g->device.pd, end - PAGE, 2 * PAGE,
				       ACCESS_ALL));
	else
		assert_null(ibv_reg_mr(g->device.pd, g->bar.bytes, PAGE,
				       ACCESS_ALL | IBV_ACCESS_MW_BIND));
}

static void revoke_once(struct ground *g, unsigned int i)
{
	struct memory bar;

	(void)i;
	memory_map(&bar, BAR, 4 * PAGE);
	memory_register(&bar, g->device.pd);
	assert_int_equal(munmap(bar.bytes, 4 * PAGE), 0);
	assert_int_equal(ibv_dereg_mr(bar.mr), 0);
}

typedef void (*step)(struct ground *g, unsigned int i);

struct plan {
	step step;
};

static void costs_nothing(void **state)
{
	step step = ((const struct plan *)*state)->step;
	struct ground g;
	struct usage before, after;
	long growth, least = -1;

	device_open(&g.device);
	memory_map(&g.bar, BAR, 1 << 20);
	/* Nobody may map anything behind the BAR's end meanwhile. */
	memory_map(&g.host, HOST, PAGE);
	for (unsigned int i = 0; i < ROUND; i++)
		step(&g, i);

	/* A leak grows in every round; the rest of the system does not. */
	for (int round = 0; round < ROUNDS; round++) {
		before = measure();
		for (unsigned int i = 0; i < ROUND; i++)
			step(&g, i);
		after = measure_settled(&before);
		growth = after.kernel_kib - before.kernel_kib;
		print_message("round %d: %+ld KiB, %+d mappings\n", round,
			      growth,
			      after.kernel_mappings - before.kernel_mappings);
		if (least < 0 || growth < least)
			least = growth > 0 ? growth : 0;
		assert_int_equal(after.references, before.references);
		assert_int_equal(after.kernel_mappings, before.kernel_mappings);
	}
	assert_in_range(least, 0, TOLERANCE_KIB);
	memory_release(&g.host);
	memory_release(&g.bar);
	device_close(&g.device);
}

#define PLAN(step) (&(const struct plan){ step })

static const struct test tests[] = {
	TEST_OF("verbs/1000-registrations-cost-no-memory", costs_nothing,
		PLAN(register_once)),
	TEST_OF("verbs/1000-refusals-cost-no-memory", costs_nothing,
		PLAN(be_refused)),
	TEST_OF("range/1000-revocations-cost-no-memory", costs_nothing,
		PLAN(revoke_once)),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
