// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Which steps there are, and cases made of them: from a seed, from a file. */
#include <inttypes.h>
#include <string.h>

#include "fuzz.h"
#include "runner.h"

const struct operation_kind operations[] = {
	{ "map", 14, step_map },
	{ "unmap", 8, step_unmap },
	{ "protect", 6, step_protect },
	{ "remap", 5, step_remap },
	{ "advise", 3, step_advise },
	{ "fork", 1, step_fork },
	{ "touch", 4, step_touch },
	{ "register", 28, step_register },
	{ "extended", 8, step_extended },
	{ "reregister", 5, step_reregister },
	{ "deregister", 10, step_deregister },
	{ "advise_mr", 1, step_advise_mr },
	{ "transfer", 36, step_transfer },
	{ "message", 6, step_message },
	{ "invalidate", 2, step_invalidate },
	{ "request", 24, step_request },
	{ "read", 3, step_read },
	{ "handle", 2, step_handle },
	{ "export", 6, step_export },
	{ "dmabuf", 5, step_dmabuf },
	{ "reach", 4, step_reach },
	{ "bar", 3, step_bar },
	{ "import", 6, step_import },
};
const unsigned int nr_operations = ARRAY_SIZE(operations);

static unsigned int choose(uint64_t random)
{
	unsigned int sum = 0, op = 0;

	for (unsigned int i = 0; i < nr_operations; i++)
		sum += operations[i].weight;
	random %= sum;
	while (random >= operations[op].weight)
		random -= operations[op++].weight;
	return op;
}

/* It begins with an arena that is full, mostly of what can be registered. */
#define FIRST_MAPS 4
static void first_map(struct step *step, unsigned int i)
{
	step->op = 0;
	step->arg[1] = i * ARENA_PAGES / FIRST_MAPS;
	step->arg[2] = (ARENA_PAGES / FIRST_MAPS - 1) << 8 | 7;
	step->arg[4] = 0;
}

void case_from_seed(struct fuzz_case *c, uint64_t seed, unsigned int count)
{
	uint64_t state = seed, random = next_random(&state);

	*c = (struct fuzz_case){
		.seed = seed,
		.threads = random % 4 ? 1 : 1 + random / 4 % THREADS,
		.privileged = random >> 32 & 1,
		.killed = (random >> 40) % 8 == 0,
		.count = count,
	};
	for (unsigned int i = 0; i < count; i++) {
		c->steps[i].op = choose(next_random(&state));
		for (int j = 0; j < ARGUMENTS; j++)
			c->steps[i].arg[j] = next_random(&state) >> 32;
	}
	for (unsigned int i = 0; i < FIRST_MAPS && i < count; i++)
		first_map(&c->steps[i], i);
}

static bool parse_step(struct step *step, const char *line)
{
	char name[16];
	int used;

	if (sscanf(line, "%15s%n", name, &used) != 1)
		return false;
	for (step->op = 0; step->op < nr_operations; step->op++)
		if (!strcmp(operations[step->op].name, name))
			break;
	if (step->op == nr_operations)
		return false;
	for (int i = 0; i < ARGUMENTS; i++) {
		int more;

		if (sscanf(line + used, "%" SCNu32 "%n", &step->arg[i],
			   &more) != 1)
			return false;
		used += more;
	}
	return true;
}

/* A line "case THREADS PRIVILEGED KILLED", then steps; '#' begins a remark. */
bool case_from_file(struct fuzz_case *c, const char *path)
{
	FILE *file = fopen(path, "r");
	bool begun = false, ok = file;
	unsigned int privileged, killed;
	char line[256];

	*c = (struct fuzz_case){ 0 };
	while (ok && fgets(line, sizeof(line), file)) {
		if (line[0] == '#' || line[0] == '\n')
			continue;
		if (!begun) {
			ok = sscanf(line, "case %u %u %u", &c->threads,
				    &privileged, &killed) == 3 &&
			     c->threads >= 1 && c->threads <= THREADS;
			c->privileged = privileged;
			c->killed = killed;
			begun = true;
		} else {
			ok = c->count < MOST_STEPS &&
			     parse_step(&c->steps[c->count++], line);
		}
	}
	if (file)
		fclose(file);
	return ok && c->count;
}

void case_print(const struct fuzz_case *c, FILE *file)
{
	fprintf(file, "case %u %u %u\n", c->threads, c->privileged, c->killed);
	for (unsigned int i = 0; i < c->count; i++) {
		const struct step *step = &c->steps[i];

		fprintf(file, "%s", operations[step->op].name);
		for (int j = 0; j < ARGUMENTS; j++)
			fprintf(file, " %" PRIu32, step->arg[j]);
		fputc('\n', file);
	}
}
