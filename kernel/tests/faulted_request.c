// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Requests in which allocations fail, see faulted_request.h. */
#include "faulted_request.h"

#include <string.h>
#include <unistd.h>

#include "faulting.h"
#include "runner.h"

union room answer;

/* Written anew each time, in memory that is there. */
static void prepare(void *argument)
{
	struct request *request = argument;

	request->argument = request->fresh;
	memset(&answer, 0xa5, sizeof(answer));
}

int call_request(void *argument)
{
	struct request *request = argument;

	return chardev_error(request->fd, request->number, &request->argument);
}

static void check(void *argument, int error)
{
	struct request *request = argument;

	if (error) {
		prepare(request);
		assert_int_equal(call_request(request), 0);
	}
	if (request->look)
		request->look(request);
}

void fail_request(struct request *request, const char *name)
{
	const struct faulted faulted = { .name = name,
					 .prepare = prepare,
					 .call = call_request,
					 .check = check };

	fail_each(&faulted, request);
}

void fail_copies(struct request *request, const char *name)
{
	const struct faulted faulted = { .name = name,
					 .prepare = prepare,
					 .call = call_request,
					 .check = check,
					 .allocates_nothing = true };

	fail_each(&faulted, request);
	close(request->fd);
}

struct request request_of(unsigned long number)
{
	faults_prepare();
	return (struct request){ .fd = chardev_ready(), .number = number };
}
