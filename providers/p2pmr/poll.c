// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Taking completions out of a CQ: in batches, or field by field. */
#include <string.h>

#include "p2pmr.h"

/* One copy does for a completion, since both sides lay it out alike. */
#define SAME_PLACE(field, kernel_field)                                    \
	static_assert(offsetof(struct ibv_wc, field) ==                    \
			      offsetof(struct ib_uverbs_wc, kernel_field), \
		      #field " is elsewhere in the kernel's form")
SAME_PLACE(wr_id, wr_id);
SAME_PLACE(status, status);
SAME_PLACE(opcode, opcode);
SAME_PLACE(vendor_err, vendor_err);
SAME_PLACE(byte_len, byte_len);
SAME_PLACE(imm_data, ex.imm_data);
SAME_PLACE(qp_num, qp_num);
SAME_PLACE(src_qp, src_qp);
SAME_PLACE(wc_flags, wc_flags);
SAME_PLACE(pkey_index, pkey_index);
SAME_PLACE(slid, slid);
SAME_PLACE(sl, sl);
SAME_PLACE(dlid_path_bits, dlid_path_bits);
static_assert(sizeof(struct ibv_wc) <= sizeof(struct ib_uverbs_wc),
	      "a completion is larger than the kernel's form");

/* Copies count completions, at least one; returns where the next one is. */
static uint32_t copy(const struct p2pmr_ring *ring, uint32_t index,
		     struct ibv_wc *wc, int count)
{
	const uint8_t *from = p2pmr_ring_element(ring, index);

	do {
		memcpy(wc++, from, sizeof(*wc));
		from += ring->stride;
		if (++index > ring->mask) {
			index = 0;
			from = ring->data;
		}
	} while (--count);
	return index;
}

/* One completion is what there is most often, and goes the shortest way. */
int p2pmr_poll_cq(struct ibv_cq *ibcq, int wanted, struct ibv_wc *wc)
{
	struct p2pmr_cq *cq = to_cq(ibcq);
	struct p2pmr_ring *ring = &cq->ring;
	uint32_t index, filled;
	int count = 0;

	p2pmr_lock(&cq->lock);
	index = ring->index;
	filled = p2pmr_ring_filled(ring);
	if (index != filled && wanted > 0) {
		memcpy(wc, p2pmr_ring_element(ring, index), sizeof(*wc));
		index = p2pmr_ring_next(ring, index);
		count = 1;
		if (index != filled && wanted > 1) {
			count += (filled - index) & ring->mask;
			if (count > wanted)
				count = wanted;
			index = copy(ring, index, wc + 1, count - 1);
		}
		p2pmr_ring_take_to(ring, index);
	}
	p2pmr_unlock(&cq->lock);
	return count;
}

/*
 * Field by field, what is shown is told by its address and not by its index:
 * that is what every completion costs.
 */
static inline int show(struct p2pmr_cq *cq, const struct ib_uverbs_wc *wc)
{
	cq->wc = wc;
	cq->verbs.cq_ex.status = wc->status;
	cq->verbs.cq_ex.wr_id = wc->wr_id;
	return 0;
}

/* Apart, so that what there is most often needs no more registers. */
static __attribute__((noinline)) int unlock_empty(struct p2pmr_cq *cq)
{
	pthread_spin_unlock(&cq->lock.spin);
	return ENOENT;
}

/* Whether a lock is needed is known when the CQ is made. */
static inline int start(struct ibv_cq_ex *ibcq, struct ibv_poll_cq_attr *attr,
			bool locks)
{
	struct p2pmr_cq *cq = to_cq_ex(ibcq);
	struct p2pmr_ring *ring = &cq->ring;

	if (attr->comp_mask)
		return EINVAL;
	if (locks)
		pthread_spin_lock(&cq->lock.spin);
	if (ring->index == p2pmr_ring_filled(ring))
		return locks ? unlock_empty(cq) : ENOENT;
	cq->last = p2pmr_ring_element(ring, ring->index);
	__atomic_store_n(&cq->poller, __builtin_thread_pointer(),
			 __ATOMIC_RELAXED);
	return show(cq, cq->last);
}

static int start_poll(struct ibv_cq_ex *cq, struct ibv_poll_cq_attr *attr)
{
	return start(cq, attr, true);
}

static int start_poll_alone(struct ibv_cq_ex *cq, struct ibv_poll_cq_attr *attr)
{
	return start(cq, attr, false);
}

int p2pmr_start_poll(struct ibv_cq_ex *cq, struct ibv_poll_cq_attr *attr)
{
	return to_cq_ex(cq)->lock.needed ? start_poll(cq, attr)
					 : start_poll_alone(cq, attr);
}

static const struct ib_uverbs_wc *last_filled(const struct p2pmr_ring *ring)
{
	uint32_t last = (p2pmr_ring_filled(ring) - 1) & ring->mask;

	return p2pmr_ring_element(ring, last);
}

static inline int show_next(struct p2pmr_cq *cq)
{
	const uint8_t *next = (const uint8_t *)cq->wc + cq->ring.stride;

	if (next == cq->ring.end)
		next = cq->ring.data;
	return show(cq, (const struct ib_uverbs_wc *)next);
}

static __attribute__((noinline)) int look_again(struct p2pmr_cq *cq)
{
	cq->last = last_filled(&cq->ring);
	return cq->wc == cq->last ? ENOENT : show_next(cq);
}

/* Whatever it says, end_poll() comes afterwards. */
static int next_poll(struct ibv_cq_ex *ibcq)
{
	struct p2pmr_cq *cq = to_cq_ex(ibcq);

	return cq->wc == cq->last ? look_again(cq) : show_next(cq);
}

static void end_poll_alone(struct ibv_cq_ex *ibcq)
{
	struct p2pmr_cq *cq = to_cq_ex(ibcq);
	uint32_t shown = p2pmr_ring_index(&cq->ring, cq->wc);

	__atomic_store_n(&cq->poller, NULL, __ATOMIC_RELAXED);
	p2pmr_ring_take_to(&cq->ring, p2pmr_ring_next(&cq->ring, shown));
}

static void end_poll(struct ibv_cq_ex *cq)
{
	end_poll_alone(cq);
	pthread_spin_unlock(&to_cq_ex(cq)->lock.spin);
}

#define READ_FIELD(type, field, kernel_field)                \
	static type read_##field(struct ibv_cq_ex *cq)       \
	{                                                    \
		return (type)to_cq_ex(cq)->wc->kernel_field; \
	}
READ_FIELD(enum ibv_wc_opcode, opcode, opcode)
READ_FIELD(uint32_t, vendor_err, vendor_err)
READ_FIELD(uint32_t, byte_len, byte_len)
READ_FIELD(__be32, imm_data, ex.imm_data)
READ_FIELD(uint32_t, qp_num, qp_num)
READ_FIELD(uint32_t, src_qp, src_qp)
READ_FIELD(unsigned int, wc_flags, wc_flags)
READ_FIELD(uint32_t, slid, slid)
READ_FIELD(uint8_t, sl, sl)
READ_FIELD(uint8_t, dlid_path_bits, dlid_path_bits)

const uint64_t p2pmr_wc_flags = IBV_WC_EX_WITH_BYTE_LEN | IBV_WC_EX_WITH_IMM |
				IBV_WC_EX_WITH_QP_NUM | IBV_WC_EX_WITH_SRC_QP |
				IBV_WC_EX_WITH_SLID | IBV_WC_EX_WITH_SL |
				IBV_WC_EX_WITH_DLID_PATH_BITS;

void p2pmr_set_poll_ops(struct ibv_cq_ex *cq, uint64_t wc_flags)
{
	bool locks = to_cq_ex(cq)->lock.needed;

	cq->start_poll = locks ? start_poll : start_poll_alone;
	cq->next_poll = next_poll;
	cq->end_poll = locks ? end_poll : end_poll_alone;
	cq->read_opcode = read_opcode;
	cq->read_vendor_err = read_vendor_err;
	cq->read_wc_flags = read_wc_flags;
	if (wc_flags & IBV_WC_EX_WITH_BYTE_LEN)
		cq->read_byte_len = read_byte_len;
	if (wc_flags & IBV_WC_EX_WITH_IMM)
		cq->read_imm_data = read_imm_data;
	if (wc_flags & IBV_WC_EX_WITH_QP_NUM)
		cq->read_qp_num = read_qp_num;
	if (wc_flags & IBV_WC_EX_WITH_SRC_QP)
		cq->read_src_qp = read_src_qp;
	if (wc_flags & IBV_WC_EX_WITH_SLID)
		cq->read_slid = read_slid;
	if (wc_flags & IBV_WC_EX_WITH_SL)
		cq->read_sl = read_sl;
	if (wc_flags & IBV_WC_EX_WITH_DLID_PATH_BITS)
		cq->read_dlid_path_bits = read_dlid_path_bits;
}
