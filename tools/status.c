// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* p2pmr status: modules, policy, who takes part, what has happened. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <infiniband/p2pmr.h>

#include "chardev.h"
#include "command.h"
#include "json.h"
#include "module.h"
#include "table.h"
#include "text.h"

static const char *const module_names[] = { "p2pmr", "p2pmr_verbs",
					    "p2pmr_bar" };
#define MODULES (sizeof(module_names) / sizeof(module_names[0]))

static const struct {
	const char *module, *name;
} parameters[] = {
	{ "p2pmr", "builtin_exporter" },
	{ "p2pmr", "allow_registers" },
	{ "p2pmr", "allow" },
	{ "p2pmr", "deny" },
	{ "p2pmr", "allow_pairs" },
	{ "p2pmr", "deny_pairs" },
	{ "p2pmr", "allow_pinned" },
	{ "p2pmr", "user_max_ranges" },
	{ "p2pmr", "user_max_mib" },
	{ "p2pmr_verbs", "store" },
	{ "p2pmr_bar", "allow_registers" },
};
#define PARAMETERS (sizeof(parameters) / sizeof(parameters[0]))

struct status {
	struct module modules[MODULES];
	char values[PARAMETERS][LINE_SIZE];
	bool given[PARAMETERS];
	int error; /* why /dev/p2pmr cannot be asked, or 0 */
	struct p2pmr_ioc_hello hello;
	struct p2pmr_exporter_info *exporters;
	size_t exporter_count;
	struct p2pmr_instance_info *instances;
	size_t instance_count;
	struct p2pmr_stat *stats;
	size_t stat_count;
};

static int ask(int fd, struct status *status)
{
	__u64 features = status->hello.features;
	int ret = chardev_stats(fd, &status->stats, &status->stat_count);

	if (!ret && features & P2PMR_FEATURE_EXPORTERS)
		ret = chardev_exporters(fd, &status->exporters,
					&status->exporter_count);
	if (!ret && features & P2PMR_FEATURE_INSTANCES)
		ret = chardev_instances(fd, &status->instances,
					&status->instance_count);
	return ret;
}

static void look(struct status *status)
{
	int fd = chardev_open(&status->hello);

	status->error = fd < 0 ? fd : ask(fd, status);
	if (fd >= 0)
		close(fd);
	for (size_t i = 0; i < MODULES; i++)
		module_look(&status->modules[i], module_names[i]);
	for (size_t i = 0; i < PARAMETERS; i++)
		status->given[i] =
			module_parameter(parameters[i].module,
					 parameters[i].name, status->values[i]);
}

static const char *state_of(const struct module *module)
{
	if (module->loaded)
		return "loaded";
	return module->installed ? "installed" : "missing";
}

static void json_modules(const struct status *status)
{
	json_array("modules");
	for (size_t i = 0; i < MODULES; i++) {
		const struct module *module = &status->modules[i];

		json_object(NULL);
		json_string("name", module->name);
		json_string("state", state_of(module));
		json_string("version",
			    *module->version ? module->version : NULL);
		json_close();
	}
	json_close();
	json_array("parameters");
	for (size_t i = 0; i < PARAMETERS; i++) {
		if (!status->given[i])
			continue;
		json_object(NULL);
		json_string("module", parameters[i].module);
		json_string("name", parameters[i].name);
		json_string("value", status->values[i]);
		json_close();
	}
	json_close();
}

static void json_answers(const struct status *status)
{
	json_array("devices");
	for (size_t i = 0; i < status->instance_count; i++) {
		json_object(NULL);
		json_string("name", status->instances[i].name);
		json_string("importer", status->instances[i].importer);
		json_number("mrs", status->instances[i].ranges);
		json_close();
	}
	json_close();
	json_array("exporters");
	for (size_t i = 0; i < status->exporter_count; i++) {
		const struct p2pmr_exporter_info *info = &status->exporters[i];

		json_object(NULL);
		json_string("name", info->name);
		json_string("module", info->module);
		json_bool("builtin", info->flags & P2PMR_EXPORTER_BUILTIN);
		json_number("mappings", info->mappings);
		json_close();
	}
	json_close();
	json_object("counters");
	for (size_t i = 0; i < status->stat_count; i++)
		json_number(status->stats[i].name, status->stats[i].value);
	json_close();
}

static void print_json(const struct status *status)
{
	json_begin("status");
	json_string("version", P2PMR_TOOL_VERSION);
	json_string("library", p2pmr_version_string());
	json_string("unavailable",
		    status->error ? chardev_reason(status->error) : NULL);
	json_modules(status);
	json_answers(status);
	json_end();
}

