// SPDX-License-Identifier: GPL-2.0
/*
 * Ranges as dma-bufs, for importers that know nothing of p2pmr, such as the
 * drivers of RDMA hardware. The range of a buffer outlives the mapping that it
 * was made from: what ends it is what ends the memory.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/dma-buf.h>
#include <linux/dma-mapping.h>
#include <linux/dma-resv.h>
#include <linux/export.h>
#include <linux/module.h>
#include <linux/sched/signal.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/wait.h>

#include "core.h"
#include "../compat.h"

P2PMR_IMPORT_NS_DMA_BUF;

static bool allow_pinned;
module_param(allow_pinned, bool, 0644);
MODULE_PARM_DESC(allow_pinned,
		 "Give dma-bufs also to importers that cannot be made to let go (default: N)");

/* Attempts before giving up on mappings that change all the time. */
#define MAX_TRIES 10

/* An importer that was told to let go has this long. */
#define PATIENCE (10 * HZ)

/* A scatterlist entry has a 32-bit length. */
#define SG_CHUNK ((u64)SZ_1G)

/**
 * struct buffer - a dma-buf and its range
 * @range: the device memory
 * @dmabuf: NULL while it is being made
 * @lock: protects what follows, and @dmabuf while it is set
 * @revoked: nobody gets at the memory any more
 * @users: importers that have it mapped
 * @unused: woken when the last one has let go
 */
struct buffer {
	struct p2pmr_range range;
	struct dma_buf *dmabuf;
	spinlock_t lock; /* what follows, and @dmabuf */
	bool revoked;
	unsigned int users;
	wait_queue_head_t unused;
};

/**
 * struct attached - what an importer has taken; under the buffer's reservation
 * @pins: times that it was pinned, by the importer or for it
 * @maps: times that it was mapped
 */
struct attached {
	unsigned int pins;
	unsigned int maps;
};

static const struct p2pmr_range_ops buffer_range_ops;

static int begin_use(struct buffer *buffer)
{
	int ret = 0;

	spin_lock(&buffer->lock);
	if (buffer->revoked)
		ret = -ENODEV;
	else
		buffer->users++;
	spin_unlock(&buffer->lock);
	return ret;
}

static void end_use(struct buffer *buffer)
{
	spin_lock(&buffer->lock);
	if (!--buffer->users)
		wake_up_all(&buffer->unused);
	spin_unlock(&buffer->lock);
}

static bool is_unused(struct buffer *buffer)
{
	bool unused;

	spin_lock(&buffer->lock);
	unused = !buffer->users;
	spin_unlock(&buffer->lock);
	return unused;
}

static bool is_revoked(struct buffer *buffer)
{
	bool revoked;

	spin_lock(&buffer->lock);
	revoked = buffer->revoked;
	spin_unlock(&buffer->lock);
	return revoked;
}

/* Revocation is what this driver is about, so who pins for good is not let in. */
static int check_revocable(const struct dma_buf_attachment *attach, bool revocable)
{
	if (revocable || READ_ONCE(allow_pinned))
		return 0;
	return p2pmr_refuse(&buffer_range_ops, -EOPNOTSUPP,
			    "the driver of %s cannot be made to let go, see parameter allow_pinned",
			    dev_name(attach->dev));
}

static int buffer_attach(struct dma_buf *dmabuf,
			 struct dma_buf_attachment *attach)
{
	struct attached *attached;
	int ret;

	if (is_revoked(dmabuf->priv))
		return -ENODEV;
	if (!attach->peer2peer)
		return p2pmr_refuse(&buffer_range_ops, -EOPNOTSUPP,
				    "the driver of %s wants memory that has pages",
				    dev_name(attach->dev));
	ret = check_revocable(attach, p2pmr_attach_revocable(attach));
	if (ret)
		return ret;
	attached = kzalloc(sizeof(*attached), GFP_KERNEL_ACCOUNT);
	if (!attached)
		return -ENOMEM;
	attach->priv = attached;
	return 0;
}

