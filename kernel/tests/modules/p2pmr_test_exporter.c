// SPDX-License-Identifier: GPL-2.0
/*
 * An exporter that does what it is told, for tests: it maps one stretch of
 * physical addresses, takes back parts of it and gives them out again, makes
 * importers wait, answers wrongly, and tells who asked last and how many have its
 * memory. Root only.
 */
#include <linux/completion.h>
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/p2pmr.h>
#include <linux/pci.h>
#include <linux/sched.h>
#include <linux/uaccess.h>

#include "compat.h"

static unsigned long addr;
module_param(addr, ulong, 0);
MODULE_PARM_DESC(addr, "Physical address of the memory");

static unsigned long size;
module_param(size, ulong, 0);
MODULE_PARM_DESC(size, "Its size in bytes");

static bool lasting;
module_param(lasting, bool, 0);
MODULE_PARM_DESC(lasting, "Whether it may be used when the mapping has gone");

static bool entries = true;
module_param(entries, bool, 0);
MODULE_PARM_DESC(entries, "Mappings have their page table entries from the beginning");

static bool mprotect = true;
module_param(mprotect, bool, 0);
MODULE_PARM_DESC(mprotect, "Without entries: be told of mprotect()");

static bool owned = true;
module_param(owned, bool, 0);
MODULE_PARM_DESC(owned, "Ranges hold the module");

#define MAX_EXTENTS 3

/* What p2p_map answers instead of the truth. */
static struct {
	bool told;
	int ret;
	unsigned int clear; /* the mapping in the end */
	unsigned int nr;
	struct {
		u64 addr;
		u64 len;
		u64 kaddr;
	} extents[MAX_EXTENTS];
} answer;

static DEFINE_MUTEX(lock); /* what follows, and the answer */
static struct pci_dev *claimed; /* whose BAR it says that the memory is, or NULL */
static unsigned int claimed_bar;
static unsigned long taken_start, taken_end;
static unsigned int users;
static bool holding;
static struct completion released;
static char asked[128];

static int map_as_told(struct p2pmr_mapping *map)
{
	unsigned int i;

	lockdep_assert_held(&lock);
	/* Like an exporter that does not care. */
	for (i = 0; i < answer.nr; i++)
		p2pmr_add_extent(map, answer.extents[i].addr, answer.extents[i].len,
				 (void __iomem *)(uintptr_t)answer.extents[i].kaddr);
	if (answer.clear)
		*map = (struct p2pmr_mapping){};
	return answer.ret;
}

static int exporter_p2p_map(const struct p2pmr_request *req,
			    struct p2pmr_mapping *map)
{
	unsigned long offset = (req->vma->vm_pgoff << PAGE_SHIFT) +
			       req->start - req->vma->vm_start;
	unsigned long len = req->end - req->start;
	bool wait;
	int ret;

	mutex_lock(&lock);
	wait = holding;
	holding = false;
	snprintf(asked, sizeof(asked), "pid=%d importer=%s offset=%lu length=%lu write=%d",
		 task_tgid_nr(req->owner), req->importer->name, offset, len,
		 req->write);
	mutex_unlock(&lock);
	if (wait && wait_for_completion_killable(&released))
		return -EINTR;

	mutex_lock(&lock);
	map->bar = -1;
	map->prot = req->vma->vm_page_prot;
	if (claimed) {
		map->dev = get_device(&claimed->dev);
		map->bar = claimed_bar;
	}
	if (offset < taken_end && taken_start < offset + len)
		ret = -ENODEV;
	else if (answer.told)
		ret = map_as_told(map);
	else
		ret = p2pmr_add_extent(map, addr + offset, len, NULL);
	if (!ret)
		users++;
	mutex_unlock(&lock);
	return ret;
}

static void exporter_p2p_unmap(void *cookie)
{
	mutex_lock(&lock);
	users--;
	mutex_unlock(&lock);
}

static const struct vm_operations_struct exporter_vm_ops = {};

static const struct vm_operations_struct no_entries_vm_ops = {
	.mprotect = p2pmr_vma_mprotect,
};

static struct p2pmr_exporter exporter = {
	.name = KBUILD_MODNAME,
	.owner = THIS_MODULE,
	.vm_ops = &exporter_vm_ops,
	.p2p_map = exporter_p2p_map,
	.p2p_unmap = exporter_p2p_unmap,
};

static int exporter_mmap(struct file *file, struct vm_area_struct *vma)
{
	unsigned long len = vma->vm_end - vma->vm_start;
	unsigned long offset = vma->vm_pgoff << PAGE_SHIFT;

	if (offset > size || len > size - offset)
		return -EINVAL;
	vma->vm_ops = exporter.vm_ops;
	vma->vm_page_prot = pgprot_noncached(vma->vm_page_prot);
	if (!entries) {
		p2pmr_vm_flags_set(vma, VM_IO | VM_PFNMAP | VM_DONTEXPAND | VM_DONTDUMP);
		return 0;
	}
	return remap_pfn_range(vma, vma->vm_start, (addr + offset) >> PAGE_SHIFT,
			       len, vma->vm_page_prot);
}

