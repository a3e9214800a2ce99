/* SPDX-License-Identifier: GPL-2.0 */
/*
 * In-kernel API of p2pmr.ko: for exporters, drivers that own device memory and
 * let user space map it; and for importers, drivers that want to reach what is
 * behind a range of user addresses.
 */
#ifndef _LINUX_P2PMR_H
#define _LINUX_P2PMR_H

#include <linux/atomic.h>
#include <linux/bits.h>
#include <linux/completion.h>
#include <linux/dma-direction.h>
#include <linux/list.h>
#include <linux/mm_types.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/workqueue.h>

struct dentry;
struct dma_buf;
struct p2pmr_account;
struct p2pmr_import;
struct p2pmr_mapping;
struct p2pmr_piece;
struct p2pmr_range;
struct p2pmr_range_ops;
struct p2pmr_window;
struct pid;
struct seq_file;

/* ------------------------------------------------------------ exporters -- */

/**
 * struct p2pmr_request - what an importer asks an exporter for
 * @vma: the mapping; only to be looked at, and only during the call
 * @start: first user address, aligned or not
 * @end: first user address after it, aligned or not, inside @vma
 * @write: the importer will write into the memory
 * @registers: whoever asks says that it bears accesses of any size, repeated
 *	and out of order; for memory of which the exporter does not know that
 * @outlive: the memory may be in use when the mapping is gone, and by others
 *	than @owner; for an exporter that is @lasting
 * @importer: who asks, for p2pmr_refuse() and policy
 * @owner: the process whose mapping it is; current
 * @query: somebody only wants to know what is there. Change nothing and bring
 *	nothing in; if the answer is an error, add all the same the extents
 *	that are known. p2pmr_refuse() for @importer is silent then.
 */
struct p2pmr_request {
	struct vm_area_struct *vma;
	unsigned long start;
	unsigned long end;
	bool write;
	bool registers;
	bool outlive;
	const struct p2pmr_range_ops *importer;
	struct task_struct *owner;
	bool query;
};

/**
 * struct p2pmr_exporter - the special operations of a driver's mappings
 * @name: for logs
 * @owner: the module that must stay while its memory is in use
 * @vm_ops: the operations of the VMAs in question. An exporter that maps by
 *	remap_pfn_range() alone gives its VMAs operations of its own to be
 *	recognized by.
 * @always_ptes: its VMAs have all their CPU page table entries from mmap() on.
 *	Without them no notifier tells of an mprotect(), so that @vm_ops of all
 *	others must have an @mprotect that calls p2pmr_vma_mprotect().
 * @lasting: what @p2p_map has given out may be used after the mapping has
 *	gone, by whomever its user passes it on to, until p2pmr_revoke(): it can
 *	become a dma-buf. Without it the memory goes with the mapping.
 * @p2p_map: say where the bytes behind a part of a VMA are, by calls of
 *	p2pmr_add_extent(), and keep them there until @p2p_unmap. Called with
 *	mmap_lock held for reading; may sleep; must not call p2pmr_revoke()
 *	nor wait for anybody who does. Returns 0 or a negative errno, which
 *	reaches the user. For the same memory it may be called many times.
 * @p2p_unmap: the importer is done. Gets what @p2p_map put into
 *	p2pmr_mapping.cookie. Runs in process context; VMA and mm may be gone.
 *	Must not take mmap_lock, nor a device's lock (a driver is unbound under
 *	it), nor any lock held around p2pmr_revoke().
 *
 * Rights are checked before @p2p_map is called: the VMA is shared, readable,
 * and writable if @write. An exporter adds its own policy.
 *
 * Only VMAs with VM_PFNMAP or VM_IO are asked about; the pages of all others are
 * pinned.
 *
 * When a device goes, or its memory is needed for something else, the exporter
 * first makes @p2p_map refuse, then calls p2pmr_revoke().
 */
struct p2pmr_exporter {
	const char *name;
	struct module *owner;
	const struct vm_operations_struct *vm_ops;
	bool always_ptes;
	bool lasting;
	int (*p2p_map)(const struct p2pmr_request *req,
		       struct p2pmr_mapping *map);
	void (*p2p_unmap)(void *cookie);
};

