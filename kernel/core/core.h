/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the files of p2pmr.ko share.
 */
#ifndef P2PMR_CORE_H
#define P2PMR_CORE_H

#include <linux/mmu_notifier.h>
#include <linux/pci.h>
#include <linux/printk.h>

#include <linux/p2pmr.h>
#include <rdma/p2pmr-abi.h>

struct dma_buf_attach_ops;
struct dma_buf_attachment;
struct sg_table;

#define CORE_NAME "p2pmr"

/* No CPU has device memory in its cache, and it may be mapped any number of times. */
#define DEVICE_DMA_ATTRS DMA_ATTR_SKIP_CPU_SYNC

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
 * struct p2pmr_piece - a part of a range that is resolved in one go
 * @ni: watches just this part of its VMA; unused for host memory
 * @range: the range it belongs to
 * @start: first user address
 * @end: first user address after it
 * @seq: what @ni said before the mapping was resolved
 * @exporter: who resolves it; NULL for host memory, which may span VMAs
 * @map: what the exporter said
 * @first_seg: index of the first of its segments, which follow each other
 * @told: bytes from @start on for which the exporter has added extents
 * @error: what was wrong with one of them
 * @mapped: @p2p_unmap is owed to the exporter
 * @origin: of a dma-buf: whose memory it is, while the range is live
 * @reserved: while the VMA is there, nobody gives its pages other cache attributes
 */
struct p2pmr_piece {
	struct mmu_interval_notifier ni;
	struct p2pmr_range *range;
	unsigned long start;
	unsigned long end;
	unsigned long seq;
	const struct p2pmr_exporter *exporter;
	struct p2pmr_mapping map;
	unsigned int first_seg;
	u64 told;
	int error;
	bool mapped;
	const char *origin;
	bool reserved;
};

/* What people know the memory by. */
static inline const char *p2pmr_piece_name(const struct p2pmr_piece *piece)
{
	return piece->origin ?: piece->exporter->name;
}

/* range.c */
void p2pmr_range_init(struct p2pmr_range *range, unsigned long start,
		      size_t length, unsigned int flags,
		      const struct p2pmr_range_ops *ops);

/* walk.c: from addresses to pieces, from pieces to segments */
bool p2pmr_is_device_vma(const struct vm_area_struct *vma);
int p2pmr_probe(struct p2pmr_range *range, struct vm_area_struct *vma);
struct p2pmr_piece *p2pmr_add_piece(struct p2pmr_range *range,
				    const struct p2pmr_exporter *exporter);
int p2pmr_collect(struct p2pmr_range *range);
int p2pmr_resolve(struct p2pmr_range *range);
void p2pmr_pieces_release(struct p2pmr_range *range);

/* exporter.c */
const struct p2pmr_exporter *
p2pmr_exporter_get(const struct vm_area_struct *vma);
void p2pmr_exporter_put(const struct p2pmr_exporter *exporter);

/* instance.c */
void p2pmr_instance_name(const struct p2pmr_range_ops *importer,
			 char name[P2PMR_INSTANCE_NAME]);
void p2pmr_instance_count(const struct p2pmr_range_ops *importer, int ranges);

/* pci_bar.c: takes what no registered exporter claims */
extern const struct p2pmr_exporter p2pmr_bar_exporter;
void p2pmr_bar_forget(const struct device *dev);
int p2pmr_bar_check(const struct p2pmr_range_ops *importer, bool registers,
		    struct pci_dev *pdev, int bar);

/* host.c */
int p2pmr_host_pin(struct p2pmr_range *range, struct p2pmr_piece *piece);
void p2pmr_host_unpin(struct p2pmr_range *range);

/* segment.c */
struct p2pmr_segment *p2pmr_segment_add(struct p2pmr_range *range);
void p2pmr_segments_unmap(struct p2pmr_range *range);
void p2pmr_segments_free(struct p2pmr_range *range);

/* window.c */
int p2pmr_window_open(struct p2pmr_segment *seg, bool reserved);
void p2pmr_window_close(struct p2pmr_segment *seg);

/* topology.c */
int p2pmr_check_reach(const struct p2pmr_range *range, struct device *dev);

/* account.c */
void p2pmr_account_init(void);
int p2pmr_charge(struct p2pmr_range *range, unsigned int pieces);
kuid_t p2pmr_range_uid(const struct p2pmr_range *range);
void p2pmr_uncharge(struct p2pmr_range *range);

/* revoke.c */
extern const struct mmu_interval_notifier_ops p2pmr_notifier_ops;
extern struct mutex p2pmr_ranges_lock;
extern struct list_head p2pmr_ranges;
void p2pmr_publish(struct p2pmr_range *range);
void p2pmr_unpublish(struct p2pmr_range *range);
void p2pmr_revoke_work(struct work_struct *work);
void p2pmr_range_invalidate(struct p2pmr_range *range);
void p2pmr_range_give_back(struct p2pmr_range *range);
int p2pmr_revoke_init(void);
void p2pmr_revoke_exit(void);

/* stats.c: what has happened, and what there is */
enum p2pmr_counter {
	P2PMR_COUNT_REGISTERED,
	P2PMR_COUNT_DEREGISTERED,
	P2PMR_COUNT_REFUSED,
	P2PMR_COUNT_RETRIED,
	P2PMR_COUNT_REVOKED, /* and one more for each cause but RELEASE */
	P2PMR_NR_COUNTERS = P2PMR_COUNT_REVOKED + P2PMR_CAUSE_RELEASE,
};

void p2pmr_count(enum p2pmr_counter counter);
u64 p2pmr_counter_read(enum p2pmr_counter counter);
const char *p2pmr_counter_name(enum p2pmr_counter counter);
void p2pmr_debugfs_init(void);
void p2pmr_debugfs_exit(void);

/* watch.c */
void p2pmr_watch_range(const struct p2pmr_range *range, u32 type);
void p2pmr_watch_refusal(const struct p2pmr_range_ops *importer, int error,
			 struct va_format *reason);

/* query.c: the importer of ranges that are only asked about */
extern const struct p2pmr_range_ops p2pmr_query_ops;

/* dmabuf.c: for those who import what this module has exported */
bool p2pmr_dmabuf_is_own(const struct dma_buf *dmabuf);
const struct p2pmr_range *p2pmr_dmabuf_enter(struct dma_buf *dmabuf);
void p2pmr_dmabuf_leave(struct dma_buf *dmabuf);

/* import.c: ranges over dma-bufs */
int p2pmr_import_init(void);
void p2pmr_import_exit(void);
void p2pmr_import_ended(struct p2pmr_import *import);
void p2pmr_import_wait_ended(struct p2pmr_import *import);

/* import_function.c: dma-bufs that only a PCI device can attach to */
int p2pmr_attach_as_function(struct p2pmr_range *range, struct dma_buf *dmabuf,
			     const struct dma_buf_attach_ops *ops,
			     struct dma_buf_attachment **attach);
int p2pmr_map_as_function(struct p2pmr_range *range,
			  struct dma_buf_attachment *attach, u64 offset,
			  struct sg_table **sgt);

/* chardev.c */
struct device *p2pmr_device(void);
int p2pmr_chardev_init(void);
void p2pmr_chardev_exit(void);

#endif /* P2PMR_CORE_H */
