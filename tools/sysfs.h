/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Small files of sysfs and procfs. Paths are given as formats. */
#ifndef P2PMR_TOOL_SYSFS_H
#define P2PMR_TOOL_SYSFS_H

#include <stdbool.h>
#include <stddef.h>

#define LINE_SIZE 256

/* The first line without its end; false if there is no such file. */
bool sysfs_line(char line[LINE_SIZE], const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* The last part of what a symbolic link leads to; false if there is none. */
bool sysfs_link(char name[LINE_SIZE], const char *format, ...)
	__attribute__((format(printf, 2, 3)));

bool sysfs_exists(const char *format, ...)
	__attribute__((format(printf, 1, 2)));

/* The names in a folder in the order of the alphabet, ended by NULL. */
char **sysfs_names(const char *folder);
void sysfs_names_free(char **names);

#endif
