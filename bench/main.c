// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* p2pmr-bench: the command line. */
#include <argp.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "command.h"
#include "text.h"

#define ITERATIONS     50
#define ITERATIONS_MAX 1000000
#define MAPPINGS_MAX   1024
#define ALIVE_MAX      1000000
#define PROCESSES_MAX  256
#define OFFSET_MAX     4095

const char *argp_program_version = "p2pmr-bench " P2PMR_TOOL_VERSION;
error_t argp_err_exit_status = EXIT_USAGE;

static const struct benchmark *const benchmarks[] = {
	&register_benchmark, &transfer_benchmark, &staged_benchmark,
	&copy_benchmark,     &revoke_benchmark,	  &footprint_benchmark,
};
#define BENCHMARKS (sizeof(benchmarks) / sizeof(benchmarks[0]))

static const char about[] =
	"Measures what p2pmr does on this machine, device memory against host "
	"memory within one run.\v"
	"BENCHMARK is one of\n"
	"  register  ibv_reg_mr() and ibv_dereg_mr()\n"
	"  transfer  RDMA of all kinds, a message at a time\n"
	"  staged    straight into the memory, against into host memory and a copy\n"
	"  copy      copies by the CPU: libp2pmr's against memcpy()\n"
	"  revoke    munmap() under regions, until the peer is told\n"
	"  footprint what a region takes of the kernel's memory\n"
	"\n"
	"KIND is host, thp or hugetlb, the BAR of a PCI function as "
	"0000:01:00.0:2 (uncached) or 0000:01:00.0:2:wc (write-combined), or a file "
	"that maps device memory. After mixed: every other mapping of the range is host "
	"memory. The bytes are overwritten.";

static const struct argp_option options[] = {
	{ "device", 'd', "NAME", 0, "RDMA device (default: the first)", 0 },
	{ "memory", 'm', "KIND", 0, "measure this memory (can be repeated)",
	  0 },
	{ "size", 's', "SIZE[,SIZE...]", 0,
	  "in bytes, with K, M or G for powers of 1024", 0 },
	{ "iterations", 'n', "N", 0, "samples of each (default: 50)", 0 },
	{ "mappings", 'v', "N", 0, "a BAR's range consists of N mappings", 0 },
	{ "alive", 'a', "N", 0,
	  "register: N other regions exist; revoke: N are ended at once; footprint: by N",
	  0 },
	{ "processes", 'p', "N", 0, "register: N at the same time", 0 },
	{ "offset", 'o', "N", 0,
	  "copy: begin so many bytes into the memory's page", 0 },
	{ "events", 'e', NULL, 0,
	  "transfer, staged: sleep until a message is there, do not poll", 0 },
	{ "json", 'j', NULL, 0, "a JSON document for each line", 0 },
	{ "instructions", 'i', NULL, 0,
	  "the clock counts instructions, as in a guest with --icount", 0 },
	{ 0 },
};

struct wanted {
	struct run run;
	const struct benchmark *benchmark;
};

static unsigned int number(const char *text, unsigned int least,
			   unsigned int most, struct argp_state *state)
{
	char *end;
	unsigned long value;

	errno = 0;
	value = strtoul(text, &end, 10);
	if (errno || *text < '0' || *text > '9' || *end || value < least ||
	    value > most)
		argp_error(state, "'%s' is not a number from %u to %u", text,
			   least, most);
	return (unsigned int)value;
}

static uint64_t size(const char *text, struct argp_state *state)
{
	static const char units[] = "KMG";
	const char *unit;
	uint64_t value;
	char *end;

	errno = 0;
	value = strtoull(text, &end, 10);
	unit = *end ? strchr(units, *end) : NULL;
	if (errno || *text < '0' || *text > '9' || !value ||
	    (*end && (!unit || end[1])) || value > UINT64_MAX >> 30)
		argp_error(state, "'%s' is not a size, such as 4096 or 64K",
			   text);
	return unit ? value << (10 * (unit - units + 1)) : value;
}

