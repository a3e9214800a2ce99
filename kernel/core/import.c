// SPDX-License-Identifier: GPL-2.0
/*
 * Ranges over dma-bufs, this module's own and those of other drivers, for
 * importers that copy with the CPU.
 *
 * Lives as long as its importer wants, whatever becomes of the descriptor and of
 * the process. What ends it is the buffer's exporter, who calls under the buffer's
 * reservation; there the accesses end. All that takes the reservation, or may sleep
 * on a driver's whim, is left to a worker of its own: one that runs revocations must
 * not wait for who may be waiting for another of them.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/dma-buf.h>
#include <linux/dma-resv.h>
#include <linux/export.h>
#include <linux/module.h>
#include <linux/overflow.h>
#include <linux/slab.h>

#include "core.h"
#include "../compat.h"

static struct workqueue_struct *import_wq;

/**
 * struct p2pmr_import - the dma-buf of a range
 * @range: NULL once nothing is to be ended any more
 * @dmabuf: referenced
 * @attach: this module's attachment
 * @ended: no access is running
 * @work: gives all of it back
 * @vmapped: @map is valid
 * @map: the exporter's kernel mapping, of all of the buffer
 * @accessed: access by the CPU has begun, in the direction @dir
 * @dir: as the CPU sees it
 * @entered: the buffer is this module's, and in use; under the reservation
 * @sgt: addresses of a function's own; under the reservation
 */
struct p2pmr_import {
	struct p2pmr_range *range;
	struct dma_buf *dmabuf;
	struct dma_buf_attachment *attach;
	struct completion ended;
	struct work_struct work;
	bool vmapped;
	struct iosys_map map;
	bool accessed;
	enum dma_data_direction dir;
	bool entered;
	struct sg_table *sgt;
};

/* Device memory is unmapped at once; what is vmapped is pinned, and can wait. */
static void unmap_locked(struct p2pmr_import *import,
			 struct dma_buf_attachment *attach)
{
	dma_resv_assert_held(import->dmabuf->resv);
	if (!import->entered && !import->sgt)
		return;
	p2pmr_segments_unmap(import->range);
	if (import->entered)
		p2pmr_dmabuf_leave(import->dmabuf);
	import->entered = false;
	if (import->sgt)
		dma_buf_unmap_attachment(attach, import->sgt,
					 DMA_BIDIRECTIONAL);
	import->sgt = NULL;
}

/* Also for a buffer that moves: its peers would not wait for it to arrive. */
static void invalidate(struct dma_buf_attachment *attach)
{
	struct p2pmr_import *import = attach->importer_priv;

	dma_resv_assert_held(attach->dmabuf->resv);
	if (!import->range)
		return;
	p2pmr_range_invalidate(import->range);
	if (!import->range->stuck)
		unmap_locked(import, attach);
}

static const struct dma_buf_attach_ops attach_ops = {
	.allow_peer2peer = true,
	.P2PMR_ATTACH_OP_INVALIDATE = invalidate,
};

/*
 * udmabuf maps its pages in the direction of whoever is the first to access
 * them, and synchronizes them in that of each later one: these must not differ.
 */
static enum dma_data_direction access_direction(struct p2pmr_import *import)
{
	if (import->range->write || !strcmp(import->dmabuf->exp_name, "udmabuf"))
		return DMA_BIDIRECTIONAL;
	return DMA_FROM_DEVICE;
}

/* The range's p2p_unmap: nobody needs the buffer any more. */
static void import_free(void *cookie)
{
	struct p2pmr_import *import = cookie;

	if (import->accessed)
		dma_buf_end_cpu_access(import->dmabuf, import->dir);
	if (import->vmapped)
		p2pmr_dma_buf_vunmap(import->dmabuf, &import->map);
	if (import->attach)
		dma_buf_detach(import->dmabuf, import->attach);
	dma_buf_put(import->dmabuf);
	kfree(import);
}

/* Who imports depends on this module, as on the built-in exporter. */
static const struct p2pmr_exporter dmabuf_exporter = {
	.name = "dma-buf",
	.p2p_unmap = import_free,
};

static void give_back(struct work_struct *work)
{
	struct p2pmr_import *import = container_of(work, struct p2pmr_import,
						   work);
	struct p2pmr_range *range = import->range;

	dma_resv_lock(import->dmabuf->resv, NULL);
	/* The attachment stays for good, and with it what the exporter may call. */
	if (range->stuck)
		__module_get(THIS_MODULE);
	else
		unmap_locked(import, import->attach);
	import->range = NULL;
	dma_resv_unlock(import->dmabuf->resv);
	p2pmr_range_give_back(range);
}

/* The caller may hold the reservation. */
void p2pmr_import_ended(struct p2pmr_import *import)
{
	complete_all(&import->ended);
	queue_work(import_wq, &import->work);
}

/* The caller holds the reservation, so that the import stays. */
void p2pmr_import_wait_ended(struct p2pmr_import *import)
{
	dma_resv_assert_held(import->dmabuf->resv);
	wait_for_completion(&import->ended);
}

