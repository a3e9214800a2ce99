// SPDX-License-Identifier: GPL-2.0
/*
 * p2pmr_bar.ko: user space maps the memory BARs of a PCI function, and
 * importers such as RDMA devices reach them through these mappings. A driver of
 * use by itself, and the example of an exporter: docs/exporter.md explains it.
 */
#include <linux/file.h>
#include <linux/io.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mount.h>
#include <linux/p2pmr.h>
#include <linux/pci.h>
#include <linux/pseudo_fs.h>
#include <linux/rwsem.h>
#include <linux/slab.h>

#include "../compat.h"

static bool allow_registers;
module_param(allow_registers, bool, 0644);
MODULE_PARM_DESC(allow_registers, "Export non-prefetchable (register) BARs too (default: N)");

/* A file to map a BAR by, and the cache mode that it stands for. */
struct bar_file {
	struct miscdevice misc;
	char name[64];			/* below /dev; empty if not registered */
	struct bar *bar;
	bool wc;
};

/* A memory BAR; one that is not offered has no length. */
struct bar {
	struct function *fn;
	int index;
	phys_addr_t start;		/* at a page boundary */
	resource_size_t len;		/* not always whole pages */
	struct resource rest;		/* of the last page */
	struct bar_file files[2];	/* uncached, write-combining */
	/* Under fn->lock: */
	unsigned int users;		/* open files; mappings hold theirs */
	bool wc;			/* the cache mode of all users */
	void __iomem *kaddr;		/* all of it, while there are users */
};

/* A PCI function, from binding until the last file is closed. */
struct function {
	struct kref ref;
	struct pci_dev *pdev;
	/* Its address space has all mappings, so that one call zaps them. */
	struct inode *inode;
	/* Under mmap_lock. Not over zapping or revoking: they wait for who needs it. */
	struct rw_semaphore lock;
	bool gone;			/* nobody may reach the memory */
	struct bar bars[PCI_STD_NUM_BARS];
};

static struct vfsmount *inodes;

static void function_free(struct kref *ref)
{
	struct function *fn = container_of(ref, struct function, ref);

	iput(fn->inode);
	pci_dev_put(fn->pdev);
	kfree(fn);
}

/* Under the lock, so that bar_remove() zaps what was inserted before it. */
static vm_fault_t bar_fault(struct vm_fault *vmf)
{
	struct bar *bar = vmf->vma->vm_private_data;
	vm_fault_t ret = VM_FAULT_SIGBUS;

	down_read(&bar->fn->lock);
	if (!bar->fn->gone)
		ret = vmf_insert_pfn(vmf->vma, vmf->address, PHYS_PFN(bar->start) + vmf->pgoff);
	up_read(&bar->fn->lock);
	return ret;
}

/* By its address p2pmr.ko knows a VMA as ours, so it must be ours alone. */
static const struct vm_operations_struct bar_vm_ops = {
	.fault = bar_fault,
	.mprotect = p2pmr_vma_mprotect,
};

/*
 * A BAR is contiguous, so one extent will do, and no page is looked at. What it
 * needs until bar_p2p_unmap() the open file holds: object, kaddr, and module.
 */
static int bar_p2p_map(const struct p2pmr_request *req, struct p2pmr_mapping *map)
{
	struct bar *bar = req->vma->vm_private_data;
	struct pci_dev *pdev = bar->fn->pdev;
	u64 len = req->end - req->start;
	u64 offset = PFN_PHYS(req->vma->vm_pgoff) + req->start - req->vma->vm_start;
	int ret = -ENODEV;

	mmap_assert_locked(req->vma->vm_mm);
	/* Importers may read twice or write in pieces, which registers mind. */
	if (!(pci_resource_flags(pdev, bar->index) & IORESOURCE_PREFETCH) &&
	    !READ_ONCE(allow_registers))
		return p2pmr_refuse(req->importer, -EPERM,
				    "%s BAR %d is not prefetchable and parameter allow_registers of p2pmr_bar is off",
				    pci_name(pdev), bar->index);
	if (offset + len > bar->len)
		return p2pmr_refuse(req->importer, -ENXIO,
				    "range reaches beyond BAR %d of %s",
				    bar->index, pci_name(pdev));

	down_read(&bar->fn->lock);
	if (!bar->fn->gone) {
		map->dev = get_device(&pdev->dev);
		map->bar = bar->index;
		map->prot = req->vma->vm_page_prot;
		ret = p2pmr_add_extent(map, bar->start + offset, len, bar->kaddr + offset);
	}
	up_read(&bar->fn->lock);
	if (!ret)
		map->cookie = get_file(req->vma->vm_file);
	return ret;
}

