// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* p2pmr mr: device memory that is registered now, once or again and again. */
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "chardev.h"
#include "command.h"
#include "json.h"
#include "location.h"
#include "options.h"
#include "sysfs.h"
#include "table.h"
#include "text.h"

#define DEFAULT_SECONDS 2

static const char *state_name(__u32 state)
{
	static const char *const names[] = {
		[P2PMR_STATE_SETUP] = "setup",
		[P2PMR_STATE_LIVE] = "live",
		[P2PMR_STATE_REVOKING] = "revoking",
		[P2PMR_STATE_REVOKED] = "revoked",
	};

	return state < sizeof(names) / sizeof(names[0]) ? names[state]
							: "unknown";
}

static char *user_name(__u32 uid)
{
	const struct passwd *entry = getpwuid(uid);

	return entry ? text_format("%s", entry->pw_name)
		     : text_format("%u", uid);
}

/* The process may have gone, or be one that the caller does not see. */
static bool command_of(__u32 pid, char name[LINE_SIZE])
{
	return pid && sysfs_line(name, "/proc/%u/comm", pid);
}

static void json_range(const struct p2pmr_list_range *range)
{
	char command[LINE_SIZE], *user = user_name(range->uid);

	json_object(NULL);
	json_number("id", range->id);
	json_string("state", state_name(range->state));
	if (range->pid)
		json_number("pid", range->pid);
	else
		json_null("pid");
	json_string("process",
		    command_of(range->pid, command) ? command : NULL);
	json_number("uid", range->uid);
	json_string("user", user);
	json_string("importer", range->importer);
	json_string("device", *range->instance ? range->instance : NULL);
	json_bool("writable", range->flags & P2PMR_RANGE_WRITE);
	json_number("length", range->length);
	json_number("device_bytes", range->device_bytes);
	json_number("segments", range->device_segments);
	json_number("age_ms", range->age_ms);
	json_location(&range->location);
	json_close();
	free(user);
}

static void print_json(const struct p2pmr_list_range *ranges, size_t count)
{
	json_begin("mr");
	json_array("mrs");
	for (size_t i = 0; i < count; i++)
		json_range(&ranges[i]);
	json_close();
	json_end();
}

static void cell_place(struct table *table,
		       const struct p2pmr_location *location)
{
	char address[PCI_ADDRESS_SIZE];

	location_address(location, address);
	table_cell(table, PLAIN, "%s", address);
	if (location->flags & P2PMR_LOCATION_BAR)
		table_cell(table, PLAIN, "%u", location->bar);
	else
		table_cell(table, PLAIN, "-");
	if (location->flags & P2PMR_LOCATION_OFFSET)
		table_cell(table, PLAIN, "0x%llx", location->bar_offset);
	else
		table_cell(table, PLAIN, "-");
}

static void row(struct table *table, const struct p2pmr_list_range *range)
{
	char *user = user_name(range->uid), *length = text_size(range->length);
	char *age = text_age(range->age_ms);
	char command[LINE_SIZE];

	if (!command_of(range->pid, command))
		strcpy(command, "-");
	table_cell(table, PLAIN, "%u", range->pid);
	table_cell(table, PLAIN, "%s", command);
	table_cell(table, PLAIN, "%s", user);
	table_cell(table, PLAIN, "%s",
		   *range->instance ? range->instance : "-");
	cell_place(table, &range->location);
	table_cell(table, PLAIN, "%s", length);
	table_cell(table, range->state == P2PMR_STATE_LIVE ? GOOD : DOUBTFUL,
		   "%s", state_name(range->state));
	table_cell(table, PLAIN, "%s", age);
	free(user);
	free(length);
	free(age);
}

static void print(const struct p2pmr_list_range *ranges, size_t count)
{
	static const struct column columns[] = {
		{ .title = "PID", .side = RIGHT },
		{ .title = "PROCESS", .least = 4 },
		{ .title = "USER", .least = 4 },
		{ .title = "DEVICE", .least = 4 },
		{ .title = "FUNCTION" },
		{ .title = "BAR", .side = RIGHT },
		{ .title = "OFFSET", .side = RIGHT, .least = 6 },
		{ .title = "LENGTH", .side = RIGHT },
		{ .title = "STATE", .least = 4 },
		{ .title = "AGE", .side = RIGHT },
	};
	struct table *table = table_new(columns, 10);

	for (size_t i = 0; i < count; i++)
		row(table, &ranges[i]);
	table_print(table);
}

static int show(int fd, const struct arguments *arguments)
{
	struct p2pmr_list_range *ranges;
	size_t count;
	int ret = chardev_list(fd, option(arguments, 'a') ? P2PMR_LIST_ALL : 0,
			       &ranges, &count);

	if (ret) {
		complain("%s: %s", P2PMR_DEVICE_PATH, strerror(-ret));
		return EXIT_SYSTEM;
	}
	if (arguments->json)
		print_json(ranges, count);
	else
		print(ranges, count);
	free(ranges);
	return EXIT_OK;
}

/* Without an end if times is 0. */
static int watch(int fd, const struct arguments *arguments, uint64_t seconds,
		 uint64_t times)
{
	for (uint64_t i = 0; !times || i < times; i++) {
		int ret;

		if (i)
			sleep(seconds);
		if (!arguments->json)
			terminal_redraw(i);
		ret = show(fd, arguments);
		if (ret)
			return ret;
		/* Nobody reads any more. */
		if (fflush(stdout))
			return EXIT_SYSTEM;
	}
	return EXIT_OK;
}

static int run(const struct arguments *arguments)
{
	const char *interval = option(arguments, 'i');
	const char *count = option(arguments, 'n');
	uint64_t seconds = DEFAULT_SECONDS, times = 0;
	int fd, ret;

	if (interval && (!parse_number(interval, &seconds) || !seconds))
		return usage_error(&mr_command, "'%s' is no number of seconds",
				   interval);
	if (count && (!parse_number(count, &times) || !times))
		return usage_error(&mr_command, "'%s' is no number of times",
				   count);
	fd = chardev_need(P2PMR_FEATURE_LIST);
	if (fd < 0)
		return EXIT_NO_P2PMR;
	ret = option(arguments, 'w') || interval || count
		      ? watch(fd, arguments, seconds, times)
		      : show(fd, arguments);
	close(fd);
	return ret;
}

static const struct option_spec options[] = {
	{ 'a', "all", NULL, "also those not live yet, or not any more" },
	{ 'w', "watch", NULL, "again and again, until interrupted" },
	{ 'i', "interval", "SECONDS", "how often; 2 if not given" },
	{ 'n', "count", "NUMBER", "how many times" },
	OPTION_JSON,
	OPTION_HELP,
	{ 0 },
};

const struct command mr_command = {
	.name = "mr",
	.summary = "device memory that is registered now, and by whom",
	.about =
		"Shows live MRs over device memory: those of the user, or everybody's to who\n"
		"has CAP_SYS_ADMIN. FUNCTION, BAR and OFFSET are of the first byte of device\n"
		"memory.",
	.options = options,
	.run = run,
};
