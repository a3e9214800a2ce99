// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Samples of a clock, and how their figures are shown. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "bench.h"
#include "json.h"
#include "text.h"

uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

void samples_init(struct samples *samples, unsigned int room)
{
	*samples = (struct samples){
		.values = must_realloc(NULL, room, sizeof(*samples->values)),
		.room = room,
	};
}

void samples_add(struct samples *samples, uint64_t value)
{
	if (samples->count < samples->room)
		samples->values[samples->count++] = value;
}

void samples_free(struct samples *samples)
{
	free(samples->values);
}

static int compare(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static uint64_t quantile(const struct samples *samples, unsigned int percent)
{
	return samples->values[(uint64_t)(samples->count - 1) * percent / 100];
}

static uint64_t mean(const struct samples *samples)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < samples->count; i++)
		sum += samples->values[i];
	return sum / samples->count;
}

void report_head(const struct run *run)
{
	if (run->json)
		return;
	printf("%-10s %-11s %-18s %8s %12s %12s %12s  %s\n", "benchmark",
	       "operation", "memory", "size", "least", "median", "most",
	       run->unit);
}

static void report_json(const struct run *run, const struct result *result,
			const struct samples *samples)
{
	json_begin("bench");
	json_string("benchmark", result->benchmark);
	json_string("operation", result->operation);
	json_string("memory", result->memory);
	json_number("size", result->size);
	json_number("mappings", result->mappings);
	json_number("alive", result->alive);
	json_number("processes", result->processes);
	json_number("offset", result->offset);
	json_number("messages", result->messages);
	json_bool("events", run->events);
	json_number("samples", samples->count);
	json_string("unit", run->unit);
	json_number("least", quantile(samples, 0));
	json_number("p25", quantile(samples, 25));
	json_number("median", quantile(samples, 50));
	json_number("mean", mean(samples));
	json_number("p90", quantile(samples, 90));
	json_number("most", quantile(samples, 100));
	json_end();
}

static void report_row(const struct result *result,
		       const struct samples *samples)
{
	char *size = text_size(result->size);

	printf("%-10s %-11s %-18s %8s %12" PRIu64 " %12" PRIu64 " %12" PRIu64
	       "\n",
	       result->benchmark, result->operation, result->memory, size,
	       quantile(samples, 0), quantile(samples, 50),
	       quantile(samples, 100));
	free(size);
}

void report(const struct run *run, const struct result *result,
	    struct samples *samples)
{
	struct result whole = *result;

	if (!samples->count)
		return;
	if (!whole.messages)
		whole.messages = 1;
	if (!whole.mappings)
		whole.mappings = 1;
	if (!whole.processes)
		whole.processes = 1;
	qsort(samples->values, samples->count, sizeof(*samples->values),
	      compare);
	if (run->json)
		report_json(run, &whole, samples);
	else
		report_row(&whole, samples);
	fflush(stdout);
}