static void buffer_detach(struct dma_buf *dmabuf,
			  struct dma_buf_attachment *attach)
{
	kfree(attach->priv);
}

static int buffer_pin(struct dma_buf_attachment *attach)
{
	struct attached *attached = attach->priv;

	dma_resv_assert_held(attach->dmabuf->resv);
	if (is_revoked(attach->dmabuf->priv))
		return -ENODEV;
	attached->pins++;
	return 0;
}

/* Device memory does not move: it is there or it is gone. */
static void buffer_unpin(struct dma_buf_attachment *attach)
{
	struct attached *attached = attach->priv;

	dma_resv_assert_held(attach->dmabuf->resv);
	attached->pins--;
}

/* In use the buffer keeps its functions: their removal waits for its revocation. */
static int check_map(const struct buffer *buffer,
		     const struct dma_buf_attachment *attach,
		     enum dma_data_direction dir)
{
	const struct attached *attached = attach->priv;
	int ret;

	if (!valid_dma_direction(dir) || !attach->dev->dma_mask)
		return -EINVAL;
	if (dir != DMA_TO_DEVICE && !buffer->range.write)
		return p2pmr_refuse(&buffer_range_ops, -EACCES,
				    "%s would write, but the buffer is for reading only",
				    dev_name(attach->dev));
	ret = check_revocable(attach,
			      p2pmr_map_revocable(attached->pins,
						  attached->maps));
	return ret ?: p2pmr_check_reach(&buffer->range, attach->dev);
}

static unsigned int count_chunks(const struct p2pmr_range *range)
{
	unsigned int i, n = 0;

	for (i = 0; i < range->nr_segs; i++)
		n += DIV_ROUND_UP_ULL(range->segs[i].len, SG_CHUNK);
	return n;
}

static void unmap_chunks(struct device *dev, struct sg_table *sgt,
			 unsigned int n, enum dma_data_direction dir)
{
	struct scatterlist *sg;
	unsigned int i;

	for_each_sg(sgt->sgl, sg, n, i) {
		cond_resched();
		dma_unmap_resource(dev, sg_dma_address(sg), sg_dma_len(sg), dir,
				   DEVICE_DMA_ATTRS);
	}
}

/* No pages in it, DMA addresses only; a segment is one entry, or one a GiB. */
static int map_chunks(const struct p2pmr_range *range, struct device *dev,
		      struct sg_table *sgt, enum dma_data_direction dir)
{
	struct scatterlist *sg = sgt->sgl;
	unsigned int i, n = 0;

	for (i = 0; i < range->nr_segs; i++) {
		const struct p2pmr_segment *seg = &range->segs[i];
		u64 done, len;

		for (done = 0; done < seg->len; done += len) {
			dma_addr_t dma;

			cond_resched();
			len = min(seg->len - done, SG_CHUNK);
			dma = dma_map_resource(dev, seg->addr + done, len, dir,
					       DEVICE_DMA_ATTRS);
			if (dma_mapping_error(dev, dma)) {
				unmap_chunks(dev, sgt, n, dir);
				return p2pmr_refuse(&buffer_range_ops, -EIO,
						    "%s gets no DMA address for %llu bytes",
						    dev_name(dev), len);
			}
			sg_dma_address(sg) = dma;
			sg_dma_len(sg) = len;
			sg = sg_next(sg);
			n++;
		}
	}
	/* None for the CPU; buffer_unmap() puts it right before the table goes. */
	sgt->orig_nents = 0;
	return 0;
}

static struct sg_table *make_table(const struct p2pmr_range *range,
				   struct device *dev,
				   enum dma_data_direction dir)
{
	struct sg_table *sgt;
	int ret;

	sgt = kzalloc(sizeof(*sgt), GFP_KERNEL);
	if (!sgt)
		return ERR_PTR(-ENOMEM);
	ret = sg_alloc_table(sgt, count_chunks(range), GFP_KERNEL);
	if (!ret) {
		ret = map_chunks(range, dev, sgt, dir);
		if (ret)
			sg_free_table(sgt);
	}
	if (!ret)
		return sgt;
	kfree(sgt);
	return ERR_PTR(ret);
}

