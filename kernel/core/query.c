// SPDX-License-Identifier: GPL-2.0
/*
 * P2PMR_IOC_QUERY: what is behind a range of the caller's addresses. Device
 * memory is resolved as for a registration, by the same exporters and the same
 * policy, only that nobody hears of it and nothing stays.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "chardev.h"
#include "../compat.h"

/* Such a range never becomes live, so it has nothing to do. */
const struct p2pmr_range_ops p2pmr_query_ops = { .name = "query" };

/**
 * struct attempt - what registering a part of the range would give
 * @range: as the exporter described it
 * @error: positive errno
 * @early: it fails before any exporter is asked
 */
struct attempt {
	struct p2pmr_range range;
	u32 error;
	bool early;
};

/**
 * struct query - one call
 * @arg: the caller's request
 * @out: where the segments go
 * @last: the segment that may still grow; none if its length is 0
 * @write: attempt on the current device mapping, for writing
 * @read: the same for reading, if @write failed
 * @read_early: first error that a registration meets while it notes VMAs
 * @read_late: first error it meets while it resolves them
 * @write_early: the same for writing
 * @write_late: the same for writing
 * @no_memory: there was none to find out
 */
struct query {
	struct p2pmr_ioc_query *arg;
	struct p2pmr_array out;
	struct p2pmr_query_segment last;
	struct attempt write;
	struct attempt read;
	u32 read_early;
	u32 read_late;
	u32 write_early;
	u32 write_late;
	bool no_memory;
};

static int flush(struct query *q)
{
	int ret = 0;

	if (q->last.length)
		ret = p2pmr_array_add(&q->out, &q->last, sizeof(q->last));
	q->last.length = 0;
	return ret;
}

/* Mappings of host memory side by side are one segment if all is the same. */
static int tell(struct query *q, const struct p2pmr_query_segment *seg)
{
	int ret;

	if (q->last.length && q->last.kind == P2PMR_SEGMENT_HOST &&
	    seg->kind == P2PMR_SEGMENT_HOST && q->last.rights == seg->rights &&
	    q->last.read_error == seg->read_error &&
	    q->last.write_error == seg->write_error) {
		q->last.length += seg->length;
		return 0;
	}
	ret = flush(q);
	q->last = *seg;
	return ret;
}

static void note(u32 *first, u32 error)
{
	if (!*first)
		*first = error;
}

static u32 rights_of(const struct vm_area_struct *vma)
{
	return (vma->vm_flags & VM_READ ? P2PMR_RIGHT_READ : 0) |
	       (vma->vm_flags & VM_WRITE ? P2PMR_RIGHT_WRITE : 0) |
	       (vma->vm_flags & VM_MAYSHARE ? P2PMR_RIGHT_SHARED : 0);
}

static void try(struct query *q, struct attempt *attempt,
		struct vm_area_struct *vma,
		const struct p2pmr_query_segment *seg, unsigned long start,
		bool write)
{
	p2pmr_range_init(&attempt->range, start, seg->length,
			 write ? P2PMR_MAP_WRITE : 0, &p2pmr_query_ops);
	attempt->error = -p2pmr_probe(&attempt->range, vma);
	attempt->early = attempt->error && !attempt->range.nr_pieces;
	/* A registration may have some, so this says nothing about it. */
	q->no_memory |= attempt->error == ENOMEM;
}

/* Who may write may read, so that one attempt usually tells both. */
static void try_device(struct query *q, struct vm_area_struct *vma,
		       struct p2pmr_query_segment *seg, unsigned long start)
{
	struct attempt *read = &q->write;

	try(q, &q->write, vma, seg, start, true);
	if (q->write.error) {
		read = &q->read;
		try(q, &q->read, vma, seg, start, false);
	}
	seg->write_error = q->write.error;
	seg->read_error = read->error;
	note(q->write.early ? &q->write_early : &q->write_late,
	     seg->write_error);
	note(read->early ? &q->read_early : &q->read_late, seg->read_error);
}

