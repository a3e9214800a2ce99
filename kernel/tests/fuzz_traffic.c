// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Steps of the fuzzer that use keys: right ones, old ones and wrong ones. What
 * a region that is over must never do is move a byte; one that nothing has
 * happened to must work, and its bytes be where they belong.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "fuzz.h"
#include "runner.h"

#define MOST_BYTES  (2 * PAGE)
#define REMOTE_PART (4 * PAGE) /* of the buffer, where the region is local */

/* What a step wants with a region, whose lock it holds. */
struct access {
	struct region *region;
	bool local; /* the region's memory is on the posting side */
	enum ibv_wr_opcode opcode;
	uint64_t offset;
	uint32_t length;
	uint32_t key;
};

/* The right that this use takes; 0: none but to be there. */
static int right_for(const struct access *a)
{
	switch (a->opcode) {
	case IBV_WR_RDMA_READ:
		return a->local ? IBV_ACCESS_LOCAL_WRITE
				: IBV_ACCESS_REMOTE_READ;
	case IBV_WR_ATOMIC_CMP_AND_SWP:
	case IBV_WR_ATOMIC_FETCH_AND_ADD:
		return a->local ? IBV_ACCESS_LOCAL_WRITE
				: IBV_ACCESS_REMOTE_ATOMIC;
	default:
		return a->local ? 0 : IBV_ACCESS_REMOTE_WRITE;
	}
}

static bool is_atomic(const struct access *a)
{
	return a->opcode == IBV_WR_ATOMIC_CMP_AND_SWP ||
	       a->opcode == IBV_WR_ATOMIC_FETCH_AND_ADD;
}

/* Keys, range and rights are right: only the region's state decides. */
static bool is_proper(const struct access *a)
{
	const struct region *r = a->region;
	uint32_t key = a->local ? r->lkey : r->rkey;
	int right = right_for(a);

	if (!r->used || r->unsure || a->key != key || !a->length)
		return false;
	if (a->offset > r->length || a->length > r->length - a->offset)
		return false;
	if (is_atomic(a) && (r->start + a->offset) % 8)
		return false;
	return !right || (r->access & right);
}

static void check_bytes(const struct world *w, const struct access *a,
			const uint8_t *sent)
{
	uint64_t at = a->region->start + a->offset - (uintptr_t)ARENA;

	for (uint32_t done = 0; done < a->length; at++, done++) {
		const struct page_view *page = &a->region->pages[at / PAGE];
		const uint8_t *bar =
			page->source == SOURCE_BAR2 ? w->witness2 : w->witness;

		/* A page may be there twice, and the later one has won. */
		if (!page->device || a->length > 64)
			return;
		if (bar[page->page * PAGE + at % PAGE] != sent[done])
			wrong("byte %u of %u written to page %lu, which shows page %u of the BAR, is not there",
			      done, a->length, at / PAGE, page->page);
	}
}

static void judge(struct actor *me, const struct access *a,
		  enum ibv_wc_status status)
{
	const struct region *r = a->region;

	if (!me->world->alone)
		return;
	if (!is_proper(a)) {
		/* A key that is right is not, where the range or right is not. */
		if (status == IBV_WC_SUCCESS && r->used && r->dead &&
		    !r->unsure && a->key == (a->local ? r->lkey : r->rkey) &&
		    a->length)
			wrong("a region that is over was reached: %#lx+%#lx",
			      r->start, r->length);
		return;
	}
	tally->foretold++;
	if (r->dead && status == IBV_WC_SUCCESS)
		wrong("a region that is over was reached: %#lx+%#lx, opcode %d at %#lx+%u, local %d",
		      r->start, r->length, a->opcode, a->offset, a->length,
		      a->local);
	if (!r->dead && status != IBV_WC_SUCCESS)
		wrong("a region was not reached (%s): %#lx+%#lx, access %#x, opcode %d at %#lx+%u, local %d",
		      ibv_wc_status_str(status), r->start, r->length, r->access,
		      a->opcode, a->offset, a->length, a->local);
	if (!r->dead && a->opcode == IBV_WR_RDMA_WRITE && !a->local)
		check_bytes(me->world, a, me->buffer);
}

static void choose_access(struct actor *me, struct access *a,
			  const uint32_t *arg)
{
	static const enum ibv_wr_opcode opcodes[] = {
		IBV_WR_RDMA_WRITE,	   IBV_WR_RDMA_WRITE,
		IBV_WR_RDMA_READ,	   IBV_WR_RDMA_READ,
		IBV_WR_ATOMIC_CMP_AND_SWP, IBV_WR_ATOMIC_FETCH_AND_ADD,
	};
	uint64_t length = a->region->length ? a->region->length : PAGE;

	(void)me;
	a->opcode = opcodes[arg[1] % ARRAY_SIZE(opcodes)];
	a->local = arg[1] >> 8 & 1;
	a->key = a->local ? a->region->lkey : a->region->rkey;
	a->length = 1 + (arg[2] >> 8) % (1u << arg[2] % 13);
	if (a->length > length && arg[3] % 16)
		a->length = length;
	a->offset = arg[3] % (length > a->length ? length - a->length + 1 : 1);
	if (is_atomic(a)) {
		a->length = 8;
		a->offset = a->offset / 8 * 8 + -a->region->start % 8;
	}
	/* Past the end, or before the start. */
	if (arg[4] % 16 == 1)
		a->offset = length - a->length + 1;
	if (arg[4] % 16 == 2)
		a->offset = -(uint64_t)1;
	if (arg[4] % 16 == 3)
		a->key ^= 1u << (arg[4] >> 8) % 32;
}

