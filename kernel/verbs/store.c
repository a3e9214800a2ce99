// SPDX-License-Identifier: GPL-2.0
/*
 * Small driver MRs in store, made before they are needed. After 6.1 they have
 * been through REG_MR, too: the driver executes that in a kernel thread, and who
 * registers would wait for two switches of context, which many MRs at a time
 * share.
 *
 * Such an MR is valid, but in the helper's PD, where no user reaches it, of no
 * length and without rights. Whoever takes it maps it, writes iova and length
 * into the public ib_mr, and has the driver's rereg_user_mr give it its rights.
 * The driver of 6.1 has no such operation, and REG_MR is for who takes the MR.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/jiffies.h>
#include <linux/moduleparam.h>
#include <linux/seq_file.h>
#include <linux/slab.h>

#include "verbs.h"

static unsigned int store_size = P2PMR_STORE_SIZE;
module_param_named(store, store_size, uint, 0644);
MODULE_PARM_DESC(store,
		 "MRs that are made in advance for each RDMA device, at most and by default 32; 0: none");

/* What is missing is made at once if it is half of all, else when it is quiet. */
#define QUIET HZ

/* May be another one at the next call. */
static unsigned int limit(void)
{
	return min_t(unsigned int, READ_ONCE(store_size), P2PMR_STORE_SIZE);
}

static int make(struct p2pmr_ibdev *dev, struct ib_reg_wr *wrs, unsigned int n,
		unsigned int *made)
{
	struct ib_mr *mr;

	for (*made = 0; *made < n; ++*made) {
		mr = p2pmr_driver_mr_alloc(dev, P2PMR_STORE_PAGES);
		if (IS_ERR(mr))
			return PTR_ERR(mr);
		mr->iova = 0;
		mr->length = 0;
		wrs[*made] = (struct ib_reg_wr){ .mr = mr, .key = mr->lkey };
	}
	return p2pmr_store_is_valid(dev) ?
		       p2pmr_fastreg_exec(&dev->fastreg, wrs, n) : 0;
}

static void drop(struct p2pmr_ibdev *dev, struct ib_mr *mr)
{
	int ret = dev->orig.dereg_mr(mr, NULL);

	WARN(ret, "driver kept an MR in store: %d\n", ret);
}

static unsigned int missing(struct p2pmr_store *store)
{
	unsigned int max = limit(), n = 0;

	spin_lock(&store->lock);
	if (store->open && store->count < max)
		n = max - store->count;
	spin_unlock(&store->lock);
	return n;
}

/* Nobody else adds, so that there still is the room that was seen. */
static void add(struct p2pmr_store *store, const struct ib_reg_wr *wrs,
		unsigned int n)
{
	unsigned int i;

	spin_lock(&store->lock);
	for (i = 0; i < n; i++)
		store->mrs[store->count++] = wrs[i].mr;
	spin_unlock(&store->lock);
}

/* What fails here is tried again by whoever finds the store empty. */
static void fill(struct work_struct *work)
{
	struct p2pmr_store *store =
		container_of(work, struct p2pmr_store, fill.work);
	struct p2pmr_ibdev *dev = container_of(store, struct p2pmr_ibdev, store);
	struct ib_reg_wr *wrs;
	unsigned int n, made;

	wrs = kcalloc(P2PMR_STORE_SIZE, sizeof(*wrs), GFP_KERNEL);
	if (!wrs)
		return;
	while ((n = missing(store)) > 0) {
		if (make(dev, wrs, n, &made)) {
			while (made)
				drop(dev, wrs[--made].mr);
			break;
		}
		add(store, wrs, n);
	}
	kfree(wrs);
}

/* Have the MRs in store been through REG_MR? */
bool p2pmr_store_is_valid(const struct p2pmr_ibdev *dev)
{
	return dev->orig.rereg_user_mr;
}

/**
 * p2pmr_store_take() - an MR in the helper's PD that nobody else has
 * @dev: its device
 * @pages: that it is to have room for
 *
 * Return: NULL if there is none.
 */
struct ib_mr *p2pmr_store_take(struct p2pmr_ibdev *dev, u64 pages)
{
	struct p2pmr_store *store = &dev->store;
	unsigned int max = limit();
	struct ib_mr *mr = NULL;
	bool some, many;

	if (pages > P2PMR_STORE_PAGES)
		return NULL;
	spin_lock(&store->lock);
	if (store->count)
		mr = store->mrs[--store->count];
	some = store->open && store->count < max;
	many = some && store->count <= max / 2;
	spin_unlock(&store->lock);
	if (many)
		mod_delayed_work(p2pmr_verbs_wq, &store->fill, 0);
	else if (some)
		queue_delayed_work(p2pmr_verbs_wq, &store->fill, QUIET);
	return mr;
}

/* One line for each device, for debugfs. */
void p2pmr_store_show(struct p2pmr_ibdev *dev, struct seq_file *s)
{
	unsigned int count;

	spin_lock(&dev->store.lock);
	count = dev->store.count;
	spin_unlock(&dev->store.lock);
	seq_printf(s, "dev=%s mrs=%u\n", dev_name(&dev->ibdev->dev), count);
}

void p2pmr_store_init(struct p2pmr_store *store)
{
	spin_lock_init(&store->lock);
	INIT_DELAYED_WORK(&store->fill, fill);
}

/* The helper QP is there, and the driver's own operations are known. */
void p2pmr_store_open(struct p2pmr_ibdev *dev)
{
	spin_lock(&dev->store.lock);
	dev->store.open = true;
	spin_unlock(&dev->store.lock);
	queue_delayed_work(p2pmr_verbs_wq, &dev->store.fill, 0);
}

/* Before the helper goes; nobody registers any more. */
void p2pmr_store_close(struct p2pmr_ibdev *dev)
{
	struct p2pmr_store *store = &dev->store;

	spin_lock(&store->lock);
	store->open = false;
	spin_unlock(&store->lock);
	cancel_delayed_work_sync(&store->fill);
	while (store->count)
		drop(dev, store->mrs[--store->count]);
}
