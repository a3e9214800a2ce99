/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Every difference between the kernels that p2pmr builds on, feature by
 * feature, with the version that brought it. Nothing else in kernel/ asks for
 * a kernel version.
 */
#ifndef P2PMR_COMPAT_H
#define P2PMR_COMPAT_H

#include <linux/io.h>
#include <linux/mm.h>
#include <linux/version.h>
#include <rdma/ib_verbs.h>

/**
 * struct p2pmr_pte - what one page table entry maps
 * @addr: physical address behind the looked-up user address
 * @left: bytes from the looked-up address to the end of what the entry maps
 * @prot: its protection, in the form that a 4 KiB entry has
 * @writable: whether the entry lets the user write
 */
struct p2pmr_pte {
	phys_addr_t addr;
	unsigned long left;
	pgprot_t prot;
	bool writable;
};

/*
 * PFN look-up. 6.12 replaced follow_pte() by follow_pfnmap_start(), which
 * also sees huge entries. The page table lock is dropped before returning:
 * the caller's interval notifier tells whether the answer is still true.
 */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 12, 0)
static inline int p2pmr_follow(struct vm_area_struct *vma, unsigned long addr,
			       struct p2pmr_pte *out)
{
	struct follow_pfnmap_args args = { .vma = vma, .address = addr };
	int ret = follow_pfnmap_start(&args);

	if (ret)
		return ret;
	out->addr = PFN_PHYS(args.pfn) | offset_in_page(addr);
	out->left = PAGE_SIZE - offset_in_page(addr);
	out->prot = args.pgprot;
	out->writable = args.writable;
	/* No PTE: a PMD or something larger, which a PMD divides. */
	if (!args.ptep) {
		out->left = PMD_SIZE - (addr & ~PMD_MASK);
#ifdef CONFIG_X86
		out->prot = pgprot_large_2_4k(args.pgprot);
#endif
	}
	follow_pfnmap_end(&args);
	return 0;
}
#else
static inline int p2pmr_follow(struct vm_area_struct *vma, unsigned long addr,
			       struct p2pmr_pte *out)
{
	spinlock_t *ptl;
	pte_t *ptep;
	int ret = follow_pte(vma->vm_mm, addr, &ptep, &ptl);

	if (ret)
		return ret;
	out->addr = PFN_PHYS(pte_pfn(*ptep)) | offset_in_page(addr);
	out->left = PAGE_SIZE - offset_in_page(addr);
	out->prot = pte_pgprot(*ptep);
	out->writable = pte_write(*ptep);
	pte_unmap_unlock(ptep, ptl);
	return 0;
}
#endif

/* The part of a protection that selects the cache attributes. */
static inline unsigned long p2pmr_cache_bits(pgprot_t prot)
{
#ifdef CONFIG_X86
	return pgprot_val(prot) & _PAGE_CACHE_MASK;
#else
	return pgprot_val(pgprot_writecombine(prot)) == pgprot_val(prot);
#endif
}

/*
 * The last argument of ioremap_prot() was an unsigned long and is a pgprot_t
 * now. The declaration itself says which.
 */
static inline void __iomem *p2pmr_ioremap(phys_addr_t addr, size_t len,
					  pgprot_t prot)
{
	return ioremap_prot(addr, len, __builtin_choose_expr(
		__builtin_types_compatible_p(typeof(&ioremap_prot),
			void __iomem *(*)(phys_addr_t, size_t, pgprot_t)),
		prot, pgprot_val(prot)));
}

/*
 * Parameters and arguments of ib_device_ops.reg_user_mr. The DMA handle came
 * with 6.17; soft-RoCE has no use for it and ignores it.
 */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 17, 0)
#define P2PMR_REG_USER_MR_PARAMS					\
	struct ib_pd *pd, u64 start, u64 length, u64 iova, int access,	\
	struct ib_dmah *dmah, struct ib_udata *udata
#define P2PMR_REG_USER_MR_ARGS pd, start, length, iova, access, dmah, udata
#else
#define P2PMR_REG_USER_MR_PARAMS					\
	struct ib_pd *pd, u64 start, u64 length, u64 iova, int access,	\
	struct ib_udata *udata
#define P2PMR_REG_USER_MR_ARGS pd, start, length, iova, access, udata
#endif

/* RDMA FLUSH came with 6.2. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 2, 0)
#define P2PMR_ACCESS_FLUSH_GLOBAL IB_ACCESS_FLUSH_GLOBAL
#else
#define P2PMR_ACCESS_FLUSH_GLOBAL 0
#endif

/*
 * soft-RoCE up to 6.3 gives an MR without remote rights the rkey 0; later
 * versions give every MR an rkey equal to its lkey.
 */
static inline u32 p2pmr_rxe_rkey(u32 lkey, int access)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 4, 0)
	if (!(access & (IB_ACCESS_REMOTE_READ | IB_ACCESS_REMOTE_WRITE |
			IB_ACCESS_REMOTE_ATOMIC)))
		return 0;
#endif
	return lkey;
}

/*
 * Page size of the fast-registration MR over one contiguous segment. Up to
 * 6.3 soft-RoCE takes any power of two whatever the alignment of address and
 * iova, so that the table of even a huge MR has a few entries. Later versions
 * have one entry for each 4 KiB page in any case.
 */
static inline unsigned int p2pmr_rxe_page_shift(unsigned int nr_segs)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 4, 0)
	if (nr_segs == 1)
		return 30;
#endif
	return PAGE_SHIFT;
}

/*
 * Longest MR, in bytes. Up to 6.3 the table is made of small blocks. Then it
 * was an XArray; 7.x, and 6.12 by a stable update, keep it in one kmalloc() of
 * 16 bytes a page, and asking for more would not only fail but warn.
 */
static inline u64 p2pmr_rxe_max_length(void)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 4, 0)
	return SZ_1T;
#else
	return (u64)(KMALLOC_MAX_SIZE / 16) << PAGE_SHIFT;
#endif
}

#endif /* P2PMR_COMPAT_H */
