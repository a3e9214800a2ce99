// SPDX-License-Identifier: GPL-2.0
/*
 * Ranges: what an importer gets for a range of user addresses. Setting one up,
 * making it live, and ending it; revocation is in revoke.c.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/export.h>
#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/slab.h>

#include "core.h"

/* Mappings in one range; bounds what one call can make the kernel hold. */
#define MAX_PIECES 1024

/* get_user_pages() takes no page from such a VMA. */
static bool is_device_vma(const struct vm_area_struct *vma)
{
	return vma->vm_flags & (VM_PFNMAP | VM_IO);
}

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
		vma = find_vma(mm, start);
		if (!vma || vma->vm_start > start)
			break;
		found = is_device_vma(vma);
		start = vma->vm_end;
	}
	mmap_read_unlock(mm);
	return found;
}
EXPORT_SYMBOL_GPL(p2pmr_range_has_device);

static int add_piece(struct p2pmr_range *range, unsigned long start,
		     unsigned long end)
{
	unsigned int n = range->nr_pieces;
	struct p2pmr_piece *pieces;

	if (n == MAX_PIECES) {
		p2pmr_refuse("range has more than %u mappings", MAX_PIECES);
		return -E2BIG;
	}
	pieces = krealloc(range->pieces, (n + 1) * sizeof(*pieces),
			  GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	if (!pieces)
		return -ENOMEM;
	range->pieces = pieces;
	pieces[n].range = range;
	pieces[n].start = start;
	pieces[n].end = end;
	range->nr_pieces++;
	return 0;
}

/* Note which VMAs the range consists of. They may change as soon as the lock
 * is dropped; resolve() looks again, under the protection of the notifiers.
 */
static int collect(struct p2pmr_range *range, struct mm_struct *mm)
{
	unsigned long end = range->start + range->length;
	unsigned long addr = range->start;
	struct vm_area_struct *vma;
	int ret = 0;

	mmap_read_lock(mm);
	while (!ret && addr < end) {
		vma = find_vma(mm, addr);
		if (!vma || vma->vm_start > addr) {
			p2pmr_refuse("nothing is mapped at offset %#lx",
				     addr - range->start);
			ret = -EFAULT;
		} else if (!is_device_vma(vma)) {
			p2pmr_refuse("range mixes host and device memory");
			ret = -EOPNOTSUPP;
		} else {
			ret = add_piece(range, addr, min(vma->vm_end, end));
			addr = vma->vm_end;
		}
	}
	mmap_read_unlock(mm);
	return ret;
}

static int insert_notifiers(struct p2pmr_range *range, struct mm_struct *mm)
{
	unsigned int i;
	int ret;

	for (i = 0; i < range->nr_pieces; i++) {
		struct p2pmr_piece *piece = &range->pieces[i];

		ret = mmu_interval_notifier_insert(&piece->ni, mm, piece->start,
						   piece->end - piece->start,
						   &p2pmr_notifier_ops);
		if (ret) {
			piece->ni.mm = NULL;
			return ret;
		}
	}
	return 0;
}

static int resolve(struct p2pmr_range *range, struct mm_struct *mm)
{
	unsigned int i;
	int ret = 0;

	for (i = 0; i < range->nr_pieces; i++) {
		struct p2pmr_piece *piece = &range->pieces[i];

		piece->seq = mmu_interval_read_begin(&piece->ni);
	}

	mmap_read_lock(mm);
	for (i = 0; !ret && i < range->nr_pieces; i++) {
		struct p2pmr_piece *piece = &range->pieces[i];
		struct vm_area_struct *vma = find_vma(mm, piece->start);

		if (!vma || vma->vm_start > piece->start ||
		    vma->vm_end < piece->end || !is_device_vma(vma))
			ret = -EAGAIN;
		else
			ret = p2pmr_bar_resolve(piece, vma);
	}
	mmap_read_unlock(mm);
	return ret;
}

/**
 * p2pmr_range_map() - resolve a range of the caller's addresses
 * @range: to be filled; in the importer's object, need not be initialized
 * @start: first address, aligned or not
 * @length: in bytes, not 0
 * @write: the importer will write into the memory
 * @ops: the importer's side; must stay as long as the range
 *
 * On success the range is resolved and mapped but not live: build what is
 * needed on its segments, then call p2pmr_range_commit(). In any case end with
 * p2pmr_range_unmap(). May sleep, takes mmap_lock.
 *
 * Return: 0, or
 * -EAGAIN (the mappings changed meanwhile: try again),
 * -EFAULT (a hole), -EACCES (the mapping does not give the rights),
 * -EINVAL (empty, wraps around, or a private mapping),
 * -ENXIO (memory of no PCI memory BAR), -EPERM (policy),
 * -EOPNOTSUPP (host memory in the range), -E2BIG (too many mappings), -ENOMEM.
 * After a failure the range holds nothing.
 */
int p2pmr_range_map(struct p2pmr_range *range, unsigned long start,
		    size_t length, bool write,
		    const struct p2pmr_range_ops *ops)
{
	struct mm_struct *mm = current->mm;
	unsigned long end;
	int ret;

	if (!mm || !length || check_add_overflow(start, length, &end))
		return -EINVAL;

	memset(range, 0, sizeof(*range));
	range->start = start;
	range->length = length;
	range->write = write;
	range->ops = ops;
	range->state = P2PMR_SETUP;
	spin_lock_init(&range->lock);
	init_completion(&range->revoked);
	INIT_WORK(&range->work, p2pmr_revoke_work);
	INIT_LIST_HEAD(&range->link);

	ret = collect(range, mm);
	if (!ret)
		ret = insert_notifiers(range, mm);
	if (!ret) {
		p2pmr_publish(range);
		ret = resolve(range, mm);
	}
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
 * then on whatever ends the mapping calls @revoke and waits for it.
 *
 * Return: 0, -EAGAIN (the mapping changed: unmap the range and begin again) or
 * -ENODEV (the PCI function is going away).
 */
int p2pmr_range_commit(struct p2pmr_range *range)
{
	unsigned int i;
	int ret = 0;

	spin_lock(&range->lock);
	if (range->gone)
		ret = -ENODEV;
	for (i = 0; !ret && i < range->nr_pieces; i++) {
		struct p2pmr_piece *piece = &range->pieces[i];

		if (mmu_interval_read_retry(&piece->ni, piece->seq))
			ret = -EAGAIN;
	}
	if (!ret) {
		range->ops->activate(range);
		range->state = P2PMR_LIVE;
	}
	spin_unlock(&range->lock);
	return ret;
}
EXPORT_SYMBOL_GPL(p2pmr_range_commit);

/**
 * p2pmr_range_unmap() - end a range, live or not
 * @range: a range for which p2pmr_range_map() was called
 *
 * Revokes it if that has not happened. When it returns, no callback runs or
 * will run, and the importer may free the object. May sleep; the caller must
 * not hold mmap_lock.
 */
void p2pmr_range_unmap(struct p2pmr_range *range)
{
	unsigned int i;

	p2pmr_range_revoke(range, P2PMR_CAUSE_RELEASE);
	for (i = 0; i < range->nr_pieces; i++)
		if (range->pieces[i].ni.mm)
			mmu_interval_notifier_remove(&range->pieces[i].ni);
	p2pmr_unpublish(range);
	kfree(range->pieces);
	range->pieces = NULL;
	range->nr_pieces = 0;
}
EXPORT_SYMBOL_GPL(p2pmr_range_unmap);
