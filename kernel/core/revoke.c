// SPDX-License-Identifier: GPL-2.0
/*
 * Revocation: what ends a live range (the MMU notifier, a departing device, the
 * exporter, the importer) and how it is done, exactly once.
 *
 * A notifier callback runs under locks of the memory management, where the
 * importer's revocation could not be called; it queues the work and waits.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/export.h>
#include <linux/mm.h>

#include "core.h"
#include "trace.h"

static struct workqueue_struct *revoke_wq;

/* All ranges between p2pmr_publish() and p2pmr_unpublish(), oldest first. */
LIST_HEAD(p2pmr_ranges);
DEFINE_MUTEX(p2pmr_ranges_lock);

/* Returns an error where an access may still be running. */
static int end_accesses(struct p2pmr_range *range)
{
	int ret = range->ops->revoke(range, range->cause);

	if (range->cause != P2PMR_CAUSE_RELEASE) {
		p2pmr_count(P2PMR_COUNT_REVOKED + range->cause);
		trace_p2pmr_revoke(range);
		p2pmr_watch_range(range, P2PMR_EVENT_REVOKE);
	}
	p2pmr_instance_count(range->ops, -1);
	return ret;
}

/*
 * After the accesses: what the range holds goes back, but not where an access may
 * still be running. The range may be freed when this is over.
 */
void p2pmr_range_give_back(struct p2pmr_range *range)
{
	if (!range->stuck) {
		p2pmr_segments_unmap(range);
		p2pmr_host_unpin(range);
		p2pmr_pieces_release(range);
	}
	spin_lock(&range->lock);
	range->state = P2PMR_REVOKED;
	spin_unlock(&range->lock);
	complete_all(&range->revoked);
}

/*
 * A dma-buf is given back by a worker, since that takes the reservation, which
 * whoever revokes may hold, or wait for one who does.
 */
