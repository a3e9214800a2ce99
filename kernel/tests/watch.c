// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Trace events, counters and the kernel's log, see watch.h. */
#include "watch.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runner.h"
#include "system.h"

#define INSTANCE     "/sys/kernel/tracing/instances/p2pmr-test"
#define RECORD_NAMES "/sys/kernel/tracing/options/record-cmd"

/*
 * An instance that records the commands' names, which is inherited, does so by
 * patching the scheduler: an emulated CPU may be running just that instruction.
 */
void trace_start(void)
{
	rmdir(INSTANCE);
	write_file(RECORD_NAMES, "0\n");
	assert_int_equal(mkdir(INSTANCE, 0700), 0);
	write_file(RECORD_NAMES, "1\n");
	write_file(INSTANCE "/events/p2pmr/enable", "1\n");
}

char *trace_end(void)
{
	char *text = read_file(INSTANCE "/trace");

	write_file(INSTANCE "/events/p2pmr/enable", "0\n");
	assert_int_equal(rmdir(INSTANCE), 0);
	return text;
}

unsigned int count_in(const char *text, const char *part)
{
	unsigned int n = 0;

	for (; (text = strstr(text, part)); text += strlen(part))
		n++;
	return n;
}

void assert_once(const char *text, const char *part)
{
	if (count_in(text, part) != 1)
		fail_msg("\"%s\" is there %u times in:\n%s", part,
			 count_in(text, part), text);
}

void refusal_reason(const char *text, size_t n, char reason[REASON_SIZE])
{
	static const char event[] = "p2pmr_refuse: ", begin[] = "reason=";

	reason[0] = '\0';
	do {
		text = strstr(text, event);
		if (!text)
			return;
		text += strlen(event);
	} while (n--);
	text = strstr(text, begin);
	if (!text)
		return;
	text += strlen(begin);
	snprintf(reason, REASON_SIZE, "%.*s", (int)strcspn(text, "\n"), text);
}

void range_event(char line[256], const char *event, pid_t pid,
		 const void *start, size_t length, const char *rest)
{
	snprintf(line, 256, "%s: pid=%d start=%#lx length=%zu%s", event, pid,
		 (unsigned long)start, length, rest);
}

unsigned long debugfs_counter(const char *name)
{
	char *text = read_file(DEBUGFS "counters"), *line, wanted[64];
	unsigned long value;

	snprintf(wanted, sizeof(wanted), "%s ", name);
	line = strstr(text, wanted);
	if (!line)
		fail_msg("no counter %s in:\n%s", name, text);
	value = strtoul(line + strlen(wanted), NULL, 10);
	free(text);
	return value;
}

int log_open(void)
{
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_true(lseek(fd, 0, SEEK_END) >= 0);
	return fd;
}

unsigned int log_count(int fd, const char *text, char line[LOG_LINE])
{
	char record[LOG_LINE];
	unsigned int n = 0;
	ssize_t size;

	while ((size = read(fd, record, sizeof(record) - 1)) > 0) {
		record[size] = '\0';
		if (!strstr(record, text))
			continue;
		n++;
		if (line)
			strcpy(line, record);
	}
	return n;
}
