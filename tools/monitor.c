// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* p2pmr monitor: registrations, revocations and refusals as they happen. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "chardev.h"
#include "command.h"
#include "json.h"
#include "location.h"
#include "options.h"
#include "table.h"
#include "text.h"

#define BATCH 16

static const struct {
	const char *name;
	enum style style;
} types[] = {
	[P2PMR_EVENT_REGISTER] = { "register", GOOD },
	[P2PMR_EVENT_DEREGISTER] = { "deregister", PLAIN },
	[P2PMR_EVENT_REVOKE] = { "revoke", DOUBTFUL },
	[P2PMR_EVENT_REFUSE] = { "refuse", BAD },
	[P2PMR_EVENT_LOST] = { "lost", DOUBTFUL },
};
#define TYPES (sizeof(types) / sizeof(types[0]))

static const char *const causes[] = {
	[P2PMR_REVOKED_UNMAP] = "unmapped",
	[P2PMR_REVOKED_PROTECT] = "protection-changed",
	[P2PMR_REVOKED_EXIT] = "address-space-gone",
	[P2PMR_REVOKED_DEVICE] = "device-gone",
	[P2PMR_REVOKED_EXPORTER] = "exporter",
	[P2PMR_REVOKED_IMPORTER] = "importer",
};
#define CAUSES (sizeof(causes) / sizeof(causes[0]))

static const char *cause_of(const struct p2pmr_event *event)
{
	const char *cause = event->cause < CAUSES ? causes[event->cause] : NULL;

	return cause ? cause : "unknown";
}

/* The event's clock runs since boot, people's since 1970. */
static struct timespec when(const struct p2pmr_event *event)
{
	struct timespec now, boot;
	int64_t ago, at;

	clock_gettime(CLOCK_REALTIME, &now);
	clock_gettime(CLOCK_BOOTTIME, &boot);
	ago = boot.tv_sec * INT64_C(1000000000) + boot.tv_nsec -
	      (int64_t)event->time_ns;
	at = now.tv_sec * INT64_C(1000000000) + now.tv_nsec - ago;
	return (struct timespec){ .tv_sec = at / 1000000000,
				  .tv_nsec = at % 1000000000 };
}