static void do_revoke(struct p2pmr_range *range, bool active)
{
	range->stuck = active && end_accesses(range);
	if (range->import)
		p2pmr_import_ended(range->import);
	else
		p2pmr_range_give_back(range);
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

/* What happens to mappings does not concern it any more. */
static bool outlives_mapping(const struct p2pmr_range *range)
{
	lockdep_assert_held(&range->lock);
	return (range->flags & P2PMR_MAP_OUTLIVE) && range->state != P2PMR_SETUP;
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
	/* Its notifiers are about to be removed. */
	if (outlives_mapping(range)) {
		spin_unlock(&range->lock);
		return true;
	}
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

	if (was == P2PMR_LIVE && cause == P2PMR_CAUSE_RELEASE) {
		p2pmr_count(P2PMR_COUNT_DEREGISTERED);
		trace_p2pmr_deregister(range);
		p2pmr_watch_range(range, P2PMR_EVENT_DEREGISTER);
	}
	if (was == P2PMR_SETUP || was == P2PMR_LIVE)
		do_revoke(range, was == P2PMR_LIVE);
	wait_for_completion(&range->revoked);
}
EXPORT_SYMBOL_GPL(p2pmr_range_revoke);

/*
 * The exporter of a range's dma-buf takes it away or moves it, and holds its
 * reservation. When this returns no access is running, but the buffer has not been
 * given back yet.
 */
void p2pmr_range_invalidate(struct p2pmr_range *range)
{
	unsigned int was;

	might_sleep();
	spin_lock(&range->lock);
	was = range->state;
	if (was == P2PMR_SETUP) {
		range->stale = true;
	} else if (was == P2PMR_LIVE) {
		range->state = P2PMR_REVOKING;
		range->cause = P2PMR_CAUSE_EXPORTER;
	}
	spin_unlock(&range->lock);

	if (was == P2PMR_LIVE)
		do_revoke(range, true);
	else if (was != P2PMR_SETUP)
		p2pmr_import_wait_ended(range->import);
}

void p2pmr_publish(struct p2pmr_range *range)
{
	static u64 last_id;

	mutex_lock(&p2pmr_ranges_lock);
	range->id = ++last_id;
	list_add_tail(&range->link, &p2pmr_ranges);
	mutex_unlock(&p2pmr_ranges_lock);
}

void p2pmr_unpublish(struct p2pmr_range *range)
{
	mutex_lock(&p2pmr_ranges_lock);
	list_del_init(&range->link);
	mutex_unlock(&p2pmr_ranges_lock);
}

/* Which ranges a sweep is about, and what it does to those not live yet. */
struct sweep {
	enum p2pmr_cause cause;
	bool gone;
	bool (*matches)(const struct p2pmr_range *range,
			const struct sweep *sweep);
	const struct device *dev;
	const struct p2pmr_exporter *exporter;
	phys_addr_t addr;
	u64 len;
	const struct mm_struct *mm;
	unsigned long start;
	unsigned long end;
	unsigned long newflags;
};

/*
 * Start all revocations before waiting for the first. Returns -EBUSY if one of
 * them could not end the accesses.
 */
static int sweep_ranges(const struct sweep *sweep)
{
	struct p2pmr_range *range;
	int ret = 0;

	mutex_lock(&p2pmr_ranges_lock);
	list_for_each_entry(range, &p2pmr_ranges, link) {
		spin_lock(&range->lock);
		if (range->state <= P2PMR_LIVE && sweep->matches(range, sweep)) {
			range->gone |= sweep->gone;
			range->stale = true;
			start_revoke(range, sweep->cause);
		}
		spin_unlock(&range->lock);
	}
	/* Also for those that somebody else has begun to revoke. */
	list_for_each_entry(range, &p2pmr_ranges, link) {
		bool wait;

		spin_lock(&range->lock);
		wait = range->state >= P2PMR_REVOKING &&
		       sweep->matches(range, sweep);
		spin_unlock(&range->lock);
		if (!wait)
			continue;
		wait_for_completion(&range->revoked);
		if (range->stuck)
			ret = -EBUSY;
	}
	mutex_unlock(&p2pmr_ranges_lock);
	return ret;
}

static bool matches_device(const struct p2pmr_range *range,
			   const struct sweep *sweep)
{
	unsigned int i;

	for (i = 0; i < range->nr_pieces; i++)
		if (READ_ONCE(range->pieces[i].map.dev) == sweep->dev)
			return true;
	return false;
}

/* What was nobody's, or another driver's, is now the new driver's alone. */
static bool matches_lasting(const struct p2pmr_range *range,
			    const struct sweep *sweep)
{
	return (range->flags & P2PMR_MAP_OUTLIVE) &&
	       matches_device(range, sweep);
}

/*
 * Neither sysfs nor uio zaps its mappings when the function goes. The first
 * two events end what is live as early as possible; by the third the function
 * is off the bus and can no longer be found, so nothing new can follow.
 */
static int pci_event(struct notifier_block *nb, unsigned long action, void *data)
{
	struct sweep sweep = {
		.cause = P2PMR_CAUSE_DEVICE,
		.gone = true,
		.matches = matches_device,
		.dev = data,
	};

	switch (action) {
	case BUS_NOTIFY_DEL_DEVICE:
	case BUS_NOTIFY_REMOVED_DEVICE:
		p2pmr_bar_forget(data);
		fallthrough;
	case BUS_NOTIFY_UNBIND_DRIVER:
		sweep_ranges(&sweep);
		break;
	/* A driver that claims the BAR zaps the mappings, and only these. */
	case BUS_NOTIFY_BIND_DRIVER:
		sweep.matches = matches_lasting;
		sweep_ranges(&sweep);
		break;
	}
	return NOTIFY_DONE;
}

/* Without a sum, since a length may be as large as it gets: all from there on. */
static bool overlaps(const struct p2pmr_segment *seg, phys_addr_t addr, u64 len)
{
	return seg->addr < addr ? addr - seg->addr < seg->len :
				  seg->addr - addr < len;
}

/* Not over all segments of the range: those of host memory can be millions. */
static bool piece_overlaps(const struct p2pmr_range *range, unsigned int piece,
			   phys_addr_t addr, u64 len)
{
	unsigned int i;

	for (i = range->pieces[piece].first_seg;
	     i < range->nr_segs && range->segs[i].piece == piece; i++)
		if (overlaps(&range->segs[i], addr, len))
			return true;
	return false;
}

/* Segments of a range that is not live yet are still being written. */
static bool matches_exporter(const struct p2pmr_range *range,
			     const struct sweep *sweep)
{
	unsigned int i;

	for (i = 0; i < range->nr_pieces; i++) {
		if (range->pieces[i].exporter != sweep->exporter)
			continue;
		if (range->state == P2PMR_SETUP ||
		    piece_overlaps(range, i, sweep->addr, sweep->len))
			return true;
	}
	return false;
}

/**
 * p2pmr_revoke() - an exporter takes its memory back
 * @exporter: as registered
 * @addr: CPU physical address of the first byte
 * @len: in bytes; all that any range shares with this part ends
 *
 * When it returns, no access to that memory through p2pmr is running or can
 * start, provided that @p2p_map refuses it since before the call. @p2p_unmap has
 * been called for each range that was live. For one that was still being set
 * up, and now never will be live, and for a query, it may follow later: what a
 * cookie points to is best counted by references. May sleep. The caller must
 * not hold a lock that its @p2p_map or @p2p_unmap take, nor mmap_lock for
 * reading.
 *
 * Return: 0, or -EBUSY: an importer could not end its accesses. Then neither the
 * memory nor a kernel mapping of it that was handed out may be given up; for
 * that range @p2p_unmap is called if the importer lets go later, or never.
 */
int p2pmr_revoke(const struct p2pmr_exporter *exporter, phys_addr_t addr,
		 u64 len)
{
	struct sweep sweep = {
		.cause = P2PMR_CAUSE_EXPORTER,
		.matches = matches_exporter,
		.exporter = exporter,
		.addr = addr,
		.len = len,
	};

	might_sleep();
	return sweep_ranges(&sweep);
}
EXPORT_SYMBOL_GPL(p2pmr_revoke);

static bool matches_vma(const struct p2pmr_range *range,
			const struct sweep *sweep)
{
	if (range->import || outlives_mapping(range))
		return false;
	return range->mm == sweep->mm && range->start < sweep->end &&
	       sweep->start < range->start + range->length &&
	       (!(sweep->newflags & VM_READ) ||
		(range->write && !(sweep->newflags & VM_WRITE)));
}

/**
 * p2pmr_vma_mprotect() - vm_operations_struct.mprotect for exporters
 * @vma: the mapping
 * @start: first address that changes
 * @end: first address after it
 * @newflags: the VMA's flags to come
 *
 * Ends the ranges that would keep more rights than the mapping. For exporters
 * whose VMAs have no page table entries; for all others the MMU notifier does.
 *
 * Return: 0.
 */
int p2pmr_vma_mprotect(struct vm_area_struct *vma, unsigned long start,
		       unsigned long end, unsigned long newflags)
{
	struct sweep sweep = {
		.cause = P2PMR_CAUSE_PROTECT,
		.matches = matches_vma,
		.mm = vma->vm_mm,
		.start = start,
		.end = end,
		.newflags = newflags,
	};

	sweep_ranges(&sweep);
	return 0;
}
EXPORT_SYMBOL_GPL(p2pmr_vma_mprotect);

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
	WARN_ON(!list_empty(&p2pmr_ranges));
	p2pmr_bar_forget(NULL);
	destroy_workqueue(revoke_wq);
}
