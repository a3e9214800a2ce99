// SPDX-License-Identifier: GPL-2.0
/*
 * Can a device reach another one's memory? Nothing tells a driver when a
 * transaction between two PCI functions gets lost on its way, so the way is
 * looked at before a DMA address is given out: a switch carries it, a root
 * complex if it is known to, and the administrator has the last word.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/iommu.h>
#include <linux/pci-p2pdma.h>

#include "chardev.h"
#include "policy.h"

/**
 * struct p2pmr_way - from a device to another one's memory
 * @path: P2PMR_PATH_*
 * @flags: P2PMR_REACH_*
 * @links: between the two
 */
struct p2pmr_way {
	u32 path;
	u32 flags;
	u32 links;
};

static bool is_way(const struct p2pmr_way *way)
{
	return way->path <= P2PMR_PATH_ALLOWED;
}

/* The PCI function that does a device's DMA: itself, or one above it. */
static struct pci_dev *function_of(struct device *dev)
{
	for (; dev; dev = dev->parent)
		if (dev_is_pci(dev))
			return to_pci_dev(dev);
	return NULL;
}

static struct pci_bus *root_of(struct pci_dev *pdev)
{
	struct pci_bus *bus = pci_physfn(pdev)->bus;

	while (bus->parent)
		bus = bus->parent;
	return bus;
}

/*
 * The bridge below which both are, or one of the two if the other is below it;
 * NULL if only a root complex is above both. Counts the links in between.
 */
static struct pci_dev *meet(struct pci_dev *a, struct pci_dev *b, u32 *links)
{
	u32 up = 0, down = 0;
	struct pci_dev *x, *y;

	for (x = a; x; x = pci_upstream_bridge(x), up++) {
		down = 0;
		for (y = b; y; y = pci_upstream_bridge(y), down++) {
			if (x != y)
				continue;
			*links = up + down;
			return x;
		}
	}
	*links = up + down;
	return NULL;
}

/* Does ACS make a port, or a function, send upstream what is for a neighbour? */
static bool redirects(struct pci_dev *pdev)
{
	int acs = pci_find_ext_capability(pdev, PCI_EXT_CAP_ID_ACS);
	u16 control;

	if (!acs)
		return false;
	pci_read_config_word(pdev, acs + PCI_ACS_CTRL, &control);
	return control & (PCI_ACS_RR | PCI_ACS_CR | PCI_ACS_EC);
}

static bool redirected(struct pci_dev *pdev, const struct pci_dev *top)
{
	for (; pdev && pdev != top; pdev = pci_upstream_bridge(pdev))
		if (redirects(pdev))
			return true;
	return false;
}

/*
 * Does an IOMMU translate the DMA addresses of @dev? Then no switch takes them
 * for a neighbour's: the way is up to the IOMMU and down again. The domain of a
 * device without a driver may change meanwhile; it is supposed to translate.
 */
static bool translates(struct device *dev, bool bound)
{
	struct iommu_domain *domain;

	if (!device_iommu_mapped(dev))
		return false;
	domain = bound ? iommu_get_domain_for_dev(dev) : NULL;
	return !domain || domain->type != IOMMU_DOMAIN_IDENTITY;
}

static bool same_group(struct device *a, struct device *b)
{
	struct iommu_group *first = iommu_group_get(a);
	struct iommu_group *second = iommu_group_get(b);
	bool same = first && first == second;

	iommu_group_put(first);
	iommu_group_put(second);
	return same;
}

/*
 * Root complexes that carry transactions from one of their ports to another:
 * those of AMD's processors since Zen, and Intel's of servers, by what the
 * function 00.0 on their bus says it is.
 */
static bool root_is_known(struct pci_bus *root)
{
	static const u16 intel[] = { 0x3c00, 0x3c01, 0x2f00, 0x2f01, 0x2020,
				     0x2030, 0x2031, 0x2032, 0x2033, 0x09a2 };
	struct pci_dev *bridge;
	bool known = false;
	unsigned int i;

#ifdef CONFIG_X86
	if (boot_cpu_data.x86_vendor == X86_VENDOR_AMD && boot_cpu_data.x86 >= 0x17)
		return true;
#endif
	bridge = pci_get_slot(root, PCI_DEVFN(0, 0));
	if (bridge && bridge->vendor == PCI_VENDOR_ID_INTEL)
		for (i = 0; i < ARRAY_SIZE(intel); i++)
			known |= bridge->device == intel[i];
	pci_dev_put(bridge);
	return known;
}

/*
 * The kernel knows more root complexes, where it has been built to. Of a way
 * below a switch (@aside) it is no judge: it means that of bus addresses, while
 * DMA addresses go by the root complex all the same.
 */
static u32 by_root(struct pci_dev *dev, struct pci_dev *function, bool aside)
{
	bool same = root_of(dev) == root_of(function), known;

	if (IS_ENABLED(CONFIG_PCI_P2PDMA) && !aside)
		known = pci_p2pdma_distance(function, &dev->dev, false) >= 0;
	else
		known = same && root_is_known(root_of(function));
	if (known)
		return P2PMR_PATH_ROOT;
	return same ? P2PMR_PATH_UNKNOWN_ROOT : P2PMR_PATH_OTHER_ROOT;
}

