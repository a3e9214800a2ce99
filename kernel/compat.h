/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Every difference between the kernels that p2pmr builds on, feature by
 * feature, with the version that brought it. Nothing else in kernel/ asks for
 * a kernel version.
 */
#ifndef P2PMR_COMPAT_H
#define P2PMR_COMPAT_H

#include <linux/backing-dev.h>
#include <linux/cc_platform.h>
#include <linux/dma-buf.h>
#include <linux/eventfd.h>
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/version.h>
#include <linux/vmalloc.h>
#include <rdma/p2pmr-abi.h>

/* The part of a protection that selects the cache attributes. */
static inline unsigned long p2pmr_cache_bits(pgprot_t prot)
{
#ifdef CONFIG_X86
	return pgprot_val(prot) & _PAGE_CACHE_MASK;
#else
	return pgprot_val(pgprot_writecombine(prot)) == pgprot_val(prot);
#endif
}

/* The same as the user is told. */
static inline u32 p2pmr_caching(pgprot_t prot)
{
#ifdef CONFIG_X86
	static const u8 caching[] = {
		[_PAGE_CACHE_MODE_WB] = P2PMR_CACHING_WRITE_BACK,
		[_PAGE_CACHE_MODE_WC] = P2PMR_CACHING_WRITE_COMBINING,
		[_PAGE_CACHE_MODE_UC_MINUS] = P2PMR_CACHING_UNCACHED,
		[_PAGE_CACHE_MODE_UC] = P2PMR_CACHING_UNCACHED,
		[_PAGE_CACHE_MODE_WT] = P2PMR_CACHING_WRITE_THROUGH,
		[_PAGE_CACHE_MODE_WP] = P2PMR_CACHING_WRITE_PROTECTED,
	};
	unsigned int mode;

	for (mode = 0; mode < ARRAY_SIZE(caching); mode++)
		if (cachemode2protval(mode) == p2pmr_cache_bits(prot))
			return caching[mode];
	return P2PMR_CACHING_UNKNOWN;
#else
	return p2pmr_cache_bits(prot) ? P2PMR_CACHING_WRITE_COMBINING :
					P2PMR_CACHING_UNKNOWN;
#endif
}

/**
 * struct p2pmr_run - what a run of page table entries maps
 * @addr: physical address behind the looked-up user address
 * @len: contiguous bytes from there
 * @prot: protection, in the form that a 4 KiB entry has
 * @writable: whether the entries let the user write
 */
struct p2pmr_run {
	phys_addr_t addr;
	unsigned long len;
	pgprot_t prot;
	bool writable;
};

/*
 * What an entry is if it maps the page after the one that @pte maps, with the same
 * flags in all; 0 if that cannot be told. (x86 inverts the address where an entry
 * is not for access.)
 */
static inline unsigned long p2pmr_next_val(pte_t pte)
{
#ifdef CONFIG_X86
	if (pte_val(pte) & _PAGE_PRESENT)
		return pte_val(pte) + PAGE_SIZE;
#endif
	return 0;
}

/*
 * Extend @run over the entries after @ptep, which maps @addr, up to the end of
 * the table or @end. Most entries differ from the one before by the address alone;
 * where the CPU has been, by accessed and dirty as well. The caller holds the
 * table's lock.
 */
static inline void p2pmr_extend(struct p2pmr_run *run, pte_t *ptep,
				unsigned long addr, unsigned long end)
{
	unsigned long bits = p2pmr_cache_bits(run->prot);
	unsigned long pfn = PHYS_PFN(run->addr);
	unsigned long next = p2pmr_next_val(ptep_get(ptep));

	end = min(end, ALIGN_DOWN(addr, PMD_SIZE) + PMD_SIZE);
	for (addr = (addr & PAGE_MASK) + PAGE_SIZE; addr < end; addr += PAGE_SIZE) {
		pte_t pte = ptep_get(++ptep);

		pfn++;
		if (!next || pte_val(pte) != next) {
			if (!pte_present(pte) || pte_pfn(pte) != pfn ||
			    !!pte_write(pte) != run->writable ||
			    p2pmr_cache_bits(pte_pgprot(pte)) != bits)
				break;
			next = p2pmr_next_val(pte);
		} else {
			next += PAGE_SIZE;
		}
		run->len += PAGE_SIZE;
	}
}

/*
 * PFN look-up: the run of entries from @addr on, as far as one table goes. 6.12
 * replaced follow_pte() by follow_pfnmap_start(), which also sees huge entries.
 * The table's lock is dropped before returning: the caller's interval notifier
 * tells whether the answer is still true.
 */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 12, 0)
