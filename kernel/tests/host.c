// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Requests to the lab outside the guest: a line out, a line back. */
#define _GNU_SOURCE
#include "host.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "runner.h"

#define CHUNK	  32768u /* bytes of a BAR in one request; two digits each */
#define LINE_SIZE (2 * CHUNK + 256)
#define MARK_SIZE 32
#define ANSWER_MS 20000
/* How often ACPI has had an interrupt that was for it. */
#define INTERRUPTS "/sys/firmware/acpi/interrupts/sci"

/* Before the last request to plug or unplug; -1 if there was none. */
static long interrupts_before = -1;
static bool unheard;

static void wait_ready(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };

	if (poll(&p, 1, ANSWER_MS) != 1 || !(p.revents & events))
		fail_msg("the host port does not answer (revents 0x%x)",
			 p.revents);
}

static void send_line(int fd, const char *line, size_t length)
{
	size_t sent = 0;

	while (sent < length) {
		ssize_t n;

		wait_ready(fd, POLLOUT);
		n = write(fd, line + sent, length - sent);
		if (n < 0 && errno != EAGAIN)
			fail_msg("host port: %s", strerror(errno));
		if (n > 0)
			sent += n;
	}
}

/* Leaves in `text` what follows the mark in the line that has it. */
static bool find_marked(char *text, const char *mark)
{
	char *end;

	while ((end = strchr(text, '\n'))) {
		bool found = !strncmp(text, mark, strlen(mark));
		char *from = found ? text + strlen(mark) : end + 1;

		if (found)
			*end = '\0';
		memmove(text, from, strlen(from) + 1);
		if (found)
			return true;
	}
	return false;
}

static void receive_marked(int fd, char *line, size_t size, const char *mark)
{
	size_t got;

	line[0] = '\0';
	while (!find_marked(line, mark)) {
		ssize_t n;

		got = strlen(line);
		if (got == size - 1)
			fail_msg("host port: answer too long");
		wait_ready(fd, POLLIN);
		n = read(fd, line + got, size - 1 - got);
		if (n == 0 || (n < 0 && errno != EAGAIN))
			fail_msg("host port: %s",
				 n ? strerror(errno) : "nobody outside");
		if (n > 0)
			line[got + n] = '\0';
	}
}

/*
 * Sends `line` (LINE_SIZE large) and leaves in it what follows "ok". Somebody
 * who died may have left half a request, and its answer: hence line and mark.
 */
static void ask(char *line)
{
	static unsigned int number;
	const char *path = need_env("P2PMR_HOST");
	int fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	char mark[MARK_SIZE];

	if (fd < 0)
		fail_msg("%s: %s", path, strerror(errno));
	snprintf(mark, sizeof(mark), "\n#%d.%u ", getpid(), number++);
	send_line(fd, mark, strlen(mark));
	send_line(fd, line, strlen(line));
	receive_marked(fd, line, LINE_SIZE, mark + 1);
	close(fd);
	if (strncmp(line, "ok", 2))
		fail_msg("the host answers: %s", line);
	memmove(line, line + 2 + (line[2] == ' '), strlen(line + 2) + 1);
}

static char *new_line(void)
{
	char *line = malloc(LINE_SIZE);

	assert_non_null(line);
	return line;
}

static size_t min_size(size_t a, size_t b)
{
	return a < b ? a : b;
}

void host_read(int bar, size_t offset, uint8_t *bytes, size_t length)
{
	char *line = new_line();

	while (length) {
		size_t part = min_size(length, CHUNK);

		snprintf(line, LINE_SIZE, "bar-read %d %zu %zu\n", bar, offset,
			 part);
		ask(line);
		if (strlen(line) != 2 * part)
			fail_msg("the host sent %zu digits for %zu bytes",
				 strlen(line), part);
		for (size_t i = 0; i < part; i++) {
			char digits[3] = { line[2 * i], line[2 * i + 1] };

			bytes[i] = strtoul(digits, NULL, 16);
		}
		bytes += part;
		offset += part;
		length -= part;
	}
	free(line);
}

