// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Registration of device memory as a dma-buf, see dmabuf.h. */
#include "dmabuf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <infiniband/p2pmr.h>

#include "handshake.h"

#define WRITING                                             \
	(IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE | \
	 IBV_ACCESS_REMOTE_ATOMIC)

/* All instances that there are, however often their number changes. */
static int read_instances(int fd, struct p2pmr_instance_info **instances)
{
	struct p2pmr_ioc_instances request = {
		.size = sizeof(request),
		.instance_size = sizeof(**instances),
	};

	*instances = NULL;
	while (ioctl(fd, P2PMR_IOC_INSTANCES, &request)) {
		int error = errno;

		free(*instances);
		*instances = NULL;
		if (error != ENOSPC)
			return -error;
		*instances = calloc(request.count, sizeof(**instances));
		if (!*instances)
			return -ENOMEM;
		request.instances = (uintptr_t)*instances;
		request.capacity = request.count;
	}
	return request.count;
}

static bool is_served(int fd, const char *name)
{
	struct p2pmr_instance_info *instances;
	int count = read_instances(fd, &instances);
	bool served = false;

	for (int i = 0; i < count; i++)
		served |= !strcmp(instances[i].name, name);
	free(instances);
	return served;
}

bool dmabuf_applies(const struct ibv_context *context)
{
	int fd = handshake();
	bool served;

	if (fd < 0)
		return false;
	served = is_served(fd, context->device->name);
	close(fd);
	return !served;
}

bool dmabuf_is_device(const void *address, size_t length)
{
	struct p2pmr_answer *answer = p2pmr_query(address, length);
	bool found = false;

	for (size_t i = 0; answer && i < p2pmr_answer_count(answer); i++)
		found |= p2pmr_answer_segment(answer, i)->kind ==
			 P2PMR_SEGMENT_DEVICE;
	p2pmr_answer_free(answer);
	return found;
}

/* Whole pages, of which the range is a part. */
static void round_out(struct p2pmr_ioc_export *export, uintptr_t address,
		      size_t length)
{
	uint64_t page = sysconf(_SC_PAGESIZE);
	uint64_t end = (uint64_t)address + length;

	export->address = address & ~(page - 1);
	end = (end + page - 1) & ~(page - 1);
	export->length = end - export->address;
}

/*
 * For writing if the mapping gives that: the drivers of NICs ask for both ways,
 * whatever the access flags are.
 */
static int export_range(struct p2pmr_ioc_export *export, unsigned int access)
{
	int fd = handshake(), ret;

	if (fd < 0)
		return fd;
	export->flags |= P2PMR_EXPORT_WRITE;
	ret = ioctl(fd, P2PMR_IOC_EXPORT, export) ? -errno : 0;
	if (ret == -EACCES && !(access & WRITING)) {
		export->flags &= ~P2PMR_EXPORT_WRITE;
		ret = ioctl(fd, P2PMR_IOC_EXPORT, export) ? -errno : 0;
	}
	close(fd);
	return ret;
}

struct ibv_mr *dmabuf_reg_mr(struct ibv_pd *pd, void *address, size_t length,
			     uint64_t iova, unsigned int access,
			     bool register_bar)
{
	struct p2pmr_ioc_export export = {
		.size = sizeof(export),
		.flags = register_bar ? P2PMR_EXPORT_REGISTER_BAR : 0,
	};
	struct ibv_mr *mr;
	int ret;

	if (!length || length > UINTPTR_MAX - (uintptr_t)address) {
		errno = EINVAL;
		return NULL;
	}
	round_out(&export, (uintptr_t)address, length);
	ret = export_range(&export, access);
	if (ret) {
		errno = -ret;
		return NULL;
	}
	errno = 0;
	mr = ibv_reg_dmabuf_mr(pd, (uintptr_t)address - export.address, length,
			       iova, export.fd, access);
	ret = errno;
	/* The MR holds the buffer. */
	close(export.fd);
	if (mr)
		mr->addr = address;
	else
		errno = ret ? ret : EIO;
	return mr;
}
