// SPDX-License-Identifier: GPL-2.0
/*
 * The hooks: the operations of an attached RDMA device that p2pmr stands in
 * front of, and how it steps aside again.
 *
 * Callers load an operation and call it without any lock. So a hook runs under
 * SRCU, and after the slot has been given back the code must stay until no
 * task can be inside it, about to enter it, or on its last instructions.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/delay.h>
#include <linux/rculist.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>

#include "verbs.h"

/* For the list alone; a hook may sleep for as long as a user has it sleep. */
DEFINE_STATIC_SRCU(attached_srcu);
static LIST_HEAD(attached);
static DEFINE_SPINLOCK(attached_lock);
static DECLARE_WAIT_QUEUE_HEAD(detached);

static struct p2pmr_ibdev *find(const struct ib_device *ibdev)
{
	struct p2pmr_ibdev *dev;

	list_for_each_entry_srcu(dev, &attached, link,
				 srcu_read_lock_held(&attached_srcu))
		if (dev->ibdev == ibdev)
			return dev;
	return NULL;
}

/* NULL if the device is not attached; else it stays so until leave(). */
static struct p2pmr_ibdev *try_enter(const struct ib_device *ibdev, int *idx)
{
	int list_idx = srcu_read_lock(&attached_srcu);
	struct p2pmr_ibdev *dev = find(ibdev);

	if (dev)
		*idx = srcu_read_lock(&dev->srcu);
	srcu_read_unlock(&attached_srcu, list_idx);
	return dev;
}

/* Most hooks are only ever reached through a device that is attached. */
static struct p2pmr_ibdev *enter(const struct ib_device *ibdev, int *idx)
{
	struct p2pmr_ibdev *dev = try_enter(ibdev, idx);

	WARN_ONCE(!dev, "%s is not attached\n", dev_name(&ibdev->dev));
	return dev;
}

static void leave(struct p2pmr_ibdev *dev, int idx)
{
	srcu_read_unlock(&dev->srcu, idx);
}

/* May device memory be registered? If so, until stop_registering(). */
static int start_registering(struct p2pmr_ibdev *dev)
{
	if (down_read_killable(&dev->registering))
		return -EINTR;
	if (!dev->removed)
		return 0;
	up_read(&dev->registering);
	return -ENODEV;
}

static void stop_registering(struct p2pmr_ibdev *dev)
{
	up_read(&dev->registering);
}

static struct ib_mr *reg_device(struct p2pmr_ibdev *dev,
				P2PMR_REG_USER_MR_PARAMS,
				struct p2pmr_mr_request *request)
{
	const struct p2pmr_mr_args args = {
		.pd = pd,
		.start = start,
		.length = length,
		.iova = iova,
		.access = access,
		.request = request,
	};
	struct ib_mr *mr;
	int ret;

	ret = start_registering(dev);
	if (ret)
		return ERR_PTR(ret);
	mr = p2pmr_mr_reg(dev, &args);
	stop_registering(dev);
	if (!request || IS_ERR(mr))
		return mr;
	ret = p2pmr_mr_answer(mr, udata);
	if (ret) {
		p2pmr_mr_dereg(p2pmr_mr_shadow(mr));
		return ERR_PTR(ret);
	}
	return mr;
}

/* Answered first, since nothing that can fail may follow the driver's success. */
static struct ib_mr *reg_host(struct p2pmr_ibdev *dev, P2PMR_REG_USER_MR_PARAMS,
			      const struct p2pmr_mr_request *request)
{
	int ret;

	if (request) {
		ret = p2pmr_request_answer(udata, length, 0, 0, 0);
		if (ret)
			return ERR_PTR(ret);
	}
	return dev->orig.reg_user_mr(P2PMR_REG_USER_MR_ARGS);
}

static struct ib_mr *hook_reg_user_mr(P2PMR_REG_USER_MR_PARAMS)
{
	struct p2pmr_mr_request *request;
	struct p2pmr_ibdev *dev;
	struct ib_mr *mr;
	int idx;

	dev = enter(pd->device, &idx);
	if (!dev)
		return ERR_PTR(-ENODEV);
	request = p2pmr_request_read(dev, udata);
	if (IS_ERR(request)) {
		mr = ERR_CAST(request);
		goto out;
	}
	/* Who wants device memory alone is told by the core what there is instead. */
	if ((request && request->flags & P2PMR_REG_REQUIRE_DEVICE) ||
	    p2pmr_range_has_device(start, length))
		mr = reg_device(dev, P2PMR_REG_USER_MR_ARGS, request);
	else
		mr = reg_host(dev, P2PMR_REG_USER_MR_ARGS, request);
	p2pmr_request_put(request);
out:
	leave(dev, idx);
	return mr;
}

/*
 * The operation that soft-RoCE does not have. It stays in the device's slot when the
 * hooks are given back, see dmabuf_op.c, and then finds no device.
 */
struct ib_mr *p2pmr_hook_reg_user_mr_dmabuf(P2PMR_REG_DMABUF_PARAMS)
{
	struct p2pmr_mr_args args = {
		.pd = pd,
		.start = offset,
		.length = length,
		.iova = iova,
		.access = access,
	};
	struct p2pmr_ibdev *dev;
	struct ib_mr *mr;
	int idx, ret;

	dev = try_enter(pd->device, &idx);
	if (!dev)
		return ERR_PTR(-EOPNOTSUPP);
	ret = start_registering(dev);
	if (ret) {
		mr = ERR_PTR(ret);
	} else {
		mr = p2pmr_mr_reg_dmabuf(dev, &args, fd);
		stop_registering(dev);
	}
	leave(dev, idx);
	return mr;
}

