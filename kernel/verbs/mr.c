// SPDX-License-Identifier: GPL-2.0
/*
 * Device-memory MRs: registration, revocation, deregistration.
 *
 * uverbs holds a shadow MR for as long as the user likes. The driver's own MR,
 * which carries the traffic, goes at revocation; the shadow then stays as a
 * tombstone with the old keys.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/dma-buf.h>
#include <linux/hash.h>
#include <linux/hashtable.h>
#include <linux/module.h>
#include <linux/rculist.h>
#include <linux/sched/signal.h>
#include <linux/seq_file.h>
#include <linux/slab.h>

#include "verbs.h"

P2PMR_IMPORT_NS_DMA_BUF;

/*
 * What device memory can be given. Refused by name: memory windows (soft-RoCE
 * lets one live on when the MR is gone), zero-based, on-demand paging and huge
 * pages (there are no pages), flush to persistence (nothing tells whether the
 * device has any).
 */
#define ACCESS_SUPPORTED						\
	(IB_ACCESS_LOCAL_WRITE | IB_ACCESS_REMOTE_WRITE |		\
	 IB_ACCESS_REMOTE_READ | IB_ACCESS_REMOTE_ATOMIC |		\
	 P2PMR_ACCESS_FLUSH_GLOBAL | IB_ACCESS_OPTIONAL)

/* Attempts before giving up on mappings that change all the time. */
#define MAX_TRIES 10

/* Shadows of all devices by the address of their ibmr. */
static DEFINE_HASHTABLE(shadows, 12);
static DEFINE_SPINLOCK(shadows_lock);

/* NULL for an MR that is the driver's own. The caller holds the hooks' SRCU. */
struct p2pmr_shadow *p2pmr_mr_shadow(struct ib_mr *mr)
{
	struct p2pmr_shadow *shadow, *found = NULL;

	rcu_read_lock();
	hash_for_each_possible_rcu(shadows, shadow, hash, (unsigned long)mr) {
		if (&shadow->ibmr == mr) {
			found = shadow;
			break;
		}
	}
	rcu_read_unlock();
	return found;
}

static int check_request(struct p2pmr_ibdev *dev, u64 length, int access)
{
	if (access & ~ACCESS_SUPPORTED)
		return p2pmr_ibdev_refuse(dev, -EOPNOTSUPP,
					  "access flags %#x are not supported on device memory",
					  access & ~ACCESS_SUPPORTED);
	if (length > p2pmr_rxe_max_length())
		return p2pmr_ibdev_refuse(dev, -EFBIG,
					  "%llu bytes; this kernel's rdma_rxe ends at %llu in one MR",
					  length, p2pmr_rxe_max_length());
	return 0;
}

static void activate(struct p2pmr_range *range)
{
	struct p2pmr_shadow *shadow =
		container_of(range, struct p2pmr_shadow, range);

	/* Who finds it in his PD finds what is in it. */
	smp_store_release(&shadow->mr->pd, shadow->user_pd);
}

static int revoke(struct p2pmr_range *range, enum p2pmr_cause cause)
{
	struct p2pmr_shadow *shadow =
		container_of(range, struct p2pmr_shadow, range);
	int ret = p2pmr_driver_mr_drop(shadow);

	if (cause != P2PMR_CAUSE_RELEASE)
		p2pmr_request_signal(shadow->request);
	return ret;
}

const struct p2pmr_range_ops p2pmr_mr_ops = {
	.name = KBUILD_MODNAME,
	.activate = activate,
	.revoke = revoke,
};

static unsigned int map_flags(const struct p2pmr_mr_request *request, int access)
{
	unsigned int flags = ib_access_writable(access) ? P2PMR_MAP_WRITE : 0;

	if (request && (request->flags & P2PMR_REG_REQUIRE_DEVICE))
		flags |= P2PMR_MAP_DEVICE_ONLY;
	if (request && (request->flags & P2PMR_REG_REGISTER_BAR))
		flags |= P2PMR_MAP_REGISTERS;
	return flags;
}

static int map_range(struct p2pmr_shadow *shadow,
		     const struct p2pmr_mr_args *args)
{
	const struct p2pmr_range_ops *ops = &shadow->dev->range_ops;
	unsigned int flags = map_flags(args->request, args->access);

	if (args->dmabuf)
		return p2pmr_range_map_dmabuf(&shadow->range, args->dmabuf,
					      args->start, args->length, flags,
					      ops);
	return p2pmr_range_map(&shadow->range, args->start, args->length, flags,
			       ops);
}

