// SPDX-License-Identifier: GPL-2.0
/*
 * P2PMR_IOC_EXPORT: a dma-buf of the caller's own device memory.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/dma-buf.h>
#include <linux/err.h>
#include <linux/fcntl.h>
#include <linux/file.h>
#include <linux/limits.h>

#include "chardev.h"

#define EXPORT_FLAGS (P2PMR_EXPORT_WRITE | P2PMR_EXPORT_REGISTER_BAR)

static unsigned int map_flags(u32 flags)
{
	return (flags & P2PMR_EXPORT_WRITE ? P2PMR_MAP_WRITE : 0) |
	       (flags & P2PMR_EXPORT_REGISTER_BAR ? P2PMR_MAP_REGISTERS : 0);
}

/* The descriptor is reserved here, and valid once the caller knows of it. */
int p2pmr_ioctl_export(struct p2pmr_file *file, void *arg)
{
	struct p2pmr_export *export = arg;
	struct p2pmr_ioc_export *user = &export->arg;
	int fd;

	export->dmabuf = NULL;
	user->fd = -1;
	if ((user->flags & ~EXPORT_FLAGS) || user->reserved ||
	    user->address > ULONG_MAX || user->length > SIZE_MAX)
		return -EINVAL;
	fd = get_unused_fd_flags(O_CLOEXEC);
	if (fd < 0)
		return fd;
	export->dmabuf = p2pmr_dmabuf_export(user->address, user->length,
					     map_flags(user->flags));
	if (IS_ERR(export->dmabuf)) {
		put_unused_fd(fd);
		return PTR_ERR(export->dmabuf);
	}
	user->fd = fd;
	return 0;
}

void p2pmr_ioctl_export_end(void *arg, int ret)
{
	struct p2pmr_export *export = arg;

	if (IS_ERR_OR_NULL(export->dmabuf))
		return;
	if (!ret) {
		fd_install(export->arg.fd, export->dmabuf->file);
		return;
	}
	put_unused_fd(export->arg.fd);
	dma_buf_put(export->dmabuf);
}
