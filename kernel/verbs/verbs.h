/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the files of p2pmr_verbs.ko share: the attached RDMA device, its helper
 * queue pair, and the MRs that uverbs sees.
 */
#ifndef P2PMR_VERBS_H
#define P2PMR_VERBS_H

#include <linux/kref.h>
#include <linux/mutex.h>
#include <linux/refcount.h>
#include <linux/rwsem.h>
#include <linux/semaphore.h>
#include <linux/srcu.h>
#include <linux/wait.h>
#include <linux/xarray.h>
#include <rdma/ib_verbs.h>

#include <linux/p2pmr.h>
#include <rdma/p2pmr-verbs-abi.h>

#include "../compat.h"

/**
 * struct p2pmr_fastreg - the kernel-owned QP that executes IB_WR_REG_MR
 * @ibdev: the device
 * @pd: a PD of its own, which owns nothing but the QP
 * @cq: where the QP completes
 * @qp: RC, in RTS, connected to nobody; NULL if it could not be rebuilt
 * @lock: read while a work request is outstanding, write to replace the QP
 * @slots: free places in the send queue
 * @wait: where those sleep who wait for a completion
 * @generation: counts replacements
 */
struct p2pmr_fastreg {
	struct ib_device *ibdev;
	struct ib_pd *pd;
	struct ib_cq *cq;
	struct ib_qp *qp;
	struct rw_semaphore lock;
	struct semaphore slots;
	wait_queue_head_t wait;
	unsigned int generation;
};

#define P2PMR_STORE_SIZE 32
#define P2PMR_STORE_PAGES 64

/**
 * struct p2pmr_store - driver MRs that are made before they are needed
 * @lock: protects @mrs, @count and @open
 * @mrs: in the helper's PD, each with room for P2PMR_STORE_PAGES
 * @count: of them
 * @open: may be filled
 * @fill: does that; the only one who adds
 */
struct p2pmr_store {
	spinlock_t lock;
	struct ib_mr *mrs[P2PMR_STORE_SIZE];
	unsigned int count;
	bool open;
	struct delayed_work fill;
};

/**
 * struct p2pmr_ibdev - an attached RDMA device
 * @ibdev: the device; its memory is kept by a reference on its struct device
 * @kref: the attachment has one, and so has each shadow MR
 * @detach: gives the hooks back when the last reference is gone
 * @link: in the list of attached devices
 * @instance: what people see of it while it is attached
 * @range_ops: p2pmr_mr_ops for this instance
 * @orig: the driver's own operations
 * @srcu: read while a hook runs for this device
 * @fastreg: valid until the client is removed
 * @store: open while the client is there
 * @registering: read while device memory is registered, written to end that
 * @removed: no new MRs; under @registering
 * @lock: protects @shadows and @advising
 * @shadows: every shadow MR of the device
 * @keys: lkeys (as xa_mk_value()) of the driver's MRs that are in a user's PD,
 *	by their index, which is all but the last eight bits
 * @advising: calls of advise_mr that run now
 * @advised: woken when one ends
 */
struct p2pmr_ibdev {
	struct ib_device *ibdev;
	struct kref kref;
	struct work_struct detach;
	struct list_head link;
	struct p2pmr_instance instance;
	struct p2pmr_range_ops range_ops;
	struct {
		struct ib_mr *(*reg_user_mr)(P2PMR_REG_USER_MR_PARAMS);
		struct ib_mr *(*rereg_user_mr)(struct ib_mr *mr, int flags,
					       u64 start, u64 length, u64 iova,
					       int access, struct ib_pd *pd,
					       struct ib_udata *udata);
		int (*dereg_mr)(struct ib_mr *mr, struct ib_udata *udata);
		int (*advise_mr)(struct ib_pd *pd,
				 enum ib_uverbs_advise_mr_advice advice,
				 u32 flags, struct ib_sge *sg_list, u32 num_sge,
				 struct uverbs_attr_bundle *attrs);
	} orig;
	struct srcu_struct srcu;
	struct p2pmr_fastreg fastreg;
	struct p2pmr_store store;
	struct rw_semaphore registering;
	bool removed;
	struct mutex lock;
	struct list_head shadows;
	struct xarray keys;
	struct list_head advising;
	wait_queue_head_t advised;
};

/**
 * struct p2pmr_mr_request - an extended request, shared by an MR and those that
 *	re-registration makes of it
 * @refs: one for each of them
 * @flags: P2PMR_REG_*
 * @event: to be signalled on revocation, or NULL
 */
struct p2pmr_mr_request {
	refcount_t refs;
	u32 flags;
	struct eventfd_ctx *event;
};

/**
 * struct p2pmr_mr_args - what is to be registered, and how
 * @pd: the user's
 * @dmabuf: NULL for addresses of the caller
 * @start: user address, or offset in @dmabuf
 * @length: in bytes
 * @iova: address that work requests will use
 * @access: IB_ACCESS_* flags, checked by uverbs for what the device knows
 * @request: what is wanted beside, or NULL
 */
struct p2pmr_mr_args {
	struct ib_pd *pd;
	struct dma_buf *dmabuf;
	u64 start;
	u64 length;
	u64 iova;
	int access;
	struct p2pmr_mr_request *request;
};

