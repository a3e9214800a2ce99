// SPDX-License-Identifier: GPL-2.0
/*
 * p2pmr.ko: from user addresses to the device memory behind them. Loading and
 * unloading; the work is in the other files of this folder.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/module.h>

#include "core.h"
#include "policy.h"

static int __init p2pmr_init(void)
{
	int ret;

	p2pmr_account_init();
	ret = p2pmr_revoke_init();
	if (ret)
		goto err_policy;
	ret = p2pmr_import_init();
	if (ret)
		goto err_revoke;
	p2pmr_debugfs_init();
	ret = p2pmr_chardev_init();
	if (ret)
		goto err_debugfs;
	return 0;

err_debugfs:
	p2pmr_debugfs_exit();
	p2pmr_import_exit();
err_revoke:
	p2pmr_revoke_exit();
err_policy:
	p2pmr_policy_exit();
	return ret;
}

static void __exit p2pmr_exit(void)
{
	p2pmr_chardev_exit();
	p2pmr_debugfs_exit();
	p2pmr_import_exit();
	p2pmr_revoke_exit();
	p2pmr_policy_exit();
}

module_init(p2pmr_init);
module_exit(p2pmr_exit);

MODULE_DESCRIPTION("Device memory behind user mappings, for peer-to-peer importers");
MODULE_AUTHOR("The p2pmr authors");
MODULE_VERSION("0.1.0"); /* as in CMakeLists.txt */
MODULE_LICENSE("GPL");
