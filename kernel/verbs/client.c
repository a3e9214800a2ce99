// SPDX-License-Identifier: GPL-2.0
/*
 * p2pmr_verbs.ko: makes ibv_reg_mr() accept device memory. Attaching to RDMA
 * devices as they come, and letting go of them.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/debugfs.h>
#include <linux/kmod.h>
#include <linux/module.h>
#include <linux/nsproxy.h>
#include <linux/sched.h>
#include <linux/seq_file.h>
#include <linux/slab.h>

#include "verbs.h"

/*
 * soft-RoCE turns a DMA address into a struct page pointer and back without
 * looking at the page. Only with this memory model is that pure arithmetic,
 * and so right for an address that has no struct page.
 */
#if !defined(CONFIG_SPARSEMEM_VMEMMAP) || defined(CONFIG_HIGHMEM) || \
	defined(CONFIG_DEBUG_VIRTUAL)
#error "p2pmr_verbs needs SPARSEMEM_VMEMMAP, and neither HIGHMEM nor DEBUG_VIRTUAL"
#endif

/* Detaches, and fills stores. */
struct workqueue_struct *p2pmr_verbs_wq;
static struct ib_client client;

static void ibdev_free(struct p2pmr_ibdev *dev)
{
	WARN_ON(!xa_empty(&dev->keys));
	xa_destroy(&dev->keys);
	cleanup_srcu_struct(&dev->srcu);
	kfree(dev);
}

static void detach_work(struct work_struct *work)
{
	struct p2pmr_ibdev *dev = container_of(work, struct p2pmr_ibdev, detach);

	p2pmr_hooks_detach(dev);
	put_device(&dev->ibdev->dev);
	ibdev_free(dev);
}

static void ibdev_release(struct kref *kref)
{
	struct p2pmr_ibdev *dev = container_of(kref, struct p2pmr_ibdev, kref);

	/* May be called from a hook, which detaching would wait for. */
	queue_work(p2pmr_verbs_wq, &dev->detach);
}

void p2pmr_ibdev_put(struct p2pmr_ibdev *dev)
{
	kref_put(&dev->kref, ibdev_release);
}

/* soft-RoCE is what the mechanism is made for and tried on. */
static bool is_supported(struct ib_device *ibdev)
{
	return ibdev->ops.driver_id == RDMA_DRIVER_RXE &&
	       ibdev->ops.alloc_mr && ibdev->ops.map_mr_sg;
}

static bool is_visible(const struct p2pmr_instance *instance)
{
	struct p2pmr_ibdev *dev =
		container_of(instance, struct p2pmr_ibdev, instance);

	return rdma_dev_access_netns(dev->ibdev, current->nsproxy->net_ns);
}

static struct p2pmr_ibdev *ibdev_alloc(struct ib_device *ibdev)
{
	struct p2pmr_ibdev *dev = kzalloc(sizeof(*dev), GFP_KERNEL);

	if (!dev)
		return NULL;
	if (init_srcu_struct(&dev->srcu)) {
		kfree(dev);
		return NULL;
	}
	dev->ibdev = ibdev;
	dev->instance.importer = p2pmr_mr_ops.name;
	dev->instance.visible = is_visible;
	dev->range_ops = p2pmr_mr_ops;
	dev->range_ops.instance = &dev->instance;
	kref_init(&dev->kref);
	init_rwsem(&dev->registering);
	mutex_init(&dev->lock);
	INIT_LIST_HEAD(&dev->shadows);
	xa_init(&dev->keys);
	INIT_LIST_HEAD(&dev->advising);
	init_waitqueue_head(&dev->advised);
	INIT_WORK(&dev->detach, detach_work);
	p2pmr_store_init(&dev->store);
	return dev;
}

/*
 * A device may come back, as the same ib_device, while users still hold MRs from
 * before (it moved to another network namespace): then its hooks are in place.
 * If it is just being detached, that has to end first.
 */
