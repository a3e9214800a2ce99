/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * A file of /dev/p2pmr that tells what happens, and what makes things happen:
 * a request that is refused, and a process that is somebody else.
 */
#ifndef P2PMR_TESTS_MONITOR_H
#define P2PMR_TESTS_MONITOR_H

#include <rdma/p2pmr-abi.h>
#include <stdint.h>
#include <sys/types.h>

#include "bar.h"
#include "endpoint.h"

/* Watches, and does not wait when it is read; the caller closes it. */
int monitor_open(void);
/* The errno of P2PMR_IOC_WATCH with elements of that size. */
int monitor_error(int fd, uint32_t event_size);
/* How many events its queue holds. */
uint32_t monitor_capacity(int fd);

/* The next event, which must come within seconds and be of that type. */
void monitor_next(int fd, uint32_t type, struct p2pmr_event *event);
/* There is no event. */
void assert_quiet(int fd);

/* Whether a range's event is what one of this process with this MR must be. */
void assert_event_of(const struct p2pmr_event *event, const struct ibv_mr *mr,
		     int write);

/* A page of a BAR to read only, which is refused when it is to be written. */
struct refused {
	struct device device;
	uint8_t *bytes;
};
void refused_open(struct refused *refused);
void refused_ask(const struct refused *refused);
void refused_close(struct refused *refused);
#define REFUSED_REASON "mapping's protection"

#endif
