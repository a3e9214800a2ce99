// SPDX-License-Identifier: GPL-2.0
/*
 * Ordinary memory in a range that also has device memory: pinned for good and
 * counted against RLIMIT_MEMLOCK, as RDMA does with memory of its own.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "core.h"
#include "../compat.h"

#define BATCH (PAGE_SIZE / sizeof(struct page *))

static int charge_pages(struct p2pmr_range *range, unsigned long pages)
{
	unsigned long limit = rlimit(RLIMIT_MEMLOCK) >> PAGE_SHIFT;
	unsigned long pinned = atomic64_add_return(pages, &range->mm->pinned_vm);

	if (pinned > limit && !capable(CAP_IPC_LOCK)) {
		atomic64_sub(pages, &range->mm->pinned_vm);
		return p2pmr_refuse(range->ops, -ENOMEM,
				    "host memory in the range exceeds RLIMIT_MEMLOCK");
	}
	range->host_pages += pages;
	return 0;
}

/* Append the part of @page that the piece has at user address @addr. */
static int host_page(struct p2pmr_range *range, struct p2pmr_piece *piece,
		     unsigned long addr, struct page *page)
{
	unsigned long start = max(addr, piece->start);
	phys_addr_t phys = page_to_phys(page) + offset_in_page(start);
	u64 len = min(addr + PAGE_SIZE, piece->end) - start;
	unsigned int index = piece - range->pieces;
	struct p2pmr_segment *seg = NULL;

	if (range->nr_segs)
		seg = &range->segs[range->nr_segs - 1];
	if (seg && seg->host && seg->piece == index &&
	    seg->addr + seg->len == phys) {
		seg->len += len;
		return 0;
	}
	seg = p2pmr_segment_add(range);
	if (!seg)
		return -ENOMEM;
	seg->addr = phys;
	seg->len = len;
	seg->kaddr = (void __iomem __force *)page_address(page) +
		     offset_in_page(phys);
	seg->piece = index;
	seg->host = true;
	return 0;
}

/* Pages that did not make it into a segment are unpinned here. */
static int host_pages(struct p2pmr_range *range, struct p2pmr_piece *piece,
		      unsigned long addr, struct page **pages, int n)
{
	int i, ret;

	for (i = 0; i < n; i++) {
		ret = host_page(range, piece, addr + i * PAGE_SIZE, pages[i]);
		if (ret) {
			unpin_user_pages(pages + i, n - i);
			return ret;
		}
	}
	return 0;
}

int p2pmr_host_pin(struct p2pmr_range *range, struct p2pmr_piece *piece)
{
	unsigned int flags = p2pmr_gup_flags(range->write);
	unsigned long addr = piece->start & PAGE_MASK;
	unsigned long end = PAGE_ALIGN(piece->end);
	struct page **pages;
	int n, ret;

	ret = charge_pages(range, (end - addr) >> PAGE_SHIFT);
	if (ret)
		return ret;
	pages = (struct page **)__get_free_page(GFP_KERNEL);
	if (!pages)
		return -ENOMEM;
	while (!ret && addr < end) {
		cond_resched();
		n = pin_user_pages_fast(addr, min_t(unsigned long, BATCH,
						    (end - addr) >> PAGE_SHIFT),
					flags, pages);
		if (n <= 0) {
			ret = n ?: -EFAULT;
			p2pmr_refuse(range->ops, ret,
				     "host memory at offset %#lx cannot be pinned: %d",
				     addr - (range->start & PAGE_MASK), ret);
			break;
		}
		ret = host_pages(range, piece, addr, pages, n);
		addr += (unsigned long)n << PAGE_SHIFT;
	}
	free_page((unsigned long)pages);
	return ret;
}

void p2pmr_host_unpin(struct p2pmr_range *range)
{
	unsigned int i;

	for (i = 0; i < range->nr_segs; i++) {
		struct p2pmr_segment *seg = &range->segs[i];
		phys_addr_t first = seg->addr & PAGE_MASK;

		if (seg->host)
			unpin_user_page_range_dirty_lock(
				pfn_to_page(PHYS_PFN(first)),
				PHYS_PFN(PAGE_ALIGN(seg->addr + seg->len) - first),
				range->write);
	}
	atomic64_sub(range->host_pages, &range->mm->pinned_vm);
	range->host_pages = 0;
}
