/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The project's kernel modules: what is installed, and what is loaded. */
#ifndef P2PMR_TOOL_MODULE_H
#define P2PMR_TOOL_MODULE_H

#include <stdbool.h>

#include "sysfs.h"

struct module {
	const char *name;
	bool installed; /* for the running kernel, where modprobe looks */
	bool loaded;
	char version[LINE_SIZE]; /* of the loaded one */
	char build[LINE_SIZE];	 /* the same: a sum over its sources */
};

void module_look(struct module *module, const char *name);

/* A field of the installed file as modinfo has it; false if it has none. */
bool module_file_field(const char *name, const char *field,
		       char value[LINE_SIZE]);

/* A parameter of the loaded module; false if there is none. */
bool module_parameter(const char *name, const char *parameter,
		      char value[LINE_SIZE]);

#endif