static struct sg_table *buffer_map(struct dma_buf_attachment *attach,
				   enum dma_data_direction dir)
{
	struct buffer *buffer = attach->dmabuf->priv;
	struct attached *attached = attach->priv;
	struct sg_table *sgt;
	int ret;

	dma_resv_assert_held(attach->dmabuf->resv);
	ret = begin_use(buffer);
	if (ret)
		return ERR_PTR(ret);
	ret = check_map(buffer, attach, dir);
	sgt = ret ? ERR_PTR(ret) : make_table(&buffer->range, attach->dev, dir);
	if (IS_ERR(sgt))
		end_use(buffer);
	else
		attached->maps++;
	return sgt;
}

static void buffer_unmap(struct dma_buf_attachment *attach,
			 struct sg_table *sgt, enum dma_data_direction dir)
{
	struct attached *attached = attach->priv;

	dma_resv_assert_held(attach->dmabuf->resv);
	unmap_chunks(attach->dev, sgt, sgt->nents, dir);
	sgt->orig_nents = sgt->nents;
	sg_free_table(sgt);
	kfree(sgt);
	attached->maps--;
	end_use(attach->dmabuf->priv);
}

/*
 * The last reference is gone, and with it all attachments. Who let go too late
 * for a revocation has done so by now.
 */
static void buffer_release(struct dma_buf *dmabuf)
{
	struct buffer *buffer = dmabuf->priv;
	struct p2pmr_range *range = &buffer->range;

	p2pmr_range_revoke(range, P2PMR_CAUSE_RELEASE);
	if (range->stuck)
		p2pmr_pieces_release(range);
	p2pmr_range_unmap(range);
	kfree(buffer);
}

/*
 * No mmap, since a receiver of the buffer could map what it could not open; nor
 * vmap, for the same reason the other way round: whoever gave it away may write.
 */
static const struct dma_buf_ops buffer_ops = {
	.attach = buffer_attach,
	.detach = buffer_detach,
	.pin = buffer_pin,
	.unpin = buffer_unpin,
	.map_dma_buf = buffer_map,
	.unmap_dma_buf = buffer_unmap,
	.release = buffer_release,
};

bool p2pmr_dmabuf_is_own(const struct dma_buf *dmabuf)
{
	return dmabuf->ops == &buffer_ops;
}

/*
 * What is behind a buffer of this module's, for a range of this module's that has
 * attached to it: the CPU needs no DMA addresses. It stays until
 * p2pmr_dmabuf_leave().
 */
const struct p2pmr_range *p2pmr_dmabuf_enter(struct dma_buf *dmabuf)
{
	struct buffer *buffer = dmabuf->priv;
	int ret;

	dma_resv_assert_held(dmabuf->resv);
	ret = begin_use(buffer);
	return ret ? ERR_PTR(ret) : &buffer->range;
}

void p2pmr_dmabuf_leave(struct dma_buf *dmabuf)
{
	dma_resv_assert_held(dmabuf->resv);
	end_use(dmabuf->priv);
}

/* What is exported is reached by attaching only. */
static void activate(struct p2pmr_range *range)
{
}

/*
 * buffer_release() waits for this, so that the dma-buf stays even if its last
 * reference goes meanwhile.
 */
static int revoke(struct p2pmr_range *range, enum p2pmr_cause cause)
{
	struct buffer *buffer = container_of(range, struct buffer, range);
	struct dma_buf *dmabuf;

	spin_lock(&buffer->lock);
	buffer->revoked = true;
	dmabuf = buffer->dmabuf;
	spin_unlock(&buffer->lock);
	if (!dmabuf)
		return 0;

	dma_resv_lock(dmabuf->resv, NULL);
	p2pmr_invalidate_mappings(dmabuf);
	dma_resv_wait_timeout(dmabuf->resv, DMA_RESV_USAGE_BOOKKEEP, false,
			      PATIENCE);
	dma_resv_unlock(dmabuf->resv);
	if (!wait_event_timeout(buffer->unused, is_unused(buffer), PATIENCE)) {
		pr_err("an importer of a dma-buf does not let go\n");
		return -EBUSY;
	}
	return 0;
}

