// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* What there is that could be left over, see inventory.h. */
#include "inventory.h"

#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "modules.h"
#include "runner.h"
#include "system.h"

static const char *const modules[] = { "p2pmr", "p2pmr_verbs", "p2pmr_bar",
				       "rdma_rxe" };

static void add(char text[INVENTORY_SIZE], const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void add(char text[INVENTORY_SIZE], const char *format, ...)
{
	size_t used = strlen(text);
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(text + used, INVENTORY_SIZE - used, format, ap);
	va_end(ap);
	assert_true(n >= 0 && (size_t)n < INVENTORY_SIZE - used);
}

static void add_line_count(char text[INVENTORY_SIZE], const char *path)
{
	unsigned int count = 0;
	char *lines;

	if (access(path, R_OK))
		return;
	lines = read_file(path);
	for (const char *at = lines; (at = strchr(at, '\n')); at++)
		count++;
	free(lines);
	add(text, "%s: %u lines\n", path, count);
}

/* All lines of a file that have the word. */
static void add_lines(char text[INVENTORY_SIZE], const char *path,
		      const char *word)
{
	char line[512];
	FILE *file = fopen(path, "r");

	assert_non_null(file);
	while (fgets(line, sizeof(line), file))
		if (strstr(line, word))
			add(text, "%s: %s", path, line);
	fclose(file);
}

static unsigned int count_entries(const char *path)
{
	unsigned int count = 0;
	DIR *folder = opendir(path);

	if (!folder)
		return 0;
	while (readdir(folder))
		count++;
	closedir(folder);
	return count;
}

static void take_quick(char text[INVENTORY_SIZE])
{
	text[0] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(modules); i++)
		if (module_is_loaded(modules[i]))
			add(text, "references on %s: %d\n", modules[i],
			    module_references(modules[i]));
	add_line_count(text, "/sys/kernel/debug/p2pmr/ranges");
	add_line_count(text, "/sys/kernel/debug/p2pmr/mrs");
	add_lines(text, "/proc/self/status", "VmPin:");
	add_lines(text, "/proc/misc", "p2pmr");
	add(text, "open files: %u\n", count_entries("/proc/self/fd"));
}

static void add_output(char text[INVENTORY_SIZE], const char *command)
{
	FILE *pipe = popen(command, "r");
	char line[512];

	assert_non_null(pipe);
	while (fgets(line, sizeof(line), pipe))
		add(text, "%s", line);
	assert_int_equal(pclose(pipe), 0);
}

static void take_slow(char text[INVENTORY_SIZE])
{
	text[0] = '\0';
	add_output(text, "rdma resource show");
	add_lines(text, "/proc/iomem", "p2pmr");
	if (!access("/sys/kernel/debug/dma_buf/bufinfo", R_OK))
		add_lines(text, "/sys/kernel/debug/dma_buf/bufinfo", "Total");
	add(text, "files of p2pmr_bar: %u\n", count_entries("/dev/p2pmr_bar"));
}

void inventory_take(struct inventory *inventory)
{
	take_quick(inventory->quick);
	take_slow(inventory->slow);
}

/* Workers and RCU may be about to give something back. */
static void expect(const char *before, void (*take)(char *now),
		   const char *what)
{
	static char now[INVENTORY_SIZE];

	for (int tries = 0; tries < 200; tries++) {
		take(now);
		if (!strcmp(now, before))
			return;
		usleep(100 * 1000);
	}
	fail_msg("%s leaves something behind. Before:\n%safter:\n%s", what,
		 before, now);
}

void inventory_expect(const struct inventory *before, const char *what)
{
	expect(before->quick, take_quick, what);
}

void inventory_expect_all(const struct inventory *before, const char *what)
{
	inventory_expect(before, what);
	expect(before->slow, take_slow, what);
}
