// SPDX-License-Identifier: GPL-2.0
/*
 * Revocation: what ends a live range (the MMU notifier, a departing PCI
 * function, the importer) and how it is done, exactly once.
 *
 * A notifier callback runs under locks of the memory management, where the
 * importer's revocation could not be called; it queues the work and waits.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/export.h>

#include "core.h"

static struct workqueue_struct *revoke_wq;

/*
 * All ranges between p2pmr_publish() and p2pmr_unpublish(). The lock also
 * covers the moment in which a piece finds its function, so that the sweep of
 * a departing function sees either the piece, or that look-up fails.
 */
static LIST_HEAD(ranges);
static DEFINE_MUTEX(ranges_lock);

/* End the accesses, then give back what the range holds. */
static void do_revoke(struct p2pmr_range *range, bool active)
{
	unsigned int i;

	if (active)
		range->ops->revoke(range, range->cause);
	p2pmr_segments_free(range);
	for (i = 0; i < range->nr_pieces; i++) {
		pci_dev_put(range->pieces[i].pdev);
		WRITE_ONCE(range->pieces[i].pdev, NULL);
	}

	spin_lock(&range->lock);
	range->state = P2PMR_REVOKED;
	spin_unlock(&range->lock);
	/* The range may be freed from here on. */
	complete_all(&range->revoked);
}

void p2pmr_revoke_work(struct work_struct *work)
{
	do_revoke(container_of(work, struct p2pmr_range, work), true);
}

/* Hand a live range to the worker. True: somebody has to be waited for. */
static bool start_revoke(struct p2pmr_range *range, enum p2pmr_cause cause)
{
	lockdep_assert_held(&range->lock);

	if (range->state == P2PMR_LIVE) {
		range->state = P2PMR_REVOKING;
		range->cause = cause;
		queue_work(revoke_wq, &range->work);
	}
	return range->state == P2PMR_REVOKING;
}

static enum p2pmr_cause cause_of(enum mmu_notifier_event event)
{
	switch (event) {
	case MMU_NOTIFY_RELEASE:
		return P2PMR_CAUSE_EXIT;
	case MMU_NOTIFY_PROTECTION_VMA:
	case MMU_NOTIFY_PROTECTION_PAGE:
		return P2PMR_CAUSE_PROTECT;
	default:
		return P2PMR_CAUSE_UNMAP;
	}
}

/*
 * A range that is not live yet is only marked: nobody can reach it, and
 * p2pmr_range_commit() will see the mark under the same lock.
 */
static bool invalidate(struct mmu_interval_notifier *ni,
		       const struct mmu_notifier_range *mmu_range,
		       unsigned long seq)
{
	struct p2pmr_piece *piece = container_of(ni, struct p2pmr_piece, ni);
	struct p2pmr_range *range = piece->range;
	bool wait;

	/* Resets the soft-dirty bits only; the mapping stays what it is. */
	if (mmu_range->event == MMU_NOTIFY_SOFT_DIRTY)
		return true;

	spin_lock(&range->lock);
	if (!mmu_notifier_range_blockable(mmu_range) &&
	    (range->state == P2PMR_LIVE || range->state == P2PMR_REVOKING)) {
		spin_unlock(&range->lock);
		return false;
	}
	mmu_interval_set_seq(ni, seq);
	wait = start_revoke(range, cause_of(mmu_range->event));
	spin_unlock(&range->lock);

	if (wait)
		wait_for_completion(&range->revoked);
	return true;
}

const struct mmu_interval_notifier_ops p2pmr_notifier_ops = {
	.invalidate = invalidate,
};

/**
 * p2pmr_range_revoke() - end all access to a range
 * @range: the range; the caller makes sure that it is not unmapped meanwhile
 * @cause: passed on to @revoke if this call is the one that revokes
 *
 * Runs the revocation in the caller's context, or waits for the one that is
 * running. May sleep; the caller must not hold mmap_lock.
 */