static const struct p2pmr_range_ops buffer_range_ops = {
	.name = "p2pmr_dmabuf",
	.activate = activate,
	.revoke = revoke,
};

static int make_range(struct buffer *buffer, unsigned long start, size_t length,
		      unsigned int flags)
{
	int ret;

	ret = p2pmr_range_map(&buffer->range, start, length, flags,
			      &buffer_range_ops);
	if (ret)
		return ret;
	ret = p2pmr_range_commit(&buffer->range);
	if (ret)
		p2pmr_range_unmap(&buffer->range);
	return ret;
}

static struct dma_buf *make_dmabuf(struct buffer *buffer)
{
	DEFINE_DMA_BUF_EXPORT_INFO(info);
	struct dma_buf *dmabuf;

	info.ops = &buffer_ops;
	info.size = buffer->range.length;
	info.flags = O_RDWR;
	info.priv = buffer;
	dmabuf = dma_buf_export(&info);
	if (IS_ERR(dmabuf)) {
		p2pmr_range_unmap(&buffer->range);
		return dmabuf;
	}
	/* If it is revoked just now, nobody can have attached yet. */
	spin_lock(&buffer->lock);
	buffer->dmabuf = dmabuf;
	spin_unlock(&buffer->lock);
	return dmabuf;
}

/**
 * p2pmr_dmabuf_export() - make a dma-buf of a range of the caller's addresses
 * @start: first address; of a page
 * @length: in bytes; whole pages, not 0
 * @flags: P2PMR_MAP_WRITE: devices may write, not only read;
 *	P2PMR_MAP_REGISTERS: as for p2pmr_range_map()
 *
 * The buffer lives on when the mapping goes, and in the hands of whoever gets
 * it; what ends it is the exporter (p2pmr_revoke()), and a change of the driver
 * or the removal of the device. Then importers are told to unmap, and find
 * -ENODEV. It counts for the caller until the last reference goes. May sleep,
 * takes mmap_lock.
 *
 * Return: the buffer, to be given up with dma_buf_put(), or an error pointer:
 * those of p2pmr_range_map() (-EMEDIUMTYPE for host memory, -EINVAL also for
 * an incomplete page, -EOPNOTSUPP for memory that must not outlive its mapping),
 * -EAGAIN (the mappings changed all the time), -EINTR (a fatal signal).
 */
struct dma_buf *p2pmr_dmabuf_export(unsigned long start, size_t length,
				    unsigned int flags)
{
	struct dma_buf *dmabuf;
	struct buffer *buffer;
	int tries, ret = -EAGAIN;

	if (!PAGE_ALIGNED(start) || !PAGE_ALIGNED(length) ||
	    (flags & ~(P2PMR_MAP_WRITE | P2PMR_MAP_REGISTERS)))
		return ERR_PTR(-EINVAL);
	flags |= P2PMR_MAP_DEVICE_ONLY | P2PMR_MAP_OUTLIVE;

	buffer = kzalloc(sizeof(*buffer), GFP_KERNEL_ACCOUNT);
	if (!buffer)
		return ERR_PTR(-ENOMEM);
	spin_lock_init(&buffer->lock);
	init_waitqueue_head(&buffer->unused);
	for (tries = 0; ret == -EAGAIN && tries < MAX_TRIES; tries++) {
		if (fatal_signal_pending(current))
			ret = -EINTR;
		else
			ret = make_range(buffer, start, length, flags);
	}
	dmabuf = ret ? ERR_PTR(ret) : make_dmabuf(buffer);
	if (IS_ERR(dmabuf))
		kfree(buffer);
	return dmabuf;
}
EXPORT_SYMBOL_GPL(p2pmr_dmabuf_export);