/**
 * struct p2pmr_mapping - what an exporter answers
 * @dev: the device that owns the memory, with a reference that becomes the
 *	core's, also if @p2p_map fails after setting it
 * @bar: number of the PCI BAR, or -1
 * @prot: cache attributes of the user's mapping, as in a page table entry
 * @cookie: for @p2p_unmap
 */
struct p2pmr_mapping {
	struct device *dev;
	int bar;
	pgprot_t prot;
	void *cookie;
};

int p2pmr_register_exporter(const struct p2pmr_exporter *exporter);
void p2pmr_unregister_exporter(const struct p2pmr_exporter *exporter);
int p2pmr_add_extent(struct p2pmr_mapping *map, phys_addr_t addr, u64 len,
		     void __iomem *kaddr);
int p2pmr_revoke(const struct p2pmr_exporter *exporter, phys_addr_t addr,
		 u64 len);
int p2pmr_vma_mprotect(struct vm_area_struct *vma, unsigned long start,
		       unsigned long end, unsigned long newflags);

/* ------------------------------------------------------------ importers -- */

/**
 * enum p2pmr_cause - what ended a range
 * @P2PMR_CAUSE_UNMAP: the mapping went: munmap(), MAP_FIXED over it, mremap(),
 *	or its exporter zapped it
 * @P2PMR_CAUSE_PROTECT: its protection changed
 * @P2PMR_CAUSE_EXIT: the address space that made the range is gone
 * @P2PMR_CAUSE_DEVICE: the device was unbound or removed
 * @P2PMR_CAUSE_EXPORTER: the exporter called p2pmr_revoke()
 * @P2PMR_CAUSE_IMPORTER: the importer called p2pmr_range_revoke()
 * @P2PMR_CAUSE_RELEASE: the importer called p2pmr_range_unmap()
 */
enum p2pmr_cause {
	P2PMR_CAUSE_UNMAP,
	P2PMR_CAUSE_PROTECT,
	P2PMR_CAUSE_EXIT,
	P2PMR_CAUSE_DEVICE,
	P2PMR_CAUSE_EXPORTER,
	P2PMR_CAUSE_IMPORTER,
	P2PMR_CAUSE_RELEASE,
};

/**
 * struct p2pmr_segment - one contiguous piece of memory
 * @addr: CPU physical address of its first byte; 0 where only the exporter of a
 *	dma-buf knows
 * @len: length in bytes
 * @kaddr: where the CPU reaches it, contiguous over @len bytes: device memory
 *	with the cache attributes of the user's own mapping, host memory in the
 *	kernel's direct map
 * @dma: where the device of p2pmr_range_map_dma() reaches it
 * @prot: cache attributes of device memory, as in a page table entry
 * @host: host memory, pinned; else device memory
 * @window: the core's mapping that @kaddr is in, or NULL
 * @piece: index of the mapping it comes from
 *
 * Segments follow each other without a gap in the order of user addresses.
 * Only the first may start, and only the last may end, inside a page.
 */
struct p2pmr_segment {
	phys_addr_t addr;
	u64 len;
	void __iomem *kaddr;
	dma_addr_t dma;
	pgprot_t prot;
	unsigned int piece;
	bool host;
	struct p2pmr_window *window;
};

#define P2PMR_INSTANCE_NAME 64

/**
 * struct p2pmr_instance - a device for which an importer has ranges
 * @importer: p2pmr_range_ops.name
 * @visible: may the current process see it? Called with a lock held that
 *	p2pmr_instance_remove() takes. NULL: everybody may.
 *
 * For people who look around. All zero before p2pmr_instance_add(); must stay as
 * long as any range of it.
 */
struct p2pmr_instance {
	const char *importer;
	bool (*visible)(const struct p2pmr_instance *instance);

	/* private: */
	char name[P2PMR_INSTANCE_NAME];
	atomic64_t ranges;
	struct list_head link;
};

void p2pmr_instance_add(struct p2pmr_instance *instance, const char *name);
void p2pmr_instance_rename(struct p2pmr_instance *instance, const char *name);
void p2pmr_instance_remove(struct p2pmr_instance *instance);