void host_write(int bar, size_t offset, const uint8_t *bytes, size_t length)
{
	static const char digits[] = "0123456789abcdef";
	char *line = new_line();

	while (length) {
		size_t part = min_size(length, CHUNK);
		char *at = line + snprintf(line, LINE_SIZE, "bar-write %d %zu ",
					   bar, offset);

		for (size_t i = 0; i < part; i++) {
			*at++ = digits[bytes[i] >> 4];
			*at++ = digits[bytes[i] & 15];
		}
		*at++ = '\n';
		*at = '\0';
		ask(line);
		bytes += part;
		offset += part;
		length -= part;
	}
	free(line);
}

void host_fill(int bar, size_t offset, size_t length, uint8_t byte)
{
	char *line = new_line();

	snprintf(line, LINE_SIZE, "bar-fill %d %zu %zu %u\n", bar, offset,
		 length, byte);
	ask(line);
	free(line);
}

int host_is_plugged(int bar)
{
	char *line = new_line();
	int plugged;

	snprintf(line, LINE_SIZE, "plugged %d\n", bar);
	ask(line);
	plugged = !strcmp(line, "yes");
	free(line);
	return plugged;
}

static long interrupts(void)
{
	FILE *file = fopen(INTERRUPTS, "r");
	long count = -1;

	if (!file)
		return -1;
	if (fscanf(file, "%ld", &count) != 1)
		count = -1;
	fclose(file);
	return count;
}

bool host_was_unheard(void)
{
	return unheard;
}

void host_slot_fails(const char *format, ...)
{
	long now = interrupts();
	char text[256];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	unheard = now >= 0 && now == interrupts_before;
	fail_msg("%s; interrupts for ACPI: %ld, before the request %ld", text,
		 now, interrupts_before);
	abort(); /* fail_msg() has jumped back into cmocka */
}

static void ask_slot(const char *what, int bar, int plugged)
{
	char *line = new_line();

	interrupts_before = interrupts();
	snprintf(line, LINE_SIZE, "%s %d\n", what, bar);
	ask(line);
	free(line);
	for (int tries = 0; host_is_plugged(bar) != plugged; tries++) {
		if (tries == 200)
			host_slot_fails("%s %d: nothing happens", what, bar);
		usleep(100 * 1000);
	}
}

void host_unplug(int bar)
{
	ask_slot("unplug", bar, 0);
}

void host_plug(int bar)
{
	ask_slot("plug", bar, 1);
}

void host_sha256(int bar, size_t offset, size_t length,
		 char hex[SHA256_HEX_LENGTH + 1])
{
	char *line = new_line();

	snprintf(line, LINE_SIZE, "bar-sha256 %d %zu %zu\n", bar, offset,
		 length);
	ask(line);
	assert_int_equal(strlen(line), SHA256_HEX_LENGTH);
	memcpy(hex, line, SHA256_HEX_LENGTH + 1);
	free(line);
}

void guest_sha256(const uint8_t *bytes, size_t length,
		  char hex[SHA256_HEX_LENGTH + 1])
{
	int fd = memfd_create("digest", MFD_CLOEXEC);
	char command[64];
	FILE *pipe;

	assert_true(fd >= 0);
	for (size_t done = 0; done < length;) {
		ssize_t n = write(fd, bytes + done, length - done);

		if (n <= 0)
			fail_msg("memfd: %s", strerror(errno));
		done += n;
	}
	snprintf(command, sizeof(command), "sha256sum /proc/%d/fd/%d", getpid(),
		 fd);
	pipe = popen(command, "r");
	assert_non_null(pipe);
	assert_int_equal(fread(hex, 1, SHA256_HEX_LENGTH, pipe),
			 SHA256_HEX_LENGTH);
	hex[SHA256_HEX_LENGTH] = '\0';
	while (fgetc(pipe) != EOF)
		;
	assert_int_equal(pclose(pipe), 0);
	close(fd);
}
