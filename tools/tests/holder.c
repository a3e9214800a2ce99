// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Maps a part of an open BAR file, registers the beginning of it, and holds both:
 * `holder FD LENGTH OFFSET REGISTERED`. Prints the address; unmaps at the first
 * line of its input, and ends where that ends.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <infiniband/verbs.h>

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

	for (int i = 0; name && list && list[i]; i++)
		if (!strcmp(ibv_get_device_name(list[i]), name))
			context = ibv_open_device(list[i]);
	pd = context ? ibv_alloc_pd(context) : NULL;
	if (!pd)
		die("the device P2PMR_DEV");
	return pd;
}

int main(int argc, char **argv)
{
	size_t length, registered;
	struct ibv_mr *mr = NULL;
	struct ibv_pd *pd;
	char line[16];
	void *bar;

	if (argc != 5)
		return 2;
	length = strtoull(argv[2], NULL, 0);
	registered = strtoull(argv[4], NULL, 0);
	bar = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED,
		   atoi(argv[1]), strtoll(argv[3], NULL, 0));
	if (bar == MAP_FAILED)
		die("mmap");
	pd = open_device(getenv("P2PMR_DEV"));
	if (registered) {
		mr = ibv_reg_mr(pd, bar, registered,
				IBV_ACCESS_LOCAL_WRITE |
					IBV_ACCESS_REMOTE_WRITE);
		if (!mr)
			die("ibv_reg_mr");
	}
	printf("%" PRIuPTR "\n", (uintptr_t)bar);
	fflush(stdout);

	if (fgets(line, sizeof(line), stdin)) {
		munmap(bar, length);
		puts("unmapped");
		fflush(stdout);
		while (fgets(line, sizeof(line), stdin))
			;
	}
	if (mr)
		ibv_dereg_mr(mr);
	ibv_dealloc_pd(pd);
	return 0;
}
