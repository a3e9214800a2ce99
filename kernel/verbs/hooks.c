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

DEFINE_STATIC_SRCU(hooks_srcu);
static LIST_HEAD(attached);
static DEFINE_SPINLOCK(attached_lock);

/* A hook is only ever reached through a device that is attached. */
static struct p2pmr_ibdev *find(struct ib_device *ibdev)
{
	struct p2pmr_ibdev *dev;

	list_for_each_entry_srcu(dev, &attached, link,
				 srcu_read_lock_held(&hooks_srcu))
		if (dev->ibdev == ibdev)
			return dev;
	WARN_ONCE(1, "%s is not attached\n", dev_name(&ibdev->dev));
	return NULL;
}

static struct ib_mr *reg_device(struct p2pmr_ibdev *dev,
				P2PMR_REG_USER_MR_PARAMS,
				struct p2pmr_mr_request *request)
{
	struct ib_mr *mr = p2pmr_mr_reg(dev, pd, start, length, iova, access,
					request);
	int ret;

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
		if (request->flags & P2PMR_REG_REQUIRE_DEVICE) {
			p2pmr_ibdev_refuse(dev, "host memory, where device memory is required");
			return ERR_PTR(-EMEDIUMTYPE);
		}
		ret = p2pmr_request_answer(udata, length, 0, 0, 0);
		if (ret)
			return ERR_PTR(ret);
	}
	return dev->orig.reg_user_mr(P2PMR_REG_USER_MR_ARGS);
}

static struct ib_mr *hook_reg_user_mr(P2PMR_REG_USER_MR_PARAMS)
{
	int idx = srcu_read_lock(&hooks_srcu);
	struct p2pmr_ibdev *dev = find(pd->device);
	struct p2pmr_mr_request *request;
	struct ib_mr *mr;

	request = dev ? p2pmr_request_read(dev, udata) : ERR_PTR(-ENODEV);
	if (IS_ERR(request)) {
		mr = ERR_CAST(request);
		goto out;
	}
	if (!READ_ONCE(dev->removed) && p2pmr_range_has_device(start, length))
		mr = reg_device(dev, P2PMR_REG_USER_MR_ARGS, request);
	else
		mr = reg_host(dev, P2PMR_REG_USER_MR_ARGS, request);
	p2pmr_request_put(request);
out:
	srcu_read_unlock(&hooks_srcu, idx);
	return mr;
}

static int hook_dereg_mr(struct ib_mr *mr, struct ib_udata *udata)
{
	int idx = srcu_read_lock(&hooks_srcu);
	struct p2pmr_ibdev *dev = find(mr->device);
	struct p2pmr_shadow *shadow = p2pmr_mr_shadow(mr);
	int ret = 0;

	if (shadow)
		p2pmr_mr_dereg(shadow);
	else if (dev)
		ret = dev->orig.dereg_mr(mr, udata);
	else
		ret = -ENODEV;
	srcu_read_unlock(&hooks_srcu, idx);
	return ret;
}

static struct ib_mr *hook_rereg_user_mr(struct ib_mr *mr, int flags, u64 start,
					u64 length, u64 iova, int access,
					struct ib_pd *pd,
					struct ib_udata *udata)
{
	int idx = srcu_read_lock(&hooks_srcu);
	struct p2pmr_ibdev *dev = find(mr->device);
	struct p2pmr_shadow *shadow = p2pmr_mr_shadow(mr);
	struct ib_mr *ret;

	if (!dev || (shadow && READ_ONCE(dev->removed)))
		ret = ERR_PTR(-ENODEV);
	else if (shadow)
		ret = p2pmr_mr_rereg(shadow, flags, start, length, iova, access,
				     pd);
	else
		ret = dev->orig.rereg_user_mr(mr, flags, start, length, iova,
					      access, pd, udata);
	srcu_read_unlock(&hooks_srcu, idx);
	return ret;
}

/* The driver would look for the pinned pages of an MR that has none. */
static int hook_advise_mr(struct ib_pd *pd,
			  enum ib_uverbs_advise_mr_advice advice, u32 flags,
			  struct ib_sge *sg_list, u32 num_sge,
			  struct uverbs_attr_bundle *attrs)
{
	int idx = srcu_read_lock(&hooks_srcu);
	struct p2pmr_ibdev *dev = find(pd->device);
	int ret = dev ? 0 : -ENODEV;
	u32 i;

	for (i = 0; !ret && i < num_sge; i++) {
		if (p2pmr_mr_is_key(dev, sg_list[i].lkey)) {
			p2pmr_ibdev_refuse(dev, "advice on an MR of device memory");
			ret = -EOPNOTSUPP;
		}
	}
	if (!ret)
		ret = dev->orig.advise_mr(pd, advice, flags, sg_list, num_sge,
					  attrs);
	srcu_read_unlock(&hooks_srcu, idx);
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
}

/* Sleeps until no task is in a hook of @dev or can still come into one. */
void p2pmr_hooks_detach(struct p2pmr_ibdev *dev)
{
	give_back(dev, reg_user_mr);
	give_back(dev, advise_mr);
	give_back(dev, rereg_user_mr);
	give_back(dev, dereg_mr);

	/* Tasks that have loaded the slot but not entered SRCU yet. */
	synchronize_rcu_tasks();
	p2pmr_hooks_sync();
	/* Tasks that have left SRCU but not the function. */
	synchronize_rcu_tasks();

	spin_lock(&attached_lock);
	list_del_rcu(&dev->link);
	spin_unlock(&attached_lock);
	p2pmr_hooks_sync();
}

void p2pmr_hooks_for_each(void (*fn)(struct p2pmr_ibdev *dev, struct seq_file *s),
			  struct seq_file *s)
{
	int idx = srcu_read_lock(&hooks_srcu);
	struct p2pmr_ibdev *dev;

	list_for_each_entry_srcu(dev, &attached, link,
				 srcu_read_lock_held(&hooks_srcu))
		fn(dev, s);
	srcu_read_unlock(&hooks_srcu, idx);
}

/*
 * The device as attached before, with a new reference, if users have kept it
 * from being detached; else NULL, also if it is being detached right now.
 */
struct p2pmr_ibdev *p2pmr_hooks_find_get(const struct ib_device *ibdev)
{
	struct p2pmr_ibdev *dev, *found = NULL;
	int idx = srcu_read_lock(&hooks_srcu);

	list_for_each_entry_srcu(dev, &attached, link,
				 srcu_read_lock_held(&hooks_srcu))
		if (dev->ibdev == ibdev && kref_get_unless_zero(&dev->kref))
			found = dev;
	srcu_read_unlock(&hooks_srcu, idx);
	return found;
}

/* Wait for all hooks that are running now. */
void p2pmr_hooks_sync(void)
{
	synchronize_srcu(&hooks_srcu);
}