/* Where memory of this module's has been exported from. */
static void describe_origin(struct p2pmr_range *range,
			    const struct p2pmr_range *from,
			    const struct p2pmr_segment *seg)
{
	const struct p2pmr_piece *origin = &from->pieces[seg->piece];
	struct p2pmr_piece *piece = range->pieces;

	piece->origin = p2pmr_piece_name(origin);
	piece->map.bar = origin->map.bar;
	WRITE_ONCE(piece->map.dev, get_device(origin->map.dev));
}

/* The part of an exported range that is wanted, with the rights that it has. */
static int copy_segments(struct p2pmr_range *range,
			 const struct p2pmr_range *from, u64 offset)
{
	u64 left = range->length;
	unsigned int i;

	if (range->write && !from->write)
		return p2pmr_refuse(range->ops, -EACCES,
				    "access flags ask for more than the dma-buf, which is for reading only, gives");
	for (i = 0; left && i < from->nr_segs; i++) {
		const struct p2pmr_segment *seg = &from->segs[i];
		struct p2pmr_segment *part;

		if (offset >= seg->len) {
			offset -= seg->len;
			continue;
		}
		if (!range->nr_segs)
			describe_origin(range, from, seg);
		part = p2pmr_segment_add(range);
		if (!part)
			return -ENOMEM;
		part->addr = seg->addr + offset;
		part->len = min(seg->len - offset, left);
		part->prot = seg->prot;
		if (seg->kaddr)
			part->kaddr = seg->kaddr + offset;
		left -= part->len;
		offset = 0;
	}
	return left ? -EINVAL : 0;
}

static int map_own(struct p2pmr_import *import, u64 offset)
{
	const struct p2pmr_range *from;

	from = p2pmr_dmabuf_enter(import->dmabuf);
	if (IS_ERR(from))
		return PTR_ERR(from);
	import->entered = true;
	return copy_segments(import->range, from, offset);
}

/* Device memory: with the reservation held, so that it cannot go meanwhile. */
static int map_device(struct p2pmr_import *import, u64 offset)
{
	struct p2pmr_range *range = import->range;
	int ret;

	ret = dma_resv_lock_interruptible(import->dmabuf->resv, NULL);
	if (ret)
		return ret;
	if (p2pmr_dmabuf_is_own(import->dmabuf))
		ret = map_own(import, offset);
	else
		ret = p2pmr_map_as_function(range, import->attach, offset,
					    &import->sgt);
	if (!ret)
		ret = p2pmr_range_map_kernel(range);
	dma_resv_unlock(import->dmabuf->resv);
	return ret;
}

/*
 * vmap pins the buffer where it is; then what brings it there has to be over, and
 * what others had begun to do with it. Access by the CPU begins here and ends with
 * the range.
 */
static int map_vmap(struct p2pmr_import *import, u64 offset)
{
	struct p2pmr_range *range = import->range;
	struct p2pmr_segment *seg;
	void __iomem *base;
	int ret;
	long left;

	ret = p2pmr_dma_buf_vmap(import->dmabuf, &import->map);
	if (ret)
		return p2pmr_refuse(range->ops, ret,
				    "exporter %s has no kernel mapping for the dma-buf: %d",
				    import->dmabuf->exp_name, ret);
	import->vmapped = true;
	left = dma_resv_wait_timeout(import->dmabuf->resv,
				     DMA_RESV_USAGE_KERNEL, true,
				     MAX_SCHEDULE_TIMEOUT);
	if (left < 0)
		return left;
	import->dir = access_direction(import);
	ret = dma_buf_begin_cpu_access(import->dmabuf, import->dir);
	if (ret)
		return ret;
	import->accessed = true;

	base = import->map.is_iomem ? import->map.vaddr_iomem :
				      (void __iomem __force *)import->map.vaddr;
	if (offset_in_page(base))
		return p2pmr_refuse(range->ops, -EOPNOTSUPP,
				    "exporter %s maps the dma-buf at no page",
				    import->dmabuf->exp_name);
	seg = p2pmr_segment_add(range);
	if (!seg)
		return -ENOMEM;
	seg->len = range->length;
	seg->kaddr = base + offset;
	range->pieces->origin = import->dmabuf->exp_name;
	return 0;
}

static bool has_vmap(const struct dma_buf *dmabuf)
{
	return dmabuf->ops->vmap;
}

static int begin(struct p2pmr_import *import)
{
	struct dma_buf *dmabuf = import->dmabuf;
	struct dma_buf_attachment *attach;

	if (!p2pmr_dmabuf_is_own(dmabuf) && !has_vmap(dmabuf))
		return p2pmr_attach_as_function(import->range, dmabuf,
						&attach_ops, &import->attach);
	attach = dma_buf_dynamic_attach(dmabuf, p2pmr_device(), &attach_ops,
					import);
	if (IS_ERR(attach))
		return p2pmr_refuse(import->range->ops, PTR_ERR(attach),
				    "exporter %s does not let the CPU attach to the dma-buf: %ld",
				    dmabuf->exp_name, PTR_ERR(attach));
	import->attach = attach;
	return 0;
}

