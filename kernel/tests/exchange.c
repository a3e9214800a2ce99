// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Posting an operation, and comparing everything around it, see exchange.h. */
#include "exchange.h"

#include <stdlib.h>
#include <string.h>

#include "runner.h"

#define IMMEDIATE 0x1badcafe

static enum ibv_wr_opcode opcode_of(enum operation operation)
{
	static const enum ibv_wr_opcode opcodes[] = {
		[WRITE] = IBV_WR_RDMA_WRITE,
		[WRITE_IMM] = IBV_WR_RDMA_WRITE_WITH_IMM,
		[READ] = IBV_WR_RDMA_READ,
		[SEND] = IBV_WR_SEND,
		[SEND_IMM] = IBV_WR_SEND_WITH_IMM,
	};

	return opcodes[operation];
}

static void check_received(struct pair *pair, enum operation operation,
			   size_t length)
{
	struct ibv_wc wc = wait_completion(&pair->far);

	assert_status(wc.status, IBV_WC_SUCCESS);
	assert_int_equal(wc.byte_len, length);
	assert_int_equal(wc.opcode, operation == WRITE_IMM
					    ? IBV_WC_RECV_RDMA_WITH_IMM
					    : IBV_WC_RECV);
	if (operation != SEND) {
		assert_true(wc.wc_flags & IBV_WC_WITH_IMM);
		assert_int_equal(wc.imm_data, IMMEDIATE);
	}
}

void exchange(struct pair *pair, enum operation operation, struct place local,
	      struct place remote, size_t length)
{
	uint8_t *far_bytes = remote.memory->bytes + remote.offset;
	struct transfer t = {
		.opcode = opcode_of(operation),
		.local = local.memory->bytes + local.offset,
		.lkey = local.memory->mr->lkey,
		.length = length,
		.remote = (uintptr_t)far_bytes,
		.rkey = remote.memory->mr->rkey,
		.imm = IMMEDIATE,
	};

	if (operation == WRITE_IMM)
		post_receive(&pair->far, NULL, 0, 0);
	else if (operation == SEND || operation == SEND_IMM)
		post_receive(&pair->far, far_bytes, length,
			     remote.memory->mr->lkey);

	assert_status(run_transfer(&pair->near, &t), IBV_WC_SUCCESS);
	if (operation != WRITE && operation != READ)
		check_received(pair, operation, length);
}

void exchange_checked(struct pair *pair, enum operation operation,
		      struct place local, struct place remote, size_t length,
		      size_t window, uint64_t seed)
{
	uint8_t *near_expected = malloc(window);
	uint8_t *far_expected = malloc(window);

	assert_non_null(near_expected);
	assert_non_null(far_expected);
	pattern_fill(near_expected, window, seed);
	pattern_fill(far_expected, window, ~seed);
	memcpy(local.memory->bytes, near_expected, window);
	memcpy(remote.memory->bytes, far_expected, window);

	exchange(pair, operation, local, remote, length);

	if (operation == READ)
		memcpy(near_expected + local.offset,
		       far_expected + remote.offset, length);
	else
		memcpy(far_expected + remote.offset,
		       near_expected + local.offset, length);
	assert_bytes(local.memory->bytes, near_expected, window, "local side");
	assert_bytes(remote.memory->bytes, far_expected, window, "remote side");
	free(near_expected);
	free(far_expected);
}
