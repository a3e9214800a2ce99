// SPDX-License-Identifier: GPL-2.0
/*
 * The built-in exporter: takes a mapping for what its PFNs are. A shared
 * VM_PFNMAP mapping is accepted if every page of the piece lies in one memory
 * BAR of one PCI function, whichever driver made the mapping.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/fs.h>
#include <linux/magic.h>
#include <linux/mm.h>
#include <linux/moduleparam.h>
#include <linux/mutex.h>
#include <linux/sched.h>

#include "chardev.h"
#include "policy.h"
#include "../compat.h"

static bool builtin_exporter = true;
module_param(builtin_exporter, bool, 0644);
MODULE_PARM_DESC(builtin_exporter,
		 "Accept stock mappings of PCI memory BARs (default: Y)");

/*
 * The functions found last, referenced: a machine has hundreds, and programs
 * use few. Under p2pmr_ranges_lock, like all look-ups.
 */
static struct pci_dev *recent[4];
static unsigned int next_recent;

/* The memory BAR of @pdev that holds @addr, or -1. */
static int find_bar(struct pci_dev *pdev, phys_addr_t addr)
{
	int i;

	for (i = 0; i < PCI_STD_NUM_BARS; i++) {
		struct resource *res = &pdev->resource[i];

		if ((res->flags & IORESOURCE_MEM) && res->start &&
		    addr >= res->start && addr <= res->end)
			return i;
	}
	return -1;
}

static struct pci_dev *find_recent(phys_addr_t addr, int *bar)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(recent); i++) {
		if (!recent[i])
			continue;
		*bar = find_bar(recent[i], addr);
		if (*bar >= 0)
			return recent[i];
	}
	return NULL;
}

/*
 * Find the function behind @addr for @map. A function found here is still on
 * the bus, so its removal has yet to forget it and to sweep the ranges, and
 * does both under the lock that is held here.
 */
static int find_function(struct p2pmr_mapping *map, phys_addr_t addr)
{
	struct pci_dev *pdev;

	mutex_lock(&p2pmr_ranges_lock);
	pdev = find_recent(addr, &map->bar);
	if (!pdev) {
		for_each_pci_dev(pdev) {
			map->bar = find_bar(pdev, addr);
			if (map->bar < 0)
				continue;
			/* The loop's reference goes into the cache. */
			pci_dev_put(recent[next_recent]);
			recent[next_recent] = pdev;
			next_recent = (next_recent + 1) % ARRAY_SIZE(recent);
			break;
		}
	}
	if (pdev)
		WRITE_ONCE(map->dev, get_device(&pdev->dev));
	mutex_unlock(&p2pmr_ranges_lock);
	return pdev ? 0 : -ENXIO;
}

/* @dev goes, or, if NULL, the module does. */
void p2pmr_bar_forget(const struct device *dev)
{
	unsigned int i;

	mutex_lock(&p2pmr_ranges_lock);
	for (i = 0; i < ARRAY_SIZE(recent); i++) {
		if (!recent[i] || (dev && &recent[i]->dev != dev))
			continue;
		pci_dev_put(recent[i]);
		recent[i] = NULL;
	}
	mutex_unlock(&p2pmr_ranges_lock);
}

/* What the administrator lets in. @registers: whoever asks bears registers. */
int p2pmr_bar_check(const struct p2pmr_range_ops *importer, bool registers,
		    struct pci_dev *pdev, int bar)
{
	switch (p2pmr_policy(pdev, bar, registers)) {
	case P2PMR_BAR_REGISTERS:
	case P2PMR_BAR_ON_REQUEST:
		return p2pmr_refuse(importer, -EPERM,
				    "%s BAR %d is not prefetchable and parameter allow_registers does not let it in",
				    pci_name(pdev), bar);
	case P2PMR_BAR_RULED_OUT:
		return p2pmr_refuse(importer, -EPERM,
				    "%s is ruled out by parameters allow and deny",
				    pci_name(pdev));
	}
	return 0;
}

/* A driver that watches for the first write maps, then makes it writable. */
#define MAX_FAULTS 2

static bool serves(const struct p2pmr_request *req, const struct p2pmr_run *run)
{
	return run->writable || !req->write;
}

/* Look up from @addr on, faulting in where the driver fills on demand. */
static int follow(const struct p2pmr_request *req, unsigned long addr,
		  struct p2pmr_run *run)
{
	unsigned int flags = req->write ? FAULT_FLAG_WRITE : 0;
	int ret = p2pmr_follow(req->vma, addr, req->end, run);
	int faults;

	if (!ret && serves(req, run))
		return 0;
	/* Only the driver could tell, by a fault that leaves something behind. */
	if (req->query)
		return -ENODATA;
	for (faults = 0; faults < MAX_FAULTS; faults++) {
		ret = fixup_user_fault(req->vma->vm_mm, addr, flags, NULL);
		if (!ret)
			ret = p2pmr_follow(req->vma, addr, req->end, run);
		if (ret || serves(req, run))
			break;
	}
	if (ret == -ENOMEM)
		return ret;
	if (ret)
		return p2pmr_refuse(req->importer, -EFAULT,
				    "page %#lx of the mapping cannot be faulted in",
				    (addr - req->vma->vm_start) >> PAGE_SHIFT);
	if (!serves(req, run))
		return p2pmr_refuse(req->importer, -EACCES,
				    "page %#lx of the mapping is not writable",
				    (addr - req->vma->vm_start) >> PAGE_SHIFT);
	return 0;
}

