// SPDX-License-Identifier: GPL-2.0
/*
 * dma-bufs of a PCI function's BAR whose exporter has nothing for the CPU, only
 * addresses for PCI devices: vfio-pci's. One device reaches that memory without any
 * bridge or IOMMU between, which is the function itself: what it would be given
 * are the BAR's own bus addresses. So this attaches in its name, and takes nothing but
 * addresses of its BARs.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/dma-buf.h>
#include <linux/dma-resv.h>
#include <linux/scatterlist.h>

#include "core.h"
#include "../compat.h"

/* The memory BAR of @pdev that bus addresses from @dma on are in, or -1. */
static int find_bar(struct pci_dev *pdev, dma_addr_t dma, u64 len)
{
	int bar;

	for (bar = 0; bar < PCI_STD_NUM_BARS; bar++) {
		u64 start = pci_bus_address(pdev, bar);
		u64 size = pci_resource_len(pdev, bar);

		if ((pci_resource_flags(pdev, bar) & IORESOURCE_MEM) &&
		    dma >= start && len <= size && dma - start <= size - len)
			return bar;
	}
	return -1;
}

/* Is all of the buffer in one BAR of the function, and nowhere else? */
static int find_bar_of(struct pci_dev *pdev, struct sg_table *sgt)
{
	struct scatterlist *sg;
	int i, bar = -1;

	for_each_sgtable_dma_sg(sgt, sg, i) {
		int found = find_bar(pdev, sg_dma_address(sg), sg_dma_len(sg));

		if (found < 0 || (bar >= 0 && found != bar))
			return -1;
		bar = found;
	}
	return bar;
}

/*
 * Does its driver leave what is done with it to somebody in user space? Whoever
 * changes its driver may be waiting for just that process, which must not wait for
 * him: -EAGAIN.
 */
static int is_candidate(struct pci_dev *pdev)
{
	int is;

	if (pdev->hdr_type != PCI_HEADER_TYPE_NORMAL)
		return 0;
	if (!device_trylock(&pdev->dev))
		return -EAGAIN;
	is = pdev->driver && pdev->driver->driver_managed_dma;
	device_unlock(&pdev->dev);
	return is;
}

/* Whether the buffer is @pdev's, to which it is attached. */
static bool is_its_own(struct pci_dev *pdev, struct dma_buf_attachment *attach)
{
	struct sg_table *sgt;
	bool own;

	dma_resv_lock(attach->dmabuf->resv, NULL);
	sgt = dma_buf_map_attachment(attach, DMA_BIDIRECTIONAL);
	own = !IS_ERR(sgt) && find_bar_of(pdev, sgt) >= 0;
	if (!IS_ERR(sgt))
		dma_buf_unmap_attachment(attach, sgt, DMA_BIDIRECTIONAL);
	dma_resv_unlock(attach->dmabuf->resv);
	return own;
}

/**
 * p2pmr_attach_as_function() - attach in the name of the function that has the memory
 * @range: being set up, with its import
 * @dmabuf: whose exporter has no kernel mapping
 * @ops: of the attachment
 * @attach: what becomes of it
 *
 * Return: 0, -EOPNOTSUPP (it is no function's BAR that user space drives), -ENODEV (the
 * memory is gone), -EAGAIN (drivers are changing), or what the exporter said.
 */
int p2pmr_attach_as_function(struct p2pmr_range *range, struct dma_buf *dmabuf,
			     const struct dma_buf_attach_ops *ops,
			     struct dma_buf_attachment **attach)
{
	struct p2pmr_piece *piece = range->pieces;
	struct dma_buf_attachment *found;
	struct pci_dev *pdev = NULL;
	bool missed = false;

	for_each_pci_dev(pdev) {
		int candidate = is_candidate(pdev);

		missed |= candidate < 0;
		if (candidate <= 0)
			continue;
		found = dma_buf_dynamic_attach(dmabuf, &pdev->dev, ops,
					       range->import);
		if (IS_ERR(found)) {
			pci_dev_put(pdev);
			return p2pmr_refuse(range->ops, PTR_ERR(found),
					    "exporter %s does not let the CPU attach to the dma-buf: %ld",
					    dmabuf->exp_name, PTR_ERR(found));
		}
		if (!is_its_own(pdev, found)) {
			dma_buf_detach(dmabuf, found);
			continue;
		}
		*attach = found;
		/* The loop's reference becomes the piece's. */
		WRITE_ONCE(piece->map.dev, &pdev->dev);
		return 0;
	}
	if (missed)
		return -EAGAIN;
	return p2pmr_refuse(range->ops, -EOPNOTSUPP,
			    "exporter %s gives the CPU no access to the dma-buf",
			    dmabuf->exp_name);
}

/* The part of the table that is wanted. */
static int add_segments(struct p2pmr_range *range, struct sg_table *sgt,
			u64 offset)
{
	struct p2pmr_mapping *map = &range->pieces->map;
	struct pci_dev *pdev = to_pci_dev(map->dev);
	u64 start = pci_resource_start(pdev, map->bar);
	u64 bus = pci_bus_address(pdev, map->bar);
	u64 left = range->length;
	struct scatterlist *sg;
	int i;

	for_each_sgtable_dma_sg(sgt, sg, i) {
		struct p2pmr_segment *seg;

		if (!left)
			break;
		if (offset >= sg_dma_len(sg)) {
			offset -= sg_dma_len(sg);
			continue;
		}
		seg = p2pmr_segment_add(range);
		if (!seg)
			return -ENOMEM;
		seg->addr = start + (sg_dma_address(sg) - bus) + offset;
		seg->len = min_t(u64, sg_dma_len(sg) - offset, left);
		seg->prot = map->prot;
		left -= seg->len;
		offset = 0;
	}
	return left ? -EINVAL : 0;
}

/**
 * p2pmr_map_as_function() - find the segments of a range by such an attachment
 * @range: being set up
 * @attach: of p2pmr_attach_as_function()
 * @offset: of the range in the buffer
 * @sgt: the exporter's table, to be unmapped also after a failure if it is not NULL
 *
 * Return: 0, -EPERM (policy), -EOPNOTSUPP, -ENODEV (the memory is gone), -ENOMEM, or
 * what the exporter said.
 */
int p2pmr_map_as_function(struct p2pmr_range *range,
			  struct dma_buf_attachment *attach, u64 offset,
			  struct sg_table **sgt)
{
	struct p2pmr_piece *piece = range->pieces;
	struct pci_dev *pdev = to_pci_dev(piece->map.dev);
	struct sg_table *table;
	int ret;

	dma_resv_assert_held(attach->dmabuf->resv);
	table = dma_buf_map_attachment(attach, DMA_BIDIRECTIONAL);
	if (IS_ERR(table))
		return PTR_ERR(table);
	*sgt = table;
	piece->map.bar = find_bar_of(pdev, table);
	if (piece->map.bar < 0)
		return -EOPNOTSUPP;
	ret = p2pmr_bar_check(range->ops, range->flags & P2PMR_MAP_REGISTERS,
			      pdev, piece->map.bar);
	if (ret)
		return ret;
	/* As its driver maps it. */
	piece->map.prot = pgprot_noncached(PAGE_KERNEL);
	piece->origin = attach->dmabuf->exp_name;
	return add_segments(range, table, offset);
}
