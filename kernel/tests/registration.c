// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * What a memory region over a BAR is: any byte range of a mapping, any number
 * of them, with exactly the rights that were asked for.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "bar.h"
#include "endpoint.h"
#include "host.h"
#include "runner.h"

#define WINDOW (16 * PAGE)

struct fixture {
	struct pair pair;
	struct memory host, bar;
	uint8_t expected[WINDOW];
};

static struct fixture fixture;

static struct fixture *set_up(enum memory_kind kind)
{
	struct fixture *f = &fixture;

	pair_open(&f->pair);
	memory_map(&f->host, HOST, WINDOW);
	memory_register(&f->host, f->pair.device.pd);
	memory_map(&f->bar, kind, WINDOW);
	pattern_fill(f->host.bytes, WINDOW, 1);
	pattern_fill(f->expected, WINDOW, 2);
	memcpy(f->bar.bytes, f->expected, WINDOW);
	return f;
}

static void tear_down(struct fixture *f)
{
	memory_release(&f->host);
	memory_release(&f->bar);
	pair_close(&f->pair);
}

/* From `host_offset` of the host's buffer to a remote address of that key. */
static enum ibv_wc_status try_remote(struct fixture *f,
				     enum ibv_wr_opcode opcode,
				     size_t host_offset, uint64_t remote,
				     uint32_t rkey, uint32_t length)
{
	enum ibv_wc_status status = run_transfer(
		&f->pair.near, &(struct transfer){
				       .opcode = opcode,
				       .local = f->host.bytes + host_offset,
				       .lkey = f->host.mr->lkey,
				       .length = length,
				       .remote = remote,
				       .rkey = rkey,
			       });

	if (status != IBV_WC_SUCCESS)
		pair_reconnect(&f->pair);
	return status;
}

/* A write through `mr` to where the BAR's byte `offset` is. */
static void write_through(struct fixture *f, struct ibv_mr *mr, uint64_t remote,
			  size_t offset, uint32_t length)
{
	size_t from = offset % 1000;

	assert_status(try_remote(f, IBV_WR_RDMA_WRITE, from, remote, mr->rkey,
				 length),
		      IBV_WC_SUCCESS);
	memcpy(f->expected + offset, f->host.bytes + from, length);
	assert_bytes(f->bar.bytes, f->expected, WINDOW, "BAR");
}

static void assert_out_of_reach(struct fixture *f, struct ibv_mr *mr,
				uint64_t remote, uint32_t length)
{
	assert_status(try_remote(f, IBV_WR_RDMA_WRITE, 0, remote, mr->rkey,
				 length),
		      IBV_WC_REM_ACCESS_ERR);
	assert_status(try_remote(f, IBV_WR_RDMA_READ, 0, remote, mr->rkey,
				 length),
		      IBV_WC_REM_ACCESS_ERR);
	assert_bytes(f->bar.bytes, f->expected, WINDOW, "BAR");
}

static void overlapping_regions(void **state)
{
	static const struct {
		size_t offset, length;
	} parts[] = {
		{ 0, WINDOW }, { 0, PAGE }, { PAGE, PAGE }, { 100, 9000 },
		{ 100, 9000 }, { 4095, 2 }, { 5000, 5000 }, { WINDOW - 1, 1 },
	};
	struct ibv_mr *mrs[ARRAY_SIZE(parts)];
	struct fixture *f = set_up(BAR);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		mrs[i] = must_register(f->pair.device.pd,
				       f->bar.bytes + parts[i].offset,
				       parts[i].length, ACCESS_ALL);
		for (size_t j = 0; j < i; j++) {
			assert_int_not_equal(mrs[i]->rkey, mrs[j]->rkey);
			assert_int_not_equal(mrs[i]->lkey, mrs[j]->lkey);
		}
	}
	/* Each in turn; the ones left must not notice that others went. */
	for (size_t gone = 0; gone < ARRAY_SIZE(parts); gone++) {
		for (size_t i = gone; i < ARRAY_SIZE(parts); i++)
			write_through(f, mrs[i],
				      (uintptr_t)f->bar.bytes + parts[i].offset,
				      parts[i].offset, parts[i].length);
		assert_int_equal(ibv_dereg_mr(mrs[gone]), 0);
		pattern_fill(f->host.bytes, WINDOW, 10 + gone);
	}
	tear_down(f);
}

