// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Proofs of reach and of revocation, see revoked.h. */
#include "revoked.h"

#include <string.h>
#include <sys/mman.h>

#include "host.h"
#include "runner.h"
#include "system.h"

static void scene_open_without_bar(struct scene *scene, enum memory_kind kind)
{
	memset(scene, 0, sizeof(*scene));
	scene->kind = kind;
	pair_open(&scene->pair);
	memory_map(&scene->host, HOST, WINDOW);
	memory_register(&scene->host, scene->pair.device.pd);
}

void scene_open(struct scene *scene, enum memory_kind kind)
{
	scene_open_without_bar(scene, kind);
	memory_map(&scene->bar, kind, WINDOW);
	memory_register(&scene->bar, scene->pair.device.pd);
}

void scene_open_over(struct scene *scene, enum memory_kind kind, void *bytes)
{
	scene_open_without_bar(scene, kind);
	scene->bar.kind = kind;
	scene->bar.bytes = bytes;
	scene->bar.size = WINDOW;
	memory_register(&scene->bar, scene->pair.device.pd);
}

void scene_close(struct scene *scene)
{
	memory_release(&scene->host);
	pair_close(&scene->pair);
}

void scene_empty_store(struct scene *scene)
{
	struct ibv_mr *mrs[STORE];

	write_file(STORE_SIZE, "0");
	for (int i = 0; i < STORE; i++)
		mrs[i] = must_register(scene->pair.device.pd, scene->bar.bytes,
				       WINDOW, ACCESS_ALL);
	for (int i = 0; i < STORE; i++)
		assert_int_equal(ibv_dereg_mr(mrs[i]), 0);
}

enum ibv_wc_status peer_access(struct scene *scene, enum ibv_wr_opcode opcode,
			       size_t offset, size_t length)
{
	enum ibv_wc_status status = run_transfer(
		&scene->pair.near,
		&(struct transfer){
			.opcode = opcode,
			.local = scene->host.bytes,
			.lkey = scene->host.mr->lkey,
			.length = length,
			.remote = (uintptr_t)scene->bar.bytes + offset,
			.rkey = scene->bar.mr->rkey,
			.compare_add = 1,
		});

	if (status != IBV_WC_SUCCESS)
		pair_reconnect(&scene->pair);
	return status;
}

enum ibv_wc_status own_access(struct scene *scene, const struct ibv_mr *mr,
			      enum ibv_wr_opcode opcode)
{
	enum ibv_wc_status status =
		run_transfer(&scene->pair.near,
			     &(struct transfer){
				     .opcode = opcode,
				     .local = mr->addr,
				     .lkey = mr->lkey,
				     .length = 3000,
				     .remote = (uintptr_t)scene->host.bytes,
				     .rkey = scene->host.mr->rkey,
			     });

	if (status != IBV_WC_SUCCESS)
		pair_reconnect(&scene->pair);
	return status;
}

void assert_reachable(struct scene *scene)
{
	static uint8_t expected[WINDOW];
	const size_t last = WINDOW - 2000;

	pattern_fill(scene->host.bytes, WINDOW, 3);
	memcpy(expected, scene->host.bytes, 2000);
	assert_status(peer_access(scene, IBV_WR_RDMA_WRITE, 0, 2000),
		      IBV_WC_SUCCESS);
	assert_status(peer_access(scene, IBV_WR_RDMA_WRITE, last, 2000),
		      IBV_WC_SUCCESS);
	memset(scene->host.bytes, 0, 2000);
	assert_status(peer_access(scene, IBV_WR_RDMA_READ, last, 2000),
		      IBV_WC_SUCCESS);
	assert_bytes(scene->host.bytes, expected, 2000, "read back");
}

void assert_revoked(struct scene *scene)
{
	static const enum ibv_wr_opcode opcodes[] = {
		IBV_WR_RDMA_WRITE,
		IBV_WR_RDMA_READ,
		IBV_WR_ATOMIC_FETCH_AND_ADD,
		IBV_WR_ATOMIC_CMP_AND_SWP,
	};
	static const size_t offsets[] = { 0, WINDOW / 2, WINDOW - 64 };
	static uint8_t planted[WINDOW], seen[WINDOW];

	pattern_fill(planted, WINDOW, 4);
	host_write(bar_index(scene->kind), 0, planted, WINDOW);
	memset(scene->host.bytes, 0xee, WINDOW);
	for (size_t i = 0; i < ARRAY_SIZE(opcodes); i++)
		for (size_t j = 0; j < ARRAY_SIZE(offsets); j++)
			assert_status(peer_access(scene, opcodes[i], offsets[j],
						  i < 2 ? 64 : 8),
				      IBV_WC_REM_ACCESS_ERR);

	host_read(bar_index(scene->kind), 0, seen, WINDOW);
	assert_bytes(seen, planted, WINDOW, "file behind the BAR");
	memset(seen, 0xee, WINDOW);
	assert_bytes(scene->host.bytes, seen, WINDOW, "the peer's buffer");
}

void assert_registers_anew(struct scene *scene)
{
	memory_map(&scene->bar, scene->kind, WINDOW);
	memory_register(&scene->bar, scene->pair.device.pd);
	assert_reachable(scene);
	memory_release(&scene->bar);
}

void mapping_unmapped(uint8_t *bytes)
{
	assert_int_equal(munmap(bytes, WINDOW), 0);
}

void mapping_covered(uint8_t *bytes)
{
	assert_ptr_equal(mmap(bytes, WINDOW, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
			 bytes);
}

void mapping_read_only(uint8_t *bytes)
{
	assert_int_equal(mprotect(bytes, WINDOW, PROT_READ), 0);
}

void mapping_inaccessible(uint8_t *bytes)
{
	assert_int_equal(mprotect(bytes, WINDOW, PROT_NONE), 0);
}