static int client_add(struct ib_device *ibdev)
{
	struct p2pmr_ibdev *dev;
	bool known;
	int ret;

	if (!is_supported(ibdev))
		return -EOPNOTSUPP;
	dev = p2pmr_hooks_find_get(ibdev);
	known = dev;
	if (!known) {
		p2pmr_hooks_wait_detached(ibdev);
		dev = ibdev_alloc(ibdev);
		if (!dev) {
			pr_err("%s: no memory to attach\n",
			       dev_name(&ibdev->dev));
			return -ENOMEM;
		}
	}

	ret = p2pmr_fastreg_init(&dev->fastreg, ibdev);
	if (ret) {
		pr_err("%s: no helper QP: %d\n", dev_name(&ibdev->dev), ret);
		if (known)
			p2pmr_ibdev_put(dev);
		else
			ibdev_free(dev);
		return ret;
	}
	ib_set_client_data(ibdev, &client, dev);
	if (known) {
		down_write(&dev->registering);
		dev->removed = false;
		up_write(&dev->registering);
	} else {
		get_device(&ibdev->dev);
		p2pmr_hooks_attach(dev);
	}
	p2pmr_store_open(dev);
	p2pmr_instance_add(&dev->instance, dev_name(&ibdev->dev));
	pr_info("%s: attached\n", dev_name(&ibdev->dev));
	return 0;
}

/*
 * Called when the device goes and when this module is unloaded. In the first
 * case users may still hold MRs: these become tombstones, and the hooks stay
 * for their deregistration.
 */
static void client_remove(struct ib_device *ibdev, void *client_data)
{
	struct p2pmr_ibdev *dev = client_data;

	p2pmr_instance_remove(&dev->instance);
	down_write(&dev->registering);
	dev->removed = true;
	up_write(&dev->registering);
	p2pmr_mr_revoke_all(dev);
	p2pmr_store_close(dev);
	p2pmr_fastreg_destroy(&dev->fastreg);
	pr_info("%s: detached\n", dev_name(&ibdev->dev));
	p2pmr_ibdev_put(dev);
}

static void client_rename(struct ib_device *ibdev, void *client_data)
{
	struct p2pmr_ibdev *dev = client_data;

	p2pmr_instance_rename(&dev->instance, dev_name(&ibdev->dev));
}

static struct ib_client client = {
	.name = KBUILD_MODNAME,
	.add = client_add,
	.remove = client_remove,
	.rename = client_rename,
};

/* Does the driver's way from an address to a page and back lead home? */
static bool memory_model_fits(void)
{
	void *addr = (void *)VMALLOC_START;

	return page_address(virt_to_page(addr)) == addr;
}

static int mrs_show(struct seq_file *s, void *unused)
{
	p2pmr_hooks_for_each(p2pmr_mr_show_all, s);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(mrs);

static int stores_show(struct seq_file *s, void *unused)
{
	p2pmr_hooks_for_each(p2pmr_store_show, s);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(stores);

static struct dentry *mrs_file, *stores_file;

static int __init p2pmr_verbs_init(void)
{
	int ret;

	if (!memory_model_fits()) {
		pr_err("soft-RoCE cannot reach I/O memory on this kernel\n");
		return -EOPNOTSUPP;
	}
	p2pmr_verbs_wq = alloc_workqueue("p2pmr_verbs", WQ_UNBOUND, 0);
	if (!p2pmr_verbs_wq)
		return -ENOMEM;
	/*
	 * Clients are removed in reverse order of registration: after ib_uverbs we
	 * are asked first, while its files can still be closed. No softdep: with
	 * one, modprobe -r of this module would want ib_uverbs out, too. The other
	 * order is survived.
	 */
	request_module("ib_uverbs");
	p2pmr_dmabuf_op_serve(p2pmr_hook_reg_user_mr_dmabuf);
	ret = ib_register_client(&client);
	if (ret) {
		p2pmr_dmabuf_op_serve(NULL);
		destroy_workqueue(p2pmr_verbs_wq);
		return ret;
	}
	mrs_file = debugfs_create_file("mrs", 0400, p2pmr_debugfs_dir, NULL,
				       &mrs_fops);
	stores_file = debugfs_create_file("stores", 0400, p2pmr_debugfs_dir, NULL,
					  &stores_fops);
	return 0;
}

static void __exit p2pmr_verbs_exit(void)
{
	debugfs_remove(stores_file);
	debugfs_remove(mrs_file);
	ib_unregister_client(&client);
	destroy_workqueue(p2pmr_verbs_wq);
	p2pmr_dmabuf_op_serve(NULL);
}

module_init(p2pmr_verbs_init);
module_exit(p2pmr_verbs_exit);

MODULE_DESCRIPTION("ibv_reg_mr() on device memory for soft-RoCE");
MODULE_AUTHOR("The p2pmr authors");
MODULE_VERSION("0.1.0"); /* as in CMakeLists.txt */
MODULE_LICENSE("GPL");
