// SPDX-License-Identifier: GPL-2.0
/*
 * The driver's own MR behind a shadow: a fast-registration MR over the kernel
 * addresses of a range.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/module.h>
#include <linux/scatterlist.h>

#include "verbs.h"

#define ACCESS_REMOTE						\
	(IB_ACCESS_REMOTE_READ | IB_ACCESS_REMOTE_WRITE |	\
	 IB_ACCESS_REMOTE_ATOMIC)

/* A scatterlist entry has a 32-bit length, and ends where a large page does. */
#define SG_CHUNK ((u64)SZ_1G)

/* End of the scatterlist entry that begins at @addr, at most @end. */
static u64 chunk_end(u64 addr, u64 end)
{
	return min(end, ALIGN_DOWN(addr, SG_CHUNK) + SG_CHUNK);
}

static unsigned int count_chunks(const struct p2pmr_range *range)
{
	unsigned int i, n = 0;

	for (i = 0; i < range->nr_segs; i++) {
		u64 addr = (u64)(uintptr_t)range->segs[i].kaddr;
		u64 end = addr + range->segs[i].len;

		for (; addr < end; addr = chunk_end(addr, end))
			n++;
	}
	return n;
}

/*
 * Describe the range to the driver. soft-RoCE is a virtual DMA device: a DMA
 * address is a kernel virtual address. Begins at the exact byte, since the
 * driver of 6.1 takes the offset of the first entry for that of the MR.
 */
static int map_sg(struct ib_mr *mr, const struct p2pmr_range *range,
		  unsigned int page_shift)
{
	unsigned int i, n = count_chunks(range);
	struct scatterlist one, *first = &one, *sg;
	struct sg_table sgt;
	int ret;

	sg_init_table(&one, 1);
	if (n > 1) {
		ret = sg_alloc_table(&sgt, n, GFP_KERNEL);
		if (ret)
			return ret;
		first = sgt.sgl;
	}
	sg = first;
	for (i = 0; i < range->nr_segs; i++) {
		u64 addr = (u64)(uintptr_t)range->segs[i].kaddr;
		u64 end = addr + range->segs[i].len;

		for (; addr < end; addr = chunk_end(addr, end)) {
			sg_dma_address(sg) = addr;
			sg_dma_len(sg) = chunk_end(addr, end) - addr;
			sg = sg_next(sg);
		}
	}
	ret = ib_map_mr_sg(mr, first, n, NULL, 1U << page_shift);
	if (n > 1)
		sg_free_table(&sgt);
	if (ret < 0)
		return ret;
	return ret == n ? 0 : -EIO;
}

/* Pages of 1 << @page_shift that the segments' kernel addresses span. */
static u64 count_pages(const struct p2pmr_range *range, unsigned int page_shift)
{
	unsigned int i;
	u64 n = 0;

	for (i = 0; i < range->nr_segs; i++) {
		u64 addr = (u64)(uintptr_t)range->segs[i].kaddr;

		n += ((addr + range->segs[i].len - 1) >> page_shift) -
		     (addr >> page_shift) + 1;
	}
	return n;
}

/*
 * The page size for the driver's MR: large where there is one segment, unless
 * rounding to it would make the table longer than it may be.
 */
static unsigned int choose_page_shift(const struct p2pmr_range *range, u64 iova)
{
	unsigned int shift;

	if (range->nr_segs > 1)
		return PAGE_SHIFT;
	shift = p2pmr_rxe_page_shift((uintptr_t)range->segs[0].kaddr,
				     range->length, iova);
	if (count_pages(range, shift) << shift > p2pmr_rxe_max_length())
		return PAGE_SHIFT;
	return shift;
}

/* A fast-registration MR in the helper's PD, with room for @pages. */
struct ib_mr *p2pmr_driver_mr_alloc(struct p2pmr_ibdev *dev, u64 pages)
{
	struct ib_mr *mr;

	mr = dev->ibdev->ops.alloc_mr(dev->fastreg.pd, IB_MR_TYPE_MEM_REG, pages);
	if (IS_ERR(mr))
		return mr;
	mr->device = dev->ibdev;
	mr->type = IB_MR_TYPE_MEM_REG;
	mr->need_inval = false;
	return mr;
}

