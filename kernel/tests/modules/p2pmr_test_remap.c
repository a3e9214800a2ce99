// SPDX-License-Identifier: GPL-2.0
/*
 * Stands for any driver that maps memory by remap_pfn_range(): a device that
 * maps, page by page, the physical addresses that were written to its file,
 * and a uio device over one stretch of them. For tests; root only.
 *
 * Address 0 is a page of RAM, ~0 no entry at all, and with bit 0 set the entry is for
 * reading and stays so. A mapping without any entry is one without page frame
 * numbers.
 */
#include <linux/fs.h>
#include <linux/gfp.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/uio_driver.h>

#include "compat.h"

#define MAX_PAGES 1024
#define NO_ENTRY (~0ULL)
#define READ_ONLY 1ULL

static unsigned long uio_addr;
module_param(uio_addr, ulong, 0);
MODULE_PARM_DESC(uio_addr, "Physical address for the uio device");

static unsigned long uio_size;
module_param(uio_size, ulong, 0);
MODULE_PARM_DESC(uio_size, "Its size; 0: no uio device (default)");

/* A page of RAM, which takes the place of address 0. */
static unsigned long ram_page;

struct plan {
	unsigned int nr;
	u64 addrs[MAX_PAGES];
};

static int remap_open(struct inode *inode, struct file *file)
{
	struct plan *plan = kvzalloc(sizeof(*plan), GFP_KERNEL);

	file->private_data = plan;
	return plan ? 0 : -ENOMEM;
}

static int remap_release(struct inode *inode, struct file *file)
{
	kvfree(file->private_data);
	return 0;
}

static ssize_t remap_write(struct file *file, const char __user *from,
			   size_t size, loff_t *pos)
{
	struct plan *plan = file->private_data;

	if (size % sizeof(u64) || size > sizeof(plan->addrs))
		return -EINVAL;
	if (copy_from_user(plan->addrs, from, size))
		return -EFAULT;
	plan->nr = size / sizeof(u64);
	return size;
}

/* How many pages from @i on follow each other. */
static unsigned int count_run(const struct plan *plan, unsigned int i)
{
	unsigned int n = 1;

	while (plan->addrs[i] && i + n < plan->nr &&
	       plan->addrs[i + n] == plan->addrs[i] + n * PAGE_SIZE)
		n++;
	return n;
}

/* Leaves the entry as it is, and has the access tried again. */
static vm_fault_t stubborn_pfn_mkwrite(struct vm_fault *vmf)
{
	return VM_FAULT_NOPAGE;
}

static const struct vm_operations_struct stubborn_vm_ops = {
	.pfn_mkwrite = stubborn_pfn_mkwrite,
};

static int remap_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct plan *plan = file->private_data;
	unsigned int i, n, mapped = 0;
	int ret;

	if (vma_pages(vma) != plan->nr)
		return -EINVAL;
	for (i = 0; i < plan->nr; i += n) {
		u64 addr = plan->addrs[i] ?: __pa(ram_page);
		pgprot_t prot = vma->vm_page_prot;

		n = count_run(plan, i);
		if (addr == NO_ENTRY)
			continue;
		mapped += n;
		if (addr & READ_ONLY) {
			prot = vm_get_page_prot(VM_READ | VM_SHARED);
			vma->vm_ops = &stubborn_vm_ops;
		}
		if (plan->addrs[i])
			prot = pgprot_noncached(prot);
		ret = remap_pfn_range(vma, vma->vm_start + i * PAGE_SIZE,
				      addr >> PAGE_SHIFT, n * PAGE_SIZE, prot);
		if (ret)
			return ret;
	}
	if (!mapped)
		p2pmr_vm_flags_set(vma, VM_IO);
	return 0;
}

static const struct file_operations remap_fops = {
	.owner = THIS_MODULE,
	.open = remap_open,
	.release = remap_release,
	.write = remap_write,
	.mmap = remap_mmap,
};

static struct miscdevice remap_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "p2pmr_test_remap",
	.fops = &remap_fops,
	.mode = 0600,
};

static struct uio_info uio = {
	.name = "p2pmr_test",
	.version = "1",
	.irq = UIO_IRQ_NONE,
};

static int __init remap_init(void)
{
	int ret;

	ram_page = get_zeroed_page(GFP_KERNEL);
	if (!ram_page)
		return -ENOMEM;
	ret = misc_register(&remap_device);
	if (ret)
		goto free;
	if (!uio_size)
		return 0;
	uio.mem[0].memtype = UIO_MEM_PHYS;
	uio.mem[0].addr = uio_addr;
	uio.mem[0].size = uio_size;
	ret = uio_register_device(remap_device.this_device, &uio);
	if (!ret)
		return 0;
	misc_deregister(&remap_device);
free:
	free_page(ram_page);
	return ret;
}

static void __exit remap_exit(void)
{
	if (uio_size)
		uio_unregister_device(&uio);
	misc_deregister(&remap_device);
	free_page(ram_page);
}

module_init(remap_init);
module_exit(remap_exit);

MODULE_DESCRIPTION("Maps physical memory for the tests of p2pmr");
MODULE_AUTHOR("The p2pmr authors");
MODULE_LICENSE("GPL");
