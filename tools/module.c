// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* The project's kernel modules, see module.h. */
#define _GNU_SOURCE
#include "module.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "text.h"

/* In modprobe's list, whatever the file's compression: ".../NAME.ko.xz: ..." */
static bool is_installed(const char *name)
{
	char *line = NULL, *path, *file_name;
	struct utsname system;
	bool found = false;
	size_t size = 0;
	FILE *file;

	uname(&system);
	path = text_format("/lib/modules/%s/modules.dep", system.release);
	file = fopen(path, "re");
	free(path);
	if (!file)
		return false;
	file_name = text_format("/%s.ko", name);
	while (!found && getline(&line, &size, file) > 0) {
		char *start;

		line[strcspn(line, ":")] = '\0';
		start = strstr(line, file_name);
		found = start && strchr(".", start[strlen(file_name)]);
	}
	free(file_name);
	free(line);
	fclose(file);
	return found;
}

void module_look(struct module *module, const char *name)
{
	*module = (struct module){ .name = name };
	module->installed = is_installed(name);
	module->loaded = sysfs_exists("/sys/module/%s", name);
	sysfs_line(module->version, "/sys/module/%s/version", name);
	sysfs_line(module->build, "/sys/module/%s/srcversion", name);
}

bool module_file_field(const char *name, const char *field,
		       char value[LINE_SIZE])
{
	/* Both words are this program's own. An ordinary user lacks sbin. */
	char *command = text_format(
		"PATH=$PATH:/usr/sbin:/sbin modinfo -F %s %s 2>/dev/null",
		field, name);
	FILE *pipe = popen(command, "re");
	bool ok;

	free(command);
	if (!pipe)
		return false;
	ok = fgets(value, LINE_SIZE, pipe);
	if (ok)
		value[strcspn(value, "\n")] = '\0';
	return pclose(pipe) == 0 && ok;
}

bool module_parameter(const char *name, const char *parameter,
		      char value[LINE_SIZE])
{
	value[0] = '\0';
	return sysfs_line(value, "/sys/module/%s/parameters/%s", name,
			  parameter);
}