static int map(struct ib_mr *mr, const struct p2pmr_range *range, u64 iova,
	       unsigned int page_shift)
{
	int ret = map_sg(mr, range, page_shift);

	mr->iova = iova;
	mr->length = range->length;
	return ret;
}

/* One that is valid already gets its memory and its rights. */
static int make_valid(struct p2pmr_ibdev *dev, struct ib_mr *mr,
		      const struct p2pmr_range *range, u64 iova, int access)
{
	int ret = map(mr, range, iova, PAGE_SHIFT);
	struct ib_mr *same;

	if (ret)
		return ret;
	same = dev->orig.rereg_user_mr(mr, IB_MR_REREG_ACCESS, 0, 0, 0, access,
				       mr->pd, NULL);
	return PTR_ERR_OR_ZERO(same);
}

static int make_anew(struct p2pmr_ibdev *dev, struct ib_mr *mr,
		     const struct p2pmr_range *range, u64 iova, int access,
		     unsigned int page_shift)
{
	struct ib_reg_wr wr = { .mr = mr, .key = mr->lkey, .access = access };
	int ret = map(mr, range, iova, page_shift);

	return ret ?: p2pmr_fastreg_exec(&dev->fastreg, &wr, 1);
}

/*
 * Make the driver's MR, valid, with memory and rights. It stays in the helper's
 * PD, where no user can reach it, until the range goes live.
 */
int p2pmr_driver_mr_make(struct p2pmr_shadow *shadow, u64 iova, int access)
{
	unsigned int page_shift = choose_page_shift(&shadow->range, iova);
	u64 pages = count_pages(&shadow->range, page_shift);
	struct p2pmr_ibdev *dev = shadow->dev;
	struct ib_mr *mr;
	bool valid;
	int ret;

	if (pages << page_shift > p2pmr_rxe_max_length())
		return p2pmr_ibdev_refuse(dev, -EFBIG,
					  "%llu pages; this kernel's rdma_rxe ends at %llu in one MR",
					  pages,
					  p2pmr_rxe_max_length() >> PAGE_SHIFT);
	valid = p2pmr_store_is_valid(dev);
	mr = p2pmr_store_take(dev, valid ? count_pages(&shadow->range, PAGE_SHIFT) :
					   pages);
	if (!mr) {
		valid = false;
		mr = p2pmr_driver_mr_alloc(dev, pages);
	}
	if (IS_ERR(mr))
		return PTR_ERR(mr);
	if (valid) {
		page_shift = PAGE_SHIFT;
		ret = make_valid(dev, mr, &shadow->range, iova, access);
	} else {
		ret = make_anew(dev, mr, &shadow->range, iova, access,
				page_shift);
	}
	if (ret) {
		dev->orig.dereg_mr(mr, NULL);
		return ret;
	}
	shadow->mr = mr;
	shadow->page_shift = page_shift;
	shadow->ibmr.lkey = mr->lkey;
	shadow->ibmr.rkey = mr->lkey;
	if (P2PMR_RXE_RKEY_FOR_REMOTE_ONLY && !(access & ACCESS_REMOTE))
		shadow->ibmr.rkey = 0;
	return 0;
}

/*
 * Back into the helper's PD, whose reference the driver took when it made the
 * MR: at once no user reaches it. Then the driver takes the key away and returns
 * when no copy runs any more. It fails only while memory windows are bound, and
 * none can be. If it fails all the same the MR stays, and so do the memory
 * behind it and this module.
 */
int p2pmr_driver_mr_drop(struct p2pmr_shadow *shadow)
{
	struct ib_mr *mr = shadow->mr;
	int ret;

	if (!mr)
		return 0;
	shadow->mr = NULL;
	WRITE_ONCE(mr->pd, shadow->dev->fastreg.pd);
	p2pmr_key_withdraw(shadow->dev, mr->lkey);
	ret = shadow->dev->orig.dereg_mr(mr, NULL);
	if (WARN(ret, "driver kept a device-memory MR: %d\n", ret))
		__module_get(THIS_MODULE);
	return ret;
}
