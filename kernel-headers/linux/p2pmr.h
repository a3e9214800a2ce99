/* SPDX-License-Identifier: GPL-2.0 */
/*
 * In-kernel API of p2pmr.ko for importers: drivers that want to reach the
 * device memory behind a range of user addresses.
 */
#ifndef _LINUX_P2PMR_H
#define _LINUX_P2PMR_H

#include <linux/completion.h>
#include <linux/list.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/workqueue.h>

struct p2pmr_piece;
struct p2pmr_range;

/**
 * enum p2pmr_cause - what ended a range
 * @P2PMR_CAUSE_UNMAP: the mapping went: munmap(), MAP_FIXED over it, mremap(),
 *	or its exporter zapped it
 * @P2PMR_CAUSE_PROTECT: its protection changed
 * @P2PMR_CAUSE_EXIT: the address space that made the range is gone
 * @P2PMR_CAUSE_DEVICE: the PCI function was unbound or removed
 * @P2PMR_CAUSE_IMPORTER: the importer called p2pmr_range_revoke()
 * @P2PMR_CAUSE_RELEASE: the importer called p2pmr_range_unmap()
 */
enum p2pmr_cause {
	P2PMR_CAUSE_UNMAP,
	P2PMR_CAUSE_PROTECT,
	P2PMR_CAUSE_EXIT,
	P2PMR_CAUSE_DEVICE,
	P2PMR_CAUSE_IMPORTER,
	P2PMR_CAUSE_RELEASE,
};

/**
 * struct p2pmr_segment - one contiguous piece of device memory
 * @addr: CPU physical address of its first byte
 * @len: length in bytes
 * @kaddr: where the kernel has it mapped, with the cache attributes of the
 *	user's own mapping; contiguous over @len bytes
 *
 * Segments follow each other without a gap in the order of user addresses.
 * Only the first may start, and only the last may end, inside a page.
 */
struct p2pmr_segment {
	phys_addr_t addr;
	u64 len;
	void __iomem *kaddr;
};

/**
 * struct p2pmr_range_ops - what an importer does when a range changes state
 * @activate: make the range reachable. Called from p2pmr_range_commit() under
 *	a spinlock, so that it cannot interleave with a revocation; must not
 *	sleep. Before it is called nobody may be able to reach the memory.
 * @revoke: end every access. Called once, from process context, and only
 *	after @activate. When it returns, no access to any segment may be
 *	running or may start. It may sleep, but must not take mmap_lock, nor
 *	wait for anybody who holds it, nor for memory reclaim of user pages.
 */
struct p2pmr_range_ops {
	void (*activate)(struct p2pmr_range *range);
	void (*revoke)(struct p2pmr_range *range, enum p2pmr_cause cause);
};

/**
 * struct p2pmr_range - device memory behind a range of user addresses
 * @start: first user address
 * @length: length in bytes
 * @segs: the segments, for the importer to read until @revoke returned
 * @nr_segs: their number
 *
 * Embedded in the importer's own object, which must stay until
 * p2pmr_range_unmap() has returned. The other members are p2pmr's.
 */
struct p2pmr_range {
	unsigned long start;
	size_t length;
	struct p2pmr_segment *segs;
	unsigned int nr_segs;

	/* private: */
	const struct p2pmr_range_ops *ops;
	bool write;
	bool gone;
	unsigned int state;
	enum p2pmr_cause cause;
	spinlock_t lock;
	struct p2pmr_piece *pieces;
	unsigned int nr_pieces;
	unsigned int max_segs;
	struct work_struct work;
	struct completion revoked;
	struct list_head link;
};

bool p2pmr_range_has_device(unsigned long start, u64 length);
int p2pmr_range_map(struct p2pmr_range *range, unsigned long start,
		    size_t length, bool write,
		    const struct p2pmr_range_ops *ops);
int p2pmr_range_commit(struct p2pmr_range *range);
void p2pmr_range_revoke(struct p2pmr_range *range, enum p2pmr_cause cause);
void p2pmr_range_unmap(struct p2pmr_range *range);

#endif /* _LINUX_P2PMR_H */
