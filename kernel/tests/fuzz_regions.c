// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Steps of the fuzzer that register and deregister. Whether a registration
 * must succeed is taken from /proc/self/maps, and which errno it must give from
 * a query just before.
 */
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "chardev.h"
#include "fuzz.h"
#include "runner.h"
#include "uverbs.h"

#define DATA_SIZE 256
#define SUPPORTED (ACCESS_ALL | IBV_ACCESS_RELAXED_ORDERING)

enum outcome {
	UNKNOWN,
	MUST_FAIL,
	MUST_SUCCEED
};

struct wanted {
	uint64_t start, length;
	int access;
	struct page_view pages[ARENA_PAGES];
	uint64_t touched, device;
	enum outcome outcome;
	int error; /* 0: not known, or none */
};

static bool is_write(int access)
{
	return access & (IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE |
			 IBV_ACCESS_REMOTE_ATOMIC);
}

static enum outcome foresee_page(const struct page_view *page, bool write)
{
	if (!page->mapped)
		return MUST_FAIL;
	if (page->device)
		return page->shared && page->readable && !page->registers &&
				       (!write || page->writable)
			       ? MUST_SUCCEED
			       : MUST_FAIL;
	if (page->readable && page->writable)
		return MUST_SUCCEED;
	/* Rights of host memory are those of GUP, version by version. */
	return UNKNOWN;
}

/* Where there is no device memory it is for the driver alone to say. */
static void foresee(struct world *w, struct wanted *wanted)
{
	enum outcome outcome = MUST_SUCCEED;
	uint64_t before = 0;

	wanted->outcome = UNKNOWN;
	wanted->device = 0;
	wanted->touched = pages_of(wanted->start, wanted->length);
	if (!w->alone || !wanted->touched)
		return;
	view_arena(w, wanted->pages);
	for (unsigned int i = 0; i < ARENA_PAGES; i++) {
		enum outcome page;

		if (!(wanted->touched >> i & 1))
			continue;
		if (wanted->pages[i].device)
			wanted->device |= 1ull << i;
		/* Behind a hole nobody looks for device memory. */
		if (!wanted->pages[i].mapped && !wanted->device)
			before = 1;
		page = foresee_page(&wanted->pages[i],
				    is_write(wanted->access));
		if (page < outcome && outcome != MUST_FAIL)
			outcome = page;
		if (page == MUST_FAIL)
			outcome = MUST_FAIL;
	}
	if (wanted->device && !before)
		wanted->outcome =
			wanted->access & ~SUPPORTED ? MUST_FAIL : outcome;
}

/* The errno that a query foretells, for what it judges as a registration does. */
static void ask_before(struct world *w, struct wanted *wanted)
{
	struct p2pmr_ioc_query query = { .size = sizeof(query),
					 .address = wanted->start,
					 .length = wanted->length,
					 .segment_size = sizeof(
						 struct p2pmr_query_segment) };
	struct world *unused = w;
	int fd;

	(void)unused;
	wanted->error = 0;
	if (wanted->outcome == UNKNOWN || wanted->access & ~SUPPORTED)
		return;
	fd = chardev_ready();
	if (chardev_error(fd, P2PMR_IOC_QUERY, &query) != ENOSPC)
		wrong("query of %#lx+%#lx", wanted->start, wanted->length);
	close(fd);
	wanted->error =
		is_write(wanted->access) ? query.write_error : query.read_error;
	/* As after mprotect(): whether it is writable shows when it is written. */
	if (wanted->error == ENODATA) {
		wanted->error = 0;
		return;
	}
	if ((wanted->outcome == MUST_SUCCEED) != !wanted->error) {
		show_arena();
		wrong("query of %#lx+%#lx, access %#x, says %d; %s expected",
		      wanted->start, wanted->length, wanted->access,
		      wanted->error,
		      wanted->outcome == MUST_SUCCEED ? "0" : "an error");
	}
}

