// SPDX-License-Identifier: GPL-2.0
/*
 * From user addresses to segments: which VMAs a range consists of, and what is
 * behind each.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/err.h>
#include <linux/export.h>
#include <linux/ioport.h>
#include <linux/log2.h>
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

/* Room doubles whenever it is used up, so it always is a power of two. */
static int grow(struct p2pmr_range *range)
{
	unsigned int n = range->nr_pieces;
	struct p2pmr_piece *pieces;

	if (n && !is_power_of_2(n))
		return 0;
	pieces = kvcalloc(n ? 2 * n : 1, sizeof(*pieces),
			  GFP_KERNEL_ACCOUNT | __GFP_NOWARN);
	if (!pieces)
		return -ENOMEM;
	if (n)
		memcpy(pieces, range->pieces, n * sizeof(*pieces));
	kvfree(range->pieces);
	range->pieces = pieces;
	return 0;
}

static struct p2pmr_piece *add_piece(struct p2pmr_range *range,
				     unsigned long start, unsigned long end)
{
	struct p2pmr_piece *piece;

	if (grow(range))
		return NULL;
	piece = &range->pieces[range->nr_pieces++];
	piece->start = start;
	piece->end = end;
	return piece;
}

/*
 * The one of a range that is no range of user addresses. Nobody watches it, and
 * @exporter is a part of this module.
 */
struct p2pmr_piece *p2pmr_add_piece(struct p2pmr_range *range,
				    const struct p2pmr_exporter *exporter)
{
	struct p2pmr_piece *piece = add_piece(range, range->start,
					      range->start + range->length);

	if (!piece)
		return NULL;
	piece->range = range;
	piece->exporter = exporter;
	piece->map.bar = -1;
	range->nr_device_pieces++;
	return piece;
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
	range->nr_device_pieces++;
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
		vma = vma_lookup(range->mm, addr);
		if (!vma) {
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

/* An exporter's mistake. */
static int complain(struct p2pmr_piece *piece, const char *what)
{
	return p2pmr_refuse(piece->range->ops, -EIO, "exporter %s: %s",
			    piece->exporter->name, what);
}

/*
 * Inside a memory BAR that the kernel has placed and in which nothing else is: then no
 * RAM is there, and the machine's whole list of resources need not be searched. Which
 * BAR it is says the exporter, and it may be one of ports.
 */
static bool in_plain_bar(const struct p2pmr_mapping *map, phys_addr_t addr,
			 u64 len)
{
	const struct resource *res;

	if (!map->dev || !dev_is_pci(map->dev) || map->bar < 0 ||
	    map->bar >= PCI_STD_NUM_BARS)
		return false;
	res = &to_pci_dev(map->dev)->resource[map->bar];
	return resource_type(res) == IORESOURCE_MEM &&
	       READ_ONCE(res->parent) && !READ_ONCE(res->child) &&
	       addr >= res->start && addr + len - 1 <= res->end;
}

/* What is wrong with the next extent; NULL: nothing. */
static const char *wrong_with(const struct p2pmr_piece *piece,
			      phys_addr_t addr, u64 len,
			      const void __iomem *kaddr)
{
	unsigned long user = piece->start + piece->told;

	if (!len)
		return "extent of no length";
	if (len > piece->end - user)
		return "extent reaches beyond what was asked for";
	if (addr > iomem_resource.end || len - 1 > iomem_resource.end - addr)
		return "extent is not at a physical address";
	/* Neither ioremap() nor dma_map_resource() takes it, and both warn. */
	if (!in_plain_bar(&piece->map, addr, len) &&
	    region_intersects(addr, len, IORESOURCE_SYSTEM_RAM,
			      IORES_DESC_NONE) != REGION_DISJOINT)
		return "extent has system RAM in it";
	if (piece->told && offset_in_page(user))
		return "extent begins inside a page";
	if (offset_in_page(addr) != offset_in_page(user))
		return "extent has another offset in its page than the user address";
	if (kaddr && offset_in_page(kaddr) != offset_in_page(user))
		return "kernel address has another offset in its page than the user address";
	return NULL;
}

static bool continues(const struct p2pmr_segment *seg,
		      const struct p2pmr_segment *next)
{
	return seg->piece == next->piece && seg->addr + seg->len == next->addr &&
	       (next->kaddr ? seg->kaddr && seg->kaddr + seg->len == next->kaddr :
			      !seg->kaddr) &&
	       pgprot_val(seg->prot) == pgprot_val(next->prot);
}

/**
 * p2pmr_add_extent() - an exporter says where a part of the memory is
 * @map: as passed to @p2p_map
 * @addr: CPU physical address of device memory, with the same offset in its page
 *	as the user address
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
 * Return: 0, -ENOMEM, or -EIO for an extent that cannot be right; the kernel log
 * says why. The request then fails, whatever else is added and answered.
 */
int p2pmr_add_extent(struct p2pmr_mapping *map, phys_addr_t addr, u64 len,
		     void __iomem *kaddr)
{
	struct p2pmr_piece *piece = container_of(map, struct p2pmr_piece, map);
	struct p2pmr_range *range = piece->range;
	const struct p2pmr_segment next = {
		.addr = addr,
		.len = len,
		.kaddr = kaddr,
		.prot = map->prot,
		.piece = piece - range->pieces,
	};
	struct p2pmr_segment *seg = NULL;
	const char *wrong;

	if (piece->error)
		return piece->error;
	wrong = wrong_with(piece, addr, len, kaddr);
	if (wrong) {
		piece->error = complain(piece, wrong);
		return piece->error;
	}
	if (piece->told)
		seg = &range->segs[range->nr_segs - 1];
	if (seg && continues(seg, &next)) {
		seg->len += len;
	} else {
		seg = p2pmr_segment_add(range);
		if (!seg) {
			piece->error = -ENOMEM;
			return -ENOMEM;
		}
		*seg = next;
	}
	piece->told += len;
	return 0;
}
EXPORT_SYMBOL_GPL(p2pmr_add_extent);

/* An errno that reaches the user as a pointer must be one. */
static int check_answer(struct p2pmr_piece *piece, int ret)
{
	if (ret && !IS_ERR_VALUE((long)ret))
		return complain(piece, "answer is neither 0 nor an errno");
	return ret;
}

/* Did the exporter account for every byte? */
static int check_extents(struct p2pmr_piece *piece)
{
	if (piece->error)
		return piece->error;
	if (piece->told != piece->end - piece->start)
		return complain(piece, "extents end before what was asked for");
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
	int ret;

	mmap_assert_locked(range->mm);
	piece->map.bar = -1;
	piece->first_seg = range->nr_segs;
	ret = piece->exporter->p2p_map(&req, &piece->map);
	if (ret)
		return check_answer(piece, ret);
	piece->mapped = true;
	return check_extents(piece);
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
	vma = vma_lookup(range->mm, piece->start);
	if (!vma || vma->vm_end < piece->end || !p2pmr_is_device_vma(vma)) {
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

/* For those who look at a live range under its lock, and shall not search. */
static void note_device_segs(struct p2pmr_range *range)
{
	unsigned int i;

	for (i = range->nr_segs; i--;) {
		if (range->segs[i].host)
			continue;
		range->nr_device_segs++;
		range->first_device_seg = i;
	}
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
	note_device_segs(range);
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
