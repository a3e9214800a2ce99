// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Device memory as an object of libibverbs: a part of the pool, mapped. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dm_pool.h"
#include "p2pmr.h"

struct p2pmr_dm {
	struct ibv_dm dm;
	struct p2pmr_dm_range range;
	uint64_t length;
	atomic_int users; /* MRs */
};

static struct p2pmr_dm *to_dm(struct ibv_dm *dm)
{
	return container_of(dm, struct p2pmr_dm, dm);
}

static bool is_inside(const struct p2pmr_dm *dm, uint64_t offset, size_t length)
{
	return offset <= dm->length && length <= dm->length - offset;
}

/* Devices may not bear accesses that are not aligned, so there are none. */
static bool may_copy(const struct p2pmr_dm *dm, uint64_t offset, size_t length)
{
	return is_inside(dm, offset, length) && !((offset | length) & 3);
}

/*
 * The device's side is volatile, so that the compiler does not make other
 * accesses of it than are written here.
 */
static int memcpy_to_dm(struct ibv_dm *ibdm, uint64_t offset, const void *host,
			size_t length)
{
	struct p2pmr_dm *dm = to_dm(ibdm);
	const uint8_t *from = host;

	if (!may_copy(dm, offset, length))
		return EINVAL;
	while (length) {
		size_t piece = (offset & 4) || length < 8 ? 4 : 8;
		uint64_t word = 0;

		memcpy(&word, from, piece);
		if (piece == 8)
			*(volatile uint64_t *)(dm->range.bytes + offset) = word;
		else
			*(volatile uint32_t *)(dm->range.bytes + offset) = word;
		offset += piece;
		from += piece;
		length -= piece;
	}
	/* A write-combining mapping may hold on to what was written. */
	__sync_synchronize();
	return 0;
}

static int memcpy_from_dm(void *host, struct ibv_dm *ibdm, uint64_t offset,
			  size_t length)
{
	struct p2pmr_dm *dm = to_dm(ibdm);
	uint8_t *to = host;

	if (!may_copy(dm, offset, length))
		return EINVAL;
	/* Loads from a write-combining mapping may run ahead of those before. */
	__sync_synchronize();
	while (length) {
		size_t piece = (offset & 4) || length < 8 ? 4 : 8;
		uint64_t word;

		if (piece == 8)
			word = *(volatile uint64_t *)(dm->range.bytes + offset);
		else
			word = *(volatile uint32_t *)(dm->range.bytes + offset);
		memcpy(to, &word, piece);
		offset += piece;
		to += piece;
		length -= piece;
	}
	/* What the caller loads next was not to be there before this. */
	__sync_synchronize();
	return 0;
}

struct ibv_dm *p2pmr_alloc_dm(struct ibv_context *context,
			      struct ibv_alloc_dm_attr *attr)
{
	struct p2pmr_dm *dm;
	int error;

	if (attr->comp_mask) {
		errno = EOPNOTSUPP;
		return NULL;
	}
	if (attr->log_align_req > 62) {
		errno = EINVAL;
		return NULL;
	}
	dm = calloc(1, sizeof(*dm));
	if (!dm)
		return NULL;
	error = p2pmr_dm_pool_take(attr->length, 1ull << attr->log_align_req,
				   &dm->range);
	if (error) {
		free(dm);
		errno = error;
		return NULL;
	}
	dm->length = attr->length;
	dm->dm.context = context;
	dm->dm.memcpy_to_dm = memcpy_to_dm;
	dm->dm.memcpy_from_dm = memcpy_from_dm;
	return &dm->dm;
}

int p2pmr_free_dm(struct ibv_dm *ibdm)
{
	struct p2pmr_dm *dm = to_dm(ibdm);

	if (atomic_load(&dm->users))
		return EBUSY;
	p2pmr_dm_pool_give_back(&dm->range);
	free(dm);
	return 0;
}

void p2pmr_dm_release(struct p2pmr_dm *dm)
{
	atomic_fetch_sub(&dm->users, 1);
}

/*
 * Addresses of such an MR count from its start, and the kernel wants an
 * address and what it stands for to be alike within a page.
 */
static int check_reg(const struct p2pmr_dm *dm, uint64_t offset, size_t length,
		     unsigned int access)
{
	if (!(access & IBV_ACCESS_ZERO_BASED) || !is_inside(dm, offset, length))
		return EINVAL;
	if ((uintptr_t)(dm->range.bytes + offset) % sysconf(_SC_PAGESIZE))
		return EOPNOTSUPP;
	return 0;
}

struct ibv_mr *p2pmr_reg_dm_mr(struct ibv_pd *pd, struct ibv_dm *ibdm,
			       uint64_t offset, size_t length,
			       unsigned int access)
{
	struct p2pmr_dm *dm = to_dm(ibdm);
	uint8_t *start = dm->range.bytes + offset;
	size_t registered = length;
	struct ibv_mr *mr;

	errno = check_reg(dm, offset, length, access);
	if (errno)
		return NULL;
	/* The kernel has no MR of nothing: a word that nobody may write to. */
	if (!length) {
		start = dm->range.bytes;
		registered = sizeof(uint32_t);
		access = 0;
	}
	mr = p2pmr_reg_mr(pd, start, registered, 0,
			  access & ~IBV_ACCESS_ZERO_BASED);
	if (!mr)
		return NULL;
	mr->context = pd->context;
	mr->addr = NULL;
	mr->length = length;
	/* Not a mapping of the caller's: no business of fork or rereg. */
	verbs_get_mr(mr)->mr_type = IBV_MR_TYPE_DMABUF_MR;
	to_mr(verbs_get_mr(mr))->dm = dm;
	atomic_fetch_add(&dm->users, 1);
	return mr;
}
