/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the files of p2pmr.ko share: the pieces of a range, the built-in BAR
 * exporter, the kernel mapping, and the sweep of a departing PCI function.
 */
#ifndef P2PMR_CORE_H
#define P2PMR_CORE_H

#include <linux/mmu_notifier.h>
#include <linux/pci.h>
#include <linux/printk.h>
#include <linux/ratelimit.h>
#include <linux/sched.h>

#include <linux/p2pmr.h>

/*
 * Life of a range. SETUP: nobody reaches the memory; an invalidation is seen
 * by p2pmr_range_commit(). LIVE: an invalidation revokes. REVOKING: exactly
 * one context runs the revocation, all others wait for it. REVOKED: final.
 */
enum p2pmr_state {
	P2PMR_SETUP,
	P2PMR_LIVE,
	P2PMR_REVOKING,
	P2PMR_REVOKED,
};

/**
 * struct p2pmr_piece - the part of a range that lies in one device VMA
 * @ni: watches just this part
 * @range: the range it belongs to
 * @start: first user address
 * @end: first user address after it
 * @seq: what @ni said before the page tables were read
 * @pdev: the function whose BAR it is; referenced
 */
struct p2pmr_piece {
	struct mmu_interval_notifier ni;
	struct p2pmr_range *range;
	unsigned long start;
	unsigned long end;
	unsigned long seq;
	struct pci_dev *pdev;
};

/* One line for the one who asked, naming why he does not get it. */
#define p2pmr_refuse(fmt, ...)						\
	pr_notice_ratelimited("refused for %s[%d]: " fmt "\n",		\
			      current->comm, task_pid_nr(current),	\
			      ##__VA_ARGS__)

/* pci_bar.c */
int p2pmr_bar_resolve(struct p2pmr_piece *piece, struct vm_area_struct *vma);

/* segment.c */
int p2pmr_segment_add(struct p2pmr_range *range, phys_addr_t addr, u64 len,
		      pgprot_t prot);
void p2pmr_segments_free(struct p2pmr_range *range);

/* revoke.c */
extern const struct mmu_interval_notifier_ops p2pmr_notifier_ops;
void p2pmr_publish(struct p2pmr_range *range);
void p2pmr_unpublish(struct p2pmr_range *range);
struct pci_dev *p2pmr_claim(struct p2pmr_piece *piece, phys_addr_t addr,
			    struct pci_dev *(*find)(phys_addr_t addr,
						    struct resource **bar),
			    struct resource **bar);
void p2pmr_revoke_work(struct work_struct *work);
int p2pmr_revoke_init(void);
void p2pmr_revoke_exit(void);

#endif /* P2PMR_CORE_H */