void p2pmr_range_revoke(struct p2pmr_range *range, enum p2pmr_cause cause)
{
	unsigned int was;

	might_sleep();

	spin_lock(&range->lock);
	was = range->state;
	if (was == P2PMR_SETUP || was == P2PMR_LIVE) {
		range->state = P2PMR_REVOKING;
		range->cause = cause;
	}
	spin_unlock(&range->lock);

	if (was == P2PMR_SETUP || was == P2PMR_LIVE)
		do_revoke(range, was == P2PMR_LIVE);
	else
		wait_for_completion(&range->revoked);
}
EXPORT_SYMBOL_GPL(p2pmr_range_revoke);

void p2pmr_publish(struct p2pmr_range *range)
{
	mutex_lock(&ranges_lock);
	list_add_tail(&range->link, &ranges);
	mutex_unlock(&ranges_lock);
}

void p2pmr_unpublish(struct p2pmr_range *range)
{
	mutex_lock(&ranges_lock);
	list_del_init(&range->link);
	mutex_unlock(&ranges_lock);
}

/*
 * Give @piece the function that @find returns for @addr. A function found
 * here is still on the bus, so its removal has yet to sweep, and the sweep
 * takes the lock that is held here.
 */
struct pci_dev *p2pmr_claim(struct p2pmr_piece *piece, phys_addr_t addr,
			    struct pci_dev *(*find)(phys_addr_t addr,
						    struct resource **bar),
			    struct resource **bar)
{
	mutex_lock(&ranges_lock);
	WRITE_ONCE(piece->pdev, find(addr, bar));
	mutex_unlock(&ranges_lock);
	return piece->pdev;
}

static bool touches(const struct p2pmr_range *range, const struct pci_dev *pdev)
{
	unsigned int i;

	for (i = 0; i < range->nr_pieces; i++)
		if (READ_ONCE(range->pieces[i].pdev) == pdev)
			return true;
	return false;
}

/* Start all revocations before waiting for the first. */
static void sweep(const struct pci_dev *pdev)
{
	struct p2pmr_range *range;

	mutex_lock(&ranges_lock);
	list_for_each_entry(range, &ranges, link) {
		if (!touches(range, pdev))
			continue;
		spin_lock(&range->lock);
		if (range->state == P2PMR_SETUP)
			range->gone = true;
		start_revoke(range, P2PMR_CAUSE_DEVICE);
		spin_unlock(&range->lock);
	}
	list_for_each_entry(range, &ranges, link) {
		bool wait;

		if (!touches(range, pdev))
			continue;
		spin_lock(&range->lock);
		wait = range->state == P2PMR_REVOKING;
		spin_unlock(&range->lock);
		if (wait)
			wait_for_completion(&range->revoked);
	}
	mutex_unlock(&ranges_lock);
}

/*
 * Neither sysfs nor uio zaps its mappings when the function goes. The first
 * two events end what is live as early as possible; by the third the function
 * is off the bus and can no longer be found, so nothing new can follow.
 */
static int pci_event(struct notifier_block *nb, unsigned long action, void *data)
{
	switch (action) {
	case BUS_NOTIFY_UNBIND_DRIVER:
	case BUS_NOTIFY_DEL_DEVICE:
	case BUS_NOTIFY_REMOVED_DEVICE:
		sweep(to_pci_dev(data));
		break;
	}
	return NOTIFY_DONE;
}

static struct notifier_block pci_nb = { .notifier_call = pci_event };

int p2pmr_revoke_init(void)
{
	int ret;

	revoke_wq = alloc_workqueue("p2pmr_revoke", WQ_UNBOUND | WQ_MEM_RECLAIM,
				    0);
	if (!revoke_wq)
		return -ENOMEM;
	ret = bus_register_notifier(&pci_bus_type, &pci_nb);
	if (ret)
		destroy_workqueue(revoke_wq);
	return ret;
}

void p2pmr_revoke_exit(void)
{
	bus_unregister_notifier(&pci_bus_type, &pci_nb);
	WARN_ON(!list_empty(&ranges));
	destroy_workqueue(revoke_wq);
}
