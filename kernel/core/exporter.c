// SPDX-License-Identifier: GPL-2.0
/*
 * The registry of exporters: drivers whose mappings have special operations.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/export.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/rculist.h>
#include <linux/slab.h>

#include "core.h"

struct entry {
	const struct p2pmr_exporter *exporter;
	struct list_head link;
	struct rcu_head rcu;
};

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
	const struct p2pmr_exporter *exporter = &p2pmr_bar_exporter;
	struct entry *entry;

	rcu_read_lock();
	entry = find(vma->vm_ops);
	if (entry)
		exporter = try_module_get(entry->exporter->owner) ?
			   entry->exporter : NULL;
	rcu_read_unlock();
	return exporter;
}

void p2pmr_exporter_put(const struct p2pmr_exporter *exporter)
{
	if (exporter && exporter != &p2pmr_bar_exporter)
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
