// SPDX-License-Identifier: GPL-2.0
/*
 * Where device memory is, in the words that a user may hear: function, BAR and
 * the offset in it, never an address.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/pci.h>
#include <linux/string.h>

#include "chardev.h"
#include "../compat.h"

static void locate_in_bar(struct p2pmr_location *location,
			  const struct pci_dev *pdev, int bar,
			  const struct p2pmr_segment *seg)
{
	const struct resource *res;

	if (bar < 0 || bar >= PCI_STD_NUM_BARS)
		return;
	location->flags |= P2PMR_LOCATION_BAR;
	location->bar = bar;
	res = &pdev->resource[bar];
	if (seg->addr < res->start || seg->addr > res->end)
		return;
	location->flags |= P2PMR_LOCATION_OFFSET;
	location->bar_offset = seg->addr - res->start;
}

/*
 * @seg is of @piece, or NULL for what the exporter said nothing about. The
 * piece holds its device.
 */
void p2pmr_locate(struct p2pmr_location *location,
		  const struct p2pmr_piece *piece,
		  const struct p2pmr_segment *seg)
{
	const struct p2pmr_mapping *map = &piece->map;
	const struct pci_dev *pdev;

	memset(location, 0, sizeof(*location));
	/* What nobody has claimed is not the built-in exporter's. */
	if (!map->dev && !piece->mapped)
		return;
	location->flags |= P2PMR_LOCATION_EXPORTER;
	strscpy(location->exporter, p2pmr_piece_name(piece),
		sizeof(location->exporter));
	if (seg && seg->addr)
		location->caching = p2pmr_caching(seg->prot);
	if (!map->dev || !dev_is_pci(map->dev))
		return;

	pdev = to_pci_dev(map->dev);
	location->flags |= P2PMR_LOCATION_PCI;
	location->domain = pci_domain_nr(pdev->bus);
	location->bus = pdev->bus->number;
	location->devfn = pdev->devfn;
	if (seg)
		locate_in_bar(location, pdev, map->bar, seg);
}