static void json_event(const char *name, struct timespec at)
{
	char seconds[32], full[64];
	struct tm tm;

	gmtime_r(&at.tv_sec, &tm);
	strftime(seconds, sizeof(seconds), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(full, sizeof(full), "%s.%06ldZ", seconds, at.tv_nsec / 1000);
	json_begin("monitor");
	json_string("event", name);
	json_string("time", full);
}

static void print_json(const struct p2pmr_event *event)
{
	json_event(types[event->type].name, when(event));
	if (event->type == P2PMR_EVENT_LOST) {
		json_number("lost", event->lost);
		json_end();
		return;
	}
	if (event->pid)
		json_number("pid", event->pid);
	else
		json_null("pid");
	json_string("process", *event->command ? event->command : NULL);
	json_number("uid", event->uid);
	json_string("importer", event->importer);
	json_string("device", *event->instance ? event->instance : NULL);
	if (event->type == P2PMR_EVENT_REFUSE) {
		json_number("errno", event->error);
		json_string("reason", event->reason);
		json_end();
		return;
	}
	json_number("id", event->id);
	json_bool("writable", event->flags & P2PMR_RANGE_WRITE);
	json_number("length", event->length);
	json_number("device_bytes", event->device_bytes);
	json_location(&event->location);
	if (event->type == P2PMR_EVENT_REVOKE)
		json_string("cause", cause_of(event));
	json_end();
}

/* What the columns do not hold; to be freed. */
static char *details(const struct p2pmr_event *event)
{
	char address[PCI_ADDRESS_SIZE], *size, *text;

	if (event->type == P2PMR_EVENT_LOST)
		return text_format("%" PRIu64 " events", (uint64_t)event->lost);
	if (event->type == P2PMR_EVENT_REFUSE)
		return text_format("%s: %s", strerror(event->error),
				   event->reason);
	location_address(&event->location, address);
	size = text_size(event->length);
	text = text_format("%s%s%s, %s%s", event->instance,
			   *event->instance ? ", " : "", address, size,
			   event->type == P2PMR_EVENT_REVOKE ? ": " : "");
	free(size);
	if (event->type == P2PMR_EVENT_REVOKE) {
		char *whole = text_format("%s%s", text, cause_of(event));

		free(text);
		return whole;
	}
	return text;
}

#define DETAILS_COLUMN 43

/* Words as they fit into the last column, line after line. */
static void print_wrapped(char *text)
{
	size_t column = DETAILS_COLUMN;
	char *rest = text, *word;

	while ((word = strsep(&rest, " "))) {
		size_t length = strlen(word);

		if (column > DETAILS_COLUMN &&
		    column + 1 + length > TERMINAL_COLUMNS) {
			printf("\n%*s", DETAILS_COLUMN, "");
			column = DETAILS_COLUMN;
		} else if (column > DETAILS_COLUMN) {
			putchar(' ');
			column++;
		}
		for (size_t i = 0; i < length; i++)
			putchar(word[i] < ' ' || word[i] > '~' ? '?' : word[i]);
		column += length;
	}
	putchar('\n');
}

static void print(const struct p2pmr_event *event)
{
	struct timespec at = when(event);
	char clock[16], command[sizeof(event->command) + 1];
	char *text = details(event);
	struct tm tm;

	localtime_r(&at.tv_sec, &tm);
	strftime(clock, sizeof(clock), "%H:%M:%S", &tm);
	snprintf(command, sizeof(command), "%.*s", (int)sizeof(event->command),
		 event->command);
	for (char *c = command; *c; c++)
		if (*c < ' ' || *c > '~')
			*c = '?';
	printf("%-8s  %s%-10s%s  %7u  %-10.10s  ", clock,
	       style_begin(types[event->type].style), types[event->type].name,
	       style_end(types[event->type].style), event->pid,
	       *command ? command : "-");
	print_wrapped(text);
	free(text);
	fflush(stdout);
}

/* Who waits for the first line knows that nothing escapes him after it. */
static void begin(bool json)
{
	struct timespec now;

	if (json) {
		clock_gettime(CLOCK_REALTIME, &now);
		json_event("start", now);
		json_end();
	} else {
		printf("%s%-8s  %-10s  %7s  %-10s  %s%s\n",
		       style_begin(HEADING), "TIME", "EVENT", "PID", "PROCESS",
		       "DETAILS", style_end(HEADING));
		fflush(stdout);
	}
}

/* Without an end if times is 0. */
static int follow(int fd, bool json, uint64_t times)
{
	struct p2pmr_event events[BATCH];
	uint64_t seen = 0;

	for (;;) {
		ssize_t n = read(fd, events, sizeof(events));

		if (n < 0) {
			complain("%s: %s", P2PMR_DEVICE_PATH, strerror(errno));
			return EXIT_SYSTEM;
		}
		for (size_t i = 0; i < n / sizeof(events[0]); i++) {
			const struct p2pmr_event *event = &events[i];

			if (event->type >= TYPES || !types[event->type].name)
				continue;
			if (json)
				print_json(event);
			else
				print(event);
			if (ferror(stdout))
				return EXIT_SYSTEM;
			if (++seen == times)
				return EXIT_OK;
		}
	}
}

static int run(const struct arguments *arguments)
{
	struct p2pmr_ioc_watch watch = {
		.size = sizeof(watch),
		.event_size = sizeof(struct p2pmr_event),
	};
	const char *count = option(arguments, 'n');
	uint64_t times = 0;
	int fd, ret;

	if (count && (!parse_number(count, &times) || !times))
		return usage_error(arguments->command,
				   "'%s' is no number of events", count);
	fd = chardev_need(P2PMR_FEATURE_WATCH);
	if (fd < 0)
		return EXIT_NO_P2PMR;
	if (ioctl(fd, P2PMR_IOC_WATCH, &watch)) {
		complain("%s: %s", P2PMR_DEVICE_PATH,
			 errno == EDQUOT ? "too many watchers of this user"
					 : strerror(errno));
		ret = EXIT_SYSTEM;
	} else {
		begin(arguments->json);
		ret = follow(fd, arguments->json, times);
	}
	close(fd);
	return ret;
}

static const struct option_spec options[] = {
	{ 'n', "count", "NUMBER", "end after so many events" },
	OPTION_JSON,
	OPTION_HELP,
	{ 0 },
};

const struct command monitor_command = {
	.name = "monitor",
	.summary = "registrations, revocations and refusals as they happen",
	.about =
		"Prints a line for each registration of device memory, its end, and each\n"
		"refusal, of the user's processes, or of all to who has CAP_SYS_ADMIN, until\n"
		"interrupted.",
	.options = options,
	.run = run,
};