static void bar_p2p_unmap(void *cookie)
{
	fput(cookie);
}

static const struct p2pmr_exporter exporter = {
	.name = KBUILD_MODNAME,
	.owner = THIS_MODULE,
	.lasting = true,
	.vm_ops = &bar_vm_ops,
	.p2p_map = bar_p2p_map,
	.p2p_unmap = bar_p2p_unmap,
};

static void bar_unmap_kernel(struct bar *bar)
{
	lockdep_assert_held_write(&bar->fn->lock);
	if (bar->kaddr)
		iounmap(bar->kaddr);
	bar->kaddr = NULL;
}

/*
 * All open files agree on the cache mode, since all mappings of a page must.
 * The kernel's mapping comes first: on x86 vmf_insert_pfn() takes the mode from
 * what is reserved for the address, and it is ioremap_wc() that reserves it.
 * misc_deregister() waits until this has returned.
 */
static int bar_open(struct inode *inode, struct file *file)
{
	struct miscdevice *misc = file->private_data;
	struct bar_file *bf = container_of(misc, struct bar_file, misc);
	struct bar *bar = bf->bar;
	int ret = 0;

	down_write(&bar->fn->lock);
	if (bar->fn->gone) {
		ret = -ENODEV;
	} else if (!bar->users) {
		bar->wc = bf->wc;
		bar->kaddr = bar->wc ? ioremap_wc(bar->start, bar->len) :
				       ioremap(bar->start, bar->len);
		if (!bar->kaddr)
			ret = -ENOMEM;
	} else if (bar->wc != bf->wc) {
		ret = -EBUSY;
	}
	if (!ret) {
		bar->users++;
		kref_get(&bar->fn->ref);
		file->private_data = bar;
		file->f_mapping = bar->fn->inode->i_mapping;
	}
	up_write(&bar->fn->lock);
	return ret;
}

static int bar_release(struct inode *inode, struct file *file)
{
	struct bar *bar = file->private_data;

	down_write(&bar->fn->lock);
	if (!--bar->users)
		bar_unmap_kernel(bar);
	up_write(&bar->fn->lock);
	kref_put(&bar->fn->ref, function_free);
	return 0;
}

static int bar_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct bar *bar = file->private_data;
	unsigned long pages = PAGE_ALIGN(bar->len) >> PAGE_SHIFT;
	pgprot_t prot;

	/* MAP_PRIVATE wants copies of pages, and there are no pages. */
	if (!(vma->vm_flags & VM_MAYSHARE))
		return -EINVAL;
	/* In pages, and without a sum, so that nothing can wrap around. */
	if (vma->vm_pgoff >= pages || vma_pages(vma) > pages - vma->vm_pgoff)
		return -EINVAL;
	/* A courtesy: what comes too late here will find out in bar_fault(). */
	if (READ_ONCE(bar->fn->gone))
		return -ENODEV;

	/* As ioremap() and ioremap_wc() do it; and the bus is not encrypted. */
	prot = pgprot_decrypted(vma->vm_page_prot);
	vma->vm_page_prot = bar->wc ? pgprot_writecombine(prot) : pgprot_device(prot);
	p2pmr_vm_flags_set(vma, VM_IO | VM_PFNMAP | VM_DONTEXPAND | VM_DONTDUMP);
	vma->vm_private_data = bar;
	vma->vm_ops = &bar_vm_ops;
	return 0;
}

static const struct file_operations bar_fops = {
	.owner = THIS_MODULE,
	.open = bar_open,
	.release = bar_release,
	.mmap = bar_mmap,
};

/*
 * Make the files of a BAR. A mapping is whole pages; what shares the last one
 * with the BAR must be nothing, and stay so: take the room, or offer no file.
 */
static int bar_add(struct bar *bar)
{
	struct pci_dev *pdev = bar->fn->pdev;
	struct resource *res = &pdev->resource[bar->index];
	int wc, ret = 0;

	if (!(res->flags & IORESOURCE_MEM))
		return 0;
	bar->rest.name = KBUILD_MODNAME;
	bar->rest.start = res->end + 1;
	bar->rest.end = PAGE_ALIGN(res->end + 1) - 1;
	if (offset_in_page(res->start) ||
	    (bar->rest.end > res->end && request_resource(res->parent, &bar->rest))) {
		pci_notice(pdev, "BAR %d shares a page: no file\n", bar->index);
		return 0;
	}
	bar->start = res->start;
	bar->len = resource_size(res);
	/* Write-combining merges and reorders, which registers mind. */
	for (wc = 0; !ret && wc <= !!(res->flags & IORESOURCE_PREFETCH); wc++) {
		struct bar_file *bf = &bar->files[wc];

		snprintf(bf->name, sizeof(bf->name), "p2pmr_bar/%s-bar%d%s",
			 pci_name(pdev), bar->index, wc ? "-wc" : "");
		bf->bar = bar;
		bf->wc = wc;
		bf->misc.minor = MISC_DYNAMIC_MINOR;
		bf->misc.name = strchr(bf->name, '/') + 1;
		bf->misc.nodename = bf->name;
		bf->misc.mode = 0600; /* then udev sets owner, group, mode */
		bf->misc.parent = &pdev->dev;
		bf->misc.fops = &bar_fops;
		ret = misc_register(&bf->misc);
		if (ret)
			bf->name[0] = '\0';
	}
	return ret;
}