static int hook_dereg_mr(struct ib_mr *mr, struct ib_udata *udata)
{
	struct p2pmr_shadow *shadow;
	struct p2pmr_ibdev *dev;
	int idx, ret = 0;

	dev = enter(mr->device, &idx);
	if (!dev)
		return -ENODEV;
	shadow = p2pmr_mr_shadow(mr);
	if (shadow)
		p2pmr_mr_dereg(shadow);
	else
		ret = dev->orig.dereg_mr(mr, udata);
	leave(dev, idx);
	return ret;
}

static struct ib_mr *hook_rereg_user_mr(struct ib_mr *mr, int flags, u64 start,
					u64 length, u64 iova, int access,
					struct ib_pd *pd,
					struct ib_udata *udata)
{
	struct p2pmr_shadow *shadow;
	struct p2pmr_ibdev *dev;
	struct ib_mr *ret;
	int idx, error;

	dev = enter(mr->device, &idx);
	if (!dev)
		return ERR_PTR(-ENODEV);
	shadow = p2pmr_mr_shadow(mr);
	if (!shadow) {
		ret = dev->orig.rereg_user_mr(mr, flags, start, length, iova,
					      access, pd, udata);
		goto out;
	}
	error = start_registering(dev);
	if (error) {
		ret = ERR_PTR(error);
		goto out;
	}
	ret = p2pmr_mr_rereg(shadow, flags, start, length, iova, access, pd);
	stop_registering(dev);
out:
	leave(dev, idx);
	return ret;
}

static int hook_advise_mr(struct ib_pd *pd,
			  enum ib_uverbs_advise_mr_advice advice, u32 flags,
			  struct ib_sge *sg_list, u32 num_sge,
			  struct uverbs_attr_bundle *attrs)
{
	struct p2pmr_ibdev *dev;
	int idx, ret;

	dev = enter(pd->device, &idx);
	if (!dev)
		return -ENODEV;
	ret = p2pmr_advise(dev, pd, advice, flags, sg_list, num_sge, attrs);
	leave(dev, idx);
	return ret;
}

/* An operation that the driver does not have stays absent. */
#define take(dev, op)							\
	do {								\
		(dev)->orig.op = (dev)->ibdev->ops.op;			\
		if ((dev)->orig.op)					\
			WRITE_ONCE((dev)->ibdev->ops.op, hook_##op);	\
	} while (0)

/*
 * Somebody may have put a hook of his own on top of ours; then the slot is
 * not ours to change, and our code has to stay until he has gone.
 */
#define give_back(dev, op)						\
	do {								\
		if (!(dev)->orig.op)					\
			break;						\
		while (cmpxchg(&(dev)->ibdev->ops.op, hook_##op,	\
			       (dev)->orig.op) != hook_##op) {		\
			pr_warn_ratelimited("%s: waiting for another hook on " #op " to go\n", \
					    dev_name(&(dev)->ibdev->dev)); \
			msleep(100);					\
		}							\
	} while (0)

void p2pmr_hooks_attach(struct p2pmr_ibdev *dev)
{
	spin_lock(&attached_lock);
	list_add_tail_rcu(&dev->link, &attached);
	spin_unlock(&attached_lock);
	take(dev, dereg_mr);
	take(dev, rereg_user_mr);
	take(dev, advise_mr);
	take(dev, reg_user_mr);
	/* Who has it looks after his own. */
	if (!dev->ibdev->ops.reg_user_mr_dmabuf)
		WRITE_ONCE(dev->ibdev->ops.reg_user_mr_dmabuf, p2pmr_dmabuf_op);
}

/*
 * Sleeps until no task is in a hook of @dev or can still come into one, which
 * is as long as any user's registration of host memory there takes.
 */
void p2pmr_hooks_detach(struct p2pmr_ibdev *dev)
{
	give_back(dev, reg_user_mr);
	give_back(dev, advise_mr);
	give_back(dev, rereg_user_mr);
	give_back(dev, dereg_mr);

	/* Tasks that have loaded the slot but not entered SRCU yet. */
	synchronize_rcu_tasks();
	synchronize_srcu(&attached_srcu);
	synchronize_srcu(&dev->srcu);
	/* Tasks that have left SRCU but not the function. */
	synchronize_rcu_tasks();

	spin_lock(&attached_lock);
	list_del_rcu(&dev->link);
	spin_unlock(&attached_lock);
	synchronize_srcu(&attached_srcu);
	wake_up_all(&detached);
}

void p2pmr_hooks_for_each(void (*fn)(struct p2pmr_ibdev *dev, struct seq_file *s),
			  struct seq_file *s)
{
	int idx = srcu_read_lock(&attached_srcu);
	struct p2pmr_ibdev *dev;

	list_for_each_entry_srcu(dev, &attached, link,
				 srcu_read_lock_held(&attached_srcu))
		fn(dev, s);
	srcu_read_unlock(&attached_srcu, idx);
}

/*
 * The device as attached before, with a new reference, if users have kept it
 * from being detached; else NULL, also if it is being detached right now.
 */
struct p2pmr_ibdev *p2pmr_hooks_find_get(const struct ib_device *ibdev)
{
	int idx = srcu_read_lock(&attached_srcu);
	struct p2pmr_ibdev *dev = find(ibdev);

	if (dev && !kref_get_unless_zero(&dev->kref))
		dev = NULL;
	srcu_read_unlock(&attached_srcu, idx);
	return dev;
}

static bool is_attached(const struct ib_device *ibdev)
{
	int idx = srcu_read_lock(&attached_srcu);
	bool found = find(ibdev);

	srcu_read_unlock(&attached_srcu, idx);
	return found;
}

/* For a device that is being detached: until that is over. */
void p2pmr_hooks_wait_detached(const struct ib_device *ibdev)
{
	wait_event(detached, !is_attached(ibdev));
}
