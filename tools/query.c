// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* p2pmr query: what is behind a range of addresses of a process. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "chardev.h"
#include "command.h"
#include "json.h"
#include "options.h"
#include "policy.h"
#include "process_map.h"
#include "table.h"
#include "text.h"

static const char *const kinds[] = {
	[PIECE_HOLE] = "hole",
	[PIECE_HOST] = "host",
	[PIECE_DEVICE] = "device",
};

/* As a registration for writing would find it, as far as that can be seen. */
static struct verdict judge(int fd, const struct piece *piece)
{
	static const struct verdict hole = { "no", "hole", "no: hole", BAD };
	static const struct verdict rights = { "no", "rights", "no: read-only",
					       DOUBTFUL };
	static const struct verdict private = { "no", "private", "no: private",
						BAD };
	static const struct verdict nowhere = { "unknown", "place-unknown", "?",
						DOUBTFUL };
	static const struct verdict host = { "host", NULL, "host memory",
					     PLAIN };

	if (piece->kind == PIECE_HOLE)
		return hole;
	if (!piece->read || !piece->write)
		return rights;
	if (piece->kind == PIECE_HOST)
		return host;
	if (!piece->shared)
		return private;
	if (!piece->bar)
		return nowhere;
	return policy_ask(fd, piece->function, piece->bar);
}

/* Of the ranges that this process has registered, where that may be known. */
static size_t registered(int fd, __u32 pid, uint64_t address, uint64_t length,
			 uint64_t **ids)
{
	struct p2pmr_list_range *ranges;
	size_t count, found = 0;

	*ids = NULL;
	if (fd < 0 || chardev_list(fd, 0, &ranges, &count))
		return 0;
	for (size_t i = 0; i < count; i++) {
		const struct p2pmr_list_range *range = &ranges[i];

		if (range->pid != pid || !range->address ||
		    range->address > address + (length - 1) ||
		    range->address + (range->length - 1) < address)
			continue;
		*ids = must_realloc(*ids, found + 1, sizeof(**ids));
		(*ids)[found++] = range->id;
	}
	free(ranges);
	return found;
}

static void json_piece(int fd, const struct piece *piece)
{
	struct verdict verdict = judge(fd, piece);

	json_object(NULL);
	json_number("offset", piece->offset);
	json_number("length", piece->length);
	json_string("kind", kinds[piece->kind]);
	if (piece->kind != PIECE_HOLE) {
		json_bool("readable", piece->read);
		json_bool("writable", piece->write);
		json_bool("shared", piece->shared);
		json_string("path", piece->path);
	}
	if (piece->bar) {
		json_string("function", piece->function->address);
		json_number("bar", piece->bar->number);
		json_number("bar_offset", piece->bar_offset);
	}
	json_object("p2pmr");
	json_string("serves", verdict.serves);
	json_string("reason", verdict.reason);
	json_close();
	json_close();
}

static void print_json(int fd, pid_t pid, uint64_t address, uint64_t length,
		       const struct process_map *map)
{
	char text[32];
	uint64_t *ids;
	size_t count = registered(fd, pid, address, length, &ids);

	snprintf(text, sizeof(text), "0x%" PRIx64, address);
	json_begin("query");
	json_number("pid", pid);
	json_string("address", text);
	json_number("length", length);
	json_array("segments");
	for (size_t i = 0; i < map->count; i++)
		json_piece(fd, &map->pieces[i]);
	json_close();
	json_array("mrs");
	for (size_t i = 0; i < count; i++)
		json_number(NULL, ids[i]);
	json_close();
	json_end();
	free(ids);
}

static void row(struct table *table, int fd, const struct piece *piece)
{
	struct verdict verdict = judge(fd, piece);
	char *length = text_size(piece->length);

	table_cell(table, PLAIN, "0x%" PRIx64, piece->offset);
	table_cell(table, PLAIN, "%s", length);
	table_cell(table, PLAIN, "%s", kinds[piece->kind]);
	if (piece->kind == PIECE_HOLE)
		table_cell(table, PLAIN, "-");
	else
		table_cell(table, PLAIN, "%c%c%c", piece->read ? 'r' : '-',
			   piece->write ? 'w' : '-', piece->shared ? 's' : 'p');
	if (piece->bar) {
		table_cell(table, PLAIN, "%s", piece->function->address);
		table_cell(table, PLAIN, "%u", piece->bar->number);
		table_cell(table, PLAIN, "0x%" PRIx64, piece->bar_offset);
	} else {
		table_cell(table, PLAIN, "-");
		table_cell(table, PLAIN, "-");
		table_cell(table, PLAIN, "-");
	}
	table_cell(table, verdict.style, "%s", verdict.text);
	free(length);
}

