// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* The tests' own exporter, see exporting.h. */
#include "exporting.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "chardev.h"
#include "modules.h"
#include "revoked.h"
#include "runner.h"
#include "system.h"

#define FILE_ "/dev/" EXPORTER_MODULE

bool exporter_try_load(const char *parameters)
{
	uint64_t first, last;

	physical_range(BAR, &first, &last);
	return test_module_try_load(EXPORTER_MODULE, "addr=%#lx size=%lu %s",
				    first, last - first + 1, parameters);
}

void exporter_load(const char *parameters)
{
	assert_true(exporter_try_load(parameters));
}

void exporter_unload(void)
{
	assert_true(module_try_remove(EXPORTER_MODULE));
}

void *exporter_map(size_t offset)
{
	int fd = open(FILE_, O_RDWR | O_CLOEXEC);
	void *bytes;

	if (fd < 0)
		fail_msg(FILE_ ": %s", strerror(errno));
	bytes = mmap(NULL, WINDOW, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		     offset);
	if (bytes == MAP_FAILED)
		fail_msg("mmap: %s", strerror(errno));
	close(fd);
	return bytes;
}

static int command(const char *format, va_list ap)
{
	char line[256];

	vsnprintf(line, sizeof(line), format, ap);
	return try_write_file(FILE_, line);
}

int exporter_try(const char *format, ...)
{
	va_list ap;
	int error;

	va_start(ap, format);
	error = command(format, ap);
	va_end(ap);
	return error;
}

void exporter_do(const char *format, ...)
{
	va_list ap;
	int error;

	va_start(ap, format);
	error = command(format, ap);
	va_end(ap);
	if (error)
		fail_msg("%s: %s", format, strerror(error));
}

bool exporter_says(const char *part)
{
	char *text = read_file(FILE_);
	bool said = strstr(text, part);

	free(text);
	return said;
}

void assert_exporter_says(const char *part)
{
	char *text = read_file(FILE_);

	if (!strstr(text, part))
		fail_msg("not \"%s\" but %s", part, text);
	free(text);
}