/* "RETURN CLEAR [ADDRESS LENGTH KADDR]..." */
static int learn_answer(const char *line)
{
	int n;

	mutex_lock(&lock);
	n = sscanf(line, "%d %u %llx %llx %llx %llx %llx %llx %llx %llx %llx",
		   &answer.ret, &answer.clear,
		   &answer.extents[0].addr, &answer.extents[0].len, &answer.extents[0].kaddr,
		   &answer.extents[1].addr, &answer.extents[1].len, &answer.extents[1].kaddr,
		   &answer.extents[2].addr, &answer.extents[2].len, &answer.extents[2].kaddr);
	answer.told = n >= 2 && n % 3 == 2;
	answer.nr = (n - 2) / 3;
	mutex_unlock(&lock);
	return answer.told ? 0 : -EINVAL;
}

/* "ADDRESS BAR" */
static int claim(const char *line)
{
	unsigned int domain, bus, slot, function, bar;
	struct pci_dev *pdev;

	if (sscanf(line, "%x:%x:%x.%x %u", &domain, &bus, &slot, &function, &bar) != 5)
		return -EINVAL;
	pdev = pci_get_domain_bus_and_slot(domain, bus, PCI_DEVFN(slot, function));
	if (!pdev)
		return -ENODEV;
	mutex_lock(&lock);
	pci_dev_put(claimed);
	claimed = pdev;
	claimed_bar = bar;
	mutex_unlock(&lock);
	return 0;
}

static int take_back(unsigned long offset, unsigned long len)
{
	mutex_lock(&lock);
	taken_start = offset;
	taken_end = len > ULONG_MAX - offset ? ULONG_MAX : offset + len;
	mutex_unlock(&lock);
	return p2pmr_revoke(&exporter, addr + offset, len);
}

/*
 * "take OFFSET LENGTH", "give" all back, "hold" the next one, "release" it, "answer"
 * as told, "truth" again, "claim" the memory to be a function's BAR.
 */
static ssize_t exporter_write(struct file *file, const char __user *from,
			      size_t count, loff_t *pos)
{
	unsigned long offset, len;
	char line[256];
	int ret = 0;

	if (count >= sizeof(line))
		return -EINVAL;
	if (copy_from_user(line, from, count))
		return -EFAULT;
	line[count] = '\0';

	if (sscanf(line, "take %lu %lu", &offset, &len) == 2) {
		ret = take_back(offset, len);
	} else if (!strncmp(line, "answer ", 7)) {
		ret = learn_answer(line + 7);
	} else if (!strncmp(line, "claim ", 6)) {
		ret = claim(line + 6);
	} else if (sysfs_streq(line, "truth")) {
		mutex_lock(&lock);
		answer.told = false;
		mutex_unlock(&lock);
	} else if (sysfs_streq(line, "give")) {
		mutex_lock(&lock);
		taken_start = 0;
		taken_end = 0;
		mutex_unlock(&lock);
	} else if (sysfs_streq(line, "hold")) {
		mutex_lock(&lock);
		reinit_completion(&released);
		holding = true;
		mutex_unlock(&lock);
	} else if (sysfs_streq(line, "release")) {
		complete_all(&released);
	} else {
		ret = -EINVAL;
	}
	return ret ?: count;
}

static ssize_t exporter_read(struct file *file, char __user *to, size_t count,
			     loff_t *pos)
{
	char line[160];
	int len;

	mutex_lock(&lock);
	len = scnprintf(line, sizeof(line), "users=%u held=%d %s\n", users,
			!holding && !completion_done(&released), asked);
	mutex_unlock(&lock);
	return simple_read_from_buffer(to, count, pos, line, len);
}

static const struct file_operations exporter_fops = {
	.owner = THIS_MODULE,
	.mmap = exporter_mmap,
	.read = exporter_read,
	.write = exporter_write,
};

static struct miscdevice exporter_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = KBUILD_MODNAME,
	.fops = &exporter_fops,
	.mode = 0600,
};

static int __init exporter_init(void)
{
	int ret;

	exporter.always_ptes = entries;
	if (!entries && mprotect)
		exporter.vm_ops = &no_entries_vm_ops;
	if (!owned)
		exporter.owner = NULL;
	init_completion(&released);
	complete_all(&released);
	exporter.lasting = lasting;
	ret = p2pmr_register_exporter(&exporter);
	if (ret)
		return ret;
	ret = misc_register(&exporter_device);
	if (ret)
		p2pmr_unregister_exporter(&exporter);
	return ret;
}

static void __exit exporter_exit(void)
{
	misc_deregister(&exporter_device);
	p2pmr_unregister_exporter(&exporter);
	pci_dev_put(claimed);
}

module_init(exporter_init);
module_exit(exporter_exit);

MODULE_DESCRIPTION("An exporter for the tests of p2pmr");
MODULE_AUTHOR("The p2pmr authors");
MODULE_LICENSE("GPL");
