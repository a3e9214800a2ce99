// SPDX-License-Identifier: GPL-2.0
/*
 * The administrator's lists of PCI functions that the built-in exporter serves:
 * module parameters allow and deny, by address (0000:01:00.0) or by vendor and
 * device id (1af4:1110), separated by commas. deny wins; an empty allow is all.
 * And for whom it serves register BARs: parameter allow_registers.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/kstrtox.h>
#include <linux/moduleparam.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/sysfs.h>

#include <rdma/p2pmr-abi.h>

#include "policy.h"

#define LIST_SIZE 1024

struct list {
	const char *name;
	char text[LIST_SIZE];
};

static struct list allow_list = { .name = "allow" };
static struct list deny_list = { .name = "deny" };
static DEFINE_MUTEX(lists_lock);

/* One entry as numbers: an address if @bus is not negative, else ids. */
struct pattern {
	unsigned int domain;
	int bus;
	unsigned int devfn;
	unsigned int vendor;
	unsigned int device;
};

static bool parse(const char *token, struct pattern *p)
{
	unsigned int bus, slot, fn;
	char rest;

	/* sscanf() would take a prefix or a sign. */
	if (token[strspn(token, "0123456789abcdefABCDEF:.")])
		return false;
	if (sscanf(token, "%x:%x:%x.%x%c", &p->domain, &bus, &slot, &fn,
		   &rest) == 4) {
		if (bus > 0xff || slot > 0x1f || fn > 7)
			return false;
		p->bus = bus;
		p->devfn = PCI_DEVFN(slot, fn);
		return true;
	}
	p->bus = -1;
	return sscanf(token, "%x:%x%c", &p->vendor, &p->device, &rest) == 2 &&
	       p->vendor <= 0xffff && p->device <= 0xffff;
}

static bool matches(const struct pattern *p, const struct pci_dev *pdev)
{
	if (p->bus < 0)
		return p->vendor == pdev->vendor && p->device == pdev->device;
	return p->domain == pci_domain_nr(pdev->bus) &&
	       p->bus == pdev->bus->number && p->devfn == pdev->devfn;
}

/*
 * Look for @pdev in a writable copy of a list, or only check the list. Returns 1
 * if one matches, 0 if none does, -EINVAL if one is malformed.
 */
static int search(char *text, const struct pci_dev *pdev)
{
	struct pattern pattern;
	char *token;

	while ((token = strsep(&text, ",\n")) != NULL) {
		token = strim(token);
		if (!*token)
			continue;
		if (!parse(token, &pattern))
			return -EINVAL;
		if (pdev && matches(&pattern, pdev))
			return 1;
	}
	return 0;
}

static int list_set(const char *val, const struct kernel_param *kp)
{
	struct list *list = kp->arg;
	char *copy;
	int ret;

	if (strlen(val) >= LIST_SIZE)
		return -ENOSPC;
	copy = kstrdup(val, GFP_KERNEL);
	if (!copy)
		return -ENOMEM;
	ret = search(copy, NULL);
	kfree(copy);
	if (ret) {
		pr_err("parameter %s: want 0000:00:00.0 or 0000:0000, separated by commas\n",
		       list->name);
		return ret;
	}
	mutex_lock(&lists_lock);
	strscpy(list->text, val, LIST_SIZE);
	strim(list->text);
	/* Commas alone are an empty list. */
	if (!list->text[strspn(list->text, ", ")])
		list->text[0] = '\0';
	mutex_unlock(&lists_lock);
	return 0;
}

static int list_get(char *buffer, const struct kernel_param *kp)
{
	struct list *list = kp->arg;
	int ret;

	mutex_lock(&lists_lock);
	ret = scnprintf(buffer, PAGE_SIZE, "%s\n", list->text);
	mutex_unlock(&lists_lock);
	return ret;
}

static const struct kernel_param_ops list_ops = {
	.set = list_set,
	.get = list_get,
};

module_param_cb(allow, &list_ops, &allow_list, 0644);
MODULE_PARM_DESC(allow,
		 "PCI functions whose BARs the built-in exporter serves (default: all)");
module_param_cb(deny, &list_ops, &deny_list, 0644);
MODULE_PARM_DESC(deny,
		 "PCI functions whose BARs it does not serve (default: none)");

static bool listed(const struct list *list, const struct pci_dev *pdev,
		   char *copy)
{
	strscpy(copy, list->text, LIST_SIZE);
	return search(copy, pdev) == 1;
}

static bool served(const struct pci_dev *pdev)
{
	bool allowed = true;
	char *copy;

	mutex_lock(&lists_lock);
	if (allow_list.text[0] || deny_list.text[0]) {
		copy = kmalloc(LIST_SIZE, GFP_KERNEL);
		allowed = copy && !listed(&deny_list, pdev, copy) &&
			  (!allow_list.text[0] ||
			   listed(&allow_list, pdev, copy));
		kfree(copy);
	}
	mutex_unlock(&lists_lock);
	return allowed;
}

/* allow_registers: for nobody, for those who ask for it, for everybody */
enum registers { NEVER, ON_REQUEST, ALWAYS };

static int registers_set(const char *val, const struct kernel_param *kp)
{
	bool always;

	if (sysfs_streq(val, "request")) {
		WRITE_ONCE(*(int *)kp->arg, ON_REQUEST);
		return 0;
	}
	if (kstrtobool(val, &always)) {
		pr_err("parameter %s: want N, request or Y\n", kp->name);
		return -EINVAL;
	}
	WRITE_ONCE(*(int *)kp->arg, always ? ALWAYS : NEVER);
	return 0;
}

static int registers_get(char *buffer, const struct kernel_param *kp)
{
	static const char *const names[] = { "N", "request", "Y" };

	return sysfs_emit(buffer, "%s\n", names[READ_ONCE(*(int *)kp->arg)]);
}

static const struct kernel_param_ops registers_ops = {
	.set = registers_set,
	.get = registers_get,
};

static int allow_registers = NEVER;
module_param_cb(allow_registers, &registers_ops, &allow_registers, 0644);
MODULE_PARM_DESC(allow_registers,
		 "Accept non-prefetchable (register) BARs too: N, Y, or for who asks: request (default: N)");

/*
 * May a BAR be served, to somebody who says that he bears registers or to one
 * who does not? P2PMR_BAR_*. May sleep.
 */
u32 p2pmr_policy(const struct pci_dev *pdev, int bar, bool requested)
{
	int registers = READ_ONCE(allow_registers);

	if (!served(pdev))
		return P2PMR_BAR_RULED_OUT;
	if (pdev->resource[bar].flags & IORESOURCE_PREFETCH)
		return P2PMR_BAR_SERVED;
	if (registers == NEVER)
		return P2PMR_BAR_REGISTERS;
	if (registers == ON_REQUEST && !requested)
		return P2PMR_BAR_ON_REQUEST;
	return P2PMR_BAR_SERVED;
}
