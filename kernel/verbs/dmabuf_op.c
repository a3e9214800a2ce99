// SPDX-License-Identifier: GPL-2.0
/*
 * p2pmr_dmabuf_op.ko: the operation that registers dma-bufs, for devices whose driver
 * has none, and nothing behind it.
 *
 * Where p2pmr_verbs stands in front of an operation it can give that back. Here
 * there is none to be given back: uverbs looks whether a device has it and then calls
 * it, loading the slot twice with no lock that a module could know of, so that a
 * slot once filled must never be empty again. So what is in the slot stays: this module
 * cannot be unloaded, while p2pmr_verbs can, and without it the answer is the one of a
 * device that has no such operation.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/export.h>
#include <linux/module.h>
#include <linux/srcu.h>

#include "verbs.h"

DEFINE_STATIC_SRCU(srcu); /* read while the function that serves runs */
static p2pmr_dmabuf_fn serves;

/**
 * p2pmr_dmabuf_op() - what stands in a device's slot for registering dma-bufs
 * @P2PMR_REG_DMABUF_PARAMS: those of the operation, which differ between kernels
 *
 * May sleep.
 *
 * Return: what the function returns that serves, or -EOPNOTSUPP if there is none.
 */
struct ib_mr *p2pmr_dmabuf_op(P2PMR_REG_DMABUF_PARAMS)
{
	int idx = srcu_read_lock(&srcu);
	p2pmr_dmabuf_fn fn = READ_ONCE(serves);
	struct ib_mr *mr = ERR_PTR(-EOPNOTSUPP);

	if (fn)
		mr = fn(P2PMR_REG_DMABUF_ARGS);
	srcu_read_unlock(&srcu, idx);
	return mr;
}
EXPORT_SYMBOL_GPL(p2pmr_dmabuf_op);

/**
 * p2pmr_dmabuf_op_serve() - say who answers for p2pmr_dmabuf_op()
 * @fn: from now on; NULL: nobody, and when it returns none runs any more
 *
 * May sleep with NULL. The caller makes sure that it is not called twice at once.
 */
void p2pmr_dmabuf_op_serve(p2pmr_dmabuf_fn fn)
{
	WRITE_ONCE(serves, fn);
	if (!fn)
		synchronize_srcu(&srcu);
}
EXPORT_SYMBOL_GPL(p2pmr_dmabuf_op_serve);

/* With no exit it stays as it is; by the reference modprobe -r can tell. */
static int __init p2pmr_dmabuf_op_init(void)
{
	__module_get(THIS_MODULE);
	return 0;
}

module_init(p2pmr_dmabuf_op_init);

MODULE_DESCRIPTION("Registration of dma-bufs, for RDMA drivers that have none");
MODULE_AUTHOR("The p2pmr authors");
MODULE_VERSION("0.1.0"); /* as in CMakeLists.txt */
MODULE_LICENSE("GPL");