static inline int p2pmr_follow(struct vm_area_struct *vma, unsigned long addr,
			       unsigned long end, struct p2pmr_run *run)
{
	struct follow_pfnmap_args args = { .vma = vma, .address = addr };
	int ret = follow_pfnmap_start(&args);

	if (ret)
		return ret;
	run->addr = PFN_PHYS(args.pfn) | offset_in_page(addr);
	run->len = PAGE_SIZE - offset_in_page(addr);
	run->prot = args.pgprot;
	run->writable = args.writable;
	if (args.ptep) {
		p2pmr_extend(run, args.ptep, addr, end);
	} else {
		/* A PMD or something larger, which a PMD divides. */
		run->len = PMD_SIZE - (addr & ~PMD_MASK);
#ifdef CONFIG_X86
		run->prot = pgprot_large_2_4k(args.pgprot);
#endif
	}
	follow_pfnmap_end(&args);
	return 0;
}
#else
static inline int p2pmr_follow(struct vm_area_struct *vma, unsigned long addr,
			       unsigned long end, struct p2pmr_run *run)
{
	spinlock_t *ptl;
	pte_t *ptep, pte;
	int ret = follow_pte(vma->vm_mm, addr, &ptep, &ptl);

	if (ret)
		return ret;
	__acquire(ptl); /* as follow_pte() has done, unseen by sparse */
	pte = ptep_get(ptep);
	run->addr = PFN_PHYS(pte_pfn(pte)) | offset_in_page(addr);
	run->len = PAGE_SIZE - offset_in_page(addr);
	run->prot = pte_pgprot(pte);
	run->writable = pte_write(pte);
	p2pmr_extend(run, ptep, addr, end);
	pte_unmap_unlock(ptep, ptl);
	return 0;
}
#endif

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
 * Map a few pages of device memory; NULL if that has to be done by
 * p2pmr_ioremap(). On x86 that would search the whole list of resources three
 * times, and reserve the cache attributes, which here somebody else has done. To
 * be ended by vunmap().
 */
static inline void __iomem *p2pmr_map_few(phys_addr_t addr, size_t len,
					  pgprot_t prot)
{
#if defined(CONFIG_X86) && defined(CONFIG_VMAP_PFN)
	unsigned long pfns[16], n = len >> PAGE_SHIFT, i;

	/* Encrypted memory is ioremap()'s to know about. */
	if (n > ARRAY_SIZE(pfns) || cc_platform_has(CC_ATTR_MEM_ENCRYPT))
		return NULL;
	for (i = 0; i < n; i++) {
		pfns[i] = PHYS_PFN(addr) + i;
		/* Some drivers give their BAR pages, of which it wants none. */
		if (pfn_valid(pfns[i]))
			return NULL;
	}
	return (void __iomem __force *)vmap_pfn(pfns, n,
		__pgprot(pgprot_val(PAGE_KERNEL_IO) | p2pmr_cache_bits(prot)));
#else
	return NULL;
#endif
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

/*
 * The same for reg_user_mr_dmabuf, which uverbs looks for when it is called. 6.12
 * gave it all attributes of the call in the place of the driver's own.
 */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 17, 0)
#define P2PMR_REG_DMABUF_PARAMS						\
	struct ib_pd *pd, u64 offset, u64 length, u64 iova, int fd,	\
	int access, struct ib_dmah *dmah, struct uverbs_attr_bundle *attrs
#define P2PMR_REG_DMABUF_ARGS						\
	pd, offset, length, iova, fd, access, dmah, attrs
#elif LINUX_VERSION_CODE >= KERNEL_VERSION(6, 12, 0)
#define P2PMR_REG_DMABUF_PARAMS						\
	struct ib_pd *pd, u64 offset, u64 length, u64 iova, int fd,	\
	int access, struct uverbs_attr_bundle *attrs
#define P2PMR_REG_DMABUF_ARGS pd, offset, length, iova, fd, access, attrs
#else
#define P2PMR_REG_DMABUF_PARAMS						\
	struct ib_pd *pd, u64 offset, u64 length, u64 iova, int fd,	\
	int access, struct ib_udata *udata
#define P2PMR_REG_DMABUF_ARGS pd, offset, length, iova, fd, access, udata
#endif

/* 6.3 made vm_flags read-only but for functions. For a VMA not yet in use. */
static inline void p2pmr_vm_flags_set(struct vm_area_struct *vma,
				      unsigned long flags)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 3, 0)
	vm_flags_set(vma, flags);
#else
	vma->vm_flags |= flags;
#endif
}

/*
 * How to pin host memory for a device that reads or writes it. Up to 6.1 a pin
 * for reading may get a page that the program's next write replaces: the zero
 * page, or a file's behind a private mapping.
 */
static inline unsigned int p2pmr_gup_flags(bool write)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 2, 0)
	return FOLL_LONGTERM | (write ? FOLL_WRITE : 0);
#else
	return FOLL_LONGTERM | FOLL_WRITE | (write ? 0 : FOLL_FORCE);
#endif
}

/*
 * Pinning for writing is refused from 6.5 on where a file system wants to know of every
 * write to a shared mapping.
 */
static inline bool p2pmr_writes_watched(const struct vm_area_struct *vma)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 5, 0)
	const struct vm_operations_struct *ops = vma->vm_ops;

	return (vma->vm_flags & VM_SHARED) &&
	       ((ops && (ops->page_mkwrite || ops->pfn_mkwrite)) ||
		(vma->vm_file && mapping_can_writeback(vma->vm_file->f_mapping)));
#else
	return false;
