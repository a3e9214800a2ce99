// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * A verbs program like any other, with nothing in it of p2pmr: it maps a PCI
 * BAR, gives the mapping to ibv_reg_mr(), and moves bytes with RDMA.
 *
 *   p2pmr-demo register             ibv_reg_mr() on the BAR, and what it says
 *   p2pmr-demo write OFFSET TEXT    RDMA WRITE from host memory into the BAR
 *   p2pmr-demo read OFFSET LENGTH   RDMA READ from the BAR into host memory
 *   p2pmr-demo revoke OFFSET ONE TWO
 *          a peer writes ONE, the mapping goes, the peer tries to write TWO
 */
#include <errno.h>
#include <fcntl.h>
#include <infiniband/verbs.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pair.h"

#define ACCESS                                             \
	(IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_READ | \
	 IBV_ACCESS_REMOTE_WRITE)
#define BUFFER_SIZE 4096

static struct pair pair;
static uint8_t *bar;
static size_t bar_size;
static char buffer[BUFFER_SIZE];

static void map_bar(void)
{
	const char *path = getenv("P2PMR_BAR");
	struct stat status;
	int fd;

	if (!path) {
		errno = ENOENT;
		die("P2PMR_BAR");
	}
	fd = open(path, O_RDWR);
	if (fd < 0 || fstat(fd, &status))
		die("%s", path);
	bar_size = status.st_size;
	bar = mmap(NULL, bar_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (bar == MAP_FAILED)
		die("mmap of %s", path);
	close(fd);
}

static struct ibv_mr *register_memory(void *address, size_t length)
{
	struct ibv_mr *mr = ibv_reg_mr(pair.pd, address, length, ACCESS);

	if (!mr)
		die("ibv_reg_mr");
	return mr;
}

static void deregister(struct ibv_mr *mr)
{
	errno = ibv_dereg_mr(mr);
	if (errno)
		die("ibv_dereg_mr");
}

static size_t offset_argument(const char *text, size_t length)
{
	size_t offset = strtoul(text, NULL, 10);

	if (length > BUFFER_SIZE || offset > bar_size ||
	    length > bar_size - offset) {
		errno = ERANGE;
		die("%zu bytes at %s", length, text);
	}
	return offset;
}

static int show_register(char **arguments)
{
	struct ibv_mr *mr = register_memory(bar, bar_size);

	(void)arguments;
	printf("ibv_reg_mr: OK, %zu bytes, lkey 0x%x, rkey 0x%x\n", mr->length,
	       mr->lkey, mr->rkey);
	deregister(mr);
	return EXIT_SUCCESS;
}

static int succeeded(const char *what, enum ibv_wc_status status)
{
	printf("%s: %s\n", what, ibv_wc_status_str(status));
	return status == IBV_WC_SUCCESS;
}

static int show_write(char **arguments)
{
	size_t length = strlen(arguments[1]);
	size_t offset = offset_argument(arguments[0], length);
	struct ibv_mr *source = register_memory(buffer, sizeof(buffer));
	struct ibv_mr *target = register_memory(bar, bar_size);
	int fine;

	pair_connect(&pair);
	memcpy(buffer, arguments[1], length);
	fine = succeeded("RDMA WRITE",
			 pair_rdma(&pair, IBV_WR_RDMA_WRITE, source, buffer,
				   length, bar + offset, target->rkey));
	deregister(target);
	deregister(source);
	return fine ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int show_read(char **arguments)
{
	size_t length = strtoul(arguments[1], NULL, 10);
	size_t offset = offset_argument(arguments[0], length);
	struct ibv_mr *target = register_memory(buffer, sizeof(buffer));
	struct ibv_mr *source = register_memory(bar, bar_size);
	int fine;

	pair_connect(&pair);
	fine = succeeded("RDMA READ",
			 pair_rdma(&pair, IBV_WR_RDMA_READ, target, buffer,
				   length, bar + offset, source->rkey));
	if (fine)
		printf("got: %.*s\n", (int)length, buffer);
	deregister(source);
	deregister(target);
	return fine ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int show_revoke(char **arguments)
{
	size_t length = strlen(arguments[1]);
	size_t offset = offset_argument(arguments[0], length);
	struct ibv_mr *source = register_memory(buffer, sizeof(buffer));
	struct ibv_mr *target = register_memory(bar, bar_size);
	enum ibv_wc_status status;

	if (strlen(arguments[2]) != length) {
		errno = EINVAL;
		die("the two texts");
	}
	pair_connect(&pair);
	memcpy(buffer, arguments[1], length);
	status = pair_rdma(&pair, IBV_WR_RDMA_WRITE, source, buffer, length,
			   bar + offset, target->rkey);
	if (!succeeded("before munmap", status))
		return EXIT_FAILURE;

	if (munmap(bar, bar_size))
		die("munmap");
	memcpy(buffer, arguments[2], length);
	status = pair_rdma(&pair, IBV_WR_RDMA_WRITE, source, buffer, length,
			   bar + offset, target->rkey);
	printf("after munmap: %s\n", ibv_wc_status_str(status));
	deregister(target);
	deregister(source);
	return status == IBV_WC_REM_ACCESS_ERR ? EXIT_SUCCESS : EXIT_FAILURE;
}

static const struct {
	const char *name;
	int arguments;
	int (*run)(char **arguments);
} steps[] = {
	{ "register", 0, show_register },
	{ "write", 2, show_write },
	{ "read", 2, show_read },
	{ "revoke", 3, show_revoke },
};

int main(int argc, char **argv)
{
	int status;

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		if (argc != steps[i].arguments + 2 ||
		    strcmp(argv[1], steps[i].name))
			continue;
		map_bar();
		pair_open(&pair);
		status = steps[i].run(argv + 2);
		pair_close(&pair);
		return status;
	}
	fprintf(stderr, "usage: p2pmr-demo register | write OFFSET TEXT | "
			"read OFFSET LENGTH | revoke OFFSET ONE TWO\n");
	return 2;
}