static void print(int fd, pid_t pid, uint64_t address, uint64_t length,
		  const struct process_map *map)
{
	static const struct column columns[] = {
		{ .title = "AT", .side = RIGHT, .least = 6 },
		{ .title = "LENGTH", .side = RIGHT },
		{ .title = "KIND" },
		{ .title = "PROT" },
		{ .title = "FUNCTION" },
		{ .title = "BAR", .side = RIGHT },
		{ .title = "OFFSET", .side = RIGHT, .least = 8 },
		{ .title = "P2PMR" },
	};
	struct table *table = table_new(columns, 8);
	uint64_t *ids;
	size_t count = registered(fd, pid, address, length, &ids);

	for (size_t i = 0; i < map->count; i++)
		row(table, fd, &map->pieces[i]);
	table_print(table);
	if (count)
		printf("\n%zu live MR%s over device memory in it (see p2pmr "
		       "mr)\n",
		       count, count == 1 ? "" : "s");
	free(ids);
}

static int take_operands(const struct arguments *arguments, pid_t *pid,
			 uint64_t *address, uint64_t *length)
{
	const struct command *command = arguments->command;
	uint64_t number;

	if (!strcmp(arguments->operands[0], "self"))
		number = getpid();
	else if (!parse_number(arguments->operands[0], &number) || !number ||
		 number > INT32_MAX)
		return usage_error(command, "'%s' is no process id",
				   arguments->operands[0]);
	*pid = number;
	if (!parse_number(arguments->operands[1], address))
		return usage_error(command, "'%s' is no address",
				   arguments->operands[1]);
	if (!parse_number(arguments->operands[2], length) || !*length)
		return usage_error(command, "'%s' is no length",
				   arguments->operands[2]);
	if (*length - 1 > UINT64_MAX - *address)
		return usage_error(command, "the range wraps around");
	return 0;
}

static int refuse(pid_t pid, int error)
{
	switch (-error) {
	case ESRCH:
		complain("there is no process %d", pid);
		return EXIT_NOT_THERE;
	case EACCES:
	case EPERM:
		complain("process %d belongs to somebody else, who alone (and "
			 "root) sees its mappings",
			 pid);
		return EXIT_NOT_THERE;
	default:
		complain("/proc/%d/smaps: %s", pid, strerror(-error));
		return EXIT_SYSTEM;
	}
}

static int run(const struct arguments *arguments)
{
	struct p2pmr_ioc_hello hello;
	uint64_t address, length;
	struct process_map map;
	int ret, fd;
	pid_t pid = 0;

	ret = take_operands(arguments, &pid, &address, &length);
	if (ret)
		return ret;
	ret = process_map_read(&map, pid, address, length);
	if (ret)
		return refuse(pid, ret);
	/* Without it there is all but what p2pmr would do. */
	fd = chardev_open(&hello);
	if (arguments->json)
		print_json(fd, pid, address, length, &map);
	else
		print(fd, pid, address, length, &map);
	if (fd >= 0)
		close(fd);
	process_map_free(&map);
	return EXIT_OK;
}

static const struct option_spec options[] = { OPTION_JSON, OPTION_HELP, { 0 } };

const struct command query_command = {
	.name = "query",
	.summary = "what is behind a range of a process's addresses",
	.about =
		"Shows what the kernel shows of another process's mappings (/proc/PID/smaps),\n"
		"to whom it shows it: the process's user and root. Where device memory is comes\n"
		"from the name and offset of the mapped file; a driver's own files do not tell.\n"
		"Numbers may be hexadecimal (0x...) and end in K, M or G. PID self is this\n"
		"program.",
	.operands = "PID ADDRESS LENGTH",
	.least = 3,
	.most = 3,
	.options = options,
	.run = run,
};
