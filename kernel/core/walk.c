// SPDX-License-Identifier: GPL-2.0
/*
 * From user addresses to segments: which VMAs a range consists of, and what is
 * behind each.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/export.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "core.h"

/* Pieces in one range; bounds what one call can make the kernel hold. */
#define MAX_PIECES 1024

/* get_user_pages() takes no page from such a VMA. */
bool p2pmr_is_device_vma(const struct vm_area_struct *vma)
{
	return vma->vm_flags & (VM_PFNMAP | VM_IO);
}

static struct p2pmr_piece *add_piece(struct p2pmr_range *range,
				     unsigned long start, unsigned long end)
{
	unsigned int n = range->nr_pieces;
	struct p2pmr_piece *pieces;

	pieces = krealloc(range->pieces, (n + 1) * sizeof(*pieces),
			  GFP_KERNEL_ACCOUNT);
	if (!pieces)
		return NULL;
	range->pieces = pieces;
	memset(&pieces[n], 0, sizeof(*pieces));
	pieces[n].start = start;
	pieces[n].end = end;
	range->nr_pieces++;
	return &pieces[n];
}

static int check_rights(struct p2pmr_range *range, struct vm_area_struct *vma)
{
	/* Not VM_SHARED: a read-only file's shared mapping is without it. */
	if (!(vma->vm_flags & VM_MAYSHARE))
		return p2pmr_refuse(range->ops, -EINVAL,
				    "mapping is private (MAP_PRIVATE)");
	if (!(vma->vm_flags & VM_READ) ||
	    (range->write && !(vma->vm_flags & VM_WRITE)))
		return p2pmr_refuse(range->ops, -EACCES,
				    "access flags ask for more than the mapping's protection");
	return 0;
}

static int add_vma(struct p2pmr_range *range, struct vm_area_struct *vma,
		   unsigned long start, unsigned long end)
{
	unsigned int n = range->nr_pieces;
	bool device = p2pmr_is_device_vma(vma);
	struct p2pmr_piece *piece;
	int ret;

	if (device) {
		ret = check_rights(range, vma);
		if (ret)
			return ret;
		range->device_bytes += end - start;
	} else if (range->flags & P2PMR_MAP_DEVICE_ONLY) {
		return p2pmr_refuse(range->ops, -EMEDIUMTYPE,
				    "host memory at offset %#lx, where device memory is required",
				    start - range->start);
	} else if (n && !range->pieces[n - 1].exporter) {
		range->pieces[n - 1].end = end;
		return 0;
	}
	if (n == MAX_PIECES)
		return p2pmr_refuse(range->ops, -E2BIG,
				    "range has more than %u mappings",
				    MAX_PIECES);
	piece = add_piece(range, start, end);
	if (!piece)
		return -ENOMEM;
	if (!device)
		return 0;
	piece->exporter = p2pmr_exporter_get(vma);
	if (!piece->exporter)
		return -ENODEV;
	if ((range->flags & P2PMR_MAP_OUTLIVE) && !piece->exporter->lasting)
		return p2pmr_refuse(range->ops, -EOPNOTSUPP,
				    "memory of exporter %s must not outlive its mapping",
				    piece->exporter->name);
	return 0;
}

/* The array is complete and does not move any more. */
static void link_pieces(struct p2pmr_range *range)
{
	unsigned int i;

	for (i = 0; i < range->nr_pieces; i++)
		range->pieces[i].range = range;
}

/*
 * Note which VMAs the range consists of. They may change as soon as the lock
 * is dropped; p2pmr_resolve() looks again, with the notifiers in place.
 */
int p2pmr_collect(struct p2pmr_range *range)
{
	unsigned long end = range->start + range->length;
	unsigned long addr = range->start;
	struct vm_area_struct *vma;
	int ret = 0;

	mmap_read_lock(range->mm);
	while (!ret && addr < end) {
		vma = find_vma(range->mm, addr);
		if (!vma || vma->vm_start > addr) {
			ret = p2pmr_refuse(range->ops, -EFAULT,
					   "nothing is mapped at offset %#lx",
					   addr - range->start);
			break;
		}
		ret = add_vma(range, vma, addr, min(vma->vm_end, end));
		addr = vma->vm_end;
	}
	mmap_read_unlock(range->mm);

	link_pieces(range);
	return ret;
}

/**
 * p2pmr_add_extent() - an exporter says where a part of the memory is
 * @map: as passed to @p2p_map
 * @addr: CPU physical address, with the same offset in its page as the user
 *	address
 * @len: in bytes
 * @kaddr: a kernel mapping of it, with the same offset in its page and the
 *	cache attributes @map->prot, that the exporter keeps until @p2p_unmap, or
 *	until p2pmr_revoke() for it has returned 0; or NULL, then the core makes
 *	one if an importer needs it
 *
 * Extents follow each other in the order of user addresses, together exactly
 * the bytes asked for; inside a page none begins but the first, and none ends
 * but the last. Contiguous ones become one. Call it only from @p2p_map,
 * after setting @map->prot.
 *
 * Return: 0 or -ENOMEM.
 */
