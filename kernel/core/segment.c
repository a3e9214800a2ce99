// SPDX-License-Identifier: GPL-2.0
/*
 * The segments of a range: contiguous device memory and its kernel mapping.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/slab.h>

#include "core.h"
#include "../compat.h"

static int grow(struct p2pmr_range *range)
{
	unsigned int max = range->max_segs ? range->max_segs * 2 : 1;
	struct p2pmr_segment *segs;

	segs = krealloc(range->segs, array_size(max, sizeof(*segs)),
			GFP_KERNEL_ACCOUNT);
	if (!segs)
		return -ENOMEM;
	range->segs = segs;
	range->max_segs = max;
	return 0;
}

/*
 * Append a segment and map it. ioremap_prot() uses huge pages where address
 * and length allow, and refuses cache attributes that contradict the user's.
 */
int p2pmr_segment_add(struct p2pmr_range *range, phys_addr_t addr, u64 len,
		      pgprot_t prot)
{
	struct p2pmr_segment *seg;
	int ret;

	if (range->nr_segs == range->max_segs) {
		ret = grow(range);
		if (ret)
			return ret;
	}
	seg = &range->segs[range->nr_segs];
	seg->addr = addr;
	seg->len = len;
	seg->kaddr = p2pmr_ioremap(addr, len, prot);
	if (!seg->kaddr)
		return -ENOMEM;
	range->nr_segs++;
	return 0;
}

void p2pmr_segments_free(struct p2pmr_range *range)
{
	while (range->nr_segs)
		iounmap(range->segs[--range->nr_segs].kaddr);
	kfree(range->segs);
	range->segs = NULL;
	range->max_segs = 0;
}
