// SPDX-License-Identifier: GPL-2.0
/*
 * The registry of exporters: drivers whose mappings have special operations.
 * P2PMR_IOC_EXPORTERS lists them.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/export.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/rculist.h>
#include <linux/slab.h>

#include "chardev.h"

/* @mappings counts the references that p2pmr_exporter_get() has given. */
struct entry {
	const struct p2pmr_exporter *exporter;
	atomic64_t mappings;
	struct list_head link;
	struct rcu_head rcu;
};

static struct entry builtin = { .exporter = &p2pmr_bar_exporter };
static LIST_HEAD(exporters);
static DEFINE_MUTEX(exporters_lock); /* writers; readers use RCU */

static struct entry *find(const struct vm_operations_struct *vm_ops)
{
	struct entry *entry;

	list_for_each_entry_rcu(entry, &exporters, link,
				lockdep_is_held(&exporters_lock))
		if (entry->exporter->vm_ops == vm_ops)
			return entry;
	return NULL;
}

/*
 * The exporter of a device VMA, with a reference on its module: the built-in
 * one if nobody has registered; NULL if its module is going, since nobody else
 * knows that module's policy.
 */
const struct p2pmr_exporter *
p2pmr_exporter_get(const struct vm_area_struct *vma)
{
	const struct p2pmr_exporter *exporter = NULL;
	struct entry *entry;

	rcu_read_lock();
	entry = find(vma->vm_ops) ?: &builtin;
	if (entry == &builtin || try_module_get(entry->exporter->owner)) {
		exporter = entry->exporter;
		atomic64_inc(&entry->mappings);
	}
	rcu_read_unlock();
	return exporter;
}

void p2pmr_exporter_put(const struct p2pmr_exporter *exporter)
{
	struct entry *entry;

	if (!exporter)
		return;
	if (exporter == &p2pmr_bar_exporter) {
		atomic64_dec(&builtin.mappings);
		return;
	}
	/* The reference keeps it in the list. */
	rcu_read_lock();
	entry = find(exporter->vm_ops);
	if (entry)
		atomic64_dec(&entry->mappings);
	rcu_read_unlock();
	module_put(exporter->owner);
}

/**
 * p2pmr_register_exporter() - add the special operations of a driver's mappings
 * @exporter: must stay until p2pmr_unregister_exporter() has returned
 *
 * Return: 0, -EINVAL (operations are missing, @mprotect of @vm_ops among them,
 * unless @always_ptes is set), -EEXIST (@vm_ops is registered),
 * -ENOMEM.
 */
int p2pmr_register_exporter(const struct p2pmr_exporter *exporter)
{
	struct entry *entry;
	int ret = 0;

	if (!exporter->name || !exporter->vm_ops || !exporter->p2p_map)
		return -EINVAL;
	/* Without entries an mprotect() would go unnoticed. */
	if (!exporter->always_ptes && !exporter->vm_ops->mprotect)
		return -EINVAL;

	entry = kzalloc(sizeof(*entry), GFP_KERNEL);
	if (!entry)
		return -ENOMEM;
	entry->exporter = exporter;

	mutex_lock(&exporters_lock);
	if (find(exporter->vm_ops))
		ret = -EEXIST;
	else
		list_add_tail_rcu(&entry->link, &exporters);
	mutex_unlock(&exporters_lock);
	if (ret)
		kfree(entry);
	return ret;
}
EXPORT_SYMBOL_GPL(p2pmr_register_exporter);

/**
 * p2pmr_unregister_exporter() - remove it again
 * @exporter: as registered
 *
 * When it returns @p2p_map is not called any more. Call it from the exporter's
 * module_exit(): every range that uses its memory holds a reference on its
 * module, so none is left then.
 */
void p2pmr_unregister_exporter(const struct p2pmr_exporter *exporter)
{
	struct entry *entry;

	mutex_lock(&exporters_lock);
	entry = find(exporter->vm_ops);
	/* Not another's, if registration has failed for that reason. */
	if (entry && entry->exporter != exporter)
		entry = NULL;
	if (entry)
		list_del_rcu(&entry->link);
	mutex_unlock(&exporters_lock);
	if (entry)
		kfree_rcu(entry, rcu);
	synchronize_rcu();
}
EXPORT_SYMBOL_GPL(p2pmr_unregister_exporter);

static void describe(struct p2pmr_exporter_info *info, const struct entry *entry)
{
	const struct p2pmr_exporter *exporter = entry->exporter;

	strscpy(info->name, exporter->name, sizeof(info->name));
	strscpy(info->module, module_name(exporter->owner),
		sizeof(info->module));
	info->mappings = atomic64_read(&entry->mappings);
	info->flags = entry == &builtin ? P2PMR_EXPORTER_BUILTIN : 0;
}

/* To be freed. Not for the user at once, who could make the lock wait. */
static struct p2pmr_exporter_info *describe_all(u32 *count)
{
	struct p2pmr_exporter_info *all;
	struct entry *entry;
	u32 n = 1;

	mutex_lock(&exporters_lock);
	list_for_each_entry(entry, &exporters, link)
		n++;
	all = kvcalloc(n, sizeof(*all), GFP_KERNEL);
	if (all) {
		*count = n;
		describe(all, &builtin);
		n = 1;
		list_for_each_entry(entry, &exporters, link)
			describe(&all[n++], entry);
	}
	mutex_unlock(&exporters_lock);
	return all;
}

/* arg is the caller's struct p2pmr_ioc_exporters, and becomes the answer. */
int p2pmr_ioctl_exporters(struct p2pmr_file *file, void *arg)
{
	struct p2pmr_ioc_exporters *request = arg;
	struct p2pmr_exporter_info *all;
	struct p2pmr_array out;
	u32 i, n;
	int ret;

	if (request->flags || request->reserved)
		return -EINVAL;
	ret = p2pmr_array_init(&out, request->exporters, request->exporter_size,
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