static void compare(const struct wanted *wanted, int error)
{
	if (wanted->outcome == UNKNOWN)
		return;
	tally->foretold++;
	if ((wanted->outcome == MUST_SUCCEED) != !error ||
	    (wanted->error && error != wanted->error)) {
		show_arena();
		wrong("registration of %#lx+%#lx, access %#x, gives %d; %s, %d expected",
		      wanted->start, wanted->length, wanted->access, error,
		      wanted->outcome == MUST_SUCCEED ? "success" : "failure",
		      wanted->error);
	}
}

static void choose_range(struct wanted *wanted, const uint32_t *arg)
{
	static const int access[] = {
		ACCESS_ALL,
		ACCESS_ALL,
		ACCESS_ALL,
		ACCESS_ALL,
		0,
		IBV_ACCESS_REMOTE_READ,
		IBV_ACCESS_LOCAL_WRITE,
		IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE,
		ACCESS_ALL | IBV_ACCESS_RELAXED_ORDERING,
		ACCESS_ALL | IBV_ACCESS_MW_BIND,
		ACCESS_ALL | IBV_ACCESS_ZERO_BASED,
		ACCESS_ALL | IBV_ACCESS_ON_DEMAND,
		ACCESS_ALL | IBV_ACCESS_HUGETLB,
	};
	uint64_t offset = arg[0] % ARENA_PAGES * PAGE;

	/* Whole pages, or not. */
	if (arg[3] % 2)
		offset += arg[0] >> 16;
	wanted->start = (uintptr_t)ARENA + offset;
	wanted->length = (1 + (arg[1] >> 8) % (1u << (arg[1] & 7) % 6)) * PAGE;
	if (arg[3] % 2)
		wanted->length -= arg[1] >> 16 & 0xfff;
	if (arg[3] % 64 == 7)
		wanted->length = -wanted->start + (arg[1] & 1);
	if (arg[3] % 64 == 9)
		wanted->length = 0;
	if (arg[3] % 64 == 11)
		wanted->start = (uint64_t)arg[0] << 32 | arg[1];
	wanted->access = access[arg[2] % ARRAY_SIZE(access)];
	if (arg[2] >> 16 == 0)
		wanted->access = arg[2];
}

static void keep(struct world *w, struct region *region,
		 const struct wanted *wanted, const struct raw_mr *mr)
{
	(void)w;
	region->used = true;
	region->dead = false;
	region->unsure = wanted->outcome == UNKNOWN;
	region->handle = mr->handle;
	region->lkey = mr->lkey;
	region->rkey = mr->rkey;
	region->start = wanted->start;
	region->length = wanted->length;
	region->access = wanted->access;
	region->device_pages = wanted->device;
	memcpy(region->pages, wanted->pages, sizeof(region->pages));
}

static void forget(struct world *w, struct region *region)
{
	struct raw_mr mr = { .context = w->device.context,
			     .handle = region->handle };

	if (region->used)
		uverbs_deregister(&mr);
	region->used = false;
}

bool step_register(struct actor *me, const uint32_t *arg)
{
	struct world *w = me->world;
	struct region *region = &w->regions[arg[4] % REGIONS];
	struct wanted wanted = { 0 };
	struct raw_mr mr;
	int error;

	if (!region_take(region))
		return false;
	forget(w, region);
	choose_range(&wanted, arg);
	foresee(w, &wanted);
	ask_before(w, &wanted);
	error = uverbs_register(w->device.pd, (void *)wanted.start,
				wanted.length, wanted.access, "", 0, me, 0,
				&mr);
	compare(&wanted, error);
	if (!error)
		keep(w, region, &wanted, &mr);
	region_give(region);
	return !error;
}

/* By the words of the header. */
static bool well_formed(const struct p2pmr_reg_mr_req *request,
			const uint8_t *bytes, size_t in, size_t out, int event)
{
	if (in < sizeof(*request) || out < sizeof(struct p2pmr_reg_mr_resp) ||
	    request->size < sizeof(*request) || request->size > in ||
	    request->flags & ~7u || request->reserved)
		return false;
	for (size_t i = sizeof(*request); i < request->size; i++)
		if (bytes[i])
			return false;
	return request->flags & P2PMR_REG_EVENTFD ? request->eventfd == event
						  : !request->eventfd;
}

