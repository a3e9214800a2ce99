// SPDX-License-Identifier: GPL-2.0
/*
 * Leaves behind what is written to its parameter: tries whether the lab finds what a
 * test leaves behind. It stays loaded; what it has left would be worse without it.
 */
#include <linux/io.h>
#include <linux/module.h>
#include <linux/p2pmr.h>
#include <linux/pci.h>
#include <linux/slab.h>
#include <linux/string.h>

static int leave(const char *what, struct pci_dev *pdev)
{
	if (sysfs_streq(what, "memory"))
		return kmalloc(200, GFP_KERNEL) ? 0 : -ENOMEM;
	if (sysfs_streq(what, "mapping"))
		return ioremap_wc(pci_resource_start(pdev, 2), PAGE_SIZE) ?
		       0 : -ENOMEM;
	if (sysfs_streq(what, "device"))
		return pci_dev_get(pdev) ? 0 : -ENODEV;
	if (sysfs_streq(what, "module"))
		return symbol_get(p2pmr_range_map) ? 0 : -ENOENT;
	if (sysfs_streq(what, "nothing"))
		return 0;
	return -EINVAL;
}

static int what_set(const char *value, const struct kernel_param *param)
{
	/* QEMU's ivshmem */
	struct pci_dev *pdev = pci_get_device(0x1af4, 0x1110, NULL);
	int ret = pdev ? leave(value, pdev) : -ENODEV;

	pci_dev_put(pdev);
	return ret;
}

static const struct kernel_param_ops what_ops = {
	.set = what_set,
};
module_param_cb(what, &what_ops, NULL, 0200);
MODULE_PARM_DESC(what, "memory, mapping, device, module or nothing");

static int __init leak_init(void)
{
	return 0;
}

module_init(leak_init);
MODULE_DESCRIPTION("Leaves things behind, for tests of the lab");
MODULE_LICENSE("GPL");
