// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Changing a region over a BAR. The stock soft-RoCE library has no
 * ibv_rereg_mr(), so the command goes to the kernel directly; where the
 * kernel's driver has none either, a BAR is answered as host memory is.
 */
#include <errno.h>
#include <sys/mman.h>

#include "child.h"
#include "modules.h"
#include "revoked.h"
#include "runner.h"
#include "system.h"
#include "uverbs.h"

/* 0 and the new keys, or the kernel's errno. */
static int rereg(struct ibv_mr *mr, int flags, struct ibv_pd *pd,
		 uint8_t *address, size_t length, int access, struct keys *keys)
{
	return uverbs_reregister(mr->context, mr->handle, flags, pd, address,
				 length, access, keys);
}

/* Does this kernel's driver have the command at all? */
static bool driver_has_rereg(struct scene *scene)
{
	struct keys keys;
	int error = rereg(scene->host.mr, IBV_REREG_MR_CHANGE_ACCESS,
			  scene->pair.device.pd, scene->host.bytes, WINDOW,
			  ACCESS_ALL, &keys);

	if (error == EOPNOTSUPP) {
		assert_int_equal(rereg(scene->bar.mr,
				       IBV_REREG_MR_CHANGE_ACCESS,
				       scene->pair.device.pd, scene->bar.bytes,
				       WINDOW, ACCESS_ALL, &keys),
				 EOPNOTSUPP);
		assert_reachable(scene);
		return false;
	}
	assert_int_equal(error, 0);
	return true;
}

static void take_keys(struct ibv_mr *mr, struct keys keys)
{
	assert_int_not_equal(mr->rkey, keys.rkey);
	mr->lkey = keys.lkey;
	mr->rkey = keys.rkey;
}

static void assert_old_key_dead(struct scene *scene, struct ibv_mr old)
{
	struct ibv_mr *now = scene->bar.mr;

	scene->bar.mr = &old;
	assert_status(peer_access(scene, IBV_WR_RDMA_WRITE, 0, 100),
		      IBV_WC_REM_ACCESS_ERR);
	scene->bar.mr = now;
}

static void other_rights(void **state)
{
	int references = module_references(VERBS_MODULE);
	struct scene scene;
	struct keys keys;
	struct ibv_mr old;

	(void)state;
	scene_open(&scene, BAR);
	if (driver_has_rereg(&scene)) {
		old = *scene.bar.mr;
		assert_int_equal(rereg(scene.bar.mr, IBV_REREG_MR_CHANGE_ACCESS,
				       scene.pair.device.pd, scene.bar.bytes,
				       WINDOW, IBV_ACCESS_REMOTE_READ, &keys),
				 0);
		take_keys(scene.bar.mr, keys);
		assert_old_key_dead(&scene, old);
		assert_status(peer_access(&scene, IBV_WR_RDMA_READ, 0, 100),
			      IBV_WC_SUCCESS);
		assert_status(peer_access(&scene, IBV_WR_RDMA_WRITE, 0, 100),
			      IBV_WC_REM_ACCESS_ERR);
	}
	memory_release(&scene.bar);
	expect_references(VERBS_MODULE, references);
	scene_close(&scene);
}

static void other_memory(void **state)
{
	struct memory other;
	struct scene scene;
	struct keys keys;
	struct ibv_mr old;

	(void)state;
	scene_open(&scene, BAR);
	memory_map(&other, BAR2, WINDOW);
	if (driver_has_rereg(&scene)) {
		old = *scene.bar.mr;
		assert_int_equal(rereg(scene.bar.mr,
				       IBV_REREG_MR_CHANGE_TRANSLATION,
				       scene.pair.device.pd, other.bytes,
				       WINDOW, 0, &keys),
				 0);
		take_keys(scene.bar.mr, keys);
		assert_old_key_dead(&scene, old);
		pattern_fill(scene.host.bytes, WINDOW, 7);
		assert_status(
			run_transfer(&scene.pair.near,
				     &(struct transfer){
					     .opcode = IBV_WR_RDMA_WRITE,
					     .local = scene.host.bytes,
					     .lkey = scene.host.mr->lkey,
					     .length = WINDOW,
					     .remote = (uintptr_t)other.bytes,
					     .rkey = keys.rkey,
				     }),
			IBV_WC_SUCCESS);
		assert_bytes(other.bytes, scene.host.bytes, WINDOW,
			     "other BAR");
	}
	memory_release(&scene.bar);
	memory_release(&other);
	scene_close(&scene);
}

