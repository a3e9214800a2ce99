// SPDX-License-Identifier: GPL-2.0
/*
 * The segments of a range, and how importers reach them: by the CPU through a
 * kernel mapping, by a device through a DMA address.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/dma-mapping.h>
#include <linux/export.h>
#include <linux/slab.h>

#include "core.h"
#include "../compat.h"

/* The usual range has one segment, which needs no allocation. */
static int grow(struct p2pmr_range *range)
{
	unsigned int max = range->max_segs * 4;
	struct p2pmr_segment *segs;

	segs = kvmalloc_array(max, sizeof(*segs), GFP_KERNEL_ACCOUNT);
	if (!segs)
		return -ENOMEM;
	memcpy(segs, range->segs, range->nr_segs * sizeof(*segs));
	if (range->segs != &range->first_seg)
		kvfree(range->segs);
	range->segs = segs;
	range->max_segs = max;
	return 0;
}

struct p2pmr_segment *p2pmr_segment_add(struct p2pmr_range *range)
{
	struct p2pmr_segment *seg;

	if (range->nr_segs == range->max_segs && grow(range))
		return NULL;
	seg = &range->segs[range->nr_segs++];
	memset(seg, 0, sizeof(*seg));
	return seg;
}

/**
 * p2pmr_range_map_kernel() - give every segment a kernel address
 * @range: resolved, not live
 *
 * For importers that copy with the CPU. Device memory gets the cache
 * attributes of the user's own mapping, so that no two mappings contradict
 * each other, and huge pages where address and length allow.
 *
 * Return: 0 or -ENOMEM.
 */
int p2pmr_range_map_kernel(struct p2pmr_range *range)
{
	unsigned int i;

	might_sleep();
	for (i = 0; i < range->nr_segs; i++) {
		struct p2pmr_segment *seg = &range->segs[i];

		if (seg->kaddr)
			continue;
		seg->kaddr = p2pmr_ioremap(seg->addr, seg->len, seg->prot);
		if (!seg->kaddr)
			return -ENOMEM;
		seg->own_kaddr = true;
	}
	return 0;
}
EXPORT_SYMBOL_GPL(p2pmr_range_map_kernel);

static dma_addr_t map_one(struct device *dev, struct p2pmr_segment *seg,
			  enum dma_data_direction dir)
{
	if (seg->host)
		return dma_map_page(dev, pfn_to_page(PHYS_PFN(seg->addr)),
				    offset_in_page(seg->addr), seg->len, dir);
	return dma_map_resource(dev, seg->addr, seg->len, dir, 0);
}

static void unmap_dma(struct p2pmr_range *range, unsigned int n)
{
	while (n--) {
		struct p2pmr_segment *seg = &range->segs[n];

		if (seg->host)
			dma_unmap_page(range->dma_dev, seg->dma, seg->len,
				       range->dma_dir);
		else
			dma_unmap_resource(range->dma_dev, seg->dma, seg->len,
					   range->dma_dir, 0);
	}
	put_device(range->dma_dev);
	range->dma_dev = NULL;
}

/**
 * p2pmr_range_map_dma() - give every segment a DMA address
 * @range: resolved, not live, without DMA addresses so far
 * @dev: the device that is to reach it
 * @dir: in which direction, seen as the DMA API does
 *
 * Through the DMA API and with it the IOMMU. Whether the fabric carries
 * transactions between the two devices is for the caller to know.
 *
 * Return: 0 or -EIO (the DMA API refused).
 */
int p2pmr_range_map_dma(struct p2pmr_range *range, struct device *dev,
			enum dma_data_direction dir)
{
	unsigned int i;

	might_sleep();
	range->dma_dev = get_device(dev);
	range->dma_dir = dir;
	for (i = 0; i < range->nr_segs; i++) {
		struct p2pmr_segment *seg = &range->segs[i];

		seg->dma = map_one(dev, seg, dir);
		if (dma_mapping_error(dev, seg->dma)) {
			unmap_dma(range, i);
			return -EIO;
		}
	}
	return 0;
}
EXPORT_SYMBOL_GPL(p2pmr_range_map_dma);

/* Take away what the importer reached the segments by. */
void p2pmr_segments_unmap(struct p2pmr_range *range)
{
	unsigned int i;

	if (range->dma_dev)
		unmap_dma(range, range->nr_segs);
	for (i = 0; i < range->nr_segs; i++) {
		struct p2pmr_segment *seg = &range->segs[i];

		if (seg->own_kaddr)
			iounmap(seg->kaddr);
		seg->own_kaddr = false;
	}
}

void p2pmr_segments_free(struct p2pmr_range *range)
{
	if (range->segs != &range->first_seg)
		kvfree(range->segs);
	range->segs = NULL;
	range->nr_segs = 0;
}
