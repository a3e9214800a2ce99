/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Requests to /dev/p2pmr in which allocations and copies fail one by one, see
 * faulting.h.
 */
#ifndef P2PMR_TESTS_FAULTED_REQUEST_H
#define P2PMR_TESTS_FAULTED_REQUEST_H

#include "chardev.h"

/*
 * One request: its argument as it is before each call and as it is after it, and a look
 * at the answer.
 */
struct request {
	int fd;
	unsigned long number;
	union request_argument fresh, argument;
	void (*look)(struct request *request);
};

/* Room for what a request is answered with. */
union room {
	struct p2pmr_query_segment segments[MAX_SEGMENTS];
	struct p2pmr_list_range ranges[MAX_RANGES];
	struct p2pmr_stat stats[64];
	struct p2pmr_exporter_info exporters[16];
	struct p2pmr_instance_info instances[16];
};
extern union room answer;

/* A file that is ready for it; skips the test where nothing can be made to fail. */
struct request request_of(unsigned long number);
/* One call, for those who put a request together by themselves. */
int call_request(void *request);

void fail_request(struct request *request, const char *name);
/* For what is answered without an allocation; closes the file. */
void fail_copies(struct request *request, const char *name);

#endif
