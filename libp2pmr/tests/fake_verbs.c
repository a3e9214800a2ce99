// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * A libibverbs whose only device pins no device memory, as NICs do not, and takes
 * dma-bufs or, by the environment's FAKE_DMABUF, gives an errno. It tells on
 * standard output what it was asked for.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

#include <infiniband/verbs.h>

#undef ibv_reg_mr
#undef ibv_reg_mr_iova

/* As a driver's kernel part would find out: a BAR has no pages to pin. */
static int is_pinned(void *address)
{
	struct iovec vector = { .iov_base = address, .iov_len = 1 };
	int ends[2], pinned;

	if (pipe(ends))
		abort();
	pinned = vmsplice(ends[1], &vector, 1, 0) == 1;
	close(ends[0]);
	close(ends[1]);
	return pinned && !getenv("FAKE_FAILS");
}

static struct ibv_mr *make(struct ibv_pd *pd, void *address, size_t length)
{
	struct ibv_mr *mr = calloc(1, sizeof(*mr));

	*mr = (struct ibv_mr){ .context = pd->context,
			       .pd = pd,
			       .addr = address,
			       .length = length };
	return mr;
}

static struct ibv_mr *pin(const char *call, struct ibv_pd *pd, void *address,
			  size_t length)
{
	printf("%s\n", call);
	if (is_pinned(address))
		return make(pd, address, length);
	errno = getenv("FAKE_FAILS") ? ENOMEM : EFAULT;
	return NULL;
}

struct ibv_mr *ibv_reg_mr(struct ibv_pd *pd, void *addr, size_t length,
			  int access)
{
	(void)access;
	return pin("ibv_reg_mr", pd, addr, length);
}

struct ibv_mr *ibv_reg_mr_iova(struct ibv_pd *pd, void *addr, size_t length,
			       uint64_t iova, int access)
{
	(void)iova;
	(void)access;
	return pin("ibv_reg_mr_iova", pd, addr, length);
}

struct ibv_mr *ibv_reg_mr_iova2(struct ibv_pd *pd, void *addr, size_t length,
				uint64_t iova, unsigned int access)
{
	(void)iova;
	(void)access;
	return pin("ibv_reg_mr_iova2", pd, addr, length);
}

struct ibv_mr *ibv_reg_dmabuf_mr(struct ibv_pd *pd, uint64_t offset,
				 size_t length, uint64_t iova, int fd,
				 int access)
{
	const char *error = getenv("FAKE_DMABUF");

	printf("ibv_reg_dmabuf_mr offset=%llu length=%zu iova=%#llx access=%#x "
	       "size=%lld\n",
	       (unsigned long long)offset, length, (unsigned long long)iova,
	       access, (long long)lseek(fd, 0, SEEK_END));
	if (!error)
		return make(pd, (void *)(uintptr_t)offset, length);
	errno = atoi(error);
	return NULL;
}

int ibv_dereg_mr(struct ibv_mr *mr)
{
	printf("ibv_dereg_mr\n");
	free(mr);
	return 0;
}

/* For the linker's sake: no program is to look for devices here. */
struct ibv_device **ibv_get_device_list(int *count)
{
	if (count)
		*count = 0;
	return NULL;
}

const char *ibv_get_device_name(struct ibv_device *device)
{
	return device->name;
}

struct ibv_context *ibv_open_device(struct ibv_device *device)
{
	(void)device;
	return NULL;
}

struct ibv_pd *ibv_alloc_pd(struct ibv_context *context)
{
	(void)context;
	return NULL;
}
