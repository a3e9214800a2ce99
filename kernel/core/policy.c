// SPDX-License-Identifier: GPL-2.0
/*
 * The administrator's lists of PCI functions that the built-in exporter serves:
 * module parameters allow and deny, by address (0000:01:00.0) or by vendor and
 * device id (1af4:1110), separated by commas. deny wins; an empty allow is all.
 * In the same way allow_pairs and deny_pairs, for who reaches whose memory. And
 * for whom register BARs are served: parameter allow_registers.
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

/* Functions, by address or by ids. */
struct pattern {
	enum { ANY, ADDRESS, IDS } kind;
	unsigned int domain;
	unsigned int bus;
	unsigned int devfn;
	unsigned int vendor;
	unsigned int device;
};

/* A function; or one that reaches, and one that is reached. */
struct entry {
	struct pattern functions[2];
};

/**
 * struct list - a parameter
 * @name: of it
 * @pairs: its entries are pairs
 * @text: as it was given
 * @entries: the same, to be compared with; NULL if there is none
 * @count: their number
 */
struct list {
	const char *name;
	bool pairs;
	char text[LIST_SIZE];
	struct entry *entries;
	unsigned int count;
};

static struct list allow_list = { .name = "allow" };
static struct list deny_list = { .name = "deny" };
static struct list allow_pairs_list = { .name = "allow_pairs", .pairs = true };
static struct list deny_pairs_list = { .name = "deny_pairs", .pairs = true };
static DEFINE_MUTEX(lists_lock);

static bool parse(const char *token, struct pattern *p)
{
	unsigned int slot, fn;
	char rest;

	/* sscanf() would take a prefix or a sign. */
	if (token[strspn(token, "0123456789abcdefABCDEF:.")])
		return false;
	p->kind = ADDRESS;
	if (sscanf(token, "%x:%x:%x.%x%c", &p->domain, &p->bus, &slot, &fn,
		   &rest) == 4) {
		p->devfn = PCI_DEVFN(slot, fn);
		return p->bus <= 0xff && slot <= 0x1f && fn <= 7;
	}
	p->kind = IDS;
	return sscanf(token, "%x:%x%c", &p->vendor, &p->device, &rest) == 2 &&
	       p->vendor <= 0xffff && p->device <= 0xffff;
}

static bool parse_pair(char *token, struct entry *entry)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(entry->functions); i++) {
		char *one = strsep(&token, "/");

		if (!one)
			return false;
		one = strim(one);
		if (!strcmp(one, "*"))
			entry->functions[i].kind = ANY;
		else if (!parse(one, &entry->functions[i]))
			return false;
	}
	return !token;
}

/* @pdev is NULL for what is no PCI function. */
static bool matches(const struct pattern *p, const struct pci_dev *pdev)
{
	if (p->kind == ANY)
		return true;
	if (!pdev)
		return false;
	if (p->kind == IDS)
		return p->vendor == pdev->vendor && p->device == pdev->device;
	return p->domain == pci_domain_nr(pdev->bus) &&
	       p->bus == pdev->bus->number && p->devfn == pdev->devfn;
}

/* Cuts @text up. Returns how many entries there are, or -EINVAL. */
static int parse_list(const struct list *list, char *text, struct entry *entries)
{
	int count = 0;
	char *token;

	while ((token = strsep(&text, ",\n")) != NULL) {
		token = strim(token);
		if (!*token)
			continue;
		if (list->pairs ? !parse_pair(token, &entries[count]) :
				  !parse(token, &entries[count].functions[0]))
			return -EINVAL;
		count++;
	}
	return count;
}

/* Takes the entries, and the text if it is of any. */
static void replace(struct list *list, struct entry *entries, int count,
		    const char *text)
{
	mutex_lock(&lists_lock);
	swap(list->entries, entries);
	list->count = count;
	strscpy(list->text, count ? text : "", LIST_SIZE);
	strim(list->text);
	mutex_unlock(&lists_lock);
	kvfree(entries);
}

