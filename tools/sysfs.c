// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Small files of sysfs and procfs, see sysfs.h. */
#define _GNU_SOURCE
#include "sysfs.h"

#include <dirent.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "text.h"

#define MAKE_PATH(path, format)                               \
	do {                                                  \
		va_list ap_;                                  \
		va_start(ap_, format);                        \
		vsnprintf(path, sizeof(path), (format), ap_); \
		va_end(ap_);                                  \
	} while (0)

bool sysfs_line(char line[LINE_SIZE], const char *format, ...)
{
	char path[PATH_MAX];
	FILE *file;
	bool ok;

	MAKE_PATH(path, format);
	file = fopen(path, "re");
	if (!file)
		return false;
	ok = fgets(line, LINE_SIZE, file);
	fclose(file);
	if (ok)
		line[strcspn(line, "\n")] = '\0';
	return ok;
}

bool sysfs_link(char name[LINE_SIZE], const char *format, ...)
{
	char path[PATH_MAX], target[PATH_MAX];
	const char *last;
	ssize_t n;

	MAKE_PATH(path, format);
	n = readlink(path, target, sizeof(target) - 1);
	if (n < 0)
		return false;
	target[n] = '\0';
	last = strrchr(target, '/');
	last = last ? last + 1 : target;
	if (strlen(last) >= LINE_SIZE)
		return false;
	strcpy(name, last);
	return true;
}

bool sysfs_exists(const char *format, ...)
{
	char path[PATH_MAX];

	MAKE_PATH(path, format);
	return access(path, F_OK) == 0;
}

static int is_name(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

char **sysfs_names(const char *folder)
{
	struct dirent **entries = NULL;
	int n = scandir(folder, &entries, is_name, alphasort);
	char **names;

	if (n < 0)
		n = 0;
	names = must_realloc(NULL, n + 1, sizeof(*names));
	for (int i = 0; i < n; i++) {
		names[i] = text_format("%s", entries[i]->d_name);
		free(entries[i]);
	}
	names[n] = NULL;
	free(entries);
	return names;
}

void sysfs_names_free(char **names)
{
	for (char **name = names; *name; name++)
		free(*name);
	free(names);
}