bool step_transfer(struct actor *me, const uint32_t *arg)
{
	struct access a = { .region = region_pick(me->world, arg[0]) };
	enum ibv_wc_status status;
	struct transfer t = { 0 };

	if (!region_take(a.region))
		return false;
	choose_access(me, &a, arg);
	if (a.length > MOST_BYTES)
		a.length = MOST_BYTES;
	t.opcode = a.opcode;
	t.length = a.length;
	t.compare_add = arg[5];
	t.swap = arg[5];
	if (a.local) {
		t.local = (void *)(a.region->start + a.offset);
		t.lkey = a.key;
		t.remote = (uintptr_t)me->buffer + REMOTE_PART;
		t.rkey = me->buffer_mr->rkey;
	} else {
		pattern_fill(me->buffer, a.length, arg[5]);
		t.local = me->buffer;
		t.lkey = me->buffer_mr->lkey;
		t.remote = a.region->start + a.offset;
		t.rkey = a.key;
	}
	status = try_transfer(&me->pair.near, &t);
	judge(me, &a, status);
	region_give(a.region);
	if (status != IBV_WC_SUCCESS)
		pair_reconnect(&me->pair);
	return status == IBV_WC_SUCCESS;
}

/* A send that is received in a region. */
bool step_message(struct actor *me, const uint32_t *arg)
{
	struct region *region = region_pick(me->world, arg[0]);
	struct ibv_sge sge = { .addr = region->start + arg[1] % PAGE,
			       .length = 1 + arg[2] % PAGE,
			       .lkey = region->lkey };
	struct ibv_recv_wr *bad, wr = { .sg_list = &sge, .num_sge = 1 };
	struct transfer t = { .opcode = IBV_WR_SEND,
			      .local = me->buffer,
			      .lkey = me->buffer_mr->lkey,
			      .length = 1 + arg[3] % sge.length };
	enum ibv_wc_status status;
	struct ibv_wc wc;
	bool was_dead;

	if (ibv_post_recv(me->pair.far.qp, &wr, &bad))
		return false;
	was_dead = me->world->alone && region->used && region->dead &&
		   !region->unsure;
	status = try_transfer(&me->pair.near, &t);
	/* What the sender hears first is not always the end of it. */
	if (status == IBV_WC_SUCCESS &&
	    !try_completion(&me->pair.far, &wc, deadline_ms()))
		wrong("a message has arrived, and nobody knows");
	if (status == IBV_WC_SUCCESS && wc.status == IBV_WC_SUCCESS) {
		if (was_dead)
			wrong("a message was received in a region that is over");
		return true;
	}
	pair_reconnect(&me->pair);
	return false;
}

/* Of one's own regions, and those that are not. soft-RoCE asks no PD. */
bool step_invalidate(struct actor *me, const uint32_t *arg)
{
	struct world *w = me->world;
	struct region *region = region_pick(w, arg[0]);
	struct ibv_send_wr *bad,
		wr = { .opcode = arg[1] % 2 ? IBV_WR_LOCAL_INV
					    : IBV_WR_SEND_WITH_INV };
	uint32_t key = arg[2] % 2 ? region->rkey : region->lkey;
	struct ibv_recv_wr *bad_receive, receive = { 0 };
	struct ibv_wc wc = { .status = IBV_WC_GENERAL_ERR };

	if (arg[3] % 8 == 0)
		key ^= 1u << (arg[3] >> 8) % 8;
	wr.invalidate_rkey = key;
	for (int i = 0; i < REGIONS && w->alone; i++)
		if (w->regions[i].rkey >> 8 == key >> 8 ||
		    w->regions[i].lkey >> 8 == key >> 8)
			w->regions[i].unsure = true;
	if (wr.opcode == IBV_WR_SEND_WITH_INV &&
	    ibv_post_recv(me->pair.far.qp, &receive, &bad_receive))
		return false;
	if (!ibv_post_send(me->pair.near.qp, &wr, &bad))
		try_completion(&me->pair.near, &wc, deadline_ms());
	if (wc.status == IBV_WC_SUCCESS && wr.opcode == IBV_WR_SEND_WITH_INV)
		try_completion(&me->pair.far, &wc, deadline_ms());
	if (wc.status == IBV_WC_SUCCESS)
		return true;
	pair_reconnect(&me->pair);
	return false;
}