/* Split @whole, which is of one mapping, as the exporter did. */
static int tell_device(struct query *q, const struct p2pmr_query_segment *whole)
{
	struct p2pmr_range *range = whole->write_error ? &q->read.range :
							 &q->write.range;
	struct p2pmr_query_segment seg = *whole;
	u64 left = whole->length;
	int ret = q->no_memory ? -ENOMEM : 0;
	unsigned int i;

	for (i = 0; !ret && left && i < range->nr_segs; i++) {
		seg.length = min(left, range->segs[i].len);
		p2pmr_locate(&seg.location, range->pieces, &range->segs[i]);
		ret = tell(q, &seg);
		seg.offset += seg.length;
		left -= seg.length;
	}
	if (!ret && left) {
		seg.length = left;
		if (range->nr_pieces)
			p2pmr_locate(&seg.location, range->pieces, NULL);
		ret = tell(q, &seg);
	}
	p2pmr_range_unmap(&q->write.range);
	if (whole->write_error)
		p2pmr_range_unmap(&q->read.range);
	return ret;
}

static void look_at_host(struct query *q, const struct vm_area_struct *vma,
			 struct p2pmr_query_segment *seg)
{
	/* What pinning answers to a lack of rights. */
	seg->read_error = p2pmr_may_pin(vma, false) ? 0 : EFAULT;
	seg->write_error = p2pmr_may_pin(vma, true) ? 0 : EFAULT;
	note(&q->read_late, seg->read_error);
	note(&q->write_late, seg->write_error);
}

/*
 * What is at @addr, as far as it is alike and not beyond @end. Nothing can be
 * told to the user under mmap_lock, since that may fault.
 */
static int look(struct query *q, unsigned long addr, unsigned long end,
		struct p2pmr_query_segment *seg)
{
	struct mm_struct *mm = current->mm;
	struct vm_area_struct *vma;

	memset(seg, 0, sizeof(*seg));
	seg->offset = addr - q->arg->address;
	if (mmap_read_lock_killable(mm))
		return -EINTR;
	vma = find_vma(mm, addr);
	if (!vma || vma->vm_start > addr) {
		seg->kind = P2PMR_SEGMENT_HOLE;
		seg->length = (vma ? min(vma->vm_start, end) : end) - addr;
		seg->read_error = EFAULT;
		seg->write_error = EFAULT;
		note(&q->read_early, EFAULT);
		note(&q->write_early, EFAULT);
	} else {
		seg->length = min(vma->vm_end, end) - addr;
		seg->rights = rights_of(vma);
		if (p2pmr_is_device_vma(vma)) {
			seg->kind = P2PMR_SEGMENT_DEVICE;
			try_device(q, vma, seg, addr);
		} else {
			seg->kind = P2PMR_SEGMENT_HOST;
			look_at_host(q, vma, seg);
		}
	}
	mmap_read_unlock(mm);
	return 0;
}

static int walk(struct query *q, unsigned long addr, unsigned long end)
{
	struct p2pmr_query_segment seg;
	int ret = 0;

	for (; !ret && addr < end; addr += seg.length) {
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
		ret = look(q, addr, end, &seg);
		if (ret)
			return ret;
		ret = seg.kind == P2PMR_SEGMENT_DEVICE ? tell_device(q, &seg) :
							 tell(q, &seg);
	}
	return ret ?: flush(q);
}

/* arg is the caller's struct p2pmr_ioc_query, and becomes the answer. */
int p2pmr_ioctl_query(struct p2pmr_file *file, void *arg)
{
	struct p2pmr_ioc_query *query = arg;
	struct query *q;
	u64 end;
	int ret;

	if (query->flags || query->reserved || !query->length ||
	    check_add_overflow(query->address, query->length, &end) ||
	    end > ULONG_MAX)
		return -EINVAL;

	q = kzalloc(sizeof(*q), GFP_KERNEL);
	if (!q)
		return -ENOMEM;
	q->arg = query;
	ret = p2pmr_array_init(&q->out, query->segments, query->segment_size,
			       sizeof(struct p2pmr_query_segment),
			       query->capacity);
	if (!ret)
		ret = walk(q, query->address, end);
	if (!ret) {
		query->count = q->out.count;
		query->read_error = q->read_early ?: q->read_late;
		query->write_error = q->write_early ?: q->write_late;
		if (query->count > query->capacity)
			ret = -ENOSPC;
	}
	kfree(q);
	return ret;
}