static void walk(struct pci_dev *dev, struct pci_dev *function, bool translated,
		 struct p2pmr_way *way)
{
	struct pci_dev *top = meet(dev, function, &way->links);

	if (translated)
		way->flags |= P2PMR_REACH_TRANSLATED;
	if (same_group(&dev->dev, &function->dev))
		way->flags |= P2PMR_REACH_SAME_GROUP;
	if (top && (redirected(dev, top) || redirected(function, top)))
		way->flags |= P2PMR_REACH_REDIRECTED;
	if (top && !(way->flags & (P2PMR_REACH_TRANSLATED | P2PMR_REACH_REDIRECTED)))
		way->path = P2PMR_PATH_SWITCH;
	else
		way->path = by_root(dev, function,
				    top && !(way->flags & P2PMR_REACH_REDIRECTED));
}

/*
 * Look at the way from @dev to the memory of @memory, which may be NULL: nobody
 * knows whose it is. Neither may leave the bus meanwhile. May sleep.
 */
static void look(struct device *dev, struct device *memory, bool bound,
		 struct p2pmr_way *way)
{
	struct pci_dev *from = function_of(dev);
	struct pci_dev *to = memory ? function_of(memory) : NULL;

	*way = (struct p2pmr_way){ .path = P2PMR_PATH_NOT_PCI };
	if (from && to)
		walk(from, to, translates(dev, bound), way);
	switch (p2pmr_policy_pair(from, to)) {
	case P2PMR_PAIR_DENIED:
		way->path = P2PMR_PATH_DENIED;
		break;
	case P2PMR_PAIR_ALLOWED:
		if (!is_way(way))
			way->path = P2PMR_PATH_ALLOWED;
		break;
	case P2PMR_PAIR_UNSAID:
		break;
	}
}

static const char *reason(u32 path)
{
	switch (path) {
	case P2PMR_PATH_UNKNOWN_ROOT:
		return "the root complex between them is not known to carry it";
	case P2PMR_PATH_OTHER_ROOT:
		return "they are below different root complexes";
	case P2PMR_PATH_DENIED:
		return "parameter deny_pairs";
	default:
		return "one of them is no PCI function";
	}
}

/**
 * p2pmr_check_reach() - may a device be given DMA addresses of a range?
 * @range: resolved; the caller makes sure that none of its functions leaves the
 *	bus meanwhile
 * @dev: the device, which has a driver
 *
 * Return: 0 or -EXDEV.
 */
int p2pmr_check_reach(const struct p2pmr_range *range, struct device *dev)
{
	struct device *last = NULL;
	struct p2pmr_way way;
	bool looked = false;
	unsigned int i;

	for (i = 0; i < range->nr_pieces; i++) {
		const struct p2pmr_piece *piece = &range->pieces[i];
		struct device *memory = piece->map.dev;

		if (!piece->exporter || (looked && memory == last))
			continue;
		look(dev, memory, true, &way);
		if (!is_way(&way))
			return p2pmr_refuse(range->ops, -EXDEV,
					    "%s does not reach %s: %s",
					    dev_name(dev),
					    memory ? dev_name(memory) : piece->exporter->name,
					    reason(way.path));
		last = memory;
		looked = true;
	}
	return 0;
}

static s32 group_of(struct device *dev)
{
	struct iommu_group *group = iommu_group_get(dev);
	s32 id = group ? iommu_group_id(group) : -1;

	iommu_group_put(group);
	return id;
}

/* A driver that is just coming or going counts as none. */
static void look_at_pair(struct pci_dev *dev, struct pci_dev *memory,
			 struct p2pmr_ioc_reach *answer)
{
	bool locked = device_trylock(&dev->dev);
	struct p2pmr_way way;

	look(&dev->dev, &memory->dev, locked && dev->dev.driver, &way);
	if (locked)
		device_unlock(&dev->dev);
	answer->error = is_way(&way) ? 0 : EXDEV;
	answer->path = way.path;
	answer->properties = way.flags;
	answer->links = way.links;
	answer->group = group_of(&memory->dev);
	answer->device_group = group_of(&dev->dev);
}

/*
 * arg is the caller's struct p2pmr_ioc_reach, and becomes the answer. What is
 * found under the lock is on the bus until it is released, see pci_bar.c.
 */
int p2pmr_ioctl_reach(struct p2pmr_file *file, void *arg)
{
	struct p2pmr_ioc_reach *request = arg;
	struct pci_dev *memory, *dev;
	int ret = -ENODEV;

	if (request->flags || request->reserved || request->device_reserved)
		return -EINVAL;
	mutex_lock(&p2pmr_ranges_lock);
	memory = pci_get_domain_bus_and_slot(request->domain, request->bus,
					     request->devfn);
	dev = pci_get_domain_bus_and_slot(request->device_domain,
					  request->device_bus,
					  request->device_devfn);
	if (memory && dev) {
		look_at_pair(dev, memory, request);
		ret = 0;
	}
	mutex_unlock(&p2pmr_ranges_lock);
	pci_dev_put(memory);
	pci_dev_put(dev);
	return ret;
}
