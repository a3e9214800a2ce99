// SPDX-License-Identifier: GPL-2.0
/*
 * How many references there are to each PCI device, which nothing else tells: a
 * line for each in debugfs. For the lab, which compares them before and after a test.
 */
#include <linux/debugfs.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/seq_file.h>

static struct dentry *counts_file;

static int counts_show(struct seq_file *file, void *unused)
{
	struct pci_dev *pdev = NULL;

	for_each_pci_dev(pdev) {
		/* But for the one that the loop holds. */
		seq_printf(file, "%s %u\n", pci_name(pdev),
			   kref_read(&pdev->dev.kobj.kref) - 1);
	}
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(counts);

static int __init counts_init(void)
{
	counts_file = debugfs_create_file(KBUILD_MODNAME, 0400, NULL, NULL,
					  &counts_fops);
	return 0;
}

static void __exit counts_exit(void)
{
	debugfs_remove(counts_file);
}

module_init(counts_init);
module_exit(counts_exit);
MODULE_DESCRIPTION("References to PCI devices, for tests");
MODULE_LICENSE("GPL");