static void print_modules(const struct status *status)
{
	static const struct column columns[] = {
		{ .title = "MODULE" },
		{ .title = "STATE" },
		{ .title = "VERSION" },
	};
	struct table *table = table_new(columns, 3);

	for (size_t i = 0; i < MODULES; i++) {
		const struct module *module = &status->modules[i];

		table_cell(table, PLAIN, "%s", module->name);
		table_cell(table, module->loaded ? GOOD : DOUBTFUL, "%s",
			   state_of(module));
		table_cell(table, PLAIN, "%s",
			   *module->version ? module->version : "-");
	}
	table_print(table);
}

static void print_parameters(const struct status *status)
{
	static const struct column columns[] = {
		{ .title = "PARAMETER" },
		{ .title = "VALUE", .least = 8 },
	};
	struct table *table = table_new(columns, 2);

	for (size_t i = 0; i < PARAMETERS; i++) {
		if (!status->given[i])
			continue;
		table_cell(table, PLAIN, "%s.%s", parameters[i].module,
			   parameters[i].name);
		table_cell(table, PLAIN, "%s",
			   *status->values[i] ? status->values[i] : "-");
	}
	putchar('\n');
	table_print(table);
}

static void print_devices(const struct status *status)
{
	static const struct column columns[] = {
		{ .title = "RDMA DEVICE", .least = 12 },
		{ .title = "IMPORTER" },
		{ .title = "MRS", .side = RIGHT },
	};
	struct table *table = table_new(columns, 3);

	for (size_t i = 0; i < status->instance_count; i++) {
		table_cell(table, PLAIN, "%s", status->instances[i].name);
		table_cell(table, PLAIN, "%s", status->instances[i].importer);
		table_cell(table, PLAIN, "%llu", status->instances[i].ranges);
	}
	putchar('\n');
	table_print(table);
}

static void print_exporters(const struct status *status)
{
	static const struct column columns[] = {
		{ .title = "EXPORTER" },
		{ .title = "MODULE", .least = 8 },
		{ .title = "MAPPINGS", .side = RIGHT },
	};
	struct table *table = table_new(columns, 3);

	for (size_t i = 0; i < status->exporter_count; i++) {
		table_cell(table, PLAIN, "%s", status->exporters[i].name);
		table_cell(table, PLAIN, "%s", status->exporters[i].module);
		table_cell(table, PLAIN, "%llu", status->exporters[i].mappings);
	}
	putchar('\n');
	table_print(table);
}

static void print_counters(const struct status *status)
{
	static const struct column columns[] = {
		{ .title = "SINCE LOADING" },
		{ .title = "COUNT", .side = RIGHT },
	};
	struct table *table = table_new(columns, 2);

	for (size_t i = 0; i < status->stat_count; i++) {
		table_cell(table, PLAIN, "%s", status->stats[i].name);
		table_cell(table, PLAIN, "%llu", status->stats[i].value);
	}
	putchar('\n');
	table_print(table);
}

static void print(const struct status *status)
{
	printf("p2pmr %s, libp2pmr %s\n\n", P2PMR_TOOL_VERSION,
	       p2pmr_version_string());
	print_modules(status);
	if (status->modules[0].loaded)
		print_parameters(status);
	if (status->error)
		return;
	if (status->hello.features & P2PMR_FEATURE_INSTANCES)
		print_devices(status);
	if (status->hello.features & P2PMR_FEATURE_EXPORTERS)
		print_exporters(status);
	print_counters(status);
}

static int run(const struct arguments *arguments)
{
	struct status status = { 0 };

	look(&status);
	if (arguments->json)
		print_json(&status);
	else
		print(&status);
	if (status.error)
		complain("%s: %s", P2PMR_DEVICE_PATH,
			 chardev_reason(status.error));
	free(status.exporters);
	free(status.instances);
	free(status.stats);
	return status.error ? EXIT_NO_P2PMR : EXIT_OK;
}

static const struct option_spec options[] = { OPTION_JSON, OPTION_HELP, { 0 } };

const struct command status_command = {
	.name = "status",
	.summary = "modules, policy, RDMA devices, exporters, counters",
	.about =
		"Shows the kernel modules with their parameters, the RDMA devices and exporters\n"
		"that p2pmr works with, and what has been counted.",
	.options = options,
	.run = run,
};