/**
 * struct p2pmr_range_ops - what an importer does when a range changes state
 * @name: of the importer
 * @instance: its device that the range is for, or NULL
 * @activate: make the range reachable. Called from p2pmr_range_commit() under
 *	a spinlock, so that it cannot interleave with a revocation; must not
 *	sleep. Before it is called nobody may be able to reach the memory.
 * @revoke: end every access. Called once, from process context, and only
 *	after @activate. When it returns, no access to any segment may be
 *	running or may start. It may sleep, but must not take mmap_lock, nor
 *	wait for anybody who holds it, nor for memory reclaim of user pages;
 *	for a dma-buf, the same with its reservation.
 *	Returns 0; an error says that access could not be ended, and then the
 *	memory stays held for good.
 */
struct p2pmr_range_ops {
	const char *name;
	struct p2pmr_instance *instance;
	void (*activate)(struct p2pmr_range *range);
	int (*revoke)(struct p2pmr_range *range, enum p2pmr_cause cause);
};

/**
 * struct p2pmr_range - what is behind a range of user addresses, or of a dma-buf
 * @start: first user address; 0 for a dma-buf
 * @length: length in bytes
 * @segs: the segments, for the importer to read until @revoke returned
 * @nr_segs: their number
 * @device_bytes: of @length device memory
 *
 * Embedded in the importer's own object, which must stay until
 * p2pmr_range_unmap() has returned. The other members are p2pmr's.
 */
struct p2pmr_range {
	unsigned long start;
	size_t length;
	struct p2pmr_segment *segs;
	unsigned int nr_segs;
	u64 device_bytes;

	/* private: */
	const struct p2pmr_range_ops *ops;
	struct mm_struct *mm;
	struct p2pmr_account *account;
	unsigned int charged;
	struct p2pmr_piece *pieces;
	struct p2pmr_segment first_seg;
	unsigned int nr_pieces;
	unsigned int nr_device_pieces;
	unsigned int max_segs;
	unsigned int nr_device_segs;
	unsigned int first_device_seg;
	unsigned long host_pages;
	struct pid *pid;
	u64 id;
	unsigned int flags;
	bool write;
	bool gone;
	bool stale;
	bool stuck;
	unsigned int state;
	enum p2pmr_cause cause;
	spinlock_t lock; /* state, and the sequence numbers of the notifiers */
	struct device *dma_dev;
	enum dma_data_direction dma_dir;
	struct p2pmr_import *import;
	struct work_struct work;
	struct completion revoked;
	struct list_head link;
	ktime_t since;
};

/* Flags of p2pmr_range_map() */
#define P2PMR_MAP_WRITE		BIT(0) /* the importer will write */
#define P2PMR_MAP_REGISTERS	BIT(1) /* p2pmr_request.registers */
#define P2PMR_MAP_DEVICE_ONLY	BIT(2) /* refuse host memory */
#define P2PMR_MAP_OUTLIVE	BIT(3) /* once live, mappings may go */

bool p2pmr_range_has_device(unsigned long start, u64 length);
int p2pmr_range_map(struct p2pmr_range *range, unsigned long start,
		    size_t length, unsigned int flags,
		    const struct p2pmr_range_ops *ops);
int p2pmr_range_map_dmabuf(struct p2pmr_range *range, struct dma_buf *dmabuf,
			   u64 offset, u64 length, unsigned int flags,
			   const struct p2pmr_range_ops *ops);
int p2pmr_range_map_kernel(struct p2pmr_range *range);
int p2pmr_range_map_dma(struct p2pmr_range *range, struct device *dev,
			enum dma_data_direction dir);
int p2pmr_range_commit(struct p2pmr_range *range);
void p2pmr_range_revoke(struct p2pmr_range *range, enum p2pmr_cause cause);
void p2pmr_range_unmap(struct p2pmr_range *range);

struct dma_buf *p2pmr_dmabuf_export(unsigned long start, size_t length,
				    unsigned int flags);

/* Tell the one who asked why he does not get it: log, trace, event, counter. */
__printf(3, 4) int p2pmr_refuse(const struct p2pmr_range_ops *importer,
				int error, const char *fmt, ...);

/* For importers' files in p2pmr's folder of debugfs. */
extern struct dentry *p2pmr_debugfs_dir;
void p2pmr_range_show(struct seq_file *s, struct p2pmr_range *range);

#endif /* _LINUX_P2PMR_H */