bool step_extended(struct actor *me, const uint32_t *arg)
{
	struct world *w = me->world;
	struct region *region = &w->regions[arg[4] % REGIONS];
	struct {
		struct p2pmr_reg_mr_req request;
		uint8_t more[DATA_SIZE - sizeof(struct p2pmr_reg_mr_req)];
	} in = { 0 };
	size_t in_size = sizeof(in.request), out_size = 16;
	uint8_t out[DATA_SIZE];
	struct wanted wanted = { 0 };
	struct raw_mr mr;
	int error, event;
	bool good;

	if (!region_take(region))
		return false;
	forget(w, region);
	choose_range(&wanted, arg);
	event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	in.request = (struct p2pmr_reg_mr_req){ .size = sizeof(in.request),
						.flags = arg[4] >> 8 & 7 };
	if (in.request.flags & P2PMR_REG_EVENTFD)
		in.request.eventfd = event;
	if (arg[4] >> 16 & 1)
		in_size = (arg[4] >> 17) % (DATA_SIZE / 4 + 1) * 4;
	if ((arg[4] >> 24) % 8 == 0)
		out_size = (arg[4] >> 27) % 8 * 4;
	if (in_size > sizeof(in.request) && arg[5] & 1)
		in.request.size = in_size;
	mutate(&in, in_size, arg[5] >> 1, arg[0]);
	/* Another number may be that of another thread's eventfd. */
	good = !in_size ||
	       well_formed(&in.request, (uint8_t *)&in, in_size, out_size,
			   w->alone ? event : (int)in.request.eventfd);
	error = uverbs_register(w->device.pd, (void *)wanted.start,
				wanted.length, wanted.access, &in, in_size, out,
				out_size, &mr);
	if (!error && !good)
		wrong("malformed request of %zu bytes was taken: size %u, flags %#x, eventfd %d, reserved %u",
		      in_size, in.request.size, in.request.flags,
		      in.request.eventfd, in.request.reserved);
	if (!good)
		tally->foretold++;
	wanted.outcome = UNKNOWN;
	wanted.device = pages_of(wanted.start, wanted.length);
	if (!error)
		keep(w, region, &wanted, &mr);
	close(event);
	region_give(region);
	return !error;
}

bool step_reregister(struct actor *me, const uint32_t *arg)
{
	struct world *w = me->world;
	struct region *region = region_pick(w, arg[4]);
	int flags = arg[5] % 8, error;
	struct wanted wanted = { 0 };
	struct keys keys;

	if (!region_take(region))
		return false;
	if (!region->used) {
		region_give(region);
		return false;
	}
	choose_range(&wanted, arg);
	if (arg[5] % 97 == 0)
		flags = arg[5] >> 8;
	error = uverbs_reregister(w->device.context, region->handle, flags,
				  arg[5] >> 16 & 1 ? w->other_pd : w->device.pd,
				  (void *)wanted.start, wanted.length,
				  wanted.access, &keys);
	/* Old or new: what there is now is as it was or follows from the call. */
	region->unsure = true;
	region->device_pages |= pages_of(wanted.start, wanted.length);
	if (!error) {
		region->lkey = keys.lkey;
		region->rkey = keys.rkey;
	}
	region_give(region);
	return !error;
}

bool step_deregister(struct actor *me, const uint32_t *arg)
{
	struct region *region = &me->world->regions[arg[0] % REGIONS];
	bool used;

	if (!region_take(region))
		return false;
	used = region->used;
	forget(me->world, region);
	region_give(region);
	return used;
}

bool step_advise_mr(struct actor *me, const uint32_t *arg)
{
	struct world *w = me->world;
	struct region *region = region_pick(w, arg[0]);
	struct ibv_sge sge = { .addr = region->start + arg[1] % PAGE,
			       .length = arg[2] % ARENA_SIZE,
			       .lkey = region->lkey };

	if (arg[3] % 8 == 0)
		sge.lkey ^= 1u << arg[4] % 32;
	return !ibv_advise_mr(w->device.pd, arg[3] >> 8 & 3,
			      arg[3] >> 16 & 1 ? IBV_ADVISE_MR_FLAG_FLUSH : 0,
			      &sge, 1);
}
