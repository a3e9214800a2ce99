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

/* The usual range has one segment, which needs no allocation. */
static int grow(struct p2pmr_range *range)
{
	unsigned int max = range->max_segs * 4;
	struct p2pmr_segment *segs;

	/* Fragmented host memory within a huge RLIMIT_MEMLOCK comes so far. */
	if (max > INT_MAX / sizeof(*segs))
		return -ENOMEM;
	segs = kvmalloc_array(max, sizeof(*segs),
			      GFP_KERNEL_ACCOUNT | __GFP_NOWARN);
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

/* Its cache attributes, by somebody else, as long as the range can be live. */
static bool is_reserved(const struct p2pmr_range *range,
			const struct p2pmr_segment *seg)
{
	return range->pieces[seg->piece].reserved &&
	       !(range->flags & P2PMR_MAP_OUTLIVE);
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
		if (p2pmr_window_open(seg, is_reserved(range, seg)))
			return -ENOMEM;
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
	return dma_map_resource(dev, seg->addr, seg->len, dir,
				DEVICE_DMA_ATTRS);
}

static void unmap_dma(struct p2pmr_range *range, unsigned int n)
{
	while (n--) {
		struct p2pmr_segment *seg = &range->segs[n];

		cond_resched();
		if (seg->host)
			dma_unmap_page(range->dma_dev, seg->dma, seg->len,
				       range->dma_dir);
		else
			dma_unmap_resource(range->dma_dev, seg->dma, seg->len,
					   range->dma_dir, DEVICE_DMA_ATTRS);
	}
	put_device(range->dma_dev);
	range->dma_dev = NULL;
}

/* A device gets no right that the user's mapping does not give. */
static int check_direction(struct p2pmr_range *range, struct device *dev,
			   enum dma_data_direction dir)
{
	if (!valid_dma_direction(dir) || !dev->dma_mask)
		return -EINVAL;
	if (dir != DMA_TO_DEVICE && !range->write)
		return p2pmr_refuse(range->ops, -EACCES,
				    "%s would write, but the range is for reading only",
				    dev_name(dev));
	return 0;
}

/* Under the lock, what is not gone is on the bus. */
static int check_way(struct p2pmr_range *range, struct device *dev)
{
	int ret;

	mutex_lock(&p2pmr_ranges_lock);
	ret = range->gone ? -ENODEV : p2pmr_check_reach(range, dev);
	mutex_unlock(&p2pmr_ranges_lock);
	return ret;
}

/**
 * p2pmr_range_map_dma() - give every segment a DMA address
 * @range: resolved, not live, without DMA addresses so far
 * @dev: the device that is to reach it
 * @dir: in which direction, seen as the DMA API does: %DMA_TO_DEVICE unless
 *	the range was resolved for writing
 *
 * Through the DMA API and with it the IOMMU, if there is one that translates
 * for @dev. An IOMMU maps whole pages: of the first and the last page of the
 * range the device reaches all. It keeps a device from writing that is given
 * %DMA_TO_DEVICE; not every one keeps a device from reading. Segments that
 * follow each other need not do so in DMA addresses. Those of host memory are
 * streaming mappings: where dma_need_sync() says so, the importer synchronizes
 * before and after use.
 *
 * The addresses go when @revoke has returned, but an IOMMU in lazy mode may
 * translate them a little longer: it is @revoke that ends accesses. @dev must
 * keep its driver that long. The driver's remove function therefore ends its
 * ranges by p2pmr_range_revoke() or p2pmr_range_unmap().
 *
 * Return: 0, or -EXDEV (the way between the two devices is not known to carry
 * it, see topology.c), -ENODEV (a function of the range has left), -EACCES (@dir
 * asks for more than the range was resolved for), -EOPNOTSUPP (a range over a
 * dma-buf, to which @dev attaches by itself), -EINVAL (no direction, or @dev does
 * no DMA), -EIO (the DMA API has no address for it, within the device's DMA mask
 * for instance). After a failure no segment has a DMA address.
 */
int p2pmr_range_map_dma(struct p2pmr_range *range, struct device *dev,
			enum dma_data_direction dir)
{
	unsigned int i;
	int ret;

	might_sleep();
	if (WARN_ON_ONCE(range->dma_dev))
		return -EINVAL;
	if (range->import)
		return -EOPNOTSUPP;
	ret = check_direction(range, dev, dir);
	if (!ret)
		ret = check_way(range, dev);
	if (ret)
		return ret;
	range->dma_dev = get_device(dev);
	range->dma_dir = dir;
	for (i = 0; i < range->nr_segs; i++) {
		struct p2pmr_segment *seg = &range->segs[i];

		cond_resched();
		seg->dma = map_one(dev, seg, dir);
		if (dma_mapping_error(dev, seg->dma)) {
			ret = p2pmr_refuse(range->ops, -EIO,
					   "%s gets no DMA address for %llu bytes",
					   dev_name(dev), seg->len);
			unmap_dma(range, i);
			return ret;
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

		if (seg->window)
			p2pmr_window_close(seg);
	}
}

void p2pmr_segments_free(struct p2pmr_range *range)
{
	if (range->segs != &range->first_seg)
		kvfree(range->segs);
	range->segs = NULL;
	range->nr_segs = 0;
}
