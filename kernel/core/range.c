// SPDX-License-Identifier: GPL-2.0
/*
 * Ranges: what an importer gets for a range of user addresses. Setting one up,
 * making it live, and ending it; revocation is in revoke.c.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/export.h>
#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>

#include "core.h"
#include "trace.h"

#define MAP_FLAGS \
	(P2PMR_MAP_WRITE | P2PMR_MAP_REGISTERS | P2PMR_MAP_DEVICE_ONLY |	\
	 P2PMR_MAP_OUTLIVE)

/**
 * p2pmr_range_has_device() - does a range touch a mapping of device memory?
 * @start: first address in the address space of the caller
 * @length: in bytes
 *
 * Tells an importer whether the usual path, which pins pages, would fail for
 * device memory. It would fail earlier at a hole, so that what comes after one
 * does not matter. Costs one VMA look-up for a range inside one mapping.
 *
 * Return: false also for what is no range at all (empty, or wrapping around).
 */
bool p2pmr_range_has_device(unsigned long start, u64 length)
{
	struct mm_struct *mm = current->mm;
	struct vm_area_struct *vma;
	unsigned long end;
	bool found = false;

	if (!mm || !length || length > ULONG_MAX ||
	    check_add_overflow(start, (unsigned long)length, &end))
		return false;

	mmap_read_lock(mm);
	while (!found && start < end) {
		vma = vma_lookup(mm, start);
		if (!vma)
			break;
		found = p2pmr_is_device_vma(vma);
		start = vma->vm_end;
	}
	mmap_read_unlock(mm);
	return found;
}
EXPORT_SYMBOL_GPL(p2pmr_range_has_device);

void p2pmr_range_init(struct p2pmr_range *range, unsigned long start,
		      size_t length, unsigned int flags,
		      const struct p2pmr_range_ops *ops)
{
	memset(range, 0, sizeof(*range));
	range->start = start;
	range->length = length;
	range->flags = flags;
	range->write = flags & P2PMR_MAP_WRITE;
	range->ops = ops;
	range->state = P2PMR_SETUP;
	range->segs = &range->first_seg;
	range->max_segs = 1;
	range->pid = get_task_pid(current, PIDTYPE_TGID);
	range->since = ktime_get_boottime();
	range->mm = current->mm;
	mmgrab(range->mm);
	spin_lock_init(&range->lock);
	init_completion(&range->revoked);
	INIT_WORK(&range->work, p2pmr_revoke_work);
	INIT_LIST_HEAD(&range->link);
}

/* Before anything is read, so that no change goes unnoticed. */
static int insert_notifiers(struct p2pmr_range *range)
{
	unsigned int i;
	int ret;

	for (i = 0; i < range->nr_pieces; i++) {
		struct p2pmr_piece *piece = &range->pieces[i];

		/* Pinned host memory outlives its mapping, as it always did. */
		if (!piece->exporter)
			continue;
		ret = mmu_interval_notifier_insert(&piece->ni, range->mm,
						   piece->start,
						   piece->end - piece->start,
						   &p2pmr_notifier_ops);
		if (ret) {
			piece->ni.mm = NULL;
			return ret;
		}
	}
	return 0;
}

static void remove_notifiers(struct p2pmr_range *range)
{
	unsigned int i;

	for (i = 0; i < range->nr_pieces; i++) {
		struct p2pmr_piece *piece = &range->pieces[i];

		if (piece->ni.mm)
			mmu_interval_notifier_remove(&piece->ni);
		piece->ni.mm = NULL;
	}
}

/**
 * p2pmr_range_map() - resolve a range of the caller's addresses
 * @range: to be filled; in the importer's object, need not be initialized
 * @start: first address, aligned or not
 * @length: in bytes, not 0
 * @flags: P2PMR_MAP_*
 * @ops: the importer's side; must stay as long as the range
 *
 * Device memory is resolved by its exporter, host memory pinned. On success
 * the range has its segments but is not live: map them as needed with
 * p2pmr_range_map_kernel() or p2pmr_range_map_dma(), build on them, then call
 * p2pmr_range_commit(). After success end with p2pmr_range_unmap(). May sleep,
 * takes mmap_lock.
 *
 * Return: 0, or
 * -EAGAIN (the mappings changed meanwhile: try again),
 * -EFAULT (a hole), -EACCES (the mapping does not give the rights),
 * -EINVAL (empty, wraps around, unknown flags, or a private device mapping),
 * -ENXIO (device memory that no exporter knows), -EPERM (policy),
 * -ENODEV (the device is going away), -E2BIG (too many mappings),
 * -EMEDIUMTYPE (host memory with P2PMR_MAP_DEVICE_ONLY),
 * -EOPNOTSUPP (memory that must not outlive its mapping, with P2PMR_MAP_OUTLIVE),
 * -EDQUOT (the user's limit), -ENOMEM (also RLIMIT_MEMLOCK), or what the
 * exporter said. After a failure the range holds nothing.
 */
