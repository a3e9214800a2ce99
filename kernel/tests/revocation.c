// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Every way in which a process can take a mapping away or weaken it ends the
 * region over it at once; what leaves the mapping alone does not.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "modules.h"
#include "revoked.h"
#include "runner.h"

#define READ_WRITE (PROT_READ | PROT_WRITE)

/* What happens to the mapping of which BAR. */
struct event {
	void (*happen)(uint8_t *bar);
	enum memory_kind kind;
};

static void munmap_first_page(uint8_t *bar)
{
	assert_int_equal(munmap(bar, PAGE), 0);
}

static void munmap_middle(uint8_t *bar)
{
	assert_int_equal(munmap(bar + WINDOW / 2, PAGE), 0);
}

static void munmap_last_page(uint8_t *bar)
{
	assert_int_equal(munmap(bar + WINDOW - PAGE, PAGE), 0);
}

static void map_host_over_a_page(uint8_t *bar)
{
	uint8_t *page = bar + 5 * PAGE;

	assert_ptr_equal(mmap(page, PAGE, READ_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
			 page);
}

static void map_same_bar_over(uint8_t *bar)
{
	assert_ptr_equal(bar_mmap(BAR, bar, WINDOW, READ_WRITE,
				  MAP_SHARED | MAP_FIXED, 0),
			 bar);
}

static void move_away(uint8_t *bar)
{
	uint8_t *room = mmap(NULL, WINDOW, PROT_NONE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_true(room != MAP_FAILED);
	assert_ptr_equal(mremap(bar, WINDOW, WINDOW,
				MREMAP_MAYMOVE | MREMAP_FIXED, room),
			 room);
	assert_int_equal(munmap(room, WINDOW), 0);
}

static void shrink(uint8_t *bar)
{
	assert_ptr_equal(mremap(bar, WINDOW, WINDOW / 2, 0), bar);
}

static void make_a_page_read_only(uint8_t *bar)
{
	assert_int_equal(mprotect(bar + 7 * PAGE, PAGE, PROT_READ), 0);
}

static void event_revokes(void **state)
{
	const struct event *event = *state;
	struct scene scene;

	scene_open(&scene, event->kind);
	assert_reachable(&scene);
	event->happen(scene.bar.bytes);
	assert_revoked(&scene);

	assert_int_equal(ibv_dereg_mr(scene.bar.mr), 0);
	assert_int_equal(munmap(scene.bar.bytes, WINDOW), 0);
	assert_registers_anew(&scene);
	scene_close(&scene);
}

/* Rights lost and given back: the old key stays dead. */
static void rights_given_back(void **state)
{
	struct scene scene;

	(void)state;
	scene_open(&scene, BAR);
	mapping_read_only(scene.bar.bytes);
	assert_int_equal(mprotect(scene.bar.bytes, WINDOW, READ_WRITE), 0);
	assert_revoked(&scene);
	memory_release(&scene.bar);
	scene_close(&scene);
}

static void revoked_twice(void **state)
{
	struct scene scene;

	(void)state;
	scene_open(&scene, BAR);
	munmap_middle(scene.bar.bytes);
	munmap_first_page(scene.bar.bytes);
	mapping_unmapped(scene.bar.bytes);
	assert_revoked(&scene);
	assert_int_equal(ibv_dereg_mr(scene.bar.mr), 0);
	scene_close(&scene);
}

/* Two regions share some pages; a third lies beside. */
static void only_regions_touched(void **state)
{
	struct ibv_mr *beside, *over;
	struct scene scene;
	uint8_t *bytes;

	(void)state;
	scene_open(&scene, BAR);
	bytes = bar_mmap(BAR, NULL, 2 * WINDOW, READ_WRITE, MAP_SHARED, 0);
	assert_true(bytes != MAP_FAILED);
	over = must_register(scene.pair.device.pd, bytes + PAGE, WINDOW,
			     ACCESS_ALL);
	beside = must_register(scene.pair.device.pd, bytes + WINDOW, WINDOW,
			       ACCESS_ALL);

	/* The page is in `over` only; the other mapping is not concerned. */
	assert_int_equal(munmap(bytes + 2 * PAGE, PAGE), 0);
	assert_status(own_access(&scene, over, IBV_WR_RDMA_READ),
		      IBV_WC_LOC_PROT_ERR);
	assert_status(own_access(&scene, beside, IBV_WR_RDMA_READ),
		      IBV_WC_SUCCESS);
	assert_reachable(&scene);

	assert_int_equal(ibv_dereg_mr(over), 0);
	assert_int_equal(ibv_dereg_mr(beside), 0);
	assert_int_equal(munmap(bytes, 2 * WINDOW), 0);
	memory_release(&scene.bar);
	scene_close(&scene);
}

static void same_rights_again(uint8_t *bar)
{
	assert_int_equal(mprotect(bar, WINDOW, READ_WRITE), 0);
}

static void locked_in_memory(uint8_t *bar)
{
	/* mlock() of a PFN mapping locks nothing; it must harm nothing. */
	mlock(bar, WINDOW);
	munlock(bar, WINDOW);
}

static void not_for_children(uint8_t *bar)
{
	assert_int_equal(madvise(bar, WINDOW, MADV_DONTFORK), 0);
}

static void neighbour_unmapped(uint8_t *bar)
{
	uint8_t *other = bar_mmap(BAR, NULL, WINDOW, READ_WRITE, MAP_SHARED, 0);

	(void)bar;
	assert_true(other != MAP_FAILED);
	assert_int_equal(munmap(other, WINDOW), 0);
}

static void event_keeps(void **state)
{
	const struct event *event = *state;
	struct scene scene;

	scene_open(&scene, event->kind);
	event->happen(scene.bar.bytes);
	assert_reachable(&scene);
	memory_release(&scene.bar);
	scene_close(&scene);
}

/* A revoked lkey fails as the lkey of deregistered host memory does. */
static void own_use_of_revoked_key(void **state)
{
	static const enum ibv_wr_opcode opcodes[] = { IBV_WR_RDMA_WRITE,
						      IBV_WR_SEND,
						      IBV_WR_RDMA_READ };
	struct memory gone;
	struct ibv_mr dead;
	struct scene scene;

	(void)state;
	scene_open(&scene, BAR);
	memory_map(&gone, HOST, WINDOW);
	memory_register(&gone, scene.pair.device.pd);
	dead = *gone.mr;
	memory_release(&gone);
	mapping_unmapped(scene.bar.bytes);

	for (size_t i = 0; i < ARRAY_SIZE(opcodes); i++) {
		enum ibv_wc_status expected =
			own_access(&scene, &dead, opcodes[i]);

		print_message("operation %zu: %s\n", i,
			      ibv_wc_status_str(expected));
		assert_int_not_equal(expected, IBV_WC_SUCCESS);
		assert_status(own_access(&scene, scene.bar.mr, opcodes[i]),
			      expected);
	}
	assert_int_equal(ibv_dereg_mr(scene.bar.mr), 0);
	scene_close(&scene);
}

struct receive_outcome {
	enum ibv_wc_status sent, received;
};

/* A receive is posted, its memory's key dies, and then the message comes. */
static struct receive_outcome receive_with_dead_key(struct scene *scene,
						    struct memory *memory)
{
	struct receive_outcome outcome;

	post_receive(&scene->pair.far, memory->bytes, 1000, memory->mr->lkey);
	if (memory->kind == HOST) {
		assert_int_equal(ibv_dereg_mr(memory->mr), 0);
		memory->mr = NULL;
	} else {
		assert_int_equal(munmap(memory->bytes, memory->size), 0);
	}
	outcome.sent = run_transfer(&scene->pair.near,
				    &(struct transfer){
					    .opcode = IBV_WR_SEND,
					    .local = scene->host.bytes,
					    .lkey = scene->host.mr->lkey,
					    .length = 1000,
				    });
	outcome.received = wait_completion(&scene->pair.far).status;
	pair_reconnect(&scene->pair);
	return outcome;
}

/* As with host memory that was deregistered meanwhile. */
static void receive_posted_before(void **state)
{
	struct receive_outcome with_bar, with_host;
	struct memory host;
	struct scene scene;

	(void)state;
	scene_open(&scene, BAR);
	memory_map(&host, HOST, WINDOW);
	memory_register(&host, scene.pair.device.pd);
	with_host = receive_with_dead_key(&scene, &host);
	with_bar = receive_with_dead_key(&scene, &scene.bar);
	assert_int_not_equal(with_host.received, IBV_WC_SUCCESS);
	assert_status(with_bar.received, with_host.received);
	assert_status(with_bar.sent, with_host.sent);
	assert_revoked(&scene);
	assert_int_equal(ibv_dereg_mr(scene.bar.mr), 0);
	memory_release(&host);
	scene_close(&scene);
}

/* A tombstone holds what the user still holds, and no longer than he does. */
static void references_are_returned(void **state)
{
	int before = module_references(VERBS_MODULE);
	struct scene scene;

	(void)state;
	scene_open(&scene, BAR);
	mapping_unmapped(scene.bar.bytes);
	assert_int_equal(ibv_dereg_mr(scene.bar.mr), 0);
	expect_references(VERBS_MODULE, before);
	scene_close(&scene);
}

#define EVENT(name, run, happen, kind) \
	TEST_OF("range/" name, run, (&(const struct event){ happen, kind }))
#define REVOKES(name, happen) EVENT(name, event_revokes, happen, BAR)
#define KEEPS(name, happen)   EVENT(name, event_keeps, happen, BAR)

static const struct test tests[] = {
	REVOKES("munmap-revokes", mapping_unmapped),
	EVENT("munmap-revokes-wc", event_revokes, mapping_unmapped, BAR_WC),
	EVENT("munmap-revokes-second-function", event_revokes, mapping_unmapped,
	      BAR2),
	REVOKES("munmap-of-first-page-revokes", munmap_first_page),
	REVOKES("munmap-of-middle-revokes", munmap_middle),
	REVOKES("munmap-of-last-page-revokes", munmap_last_page),
	REVOKES("map-fixed-over-it-revokes", mapping_covered),
	REVOKES("map-fixed-over-a-page-revokes", map_host_over_a_page),
	REVOKES("map-fixed-same-bar-revokes", map_same_bar_over),
	REVOKES("mremap-away-revokes", move_away),
	REVOKES("mremap-shrink-revokes", shrink),
	REVOKES("mprotect-read-only-revokes", mapping_read_only),
	REVOKES("mprotect-of-a-page-revokes", make_a_page_read_only),
	REVOKES("mprotect-none-revokes", mapping_inaccessible),
	KEEPS("mprotect-same-rights-keeps", same_rights_again),
	KEEPS("mlock-keeps", locked_in_memory),
	KEEPS("madvise-dontfork-keeps", not_for_children),
	KEEPS("munmap-of-other-mapping-keeps", neighbour_unmapped),
	TEST("range/rights-given-back-stays-revoked", rights_given_back),
	TEST("range/revoked-twice", revoked_twice),
	TEST("range/only-touched-regions-revoked", only_regions_touched),
	TEST("range/own-use-of-revoked-key", own_use_of_revoked_key),
	TEST("range/receive-posted-before-revocation", receive_posted_before),
	TEST("range/revoked-mr-returns-references", references_are_returned),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