/* One attempt to set up everything; -EAGAIN if the mappings changed. */
static int try_register(struct p2pmr_shadow *shadow,
			const struct p2pmr_mr_args *args)
{
	int ret;

	ret = map_range(shadow, args);
	if (ret)
		return ret;
	ret = p2pmr_range_map_kernel(&shadow->range);
	if (!ret)
		ret = p2pmr_driver_mr_make(shadow, args->iova, args->access);
	if (!ret)
		ret = p2pmr_key_publish(shadow->dev, shadow->user_pd,
					shadow->ibmr.lkey);
	if (!ret)
		ret = p2pmr_range_commit(&shadow->range);
	if (ret) {
		p2pmr_driver_mr_drop(shadow);
		p2pmr_range_unmap(&shadow->range);
	}
	return ret;
}

static int try_repeatedly(struct p2pmr_shadow *shadow,
			  const struct p2pmr_mr_args *args)
{
	int tries, ret = -EAGAIN;

	for (tries = 0; ret == -EAGAIN && tries < MAX_TRIES; tries++) {
		if (fatal_signal_pending(current))
			return -EINTR;
		ret = try_register(shadow, args);
	}
	if (ret == -EAGAIN)
		p2pmr_ibdev_refuse(shadow->dev, ret,
				   "mappings changed during each of %d attempts",
				   tries);
	return ret;
}

static struct p2pmr_shadow *shadow_alloc(struct p2pmr_ibdev *dev,
					 const struct p2pmr_mr_args *args)
{
	struct p2pmr_shadow *shadow;

	/* What keeps this code loaded while the user holds the MR. */
	if (!try_module_get(THIS_MODULE))
		return ERR_PTR(-ENODEV);
	shadow = kzalloc(sizeof(*shadow), GFP_KERNEL_ACCOUNT);
	if (!shadow) {
		module_put(THIS_MODULE);
		return ERR_PTR(-ENOMEM);
	}
	kref_get(&dev->kref);
	shadow->dev = dev;
	shadow->user_pd = args->pd;
	shadow->access = args->access;
	shadow->iova = args->iova;
	shadow->request = p2pmr_request_get(args->request);
	shadow->ibmr.device = dev->ibdev;
	shadow->ibmr.pd = args->pd;
	/* uverbs does these only for a part of its calls. */
	shadow->ibmr.iova = args->iova;
	shadow->ibmr.length = args->length;
	return shadow;
}

static void shadow_free(struct p2pmr_shadow *shadow)
{
	p2pmr_request_put(shadow->request);
	p2pmr_ibdev_put(shadow->dev);
	kfree_rcu(shadow, rcu);
	/* The caller runs under the hooks' SRCU, which unloading waits for. */
	module_put(THIS_MODULE);
}

/**
 * p2pmr_mr_reg() - register device memory
 * @dev: attached device, not removed
 * @args: what, and how; the MR takes references of its own
 *
 * Return: the MR for uverbs, to be ended with p2pmr_mr_dereg(), or an error
 * pointer: those of p2pmr_range_map() or p2pmr_range_map_dmabuf() and
 * p2pmr_range_commit(), -EOPNOTSUPP (access flags), -EFBIG (longer than the driver
 * can), -EIO, -ETIMEDOUT (the driver), -EINTR, -ENODEV (the device is going away).
 */
struct ib_mr *p2pmr_mr_reg(struct p2pmr_ibdev *dev,
			   const struct p2pmr_mr_args *args)
{
	struct p2pmr_shadow *shadow;
	int ret;

	lockdep_assert_held_read(&dev->registering);
	ret = check_request(dev, args->length, args->access);
	if (ret)
		return ERR_PTR(ret);
	shadow = shadow_alloc(dev, args);
	if (IS_ERR(shadow))
		return ERR_CAST(shadow);
	ret = try_repeatedly(shadow, args);
	if (ret) {
		shadow_free(shadow);
		return ERR_PTR(ret);
	}

	spin_lock(&shadows_lock);
	hash_add_rcu(shadows, &shadow->hash, (unsigned long)&shadow->ibmr);
	spin_unlock(&shadows_lock);
	mutex_lock(&dev->lock);
	list_add_tail(&shadow->link, &dev->shadows);
	mutex_unlock(&dev->lock);
	return &shadow->ibmr;
}

/**
 * p2pmr_mr_reg_dmabuf() - register a part of a dma-buf
 * @dev: attached device, not removed
 * @args: as for p2pmr_mr_reg(), without the buffer
 * @fd: descriptor of the buffer; -EBADF if there is no such file: so programs ask
 *	whether dma-bufs can be registered at all, and the log keeps silent
 *
 * Return: as p2pmr_mr_reg(), -EBADF, or -EINVAL (the file is no dma-buf).
 */
