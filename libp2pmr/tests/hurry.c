// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Loaded into a program before librdmacm: what a server sees of a client that
 * has disconnected before its last message of connecting has come in. The
 * kernel does not tell of the connection then, only of its end.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>

#include <rdma/rdma_cma.h>

int rdma_get_cm_event(struct rdma_event_channel *channel,
		      struct rdma_cm_event **event)
{
	int (*real)(struct rdma_event_channel *, struct rdma_cm_event **) =
		(int (*)(struct rdma_event_channel *, struct rdma_cm_event **))
			dlsym(RTLD_NEXT, "rdma_get_cm_event");
	int ret = real(channel, event);

	if (ret || (*event)->event != RDMA_CM_EVENT_ESTABLISHED)
		return ret;
	rdma_ack_cm_event(*event);
	printf("not told of the connection\n");
	fflush(stdout);
	return real(channel, event);
}