static void other_pd(void **state)
{
	struct scene scene;
	struct ibv_pd *pd;
	struct keys keys;
	struct ibv_mr old;

	(void)state;
	scene_open(&scene, BAR);
	pd = ibv_alloc_pd(scene.pair.device.context);
	assert_non_null(pd);
	if (driver_has_rereg(&scene)) {
		old = *scene.bar.mr;
		assert_int_equal(rereg(scene.bar.mr, IBV_REREG_MR_CHANGE_PD, pd,
				       scene.bar.bytes, WINDOW, 0, &keys),
				 0);
		take_keys(scene.bar.mr, keys);
		assert_old_key_dead(&scene, old);
		/* The queue pairs are in the former PD. */
		assert_status(peer_access(&scene, IBV_WR_RDMA_READ, 0, 100),
			      IBV_WC_REM_ACCESS_ERR);
		assert_int_equal(ibv_dealloc_pd(pd), EBUSY);
	}
	memory_release(&scene.bar);
	assert_int_equal(ibv_dealloc_pd(pd), 0);
	scene_close(&scene);
}

/* No right that the mapping does not give, by this way neither. */
static void no_more_than_the_mapping(void **state)
{
	struct memory readable = { .kind = BAR, .size = WINDOW };
	struct scene scene;
	struct keys keys;

	(void)state;
	scene_open(&scene, BAR);
	readable.bytes = bar_mmap(BAR, NULL, WINDOW, PROT_READ, MAP_SHARED, 0);
	assert_true(readable.bytes != MAP_FAILED);
	readable.mr = must_register(scene.pair.device.pd, readable.bytes,
				    WINDOW, IBV_ACCESS_REMOTE_READ);
	if (driver_has_rereg(&scene))
		assert_int_equal(rereg(readable.mr, IBV_REREG_MR_CHANGE_ACCESS,
				       scene.pair.device.pd, readable.bytes,
				       WINDOW, ACCESS_ALL, &keys),
				 EACCES);
	memory_release(&readable);
	memory_release(&scene.bar);
	scene_close(&scene);
}

/* As nobody: uverbs takes commands only from who has opened the device. */
static void change_at_the_limit(int socket, void *argument)
{
	struct device device;
	struct memory bar;
	struct keys keys;
	char word;
	int error;

	(void)argument;
	memory_map(&bar, BAR, WINDOW);
	become(NOBODY);
	device_open(&device);
	bar.mr = must_register(device.pd, bar.bytes, WINDOW, ACCESS_ALL);
	error = rereg(bar.mr, IBV_REREG_MR_CHANGE_ACCESS, device.pd, bar.bytes,
		      WINDOW, IBV_ACCESS_REMOTE_READ, &keys);
	send_message(socket, &error, sizeof(error));
	receive_message(socket, &word, sizeof(word));
	memory_release(&bar);
	device_close(&device);
}

/* Both regions count until the former is gone: a refusal leaves it as it was. */
static void at_the_limit(void **state)
{
	static const char *const limits[] = { "1", "2" };
	char before[PARAMETER_SIZE];
	struct child child;
	struct scene scene;
	unsigned int live[2];
	int errors[2];
	char word = 0;
	bool there;

	(void)state;
	scene_open(&scene, BAR);
	there = driver_has_rereg(&scene);
	memory_release(&scene.bar);
	scene_close(&scene);
	assert_int_equal(
		module_set(CORE_MODULE, "user_max_ranges", "0", before), 0);
	for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
		module_set(CORE_MODULE, "user_max_ranges", limits[i], NULL);
		child_start(&child, change_at_the_limit, NULL);
		receive_message(child.socket, &errors[i], sizeof(errors[i]));
		live[i] = ranges_of(child.pid, "live");
		send_message(child.socket, &word, sizeof(word));
		child_finish(&child);
	}
	module_set(CORE_MODULE, "user_max_ranges", before, NULL);
	assert_int_equal(live[0], 1);
	assert_int_equal(live[1], 1);
	assert_int_equal(errors[0], there ? EDQUOT : EOPNOTSUPP);
	assert_int_equal(errors[1], there ? 0 : EOPNOTSUPP);
}

static const struct test tests[] = {
	TEST("verbs/rereg-other-rights", other_rights),
	TEST("verbs/rereg-other-memory", other_memory),
	TEST("verbs/rereg-other-pd", other_pd),
	TEST("verbs/rereg-at-the-limit", at_the_limit),
	TEST("verbs/rereg-no-more-than-the-mapping", no_more_than_the_mapping),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