static int check_request(const struct p2pmr_range_ops *ops,
			 const struct dma_buf *dmabuf, u64 offset, u64 length,
			 unsigned int flags)
{
	u64 end;

	if (flags & ~(P2PMR_MAP_WRITE | P2PMR_MAP_REGISTERS))
		return -EINVAL;
	if (!length || check_add_overflow(offset, length, &end) ||
	    end > dmabuf->size)
		return p2pmr_refuse(ops, -EINVAL,
				    "range is empty or reaches beyond the dma-buf's %zu bytes",
				    dmabuf->size);
	/* Whoever has the descriptor could not map it for writing either. */
	if ((flags & P2PMR_MAP_WRITE) && !(dmabuf->file->f_mode & FMODE_WRITE))
		return p2pmr_refuse(ops, -EACCES,
				    "access flags ask for more than the dma-buf's descriptor, which is for reading only, gives");
	return 0;
}

static struct p2pmr_import *import_alloc(struct p2pmr_range *range,
					 struct dma_buf *dmabuf)
{
	struct p2pmr_import *import;
	struct p2pmr_piece *piece;

	import = kzalloc(sizeof(*import), GFP_KERNEL_ACCOUNT);
	if (!import)
		return NULL;
	piece = p2pmr_add_piece(range, &dmabuf_exporter);
	if (!piece) {
		kfree(import);
		return NULL;
	}
	get_dma_buf(dmabuf);
	import->dmabuf = dmabuf;
	import->range = range;
	init_completion(&import->ended);
	INIT_WORK(&import->work, give_back);
	piece->map.cookie = import;
	piece->mapped = true;
	return import;
}

static int set_up(struct p2pmr_range *range, struct dma_buf *dmabuf, u64 offset)
{
	struct p2pmr_import *import;
	int ret;

	range->device_bytes = range->length;
	ret = p2pmr_charge(range, 1);
	if (ret)
		return ret;
	import = import_alloc(range, dmabuf);
	if (!import)
		return -ENOMEM;
	range->import = import;
	p2pmr_publish(range);
	ret = begin(import);
	if (ret)
		return ret;
	if (p2pmr_dmabuf_is_own(dmabuf) || !has_vmap(dmabuf))
		ret = map_device(import, offset);
	else
		ret = map_vmap(import, offset);
	if (ret)
		return ret == -ERESTARTSYS ? -EINTR : ret;
	range->nr_device_segs = range->nr_segs;
	return p2pmr_charge(range, range->nr_device_segs);
}

/**
 * p2pmr_range_map_dmabuf() - a range over a part of a dma-buf
 * @range: to be filled; in the importer's object, need not be initialized
 * @dmabuf: the buffer; the range takes a reference of its own
 * @offset: of the first byte in the buffer, aligned or not
 * @length: in bytes, not 0
 * @flags: P2PMR_MAP_WRITE, P2PMR_MAP_REGISTERS
 * @ops: the importer's side; must stay as long as the range
 *
 * As p2pmr_range_map(), but that every segment has its kernel address already,
 * that there can be no DMA addresses, and that no mapping and no process ends it:
 * the buffer's exporter does, by invalidating what is attached to the buffer. That
 * also goes for one that only moves the buffer.
 *
 * Memory is the CPU's to access from here on until the range ends: what other
 * devices had begun to do with the buffer is waited for, and nothing that they
 * begin later. May sleep for as long as they take, interruptibly; the caller must
 * not hold the buffer's reservation.
 *
 * Return: 0, or -EAGAIN from p2pmr_range_commit() if the buffer has moved meanwhile;
 * -EINVAL (empty, or beyond the buffer, or unknown flags), -EACCES (the buffer or
 * its descriptor is for reading only), -EOPNOTSUPP (its exporter gives the CPU no
 * access), -ENODEV (the memory is gone), -EPERM (policy), -EDQUOT (the user's
 * limit), -ENOMEM, -EINTR, or what the exporter said. After a failure the range
 * holds nothing.
 */
int p2pmr_range_map_dmabuf(struct p2pmr_range *range, struct dma_buf *dmabuf,
			   u64 offset, u64 length, unsigned int flags,
			   const struct p2pmr_range_ops *ops)
{
	int ret = check_request(ops, dmabuf, offset, length, flags);

	if (ret)
		return ret;
	p2pmr_range_init(range, 0, length, flags, ops);
	ret = set_up(range, dmabuf, offset);
	if (ret)
		p2pmr_range_unmap(range);
	return ret;
}
EXPORT_SYMBOL_GPL(p2pmr_range_map_dmabuf);

int p2pmr_import_init(void)
{
	import_wq = alloc_workqueue("p2pmr_import", WQ_UNBOUND, 0);
	return import_wq ? 0 : -ENOMEM;
}

void p2pmr_import_exit(void)
{
	destroy_workqueue(import_wq);
}
