// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * A program that registers memory in the ways that verbs.h has, and has never
 * heard of p2pmr: FILE maps a BAR, "-" is host memory. It tells what came of it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <infiniband/verbs.h>

#define LENGTH 16384
#define IOVA   0x5000

/* libibverbs has no device to offer: just what registration looks at. */
static struct ibv_device device = { .name = "fake0" };
static struct ibv_context context = { .device = &device };
static struct ibv_pd fake_pd = { .context = &context };

/* Of a soft-RoCE device, if one is named. */
static struct ibv_pd *open_pd(const char *name)
{
	struct ibv_device **list;
	struct ibv_pd *pd = NULL;

	if (!name)
		return &fake_pd;
	list = ibv_get_device_list(NULL);
	for (int i = 0; list && list[i]; i++)
		if (!strcmp(ibv_get_device_name(list[i]), name))
			pd = ibv_alloc_pd(ibv_open_device(list[i]));
	return pd;
}

static uint8_t *map(const char *file)
{
	int fd = strcmp(file, "-") ? open(file, O_RDWR) : -1;

	return mmap(NULL, LENGTH, PROT_READ | PROT_WRITE,
		    fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED, fd, 0);
}

static struct ibv_mr *reg(struct ibv_pd *pd, const char *way, uint8_t *bytes,
			  size_t length, int access)
{
	if (!strcmp(way, "constant"))
		return ibv_reg_mr(pd, bytes, length, IBV_ACCESS_LOCAL_WRITE);
	if (!strcmp(way, "variable"))
		return ibv_reg_mr(pd, bytes, length, access);
	if (!strcmp(way, "optional"))
		return ibv_reg_mr(pd, bytes, length,
				  IBV_ACCESS_LOCAL_WRITE |
					  IBV_ACCESS_RELAXED_ORDERING);
	if (!strcmp(way, "iova"))
		return ibv_reg_mr_iova(pd, bytes, length, IOVA,
				       IBV_ACCESS_LOCAL_WRITE);
	return ibv_reg_mr_iova2(pd, bytes, length, IOVA, access);
}

/* FILE WAY OFFSET LENGTH [DEVICE] */
int main(int argc, char **argv)
{
	struct ibv_pd *pd = open_pd(argc > 5 ? argv[5] : NULL);
	uint8_t *bytes = map(argv[1]), *start = bytes + atoi(argv[3]);
	struct ibv_mr *mr;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (!pd || bytes == MAP_FAILED)
		return 2;
	*bytes = 1;
	mr = reg(pd, argv[2], start, atoi(argv[4]), IBV_ACCESS_LOCAL_WRITE);
	if (!mr) {
		printf("errno=%d\n", errno);
		return 1;
	}
	printf("address=%s length=%zu\n", mr->addr == start ? "same" : "other",
	       mr->length);
	return ibv_dereg_mr(mr);
}
