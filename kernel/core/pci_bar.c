// SPDX-License-Identifier: GPL-2.0
/*
 * The built-in exporter: takes a mapping for what its PFNs are. A shared
 * VM_PFNMAP mapping is accepted if every page of the piece lies in one memory
 * BAR of one PCI function, whichever driver made the mapping.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/mm.h>
#include <linux/moduleparam.h>

#include "core.h"
#include "../compat.h"

static bool builtin_exporter = true;
module_param(builtin_exporter, bool, 0644);
MODULE_PARM_DESC(builtin_exporter,
		 "Accept stock mappings of PCI memory BARs (default: Y)");

static bool allow_registers;
module_param(allow_registers, bool, 0644);
MODULE_PARM_DESC(allow_registers,
		 "Accept non-prefetchable (register) BARs too (default: N)");

/* The memory BAR of @pdev that holds @addr, or NULL. */
static struct resource *find_bar(struct pci_dev *pdev, phys_addr_t addr)
{
	int i;

	for (i = 0; i < PCI_STD_NUM_BARS; i++) {
		struct resource *res = &pdev->resource[i];

		if ((res->flags & IORESOURCE_MEM) && res->start &&
		    addr >= res->start && addr <= res->end)
			return res;
	}
	return NULL;
}

/* Returns the function with a reference, or NULL. */
static struct pci_dev *find_function(phys_addr_t addr, struct resource **bar)
{
	struct pci_dev *pdev = NULL;

	for_each_pci_dev(pdev) {
		*bar = find_bar(pdev, addr);
		if (*bar)
			return pdev;
	}
	return NULL;
}

static int check_rights(struct p2pmr_range *range, struct vm_area_struct *vma)
{
	if (!READ_ONCE(builtin_exporter)) {
		p2pmr_refuse("parameter builtin_exporter is off");
		return -EPERM;
	}
	if (!(vma->vm_flags & VM_PFNMAP)) {
		p2pmr_refuse("mapping is not made of page frame numbers");
		return -ENXIO;
	}
	/* Not VM_SHARED: a read-only file's shared mapping is without it. */
	if (!(vma->vm_flags & VM_MAYSHARE)) {
		p2pmr_refuse("mapping is private (MAP_PRIVATE)");
		return -EINVAL;
	}
	if (!(vma->vm_flags & VM_READ) ||
	    (range->write && !(vma->vm_flags & VM_WRITE))) {
		p2pmr_refuse("access flags ask for more than the mapping's protection");
		return -EACCES;
	}
	return 0;
}

static int check_bar(struct pci_dev *pdev, struct resource *bar)
{
	if (!(bar->flags & IORESOURCE_PREFETCH) && !READ_ONCE(allow_registers)) {
		p2pmr_refuse("%s BAR %d is not prefetchable and parameter allow_registers is off",
			     pci_name(pdev), (int)(bar - pdev->resource));
		return -EPERM;
	}
	return 0;
}

/* Look up one address, faulting it in where the exporter fills on demand. */
static int follow(struct p2pmr_range *range, struct vm_area_struct *vma,
		  unsigned long addr, struct p2pmr_pte *pte)
{
	unsigned int flags = range->write ? FAULT_FLAG_WRITE : 0;
	int ret = p2pmr_follow(vma, addr, pte);

	if (!ret && (pte->writable || !range->write))
		return 0;
	ret = fixup_user_fault(vma->vm_mm, addr, flags, NULL);
	if (!ret)
		ret = p2pmr_follow(vma, addr, pte);
	if (ret) {
		p2pmr_refuse("nothing is mapped at offset %#lx",
			     addr - range->start);
		return -EFAULT;
	}
	if (range->write && !pte->writable) {
		p2pmr_refuse("page at offset %#lx is not writable",
			     addr - range->start);
		return -EACCES;
	}
	return 0;
}

/*
 * Extend @run over all that follows it contiguously with the same cache
 * attributes. Returns 0 and the next, different entry in @next, if any.
 */
static int follow_run(struct p2pmr_piece *piece, struct vm_area_struct *vma,
		      unsigned long *addr, struct p2pmr_pte *run,
		      struct p2pmr_pte *next)
{
	int ret;

	*addr += run->left;
	while (*addr < piece->end) {
		ret = follow(piece->range, vma, *addr, next);
		if (ret)
			return ret;
		if (next->addr != run->addr + run->left ||
		    p2pmr_cache_bits(next->prot) != p2pmr_cache_bits(run->prot))
			return 0;
		run->left += next->left;
		*addr += next->left;
	}
	run->left -= *addr - piece->end;
	return 0;
}

/*
 * Resolve @piece, which lies in @vma, to segments of its range. On success the
 * piece holds a reference on the function, on failure too if it got that far.
 */
int p2pmr_bar_resolve(struct p2pmr_piece *piece, struct vm_area_struct *vma)
{
	struct p2pmr_range *range = piece->range;
	unsigned long addr = piece->start;
	struct p2pmr_pte run, next;
	struct resource *bar;
	int ret;

	mmap_assert_locked(vma->vm_mm);

	ret = check_rights(range, vma);
	if (ret)
		return ret;
	ret = follow(range, vma, addr, &next);
	if (ret)
		return ret;
	if (!p2pmr_claim(piece, next.addr, find_function, &bar)) {
		p2pmr_refuse("mapping is not a memory BAR of a PCI function");
		return -ENXIO;
	}
	ret = check_bar(piece->pdev, bar);
	if (ret)
		return ret;

	while (addr < piece->end) {
		run = next;
		ret = follow_run(piece, vma, &addr, &run, &next);
		if (ret)
			return ret;
		if (run.addr < bar->start || run.addr + run.left - 1 > bar->end) {
			p2pmr_refuse("mapping reaches beyond BAR %d of %s",
				     (int)(bar - piece->pdev->resource),
				     pci_name(piece->pdev));
			return -ENXIO;
		}
		ret = p2pmr_segment_add(range, run.addr, run.left, run.prot);
		if (ret)
			return ret;
	}
	return 0;
}