int p2pmr_range_map(struct p2pmr_range *range, unsigned long start,
		    size_t length, unsigned int flags,
		    const struct p2pmr_range_ops *ops)
{
	unsigned long end;
	int ret;

	if (!current->mm || (flags & ~MAP_FLAGS))
		return -EINVAL;
	if (!length || check_add_overflow(start, length, &end))
		return p2pmr_refuse(ops, -EINVAL,
				    "range is empty or wraps around");

	p2pmr_range_init(range, start, length, flags, ops);
	ret = p2pmr_collect(range);
	if (!ret)
		ret = p2pmr_charge(range, range->nr_device_pieces);
	if (!ret)
		ret = insert_notifiers(range);
	if (!ret) {
		p2pmr_publish(range);
		ret = p2pmr_resolve(range);
	}
	if (!ret)
		ret = p2pmr_charge(range, range->nr_device_segs);
	if (ret)
		p2pmr_range_unmap(range);
	return ret;
}
EXPORT_SYMBOL_GPL(p2pmr_range_map);

/**
 * p2pmr_range_commit() - make a range live
 * @range: resolved by p2pmr_range_map()
 *
 * Calls @activate if nothing has changed since the range was resolved. From
 * then on whatever ends a mapping calls @revoke and waits for it; with
 * P2PMR_MAP_OUTLIVE, whatever ends the memory. May sleep.
 *
 * Of all calls for a range only p2pmr_range_revoke() may run at the same time
 * as this one; none may run at the same time as those before it.
 *
 * Return: 0, -EAGAIN (a mapping changed: unmap the range and begin again) or
 * -ENODEV (the device is going away, or the range has been revoked already).
 */
int p2pmr_range_commit(struct p2pmr_range *range)
{
	unsigned int i;
	int ret = 0;

	spin_lock(&range->lock);
	if (range->gone || range->state != P2PMR_SETUP)
		ret = -ENODEV;
	else if (range->stale)
		ret = -EAGAIN;
	for (i = 0; !ret && i < range->nr_pieces; i++) {
		struct p2pmr_piece *piece = &range->pieces[i];

		if (piece->ni.mm &&
		    mmu_interval_read_retry(&piece->ni, piece->seq))
			ret = -EAGAIN;
	}
	if (!ret) {
		range->ops->activate(range);
		range->state = P2PMR_LIVE;
		p2pmr_instance_count(range->ops, 1);
		p2pmr_watch_range(range, P2PMR_EVENT_REGISTER);
	}
	spin_unlock(&range->lock);

	if (!ret) {
		if (range->flags & P2PMR_MAP_OUTLIVE)
			remove_notifiers(range);
		p2pmr_count(P2PMR_COUNT_REGISTERED);
		trace_p2pmr_register(range);
	} else if (ret == -EAGAIN) {
		p2pmr_count(P2PMR_COUNT_RETRIED);
	}
	return ret;
}
EXPORT_SYMBOL_GPL(p2pmr_range_commit);

/**
 * p2pmr_range_unmap() - end a range, live or not
 * @range: a range for which p2pmr_range_map() has succeeded
 *
 * Revokes it if that has not happened. When it returns, no callback runs or
 * will run, and the importer may free the object. May sleep; the caller must
 * not hold mmap_lock.
 */
void p2pmr_range_unmap(struct p2pmr_range *range)
{
	p2pmr_range_revoke(range, P2PMR_CAUSE_RELEASE);
	remove_notifiers(range);
	p2pmr_unpublish(range);
	p2pmr_uncharge(range);
	p2pmr_segments_free(range);
	kvfree(range->pieces);
	put_pid(range->pid);
	mmdrop(range->mm);
}
EXPORT_SYMBOL_GPL(p2pmr_range_unmap);
