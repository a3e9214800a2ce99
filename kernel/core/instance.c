// SPDX-License-Identifier: GPL-2.0
/*
 * Instances of importers: the devices for which there can be ranges, under the
 * names that people know them by. P2PMR_IOC_INSTANCES lists them.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/export.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "chardev.h"

static_assert(P2PMR_INSTANCE_NAME == P2PMR_INSTANCE_SIZE);

static LIST_HEAD(instances);
static DEFINE_MUTEX(instances_lock); /* the list */
static DEFINE_SPINLOCK(names_lock);

/**
 * p2pmr_instance_rename() - an instance has another name
 * @instance: added or removed
 * @name: what exceeds P2PMR_INSTANCE_NAME is cut off
 */
void p2pmr_instance_rename(struct p2pmr_instance *instance, const char *name)
{
	spin_lock(&names_lock);
	strscpy(instance->name, name, sizeof(instance->name));
	spin_unlock(&names_lock);
}
EXPORT_SYMBOL_GPL(p2pmr_instance_rename);

/**
 * p2pmr_instance_add() - an importer begins to serve a device
 * @instance: not in the list; may have been before
 * @name: of the device
 */
void p2pmr_instance_add(struct p2pmr_instance *instance, const char *name)
{
	p2pmr_instance_rename(instance, name);
	mutex_lock(&instances_lock);
	list_add_tail(&instance->link, &instances);
	mutex_unlock(&instances_lock);
}
EXPORT_SYMBOL_GPL(p2pmr_instance_add);

/**
 * p2pmr_instance_remove() - it does so no more
 * @instance: in the list
 *
 * @visible is not called any more. Ranges of the instance may remain, and with
 * them the object must.
 */
void p2pmr_instance_remove(struct p2pmr_instance *instance)
{
	mutex_lock(&instances_lock);
	list_del(&instance->link);
	mutex_unlock(&instances_lock);
}
EXPORT_SYMBOL_GPL(p2pmr_instance_remove);

/* Leaves @name alone if the importer has no instance. Any context but irqs. */
void p2pmr_instance_name(const struct p2pmr_range_ops *importer,
			 char name[P2PMR_INSTANCE_NAME])
{
	if (!importer->instance)
		return;
	spin_lock(&names_lock);
	strscpy(name, importer->instance->name, P2PMR_INSTANCE_NAME);
	spin_unlock(&names_lock);
}

void p2pmr_instance_count(const struct p2pmr_range_ops *importer, int ranges)
{
	if (importer->instance)
		atomic64_add(ranges, &importer->instance->ranges);
}

static void describe(struct p2pmr_instance_info *info,
		     const struct p2pmr_instance *instance)
{
	spin_lock(&names_lock);
	strscpy(info->name, instance->name, sizeof(info->name));
	spin_unlock(&names_lock);
	strscpy(info->importer, instance->importer, sizeof(info->importer));
	info->ranges = atomic64_read(&instance->ranges);
}

/* To be freed. Not for the user at once, who could make the lock wait. */
static struct p2pmr_instance_info *describe_all(u32 *count)
{
	struct p2pmr_instance_info *all;
	struct p2pmr_instance *instance;
	u32 n = 0;

	mutex_lock(&instances_lock);
	list_for_each_entry(instance, &instances, link)
		n++;
	all = kvcalloc(n ?: 1, sizeof(*all), GFP_KERNEL);
	n = 0;
	list_for_each_entry(instance, &instances, link) {
		if (!all)
			break;
		if (!instance->visible || instance->visible(instance))
			describe(&all[n++], instance);
	}
	mutex_unlock(&instances_lock);
	*count = n;
	return all;
}

/* arg is the caller's struct p2pmr_ioc_instances, and becomes the answer. */
int p2pmr_ioctl_instances(struct p2pmr_file *file, void *arg)
{
	struct p2pmr_ioc_instances *request = arg;
	struct p2pmr_instance_info *all;
	struct p2pmr_array out;
	u32 i, n;
	int ret;

	if (request->flags || request->reserved)
		return -EINVAL;
	ret = p2pmr_array_init(&out, request->instances, request->instance_size,
			       sizeof(*all), request->capacity);
	if (ret)
		return ret;
	all = describe_all(&n);
	if (!all)
		return -ENOMEM;
	for (i = 0; !ret && i < n; i++)
		ret = p2pmr_array_add(&out, &all[i], sizeof(*all));
	kvfree(all);
	if (ret)
		return ret;
	request->count = out.count;
	return out.count > out.capacity ? -ENOSPC : 0;
}
