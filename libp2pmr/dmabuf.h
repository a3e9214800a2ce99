/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Device memory for RDMA devices that p2pmr_verbs does not serve, such as NICs:
 * it becomes a dma-buf, which the device's own driver registers.
 */
#ifndef LIBP2PMR_DMABUF_H
#define LIBP2PMR_DMABUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <infiniband/verbs.h>

/* Is the kernel part there, and the device none that p2pmr_verbs serves? */
bool dmabuf_applies(const struct ibv_context *context);

/* Is there any device memory in the range, as far as anybody knows? */
bool dmabuf_is_device(const void *address, size_t length);

/*
 * NULL with errno: what P2PMR_IOC_EXPORT or the driver said; EOPNOTSUPP if the
 * driver takes no dma-bufs. The address in the MR is the given one.
 */
struct ibv_mr *dmabuf_reg_mr(struct ibv_pd *pd, void *address, size_t length,
			     uint64_t iova, unsigned int access,
			     bool register_bar);

#endif