#endif
}

/*
 * Does a mapping of host memory let p2pmr_gup_flags() pin it, by its rights? Up to 6.1
 * what is not to be written must be a mapping that could be copied on a write, and
 * the right to read is not asked for.
 */
static inline bool p2pmr_may_pin(const struct vm_area_struct *vma, bool write)
{
	if (write)
		return (vma->vm_flags & VM_WRITE) && !p2pmr_writes_watched(vma);
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 2, 0)
	return vma->vm_flags & VM_READ;
#else
	return (vma->vm_flags & VM_WRITE) ||
	       (!(vma->vm_flags & VM_HUGETLB) && is_cow_mapping(vma->vm_flags));
#endif
}

/* 6.8 took away the number that is added; it was always 1. */
static inline void p2pmr_eventfd_signal(struct eventfd_ctx *ctx)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 8, 0)
	eventfd_signal(ctx);
#else
	eventfd_signal(ctx, 1);
#endif
}

/* 6.13 turned names of namespaces into strings. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 13, 0)
#define P2PMR_IMPORT_NS_DMA_BUF MODULE_IMPORT_NS("DMA_BUF")
#else
#define P2PMR_IMPORT_NS_DMA_BUF MODULE_IMPORT_NS(DMA_BUF)
#endif

/*
 * Up to 6.1 exporters may take the reservation when they map for the kernel; since
 * then the caller has it, and there is a call that takes it.
 */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 2, 0)
#define P2PMR_VMAP_UNDER_RESV true

static inline int p2pmr_dma_buf_vmap(struct dma_buf *dmabuf,
				     struct iosys_map *map)
{
	return dma_buf_vmap_unlocked(dmabuf, map);
}

static inline void p2pmr_dma_buf_vunmap(struct dma_buf *dmabuf,
					struct iosys_map *map)
{
	dma_buf_vunmap_unlocked(dmabuf, map);
}
#else
#define P2PMR_VMAP_UNDER_RESV false

static inline int p2pmr_dma_buf_vmap(struct dma_buf *dmabuf,
				     struct iosys_map *map)
{
	return dma_buf_vmap(dmabuf, map);
}

static inline void p2pmr_dma_buf_vunmap(struct dma_buf *dmabuf,
					struct iosys_map *map)
{
	dma_buf_vunmap(dmabuf, map);
}
#endif

/*
 * Making importers of a dma-buf let go. Up to 7.0 each that can attach has the
 * operation move_notify, if only to say that it does not obey; what gives those
 * away that pin for good is that they pin for themselves, before they map.
 * Where DMABUF_MOVE_NOTIFY is off the dma-buf core pins, too, once a mapping.
 * 7.1 made the operation optional, gave it a name that says what it does, and
 * pins for importers only that have none.
 */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(7, 1, 0)
#define P2PMR_ATTACH_OP_INVALIDATE invalidate_mappings
#define P2PMR_ATTACH_OP_REQUIRED(op) NULL

static inline bool p2pmr_attach_revocable(struct dma_buf_attachment *attach)
{
	return dma_buf_attach_revocable(attach);
}

static inline bool p2pmr_map_revocable(unsigned int pins, unsigned int maps)
{
	return true;
}

static inline void p2pmr_invalidate_mappings(struct dma_buf *dmabuf)
{
	dma_buf_invalidate_mappings(dmabuf);
}
#else
#define P2PMR_ATTACH_OP_INVALIDATE move_notify
#define P2PMR_ATTACH_OP_REQUIRED(op) op

static inline bool p2pmr_attach_revocable(struct dma_buf_attachment *attach)
{
	return true;
}

/* Asked while the mapping after @maps others is being made. */
static inline bool p2pmr_map_revocable(unsigned int pins, unsigned int maps)
{
	unsigned int by_core = maps + 1;

	return pins <= (IS_ENABLED(CONFIG_DMABUF_MOVE_NOTIFY) ? 0 : by_core);
}

static inline void p2pmr_invalidate_mappings(struct dma_buf *dmabuf)
{
	dma_buf_move_notify(dmabuf);
}
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
#define P2PMR_RXE_RKEY_FOR_REMOTE_ONLY \
	(LINUX_VERSION_CODE < KERNEL_VERSION(6, 4, 0))

/*
 * Page size of the fast-registration MR over @len contiguous bytes at kernel
 * address @kaddr. Up to 6.3 soft-RoCE takes any power of two, so that the table
 * of even a huge MR has a few entries. Later versions want address and iova
 * congruent modulo the page size; whether they then keep one entry a page or
 * split it into 4 KiB, they do it faster than page by page. The table is rounded
 * up to whole pages, so a page is at most a quarter of the MR.
 */
static inline unsigned int p2pmr_rxe_page_shift(u64 kaddr, u64 len, u64 iova)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 4, 0)
	return 30;
#else
	unsigned int shift = __ffs64((kaddr ^ iova) | PMD_SIZE);

	if (len < 4 * PAGE_SIZE)
		return PAGE_SHIFT;
	return min_t(unsigned int, shift, ilog2(len) - 2);
#endif
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