static void ends_at_its_bytes(void **state)
{
	const size_t offset = 3 * PAGE - 37, length = 2 * PAGE + 91;
	struct fixture *f = set_up(*(const enum memory_kind *)*state);
	uint64_t start = (uintptr_t)f->bar.bytes + offset;
	struct ibv_mr *mr = must_register(
		f->pair.device.pd, f->bar.bytes + offset, length, ACCESS_ALL);

	assert_ptr_equal(mr->addr, f->bar.bytes + offset);
	assert_int_equal(mr->length, length);
	write_through(f, mr, start, offset, length);
	write_through(f, mr, start, offset, 1);
	write_through(f, mr, start + length - 1, offset + length - 1, 1);
	assert_out_of_reach(f, mr, start - 1, 2);
	assert_out_of_reach(f, mr, start + length - 1, 2);
	assert_out_of_reach(f, mr, start + length, 1);
	assert_out_of_reach(f, mr, start - PAGE, 1);
	assert_out_of_reach(f, mr, start, length + 1);
	assert_int_equal(ibv_dereg_mr(mr), 0);
	tear_down(f);
}

/* The start of the mapping is not the start of the BAR. */
static void mapping_with_an_offset(void **state)
{
	const size_t offset = 0x40000, target = 4090, length = 5000;
	struct fixture *f = set_up(BAR);
	static uint8_t seen[WINDOW];
	struct ibv_mr *mr;
	uint8_t *bytes;

	(void)state;
	bytes = bar_mmap(BAR, NULL, WINDOW, PROT_READ | PROT_WRITE, MAP_SHARED,
			 offset);
	assert_true(bytes != MAP_FAILED);
	host_fill(0, offset, WINDOW, 0x5a);
	mr = must_register(f->pair.device.pd, bytes, WINDOW, ACCESS_ALL);
	assert_status(try_remote(f, IBV_WR_RDMA_WRITE, 0,
				 (uintptr_t)bytes + target, mr->rkey, length),
		      IBV_WC_SUCCESS);

	memset(f->expected, 0x5a, WINDOW);
	memcpy(f->expected + target, f->host.bytes, length);
	host_read(0, offset, seen, WINDOW);
	assert_bytes(seen, f->expected, WINDOW, "file behind the BAR");
	assert_int_equal(ibv_dereg_mr(mr), 0);
	assert_int_equal(munmap(bytes, WINDOW), 0);
	tear_down(f);
}

struct rights_outcome {
	enum ibv_wc_status write, read, atomic, local_write, local_read;
};

static enum ibv_wc_status
try_local(struct fixture *f, enum ibv_wr_opcode opcode, struct ibv_mr *mr)
{
	enum ibv_wc_status status = run_transfer(
		&f->pair.near, &(struct transfer){
				       .opcode = opcode,
				       .local = mr->addr,
				       .lkey = mr->lkey,
				       .length = 64,
				       .remote = (uintptr_t)f->host.bytes,
				       .rkey = f->host.mr->rkey,
			       });

	if (status != IBV_WC_SUCCESS)
		pair_reconnect(&f->pair);
	return status;
}

static struct rights_outcome try_rights(struct fixture *f, void *address,
					int access)
{
	struct ibv_mr *mr =
		must_register(f->pair.device.pd, address, PAGE, access);
	uint64_t remote = (uintptr_t)address;
	struct rights_outcome outcome = {
		.write = try_remote(f, IBV_WR_RDMA_WRITE, 0, remote, mr->rkey,
				    64),
		.read = try_remote(f, IBV_WR_RDMA_READ, 0, remote, mr->rkey,
				   64),
		.atomic = try_remote(f, IBV_WR_ATOMIC_FETCH_AND_ADD, 0, remote,
				     mr->rkey, 8),
		.local_write = try_local(f, IBV_WR_RDMA_READ, mr),
		.local_read = try_local(f, IBV_WR_RDMA_WRITE, mr),
	};

	assert_int_equal(ibv_dereg_mr(mr), 0);
	return outcome;
}

