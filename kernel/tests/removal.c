// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * The PCI function goes while a region over its BAR is alive. The kernel
 * leaves the mapping as it is; the region must end all the same.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bar.h"
#include "endpoint.h"
#include "host.h"
#include "modules.h"
#include "revoked.h"
#include "runner.h"
#include "system.h"

static void write_one(const char *path)
{
	FILE *file = fopen(path, "w");

	if (!file || fputs("1\n", file) < 0 || fclose(file))
		fail_msg("%s: %s", path, strerror(errno));
}

/* ".../0000:02:00.0/resource2" with another file's name. */
static void beside(const char *name, char path[256])
{
	const char *bar = bar_path(BAR2);

	snprintf(path, 256, "%.*s/%s", (int)(strrchr(bar, '/') - bar), bar,
		 name);
}

static void remove_function(void)
{
	char path[256];

	beside("remove", path);
	write_one(path);
	assert_int_not_equal(access(bar_path(BAR2), F_OK), 0);
}

static void find_function_again(void)
{
	char path[256];

	write_one("/sys/bus/pci/rescan");
	beside("enable", path);
	write_one(path);
	assert_int_equal(access(bar_path(BAR2), F_OK), 0);
}

/* The machine outside takes it. */
static void unplug_function(void)
{
	host_unplug(bar_index(BAR2));
	assert_int_not_equal(access(bar_path(BAR2), F_OK), 0);
}

static void plug_function(void)
{
	char path[256];

	host_plug(bar_index(BAR2));
	beside("enable", path);
	/* It is there before it has its addresses. */
	for (int tries = 0; try_write_file(path, "1"); tries++) {
		if (tries == 200)
			host_slot_fails("%s does not come back", path);
		usleep(100 * 1000);
	}
}

struct departure {
	void (*leave)(void);
	void (*come_back)(void);
};

static void removal_revokes(void **state)
{
	const struct departure *departure = *state;
	int references = module_references(VERBS_MODULE);
	static const enum ibv_wr_opcode opcodes[] = { IBV_WR_RDMA_WRITE,
						      IBV_WR_RDMA_READ };
	enum ibv_wc_status statuses[ARRAY_SIZE(opcodes)];
	struct ibv_mr *again;
	struct scene scene;
	int error;

	scene_open(&scene, BAR2);
	assert_reachable(&scene);
	departure->leave();
	for (size_t i = 0; i < ARRAY_SIZE(opcodes); i++)
		statuses[i] = peer_access(&scene, opcodes[i], 0, 1000);
	again = ibv_reg_mr(scene.pair.device.pd, scene.bar.bytes, WINDOW,
			   ACCESS_ALL);
	error = errno;
	departure->come_back();

	for (size_t i = 0; i < ARRAY_SIZE(opcodes); i++)
		assert_status(statuses[i], IBV_WC_REM_ACCESS_ERR);
	/* The mapping is still there, but there is no function behind it. */
	assert_null(again);
	assert_int_equal(error, ENXIO);
	memory_release(&scene.bar);
	expect_references(VERBS_MODULE, references);
	assert_registers_anew(&scene);
	scene_close(&scene);
}

/* Regions over the other function are none of its business. */
static void removal_keeps_others(void **state)
{
	struct scene scene;

	(void)state;
	scene_open(&scene, BAR);
	remove_function();
	find_function_again();
	assert_reachable(&scene);
	memory_release(&scene.bar);
	scene_close(&scene);
}

#define DEPARTURE(...) (&(const struct departure){ __VA_ARGS__ })

static const struct test tests[] = {
	TEST_OF("range/function-removed-revokes", removal_revokes,
		DEPARTURE(remove_function, find_function_again)),
	TEST_OF("range/function-unplugged-revokes", removal_revokes,
		DEPARTURE(unplug_function, plug_function)),
	TEST("range/function-removed-keeps-others", removal_keeps_others),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