struct ib_mr *p2pmr_mr_reg_dmabuf(struct p2pmr_ibdev *dev,
				  struct p2pmr_mr_args *args, int fd)
{
	struct ib_mr *mr;

	args->dmabuf = dma_buf_get(fd);
	if (args->dmabuf == ERR_PTR(-EINVAL))
		p2pmr_ibdev_refuse(dev, -EINVAL, "descriptor %d is no dma-buf",
				   fd);
	if (IS_ERR(args->dmabuf))
		return ERR_CAST(args->dmabuf);
	mr = p2pmr_mr_reg(dev, args);
	dma_buf_put(args->dmabuf);
	return mr;
}

static struct ib_mr *refuse_change(struct p2pmr_shadow *shadow)
{
	int ret = p2pmr_ibdev_refuse(shadow->dev, -EOPNOTSUPP,
				     "MR over a dma-buf cannot be changed but for other memory");

	return ERR_PTR(ret);
}

/**
 * p2pmr_mr_rereg() - change an MR of device memory
 * @old: stays as it is, for uverbs to deregister if this succeeds
 * @flags: IB_MR_REREG_*: which of the others are new
 * @start: user address; with IB_MR_REREG_TRANS, as @length and @iova
 * @length: in bytes
 * @iova: address that work requests will use
 * @access: with IB_MR_REREG_ACCESS
 * @pd: with IB_MR_REREG_PD
 *
 * By registering anew, so that what is not given anew must still be mapped, and that
 * the user's limits must have room for both MRs. An extended request stays with the
 * MR.
 *
 * Return: another MR, with other keys, or an error pointer.
 */
struct ib_mr *p2pmr_mr_rereg(struct p2pmr_shadow *old, int flags, u64 start,
			     u64 length, u64 iova, int access,
			     struct ib_pd *pd)
{
	struct p2pmr_mr_args args = {
		.pd = flags & IB_MR_REREG_PD ? pd : old->user_pd,
		.start = start,
		.length = length,
		.iova = iova,
		.access = flags & IB_MR_REREG_ACCESS ? access : old->access,
		.request = old->request,
	};

	if (!(flags & IB_MR_REREG_TRANS)) {
		/* What it was made of may be gone, and another file in its place. */
		if (old->range.import)
			return refuse_change(old);
		args.start = old->range.start;
		args.length = old->range.length;
		args.iova = old->iova;
	}
	return p2pmr_mr_reg(old->dev, &args);
}

/* What p2pmr_mr_reg() has made, for the one who made an extended request. */
int p2pmr_mr_answer(struct ib_mr *mr, struct ib_udata *udata)
{
	const struct p2pmr_shadow *shadow =
		container_of(mr, struct p2pmr_shadow, ibmr);

	return p2pmr_request_answer(udata, shadow->range.length,
				    shadow->range.device_bytes,
				    shadow->range.nr_segs,
				    1U << shadow->page_shift);
}

void p2pmr_mr_dereg(struct p2pmr_shadow *shadow)
{
	p2pmr_range_revoke(&shadow->range, P2PMR_CAUSE_RELEASE);
	/*
	 * Until here p2pmr_mr_revoke_all() waits for it, and p2pmr_mr_show_all()
	 * looks at a range that is still whole.
	 */
	mutex_lock(&shadow->dev->lock);
	list_del(&shadow->link);
	mutex_unlock(&shadow->dev->lock);
	p2pmr_range_unmap(&shadow->range);

	spin_lock(&shadows_lock);
	hash_del_rcu(&shadow->hash);
	spin_unlock(&shadows_lock);
	shadow_free(shadow);
}

/* For a device that is going away: its users keep tombstones. */
void p2pmr_mr_revoke_all(struct p2pmr_ibdev *dev)
{
	struct p2pmr_shadow *shadow;

	mutex_lock(&dev->lock);
	list_for_each_entry(shadow, &dev->shadows, link)
		p2pmr_range_revoke(&shadow->range, P2PMR_CAUSE_IMPORTER);
	mutex_unlock(&dev->lock);
}

/* One line for each MR, revoked or not. */
void p2pmr_mr_show_all(struct p2pmr_ibdev *dev, struct seq_file *s)
{
	struct p2pmr_shadow *shadow;

	mutex_lock(&dev->lock);
	list_for_each_entry(shadow, &dev->shadows, link) {
		seq_printf(s, "dev=%s lkey=%#x rkey=%#x access=%#x ",
			   dev_name(&dev->ibdev->dev), shadow->ibmr.lkey,
			   shadow->ibmr.rkey, shadow->access);
		p2pmr_range_show(s, &shadow->range);
	}
	mutex_unlock(&dev->lock);
}