/* The same statuses as host memory gives for the same flags. */
static void rights_are_those_asked_for(void **state)
{
	static const int flags[] = {
		0,
		IBV_ACCESS_LOCAL_WRITE,
		IBV_ACCESS_REMOTE_READ,
		IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE,
		IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_ATOMIC,
		IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_READ,
		ACCESS_ALL,
	};
	struct fixture *f = set_up(BAR);
	struct memory other;

	(void)state;
	memory_map(&other, HOST, WINDOW);
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		struct rights_outcome host, bar;
		bool may_write = flags[i] & IBV_ACCESS_REMOTE_WRITE;

		print_message("access flags 0x%x\n", flags[i]);
		host = try_rights(f, other.bytes, flags[i]);
		bar = try_rights(f, f->bar.bytes, flags[i]);
		assert_status(bar.write, host.write);
		assert_status(bar.read, host.read);
		assert_status(bar.atomic, host.atomic);
		assert_status(bar.local_write, host.local_write);
		assert_status(bar.local_read, host.local_read);
		assert_status(bar.write, may_write ? IBV_WC_SUCCESS
						   : IBV_WC_REM_ACCESS_ERR);
	}
	memory_release(&other);
	tear_down(f);
}

static void no_remote_right_changes_nothing(void **state)
{
	struct fixture *f = set_up(BAR);
	struct ibv_mr *mr = must_register(f->pair.device.pd, f->bar.bytes,
					  WINDOW, IBV_ACCESS_LOCAL_WRITE);

	(void)state;
	assert_out_of_reach(f, mr, (uintptr_t)f->bar.bytes, 100);
	assert_int_equal(ibv_dereg_mr(mr), 0);
	tear_down(f);
}

static void deregistered_key_is_dead(void **state)
{
	struct fixture *f = set_up(BAR);
	struct ibv_mr *mr = must_register(f->pair.device.pd, f->bar.bytes,
					  WINDOW, ACCESS_ALL);
	struct ibv_mr dead = *mr;

	(void)state;
	write_through(f, mr, (uintptr_t)f->bar.bytes, 0, 100);
	assert_int_equal(ibv_dereg_mr(mr), 0);
	assert_out_of_reach(f, &dead, (uintptr_t)f->bar.bytes, 100);
	tear_down(f);
}

static struct ibv_mr *register_in_new_pd(struct fixture *f)
{
	struct ibv_pd *pd = ibv_alloc_pd(f->pair.device.context);

	assert_non_null(pd);
	return must_register(pd, f->bar.bytes, WINDOW, ACCESS_ALL);
}

static void deregister_with_pd(struct ibv_mr *mr)
{
	struct ibv_pd *pd = mr->pd;

	assert_int_equal(ibv_dereg_mr(mr), 0);
	assert_int_equal(ibv_dealloc_pd(pd), 0);
}

static void key_of_another_pd_is_refused(void **state)
{
	struct fixture *f = set_up(BAR);
	struct ibv_mr *mr = register_in_new_pd(f);

	(void)state;
	assert_out_of_reach(f, mr, (uintptr_t)f->bar.bytes, 100);
	deregister_with_pd(mr);
	tear_down(f);
}

/* The helper's PD must not stay in the place of the user's. */
static void pd_is_busy_while_it_lives(void **state)
{
	struct fixture *f = set_up(BAR);
	struct ibv_mr *mr = register_in_new_pd(f);

	(void)state;
	assert_int_equal(ibv_dealloc_pd(mr->pd), EBUSY);
	deregister_with_pd(mr);
	tear_down(f);
}

#define KIND(kind) (&(const enum memory_kind){ kind })

static const struct test tests[] = {
	TEST("verbs/mr-several-overlapping", overlapping_regions),
	TEST_OF("verbs/mr-ends-at-its-bytes", ends_at_its_bytes, KIND(BAR)),
	TEST_OF("verbs/mr-ends-at-its-bytes-wc", ends_at_its_bytes,
		KIND(BAR_WC)),
	TEST("verbs/mr-of-mapping-with-offset", mapping_with_an_offset),
	TEST("verbs/mr-rights-as-asked", rights_are_those_asked_for),
	TEST("verbs/mr-no-remote-right", no_remote_right_changes_nothing),
	TEST("verbs/mr-deregistered-key", deregistered_key_is_dead),
	TEST("verbs/mr-key-of-another-pd", key_of_another_pd_is_refused),
	TEST("verbs/mr-keeps-pd-busy", pd_is_busy_while_it_lives),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