static int list_set(const char *val, const struct kernel_param *kp)
{
	struct list *list = kp->arg;
	size_t length = strlen(val);
	struct entry *entries;
	char *copy;
	int ret = -ENOMEM;

	if (length >= LIST_SIZE)
		return -ENOSPC;
	copy = kstrdup(val, GFP_KERNEL);
	/* An entry has three characters, and a comma before the next. */
	entries = kvcalloc(length / 4 + 1, sizeof(*entries), GFP_KERNEL);
	if (copy && entries)
		ret = parse_list(list, copy, entries);
	kfree(copy);
	if (ret > 0) {
		replace(list, entries, ret, val);
		return 0;
	}
	kvfree(entries);
	if (!ret)
		replace(list, NULL, 0, "");
	if (ret == -EINVAL && list->pairs)
		pr_err("parameter %s: want two functions with a slash between them, 0000:00:00.0, 0000:0000 or *, and commas between pairs\n",
		       list->name);
	else if (ret == -EINVAL)
		pr_err("parameter %s: want 0000:00:00.0 or 0000:0000, separated by commas\n",
		       list->name);
	return ret;
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

/* For a module that does not come to its end, since it has not begun. */
static void list_free(void *arg)
{
	replace(arg, NULL, 0, "");
}

void p2pmr_policy_exit(void)
{
	list_free(&allow_list);
	list_free(&deny_list);
	list_free(&allow_pairs_list);
	list_free(&deny_pairs_list);
}

static const struct kernel_param_ops list_ops = {
	.set = list_set,
	.get = list_get,
	.free = list_free,
};

module_param_cb(allow, &list_ops, &allow_list, 0644);
MODULE_PARM_DESC(allow,
		 "PCI functions whose BARs the built-in exporter serves (default: all)");
module_param_cb(deny, &list_ops, &deny_list, 0644);
MODULE_PARM_DESC(deny,
		 "PCI functions whose BARs it does not serve (default: none)");
module_param_cb(allow_pairs, &list_ops, &allow_pairs_list, 0644);
MODULE_PARM_DESC(allow_pairs,
		 "Pairs DEVICE/FUNCTION of which the device reaches the function's memory, whatever is known of the way (default: none)");
module_param_cb(deny_pairs, &list_ops, &deny_pairs_list, 0644);
MODULE_PARM_DESC(deny_pairs,
		 "Pairs DEVICE/FUNCTION of which it does not (default: none)");

/* With one function, or with both of a pair. */
static bool listed(const struct list *list, const struct pci_dev *first,
		   const struct pci_dev *second)
{
	unsigned int i;

	lockdep_assert_held(&lists_lock);
	for (i = 0; i < list->count; i++) {
		const struct pattern *functions = list->entries[i].functions;

		if (matches(&functions[0], first) &&
		    (!list->pairs || matches(&functions[1], second)))
			return true;
	}
	return false;
}

static bool served(const struct pci_dev *pdev)
{
	bool allowed;

	mutex_lock(&lists_lock);
	allowed = !listed(&deny_list, pdev, NULL) &&
		  (!allow_list.count || listed(&allow_list, pdev, NULL));
	mutex_unlock(&lists_lock);
	return allowed;
}

/*
 * What the administrator says of a device and the function whose memory it
 * would reach, each NULL if it is no PCI function. May sleep.
 */
enum p2pmr_pair p2pmr_policy_pair(const struct pci_dev *dev,
				  const struct pci_dev *function)
{
	enum p2pmr_pair pair = P2PMR_PAIR_UNSAID;

	mutex_lock(&lists_lock);
	if (listed(&deny_pairs_list, dev, function))
		pair = P2PMR_PAIR_DENIED;
	else if (listed(&allow_pairs_list, dev, function))
		pair = P2PMR_PAIR_ALLOWED;
	mutex_unlock(&lists_lock);
	return pair;
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