int p2pmr_add_extent(struct p2pmr_mapping *map, phys_addr_t addr, u64 len,
		     void __iomem *kaddr)
{
	struct p2pmr_piece *piece = container_of(map, struct p2pmr_piece, map);
	struct p2pmr_range *range = piece->range;
	unsigned int index = piece - range->pieces;
	struct p2pmr_segment *seg;

	if (range->nr_segs) {
		seg = &range->segs[range->nr_segs - 1];
		if (seg->piece == index && !seg->host &&
		    seg->addr + seg->len == addr &&
		    (kaddr ? seg->kaddr && seg->kaddr + seg->len == kaddr :
			     !seg->kaddr) &&
		    pgprot_val(seg->prot) == pgprot_val(map->prot)) {
			seg->len += len;
			return 0;
		}
	}
	seg = p2pmr_segment_add(range);
	if (!seg)
		return -ENOMEM;
	seg->addr = addr;
	seg->len = len;
	seg->kaddr = kaddr;
	seg->prot = map->prot;
	seg->piece = index;
	return 0;
}
EXPORT_SYMBOL_GPL(p2pmr_add_extent);

/* Did the exporter account for every byte, page by page? */
static int check_extents(const struct p2pmr_piece *piece, unsigned int first)
{
	const struct p2pmr_range *range = piece->range;
	unsigned long addr = piece->start;

	for (; first < range->nr_segs; first++) {
		const struct p2pmr_segment *seg = &range->segs[first];

		if (offset_in_page(addr) != offset_in_page(seg->addr) ||
		    (seg->kaddr && offset_in_page(addr) !=
				   offset_in_page(seg->kaddr)) ||
		    (addr != piece->start && offset_in_page(addr)))
			break;
		addr += seg->len;
	}
	if (WARN_ONCE(addr != piece->end || first != range->nr_segs,
		      "exporter %s: extents are not what was asked for\n",
		      piece->exporter->name))
		return -EIO;
	return 0;
}

static int resolve_device(struct p2pmr_piece *piece, struct vm_area_struct *vma)
{
	struct p2pmr_range *range = piece->range;
	struct p2pmr_request req = {
		.vma = vma,
		.start = piece->start,
		.end = piece->end,
		.write = range->write,
		.registers = range->flags & P2PMR_MAP_REGISTERS,
		.outlive = range->flags & P2PMR_MAP_OUTLIVE,
		.importer = range->ops,
		.owner = current,
		.query = range->ops == &p2pmr_query_ops,
	};
	unsigned int first = range->nr_segs;
	int ret;

	mmap_assert_locked(range->mm);
	piece->map.bar = -1;
	ret = piece->exporter->p2p_map(&req, &piece->map);
	if (ret)
		return ret;
	piece->mapped = true;
	return check_extents(piece, first);
}

static int resolve_piece(struct p2pmr_piece *piece)
{
	struct p2pmr_range *range = piece->range;
	const struct p2pmr_exporter *exporter;
	struct vm_area_struct *vma;
	int ret;

	if (!piece->exporter)
		return p2pmr_host_pin(range, piece);

	mmap_read_lock(range->mm);
	vma = find_vma(range->mm, piece->start);
	if (!vma || vma->vm_start > piece->start || vma->vm_end < piece->end ||
	    !p2pmr_is_device_vma(vma)) {
		ret = -EAGAIN;
		goto out;
	}
	exporter = p2pmr_exporter_get(vma);
	if (exporter != piece->exporter)
		ret = -EAGAIN;
	else
		ret = check_rights(range, vma);
	p2pmr_exporter_put(exporter);
	if (!ret)
		ret = resolve_device(piece, vma);
out:
	mmap_read_unlock(range->mm);
	return ret;
}

int p2pmr_resolve(struct p2pmr_range *range)
{
	unsigned int i;
	int ret;

	for (i = 0; i < range->nr_pieces; i++) {
		struct p2pmr_piece *piece = &range->pieces[i];

		if (piece->exporter)
			piece->seq = mmu_interval_read_begin(&piece->ni);
	}
	for (i = 0; i < range->nr_pieces; i++) {
		ret = resolve_piece(&range->pieces[i]);
		if (ret)
			return ret;
	}
	return 0;
}

/*
 * For a query: what is behind a range inside one device VMA, just now. Nobody
 * watches whether it stays. The caller holds mmap_lock, and after it has let
 * go ends the range by p2pmr_range_unmap(), also after a failure, when the
 * segments tell as much as the exporter does.
 */
int p2pmr_probe(struct p2pmr_range *range, struct vm_area_struct *vma)
{
	int ret = add_vma(range, vma, range->start,
			  range->start + range->length);

	if (ret)
		return ret;
	link_pieces(range);
	return resolve_device(range->pieces, vma);
}

/* Give back what p2pmr_collect() and p2pmr_resolve() took, segments apart. */
void p2pmr_pieces_release(struct p2pmr_range *range)
{
	unsigned int i;

	for (i = 0; i < range->nr_pieces; i++) {
		struct p2pmr_piece *piece = &range->pieces[i];

		if (!piece->exporter)
			continue;
		if (piece->mapped && piece->exporter->p2p_unmap)
			piece->exporter->p2p_unmap(piece->map.cookie);
		piece->mapped = false;
		put_device(piece->map.dev);
		p2pmr_exporter_put(piece->exporter);
	}
}
