// SPDX-License-Identifier: GPL-2.0
/*
 * Kernel mappings of device memory. Segments of the same pages share one: x86
 * looks at every mapping that a page already has before it makes another, so
 * that regions over one buffer would cost the more the more there are.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/hashtable.h>
#include <linux/io.h>
#include <linux/jhash.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "core.h"
#include "../compat.h"

/**
 * struct p2pmr_window - a kernel mapping
 * @addr: CPU physical address of its first page
 * @len: in bytes, whole pages
 * @prot: with these cache attributes
 * @kaddr: kernel address
 * @few: mapped by p2pmr_map_few(), which reserves no cache attributes
 * @users: segments that have it
 * @link: in windows
 */
struct p2pmr_window {
	phys_addr_t addr;
	u64 len;
	pgprot_t prot;
	void __iomem *kaddr;
	bool few;
	unsigned int users;
	struct hlist_node link;
};

static DEFINE_HASHTABLE(windows, 12);
static DEFINE_SPINLOCK(windows_lock); /* the table, and users */

/* All that tells windows apart: there may be many at one address. */
static u32 key(phys_addr_t addr, u64 len, pgprot_t prot)
{
	return jhash_3words(PHYS_PFN(addr), len >> PAGE_SHIFT,
			    p2pmr_cache_bits(prot), 0);
}

/* One that reserves the cache attributes, unless they are @reserved. */
static struct p2pmr_window *find(phys_addr_t addr, u64 len, pgprot_t prot,
				 bool reserved)
{
	struct p2pmr_window *window;

	lockdep_assert_held(&windows_lock);
	hash_for_each_possible(windows, window, link, key(addr, len, prot))
		if (window->addr == addr && window->len == len &&
		    (reserved || !window->few) &&
		    pgprot_val(window->prot) == pgprot_val(prot))
			return window;
	return NULL;
}

static struct p2pmr_window *make(phys_addr_t addr, u64 len, pgprot_t prot,
				 bool reserved)
{
	struct p2pmr_window *window;

	window = kzalloc(sizeof(*window), GFP_KERNEL_ACCOUNT);
	if (!window)
		return NULL;
	window->addr = addr;
	window->len = len;
	window->prot = prot;
	window->users = 1;
	if (reserved)
		window->kaddr = p2pmr_map_few(addr, len, prot);
	window->few = window->kaddr;
	if (!window->few)
		window->kaddr = p2pmr_ioremap(addr, len, prot);
	if (!window->kaddr) {
		kfree(window);
		return NULL;
	}
	/* If another one has been made meanwhile, both do. */
	spin_lock(&windows_lock);
	hash_add(windows, &window->link, key(addr, len, prot));
	spin_unlock(&windows_lock);
	return window;
}

/**
 * p2pmr_window_open() - give a segment a kernel address
 * @seg: of device memory, without one; to be ended with p2pmr_window_close()
 * @reserved: somebody has the cache attributes reserved that long
 *
 * Return: 0 or -ENOMEM.
 */
int p2pmr_window_open(struct p2pmr_segment *seg, bool reserved)
{
	unsigned int offset = offset_in_page(seg->addr);
	phys_addr_t addr = seg->addr - offset;
	u64 len = PAGE_ALIGN(offset + seg->len);
	struct p2pmr_window *window;

	might_sleep();
	spin_lock(&windows_lock);
	window = find(addr, len, seg->prot, reserved);
	if (window)
		window->users++;
	spin_unlock(&windows_lock);

	if (!window)
		window = make(addr, len, seg->prot, reserved);
	if (!window)
		return -ENOMEM;
	seg->window = window;
	seg->kaddr = window->kaddr + offset;
	return 0;
}

/* The segment's user has let go of its kernel address. */
void p2pmr_window_close(struct p2pmr_segment *seg)
{
	struct p2pmr_window *window = seg->window;
	bool last;

	might_sleep();
	seg->window = NULL;
	spin_lock(&windows_lock);
	last = !--window->users;
	if (last)
		hash_del(&window->link);
	spin_unlock(&windows_lock);
	if (!last)
		return;
	if (window->few)
		vunmap((void __force *)window->kaddr);
	else
		iounmap(window->kaddr);
	kfree(window);
}