static void add_sizes(struct run *run, char *text, struct argp_state *state)
{
	for (char *word = strtok(text, ","); word; word = strtok(NULL, ",")) {
		if (run->size_count == SIZES_MAX)
			argp_error(state, "more than %d sizes", SIZES_MAX);
		run->sizes[run->size_count++] = size(word, state);
	}
}

static void choose(struct wanted *wanted, const char *name,
		   struct argp_state *state)
{
	if (wanted->benchmark)
		argp_error(state, "one benchmark at a time");
	for (size_t i = 0; i < BENCHMARKS; i++)
		if (!strcmp(name, benchmarks[i]->name))
			wanted->benchmark = benchmarks[i];
	if (!wanted->benchmark)
		argp_error(state, "there is no benchmark '%s'", name);
}

static error_t parse(int key, char *argument, struct argp_state *state)
{
	struct wanted *wanted = state->input;
	struct run *run = &wanted->run;

	switch (key) {
	case 'd':
		run->device = argument;
		return 0;
	case 'm':
		if (run->memory_count == MEMORIES_MAX)
			argp_error(state, "more than %d kinds of memory",
				   MEMORIES_MAX);
		run->memories[run->memory_count++] = argument;
		return 0;
	case 's':
		add_sizes(run, argument, state);
		return 0;
	case 'n':
		run->iterations = number(argument, 1, ITERATIONS_MAX, state);
		return 0;
	case 'v':
		run->mappings = number(argument, 1, MAPPINGS_MAX, state);
		return 0;
	case 'a':
		run->alive = number(argument, 1, ALIVE_MAX, state);
		return 0;
	case 'p':
		run->processes = number(argument, 1, PROCESSES_MAX, state);
		return 0;
	case 'o':
		run->offset = number(argument, 0, OFFSET_MAX, state);
		return 0;
	case 'e':
		run->events = true;
		return 0;
	case 'j':
		run->json = true;
		return 0;
	case 'i':
		run->instructions = true;
		return 0;
	case ARGP_KEY_ARG:
		choose(wanted, argument, state);
		return 0;
	case ARGP_KEY_END:
		if (!wanted->benchmark)
			argp_error(state, "which benchmark?");
		if (run->offset && wanted->benchmark != &copy_benchmark)
			argp_error(state, "--offset is for copy");
		if (run->events && !wanted->benchmark->knows_events)
			argp_error(state,
				   "--events is for transfer and staged");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static void add_defaults(struct wanted *wanted)
{
	const uint64_t *sizes = wanted->benchmark->sizes;
	struct run *run = &wanted->run;

	run->unit = wanted->benchmark->unit ? wanted->benchmark->unit
		    : run->instructions	    ? "instructions"
					    : "ns";
	if (!run->memory_count)
		run->memories[run->memory_count++] = "host";
	if (!run->size_count)
		while (run->size_count < SIZES_MAX && sizes[run->size_count]) {
			run->sizes[run->size_count] = sizes[run->size_count];
			run->size_count++;
		}
}

/* The first, unless the user has named one. */
static bool find_device(struct run *run)
{
	struct ibv_device **list;

	if (run->device)
		return true;
	list = ibv_get_device_list(NULL);
	if (!list || !list[0]) {
		complain("there is no RDMA device");
		return false;
	}
	/* Its name is in the list, which therefore stays. */
	run->device = ibv_get_device_name(list[0]);
	return true;
}

int main(int argc, char **argv)
{
	static const struct argp argp = { options, parse, "BENCHMARK", about,
					  NULL,	   NULL,  NULL };
	struct wanted wanted = { .run = { .iterations = ITERATIONS,
					  .mappings = 1,
					  .processes = 1 } };

	argp_parse(&argp, argc, argv, 0, NULL, &wanted);
	add_defaults(&wanted);
	if (wanted.benchmark->needs_device && !find_device(&wanted.run))
		return EXIT_NOT_THERE;
	report_head(&wanted.run);
	if (!wanted.benchmark->run(&wanted.run))
		return EXIT_WRONG;
	if (fflush(stdout) || ferror(stdout)) {
		complain("cannot write: %s", strerror(errno));
		return EXIT_SYSTEM;
	}
	return EXIT_OK;
}