/**
 * struct p2pmr_shadow - the MR that uverbs holds for device memory
 * @ibmr: what uverbs writes into; carries the keys of @mr
 * @range: the device memory
 * @mr: the driver's fast-registration MR; gone once revoked
 * @user_pd: the user's PD; @mr is in it while the range is live, else in the
 *	helper's
 * @access: IB_ACCESS_* flags as registered
 * @iova: as registered
 * @page_shift: of the pages in the driver's table
 * @request: what the owner wanted beside, or NULL; referenced
 * @dev: referenced
 * @hash: finds the shadow by the address of @ibmr
 * @link: in @dev->shadows
 * @rcu: look-ups run under RCU
 */
struct p2pmr_shadow {
	struct ib_mr ibmr;
	struct p2pmr_range range;
	struct ib_mr *mr;
	struct ib_pd *user_pd;
	int access;
	u64 iova;
	unsigned int page_shift;
	struct p2pmr_mr_request *request;
	struct p2pmr_ibdev *dev;
	struct hlist_node hash;
	struct list_head link;
	struct rcu_head rcu;
};

/* Tell the one who asked for something on @p2pdev why he does not get it. */
#define p2pmr_ibdev_refuse(p2pdev, error, fmt, ...)			\
	p2pmr_refuse(&(p2pdev)->range_ops, error, fmt, ##__VA_ARGS__)

/* fastreg.c */
int p2pmr_fastreg_init(struct p2pmr_fastreg *fr, struct ib_device *ibdev);
void p2pmr_fastreg_destroy(struct p2pmr_fastreg *fr);
int p2pmr_fastreg_exec(struct p2pmr_fastreg *fr, struct ib_reg_wr *wrs,
		       unsigned int n);

/* store.c */
void p2pmr_store_init(struct p2pmr_store *store);
void p2pmr_store_open(struct p2pmr_ibdev *dev);
void p2pmr_store_close(struct p2pmr_ibdev *dev);
bool p2pmr_store_is_valid(const struct p2pmr_ibdev *dev);
struct ib_mr *p2pmr_store_take(struct p2pmr_ibdev *dev, u64 pages);
void p2pmr_store_show(struct p2pmr_ibdev *dev, struct seq_file *s);

/* driver_mr.c */
struct ib_mr *p2pmr_driver_mr_alloc(struct p2pmr_ibdev *dev, u64 pages);
int p2pmr_driver_mr_make(struct p2pmr_shadow *shadow, u64 iova, int access);
int p2pmr_driver_mr_drop(struct p2pmr_shadow *shadow);

/* request.c */
struct p2pmr_mr_request *p2pmr_request_read(struct p2pmr_ibdev *dev,
					    struct ib_udata *udata);
struct p2pmr_mr_request *p2pmr_request_get(struct p2pmr_mr_request *request);
void p2pmr_request_put(struct p2pmr_mr_request *request);
void p2pmr_request_signal(const struct p2pmr_mr_request *request);
int p2pmr_request_answer(struct ib_udata *udata, u64 length, u64 device_bytes,
			 unsigned int segments, unsigned int page_size);

/* mr.c */
extern const struct p2pmr_range_ops p2pmr_mr_ops;
struct ib_mr *p2pmr_mr_reg(struct p2pmr_ibdev *dev,
			   const struct p2pmr_mr_args *args);
struct ib_mr *p2pmr_mr_reg_dmabuf(struct p2pmr_ibdev *dev,
				  struct p2pmr_mr_args *args, int fd);
int p2pmr_mr_answer(struct ib_mr *mr, struct ib_udata *udata);
struct p2pmr_shadow *p2pmr_mr_shadow(struct ib_mr *mr);
struct ib_mr *p2pmr_mr_rereg(struct p2pmr_shadow *old, int flags, u64 start,
			     u64 length, u64 iova, int access,
			     struct ib_pd *pd);
void p2pmr_mr_dereg(struct p2pmr_shadow *shadow);
void p2pmr_mr_revoke_all(struct p2pmr_ibdev *dev);
void p2pmr_mr_show_all(struct p2pmr_ibdev *dev, struct seq_file *s);

/* advice.c */
int p2pmr_advise(struct p2pmr_ibdev *dev, struct ib_pd *pd,
		 enum ib_uverbs_advise_mr_advice advice, u32 flags,
		 struct ib_sge *sg_list, u32 num_sge,
		 struct uverbs_attr_bundle *attrs);
int p2pmr_key_publish(struct p2pmr_ibdev *dev, const struct ib_pd *pd, u32 lkey);
void p2pmr_key_withdraw(struct p2pmr_ibdev *dev, u32 lkey);

/* dmabuf_op.c: a module of its own, which stays */
typedef struct ib_mr *(*p2pmr_dmabuf_fn)(P2PMR_REG_DMABUF_PARAMS);
struct ib_mr *p2pmr_dmabuf_op(P2PMR_REG_DMABUF_PARAMS);
void p2pmr_dmabuf_op_serve(p2pmr_dmabuf_fn fn);

/* hooks.c */
struct ib_mr *p2pmr_hook_reg_user_mr_dmabuf(P2PMR_REG_DMABUF_PARAMS);
void p2pmr_hooks_attach(struct p2pmr_ibdev *dev);
struct p2pmr_ibdev *p2pmr_hooks_find_get(const struct ib_device *ibdev);
void p2pmr_hooks_detach(struct p2pmr_ibdev *dev);
void p2pmr_hooks_wait_detached(const struct ib_device *ibdev);
void p2pmr_hooks_for_each(void (*fn)(struct p2pmr_ibdev *dev, struct seq_file *s),
			  struct seq_file *s);

/* client.c */
extern struct workqueue_struct *p2pmr_verbs_wq;
void p2pmr_ibdev_put(struct p2pmr_ibdev *dev);

#endif /* P2PMR_VERBS_H */