/*
 * First nothing new can begin; then the CPU's entries go, and who touches a
 * mapping gets SIGBUS; then importers end. Open files keep nothing but memory.
 */
static void bar_remove(struct pci_dev *pdev)
{
	struct function *fn = pci_get_drvdata(pdev);
	struct bar *bar;
	int wc, ret;

	down_write(&fn->lock);
	WRITE_ONCE(fn->gone, true);
	up_write(&fn->lock);
	unmap_mapping_range(fn->inode->i_mapping, 0, 0, 1);

	for (bar = fn->bars; bar < fn->bars + PCI_STD_NUM_BARS; bar++) {
		if (!bar->len)
			continue;
		for (wc = 0; wc < 2; wc++)
			if (bar->files[wc].name[0])
				misc_deregister(&bar->files[wc].misc);
		ret = p2pmr_revoke(&exporter, bar->start, bar->len);
		down_write(&fn->lock);
		if (!ret)
			bar_unmap_kernel(bar);
		up_write(&fn->lock);
		if (bar->rest.parent)
			release_resource(&bar->rest);
	}
	pci_release_mem_regions(pdev);
	pci_disable_device(pdev);
	kref_put(&fn->ref, function_free);
}

static int bar_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct function *fn = kzalloc(sizeof(*fn), GFP_KERNEL);
	int i, ret;

	if (!fn)
		return -ENOMEM;
	kref_init(&fn->ref);
	init_rwsem(&fn->lock);
	fn->pdev = pci_dev_get(pdev);
	fn->inode = alloc_anon_inode(inodes->mnt_sb);
	ret = PTR_ERR_OR_ZERO(fn->inode);
	if (ret) {
		fn->inode = NULL;
		goto put;
	}
	ret = pci_enable_device_mem(pdev);
	if (ret)
		goto put;
	ret = pci_request_mem_regions(pdev, KBUILD_MODNAME);
	if (ret)
		goto disable;
	pci_set_drvdata(pdev, fn);
	for (i = 0; !ret && i < PCI_STD_NUM_BARS; i++) {
		fn->bars[i].fn = fn;
		fn->bars[i].index = i;
		ret = bar_add(&fn->bars[i]);
	}
	if (ret)
		bar_remove(pdev);
	return ret;

disable:
	pci_disable_device(pdev);
put:
	kref_put(&fn->ref, function_free);
	return ret;
}

/* No table: the administrator alone names devices, new_id or driver_override. */
static struct pci_driver bar_driver = {
	.name = KBUILD_MODNAME,
	.probe = bar_probe,
	.remove = bar_remove,
};

static int inodes_init(struct fs_context *fc)
{
	return init_pseudo(fc, 0x70326261) ? 0 : -ENOMEM;
}

/* Without .owner: with it the mount would hold this module for good. */
static struct file_system_type inodes_type = {
	.name = KBUILD_MODNAME,
	.init_fs_context = inodes_init,
	.kill_sb = kill_anon_super,
};

static int __init bar_init(void)
{
	int ret;

	inodes = kern_mount(&inodes_type);
	if (IS_ERR(inodes))
		return PTR_ERR(inodes);
	ret = p2pmr_register_exporter(&exporter);
	if (ret)
		goto unmount;
	ret = pci_register_driver(&bar_driver);
	if (ret)
		goto unregister;
	return 0;

unregister:
	p2pmr_unregister_exporter(&exporter);
unmount:
	kern_unmount(inodes);
	return ret;
}

/* Every open file holds the module, so no mapping is left, and no importer. */
static void __exit bar_exit(void)
{
	pci_unregister_driver(&bar_driver);
	p2pmr_unregister_exporter(&exporter);
	kern_unmount(inodes);
}

module_init(bar_init);
module_exit(bar_exit);

MODULE_DESCRIPTION("PCI BARs for user space and for peer-to-peer importers");
MODULE_AUTHOR("The p2pmr authors");
MODULE_VERSION("0.1.0"); /* as in CMakeLists.txt */
MODULE_LICENSE("GPL");
