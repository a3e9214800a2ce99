// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Device memory may go at any time: the driver lets go of the device, the
 * device is unplugged. This program registers a BAR, waits until it is told
 * that the registration has been revoked, and begins anew when the BAR is back.
 * It ends when its standard input does.
 *
 *   revocation rxe0 0000:01:00.0 2
 *
 *   cc revocation.c $(pkg-config --cflags --libs libp2pmr) -libverbs
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <infiniband/p2pmr.h>

#define ACCESS                                             \
	(IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_READ | \
	 IBV_ACCESS_REMOTE_WRITE)

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static struct ibv_pd *open_device(const char *name)
{
	struct ibv_device **list = ibv_get_device_list(NULL);
	struct ibv_context *context = NULL;
	struct ibv_pd *pd;

	for (int i = 0; list && list[i]; i++)
		if (!strcmp(ibv_get_device_name(list[i]), name))
			context = ibv_open_device(list[i]);
	if (!context)
		die(name);
	ibv_free_device_list(list);
	pd = ibv_alloc_pd(context);
	if (!pd)
		die("ibv_alloc_pd");
	return pd;
}

/* Waits; 1 if the descriptor (-1: none) has become readable, -1 at the end. */
static int wait_for(int fd, int milliseconds)
{
	struct pollfd p[] = {
		{ .fd = STDIN_FILENO, .events = POLLIN },
		{ .fd = fd, .events = POLLIN },
	};
	char byte;

	if (poll(p, 2, milliseconds) < 0)
		die("poll");
	if (p[0].revents && read(STDIN_FILENO, &byte, 1) <= 0)
		return -1;
	return p[1].revents != 0;
}

/* Registers and waits for the end; 0 if there may be another time. */
static int serve(struct ibv_pd *pd, struct p2pmr_mapping *mapping)
{
	struct p2pmr_reg_attr attr = {
		.size = sizeof(attr),
		/* Fail rather than take host memory; make a descriptor. */
		.flags = P2PMR_REG_REQUIRE_DEVICE | P2PMR_REG_EVENTFD,
	};
	struct p2pmr_mr_info info = { .size = sizeof(info) };
	struct p2pmr_mr *mr;
	int event;

	mr = p2pmr_reg_mr(pd, p2pmr_mapping_address(mapping),
			  p2pmr_mapping_length(mapping), ACCESS, &attr);
	if (!mr) {
		int error = errno;

		/* It may have gone again between mapping and registering. */
		perror("p2pmr_reg_mr");
		return error == ENODEV ? 0 : -1;
	}
	p2pmr_mr_query(mr, &info);
	printf("registered: rkey 0x%x, %zu bytes of device memory in %u piece%s\n",
	       p2pmr_mr_verbs(mr)->rkey, p2pmr_mapping_length(mapping),
	       info.segments, info.segments == 1 ? "" : "s");

	/* A real program has its other descriptors in here too. */
	do
		event = wait_for(p2pmr_mr_fd(mr), -1);
	while (!event);
	if (event > 0) {
		/*
		 * Peers get errors by now, and nothing reaches the device.
		 * Tell them that the rkey is void; then clear away.
		 */
		printf("revoked\n");
		event = 0;
	}
	if (p2pmr_dereg_mr(mr))
		die("p2pmr_dereg_mr");
	return event;
}

int main(int argc, char **argv)
{
	struct p2pmr_mapping *mapping;
	struct ibv_context *context;
	struct ibv_pd *pd;
	int end = 0;

	if (argc != 4) {
		fprintf(stderr, "see the first lines of the source\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	pd = open_device(argv[1]);
	context = pd->context;
	while (!end) {
		mapping = p2pmr_map_bar(argv[2], atoi(argv[3]), NULL);
		if (mapping) {
			end = serve(pd, mapping);
			p2pmr_unmap(mapping);
		} else {
			end = wait_for(-1, 200);
		}
	}
	ibv_dealloc_pd(pd);
	ibv_close_device(context);
	return 0;
}
