// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Which code of the modules the fuzzer's own tasks have come through, by KCOV,
 * on a kernel that has it. What workers do for them is not seen.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"
#include "runner.h"

#define KCOV	      "/sys/kernel/debug/kcov"
#define KCOV_INIT     _IOR('c', 1, unsigned long)
#define KCOV_ENABLE   _IO('c', 100)
#define KCOV_TRACE_PC 0
#define TRACE_LENGTH  (1ul << 16)

static const char *const modules[] = { "p2pmr", "p2pmr_verbs", "p2pmr_bar" };

/* Their code lies in one piece; /proc/modules says where, to root. */
void coverage_find_modules(void)
{
	FILE *file = fopen("/proc/modules", "r");
	char line[512], name[64];
	uint64_t size, base;

	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%63s %" SCNu64 " %*s %*s %*s 0x%" SCNx64,
			   name, &size, &base) != 3)
			continue;
		for (size_t i = 0; i < ARRAY_SIZE(modules); i++)
			if (!strcmp(name, modules[i])) {
				tally->base[i] = base;
				tally->size[i] = size < MODULE_BYTES
							 ? size
							 : MODULE_BYTES;
			}
	}
	if (file)
		fclose(file);
}

void coverage_open(struct actor *me)
{
	me->coverage = open(KCOV, O_RDWR | O_CLOEXEC);
	if (me->coverage < 0)
		return;
	if (ioctl(me->coverage, KCOV_INIT, TRACE_LENGTH))
		wrong("kcov cannot be set up");
	me->trace = mmap(NULL, TRACE_LENGTH * sizeof(*me->trace),
			 PROT_READ | PROT_WRITE, MAP_SHARED, me->coverage, 0);
	if (me->trace == MAP_FAILED)
		wrong("kcov cannot be mapped");
}

/* For the calling thread, until it ends. */
void coverage_start(struct actor *me)
{
	if (me->coverage >= 0 &&
	    ioctl(me->coverage, KCOV_ENABLE, KCOV_TRACE_PC))
		wrong("kcov cannot be enabled");
}

static void note(uint64_t pc)
{
	for (size_t i = 0; i < ARRAY_SIZE(modules); i++)
		if (pc - tally->base[i] < tally->size[i])
			tally->covered[i][pc - tally->base[i]] = 1;
}

void coverage_collect(struct actor *me)
{
	uint64_t n;

	if (me->coverage < 0)
		return;
	n = __atomic_load_n(&me->trace[0], __ATOMIC_RELAXED);
	for (uint64_t i = 1; i <= n && i < TRACE_LENGTH; i++)
		note(me->trace[i]);
	__atomic_store_n(&me->trace[0], 0, __ATOMIC_RELAXED);
}

static void write_sections(FILE *file, const char *module)
{
	static const char *const names[] = { ".text", ".text.unlikely",
					     ".init.text", ".exit.text" };
	char path[128], address[32];

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		FILE *section;

		snprintf(path, sizeof(path), "/sys/module/%s/sections/%s",
			 module, names[i]);
		section = fopen(path, "r");
		if (!section)
			continue;
		if (fgets(address, sizeof(address), section))
			fprintf(file, "section %s %s %s", module, names[i],
				address);
		fclose(section);
	}
}

/* Lines "section MODULE NAME ADDRESS" and "pc MODULE ADDRESS", for the lab. */
void coverage_write(FILE *file)
{
	for (size_t i = 0; i < ARRAY_SIZE(modules); i++) {
		write_sections(file, modules[i]);
		for (uint64_t at = 0; at < tally->size[i]; at++)
			if (tally->covered[i][at])
				fprintf(file, "pc %s 0x%" PRIx64 "\n",
					modules[i], tally->base[i] + at);
	}
}
