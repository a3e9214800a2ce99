// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* p2pmr bars: the memory BARs of the machine, and what may be done with them. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "chardev.h"
#include "command.h"
#include "json.h"
#include "policy.h"
#include "reach.h"
#include "table.h"
#include "text.h"

static void json_access(const struct bar_access *access)
{
	char mode[8], *text = bar_access_text(access);

	json_object("access");
	json_string("path", *access->path ? access->path : NULL);
	json_string("who", text);
	json_bool("caller", access->mine);
	if (*access->path) {
		snprintf(mode, sizeof(mode), "%04o", access->mode);
		json_string("mode", mode);
		json_number("uid", access->uid);
		json_number("gid", access->gid);
	}
	json_close();
	free(text);
}

/* The RDMA devices of the machine, looked up once. */
static struct nic *all_nics;
static size_t nic_count;

static void json_reach(int fd, const struct pci_function *function)
{
	json_array("reach");
	for (size_t i = 0; i < nic_count; i++) {
		struct reach reach = reach_ask(fd, &all_nics[i], function);
		__u32 properties = reach.answer.properties;

		json_object(NULL);
		json_string("device", all_nics[i].name);
		json_string("function", all_nics[i].function);
		if (reach.known) {
			json_bool("reaches", reach.reaches);
			json_string("path", reach.path);
			json_bool("translated",
				  properties & P2PMR_REACH_TRANSLATED);
			json_bool("redirected",
				  properties & P2PMR_REACH_REDIRECTED);
			json_bool("same_group",
				  properties & P2PMR_REACH_SAME_GROUP);
			json_number("links", reach.answer.links);
		} else {
			json_null("reaches");
			json_null("path");
		}
		json_close();
	}
	json_close();
}

/* "mlx5_0, mlx5_1", "none", "?"; to be freed. */
static char *reached_by(int fd, const struct pci_function *function)
{
	char *text = text_format("%s", "");
	bool known = false;

	for (size_t i = 0; i < nic_count; i++) {
		struct reach reach = reach_ask(fd, &all_nics[i], function);
		char *longer;

		known |= reach.known;
		if (!reach.reaches)
			continue;
		longer = text_format("%s%s%s", text, *text ? ", " : "",
				     all_nics[i].name);
		free(text);
		text = longer;
	}
	if (*text)
		return text;
	free(text);
	return text_format("%s", known ? "none" : "?");
}

static void json_bar(int fd, const struct pci_function *function,
		     const struct pci_bar *bar)
{
	struct verdict verdict = policy_ask(fd, function, bar);
	char ids[16], start[32];
	struct bar_access access;

	bar_access_look(&access, function, bar);
	snprintf(ids, sizeof(ids), "%04x:%04x", function->vendor,
		 function->device);
	snprintf(start, sizeof(start), "0x%llx",
		 (unsigned long long)bar->start);
	json_object(NULL);
	json_string("function", function->address);
	json_string("id", ids);
	json_string("driver", *function->driver ? function->driver : NULL);
	json_bool("enabled", function->enabled);
	json_number("bar", bar->number);
	json_string("address", start);
	json_number("size", bar->size);
	json_bool("prefetchable", bar->prefetchable);
	json_bool("claimed", bar->claimed);
	json_access(&access);
	json_object("p2pmr");
	json_string("serves", verdict.serves);
	json_string("reason", verdict.reason);
	json_close();
	json_reach(fd, function);
	json_close();
}

static void row(struct table *table, int fd,
		const struct pci_function *function, const struct pci_bar *bar)
{
	struct verdict verdict = policy_ask(fd, function, bar);
	char *size = text_size(bar->size), *who;
	struct bar_access access;

	bar_access_look(&access, function, bar);
	who = bar_access_text(&access);
	table_cell(table, PLAIN, "%s", function->address);
	table_cell(table, PLAIN, "%u", bar->number);
	table_cell(table, PLAIN, "%s", size);
	table_cell(table, PLAIN, "%s", bar->prefetchable ? "yes" : "no");
	table_cell(table, PLAIN, "%s",
		   *function->driver ? function->driver : "-");
	table_cell(table, PLAIN, "%s", who);
	table_cell(table, verdict.style, "%s", verdict.text);
	if (nic_count) {
		char *names = reached_by(fd, function);

		table_cell(table, PLAIN, "%s", names);
		free(names);
	}
	free(size);
	free(who);
}

static void print(int fd, const struct pci_function *functions, size_t count,
		  bool json)
{
	static const struct column columns[] = {
		{ .title = "FUNCTION" },
		{ .title = "BAR", .side = RIGHT },
		{ .title = "SIZE", .side = RIGHT },
		{ .title = "PREF" },
		{ .title = "DRIVER", .least = 10 },
		{ .title = "MAPPED BY", .least = 9 },
		{ .title = "P2PMR" },
		{ .title = "REACHED BY", .least = 10 },
	};
	size_t shown = sizeof(columns) / sizeof(columns[0]) - !nic_count;
	struct table *table = json ? NULL : table_new(columns, shown);

	if (json) {
		json_begin("bars");
		json_array("bars");
	}
	for (size_t i = 0; i < count; i++) {
		for (size_t k = 0; k < functions[i].bar_count; k++) {
			if (json)
				json_bar(fd, &functions[i],
					 &functions[i].bars[k]);
			else
				row(table, fd, &functions[i],
				    &functions[i].bars[k]);
		}
	}
	if (json) {
		json_close();
		json_end();
	} else {
		table_print(table);
	}
}

static int run(const struct arguments *arguments)
{
	struct p2pmr_ioc_hello hello;
	struct pci_function *functions;
	size_t count;
	int fd;

	if (arguments->count) {
		functions = must_realloc(NULL, 1, sizeof(*functions));
		count = 1;
		if (!pci_find(arguments->operands[0], functions)) {
			complain("no PCI function %s", arguments->operands[0]);
			free(functions);
			return EXIT_NOT_THERE;
		}
	} else {
		count = pci_functions(&functions);
	}
	fd = chardev_open(&hello);
	nic_count = nics(&all_nics);
	print(fd, functions, count, arguments->json);
	if (fd < 0)
		complain("%s: %s", P2PMR_DEVICE_PATH, chardev_reason(fd));
	else
		close(fd);
	free(functions);
	free(all_nics);
	return fd < 0 ? EXIT_NO_P2PMR : EXIT_OK;
}

static const struct option_spec options[] = { OPTION_JSON, OPTION_HELP, { 0 } };

const struct command bars_command = {
	.name = "bars",
	.summary =
		"memory BARs: size, driver, who may map them, p2pmr's policy",
	.about =
		"Shows the memory BARs of all PCI functions, or of the one at an address.\n"
		"MAPPED BY is who may open the file through which a BAR is mapped, P2PMR\n"
		"whether the built-in exporter takes it. REACHED BY, where there are NICs, is\n"
		"which of them can be given DMA addresses of it.",
	.operands = "[FUNCTION]",
	.most = 1,
	.options = options,
	.run = run,
};
