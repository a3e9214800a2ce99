// SPDX-License-Identifier: GPL-2.0
/*
 * Advice on MRs (ibv_advise_mr()): the driver looks for the pinned pages of
 * every MR that the caller names, and a device-memory MR has none. So the keys
 * of such MRs are kept from it: refused where they are known, and none becomes
 * valid in a PD while advice runs there.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/list.h>
#include <linux/sched/signal.h>
#include <linux/wait.h>

#include "verbs.h"

/* One running call; on its stack. */
struct advising {
	const struct ib_pd *pd;
	struct list_head link;
};

/* soft-RoCE's keys: what tells MRs apart, and eight bits that vary. */
static unsigned long index_of(u32 lkey)
{
	return lkey >> 8;
}

static bool is_known(struct p2pmr_ibdev *dev, u32 lkey)
{
	return xa_load(&dev->keys, index_of(lkey)) == xa_mk_value(lkey);
}

static bool advice_runs(struct p2pmr_ibdev *dev, const struct ib_pd *pd)
{
	const struct advising *call;

	lockdep_assert_held(&dev->lock);
	list_for_each_entry(call, &dev->advising, link)
		if (call->pd == pd)
			return true;
	return false;
}

/* As ib_device_ops.advise_mr; -EOPNOTSUPP for device memory. */
int p2pmr_advise(struct p2pmr_ibdev *dev, struct ib_pd *pd,
		 enum ib_uverbs_advise_mr_advice advice, u32 flags,
		 struct ib_sge *sg_list, u32 num_sge,
		 struct uverbs_attr_bundle *attrs)
{
	struct advising call = { .pd = pd };
	int ret = 0;
	u32 i;

	/* Before the keys are looked at, so that none can follow. */
	mutex_lock(&dev->lock);
	list_add(&call.link, &dev->advising);
	mutex_unlock(&dev->lock);

	for (i = 0; !ret && i < num_sge; i++)
		if (is_known(dev, sg_list[i].lkey))
			ret = -EOPNOTSUPP;
	if (ret)
		p2pmr_ibdev_refuse(dev, ret, "advice on an MR of device memory");
	else
		ret = dev->orig.advise_mr(pd, advice, flags, sg_list, num_sge,
					  attrs);

	mutex_lock(&dev->lock);
	list_del(&call.link);
	mutex_unlock(&dev->lock);
	wake_up_all(&dev->advised);
	return ret;
}

/* False: advice runs in @pd. Else the key is known from here on, or @err set. */
static bool try_publish(struct p2pmr_ibdev *dev, const struct ib_pd *pd,
			u32 lkey, int *err)
{
	bool blocked;

	mutex_lock(&dev->lock);
	blocked = advice_runs(dev, pd);
	if (!blocked)
		*err = xa_err(xa_store(&dev->keys, index_of(lkey),
				       xa_mk_value(lkey), GFP_KERNEL));
	mutex_unlock(&dev->lock);
	return !blocked;
}

/**
 * p2pmr_key_publish() - before an MR of device memory enters a user's PD
 * @dev: its device
 * @pd: the user's
 * @lkey: of the driver's MR
 *
 * Waits for the end of advice in @pd, which may take as long as the user, whose
 * PD it is, has it take. Advice that begins later knows the key.
 *
 * Return: 0, -ENOMEM or -EINTR (a fatal signal).
 */
int p2pmr_key_publish(struct p2pmr_ibdev *dev, const struct ib_pd *pd, u32 lkey)
{
	DEFINE_WAIT_FUNC(wait, woken_wake_function);
	int err = 0;

	if (!dev->orig.advise_mr)
		return 0;
	/* Not wait_event(): what is waited for is found out under a mutex. */
	add_wait_queue(&dev->advised, &wait);
	while (!try_publish(dev, pd, lkey, &err)) {
		if (fatal_signal_pending(current)) {
			err = -EINTR;
			break;
		}
		wait_woken(&wait, TASK_KILLABLE, MAX_SCHEDULE_TIMEOUT);
	}
	remove_wait_queue(&dev->advised, &wait);
	return err;
}

/* After the MR has left the user's PD, and before its key can be another's. */
void p2pmr_key_withdraw(struct p2pmr_ibdev *dev, u32 lkey)
{
	xa_erase(&dev->keys, index_of(lkey));
}