static bool continues(const struct p2pmr_run *run, const struct p2pmr_run *next)
{
	return next->addr == run->addr + run->len &&
	       p2pmr_cache_bits(next->prot) == p2pmr_cache_bits(run->prot);
}

/* The BAR is known from the first page; all others must lie in it too. */
static int add_run(const struct p2pmr_request *req, struct p2pmr_mapping *map,
		   const struct p2pmr_run *run)
{
	struct pci_dev *pdev = to_pci_dev(map->dev);
	struct resource *res = &pdev->resource[map->bar];
	u64 inside = 0;
	int ret = 0;

	if (run->addr >= res->start && run->addr <= res->end)
		inside = min_t(u64, run->len, res->end - run->addr + 1);
	map->prot = run->prot;
	if (inside)
		ret = p2pmr_add_extent(map, run->addr, inside, NULL);
	if (!ret && inside < run->len)
		ret = p2pmr_refuse(req->importer, -ENXIO,
				   "mapping reaches beyond BAR %d of %s",
				   map->bar, pci_name(pdev));
	return ret;
}

static int add_runs(const struct p2pmr_request *req, struct p2pmr_mapping *map,
		    struct p2pmr_run run)
{
	unsigned long addr = req->start + run.len;
	struct p2pmr_run next;
	int ret;

	for (; addr < req->end; addr += next.len) {
		cond_resched();
		ret = follow(req, addr, &next);
		if (ret) {
			if (req->query)
				add_run(req, map, &run);
			return ret;
		}
		if (continues(&run, &next)) {
			run.len += next.len;
			continue;
		}
		ret = add_run(req, map, &run);
		if (ret)
			return ret;
		run = next;
	}
	/* The last entry may map more than was asked for. */
	run.len -= addr - req->end;
	return add_run(req, map, &run);
}

/*
 * What sysfs maps is the function's own for as long as nobody else claims it,
 * and there are events for that. A driver that maps its device's memory may
 * give it to others, and nothing tells but that it zaps the mapping.
 */
static bool is_resource_file(const struct vm_area_struct *vma)
{
	return vma->vm_file &&
	       file_inode(vma->vm_file)->i_sb->s_magic == SYSFS_MAGIC;
}

static int bar_map(const struct p2pmr_request *req, struct p2pmr_mapping *map)
{
	struct p2pmr_run run;
	int ret, policy;

	if (!READ_ONCE(builtin_exporter))
		return p2pmr_refuse(req->importer, -EPERM,
				    "parameter builtin_exporter is off");
	if (req->outlive && !is_resource_file(req->vma))
		return p2pmr_refuse(req->importer, -EOPNOTSUPP,
				    "mapping is not of a resource file in sysfs: its driver may take it back");
	if (!(req->vma->vm_flags & VM_PFNMAP))
		return p2pmr_refuse(req->importer, -ENXIO,
				    "mapping is not made of page frame numbers");
	ret = follow(req, req->start, &run);
	if (ret)
		return ret;
	ret = find_function(map, run.addr);
	if (ret)
		return p2pmr_refuse(req->importer, ret,
				    "mapping is not a memory BAR of a PCI function");
	/* By remap_pfn_range(), until munmap(). */
	container_of(map, struct p2pmr_piece, map)->reserved =
		is_resource_file(req->vma);
	policy = p2pmr_bar_check(req->importer, req->registers,
				 to_pci_dev(map->dev), map->bar);
	if (policy && !req->query)
		return policy;
	ret = add_runs(req, map, run);
	return policy ?: ret;
}

const struct p2pmr_exporter p2pmr_bar_exporter = {
	.name = "pci-bar",
	.owner = THIS_MODULE,
	.lasting = true,
	.p2p_map = bar_map,
};

static u32 judge(const struct pci_dev *pdev, int bar)
{
	const struct resource *res = &pdev->resource[bar];

	if (!res->flags)
		return P2PMR_BAR_NOT_THERE;
	if (!(res->flags & IORESOURCE_MEM))
		return P2PMR_BAR_NOT_MEMORY;
	if (!res->start || (res->flags & IORESOURCE_UNSET))
		return P2PMR_BAR_NO_ADDRESS;
	if (!READ_ONCE(builtin_exporter))
		return P2PMR_BAR_EXPORTER_OFF;
	return p2pmr_policy(pdev, bar, false);
}

/* arg is the caller's struct p2pmr_ioc_bar, and becomes the answer. */
int p2pmr_ioctl_bar(struct p2pmr_file *file, void *arg)
{
	static const u32 errors[] = {
		[P2PMR_BAR_SERVED] = 0,
		[P2PMR_BAR_EXPORTER_OFF] = EPERM,
		[P2PMR_BAR_REGISTERS] = EPERM,
		[P2PMR_BAR_ON_REQUEST] = EPERM,
		[P2PMR_BAR_RULED_OUT] = EPERM,
		[P2PMR_BAR_NOT_MEMORY] = ENXIO,
		[P2PMR_BAR_NOT_THERE] = ENXIO,
		[P2PMR_BAR_NO_ADDRESS] = ENXIO,
	};
	struct p2pmr_ioc_bar *request = arg;
	struct pci_dev *pdev;

	if (request->flags || request->bar >= PCI_STD_NUM_BARS)
		return -EINVAL;
	pdev = pci_get_domain_bus_and_slot(request->domain, request->bus,
					   request->devfn);
	if (!pdev)
		return -ENODEV;
	request->reason = judge(pdev, request->bar);
	request->error = errors[request->reason];
	pci_dev_put(pdev);
	return 0;
}
