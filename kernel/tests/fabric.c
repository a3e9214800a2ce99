// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Pairs of functions with other ways between them than the lab's usual guest
 * has: below one switch, which may redirect by ACS, below different root
 * complexes, by a root complex that is known. vm/tests/fabric starts a guest
 * for each of these tests.
 */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine.h"
#include "exported.h"
#include "modules.h"
#include "reach.h"
#include "runner.h"
#include "system.h"

#define DEVICES "/sys/bus/pci/devices/"
/* The BAR below a switch whose ports have no ACS, and below one whose have. */
#define BELOW_SWITCH	 "P2PMR_BAR3"
#define BELOW_ACS_SWITCH "P2PMR_BAR4"

/* The folder in sysfs that says what a function is below of. */
static void place_of(const char *function, char place[PATH_MAX])
{
	char path[100];

	snprintf(path, sizeof(path), DEVICES "%s", function);
	assert_non_null(realpath(path, place));
}

/* Cuts off the function's own part, then that of the bridge above, and so on. */
static void go_up(char place[PATH_MAX], int steps)
{
	while (steps--)
		*strrchr(place, '/') = '\0';
}

/* The engine below that place, and not further below than `depth`. */
static void find_engine(const char *above, int depth, char address[32])
{
	char place[PATH_MAX];
	glob_t found;

	*address = '\0';
	assert_int_equal(glob(DEVICES "*", 0, NULL, &found), 0);
	for (size_t i = 0; i < found.gl_pathc; i++) {
		const char *name = strrchr(found.gl_pathv[i], '/') + 1;
		char path[100], *vendor;

		snprintf(path, sizeof(path), DEVICES "%s/vendor", name);
		vendor = read_file(path);
		place_of(name, place);
		go_up(place, depth);
		if (!strncmp(vendor, "0x1234", 6) && !strcmp(place, above))
			snprintf(address, 32, "%s", name);
		free(vendor);
	}
	globfree(&found);
	if (!*address)
		fail_msg("no engine below %s", above);
}

struct scene {
	char memory[32];	 /* the function below the switch */
	char upstream[PATH_MAX]; /* the switch */
	char near[32];		 /* the engine below the switch */
	char other[32];		 /* below another root complex */
	char root[32];		 /* at the root complex itself */
	uint8_t *bytes;
	int dmabuf;
};

/* The function whose BAR 2 is the file of an environment variable. */
static void function_of(const char *variable, char address[32])
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s", need_env(variable));
	*strrchr(path, '/') = '\0';
	snprintf(address, 32, "%s", strrchr(path, '/') + 1);
}

static uint8_t *map_memory(const char *variable)
{
	int fd = open(need_env(variable), O_RDWR | O_CLOEXEC);
	void *bytes;

	assert_true(fd >= 0);
	bytes = mmap(NULL, EXPORTED, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(bytes != MAP_FAILED);
	close(fd);
	return bytes;
}

/* Around the switch of one BAR; the buffer is of the same or of another. */
static void scene_open(struct scene *scene, const char *below_switch,
		       const char *exported)
{
	function_of(below_switch, scene->memory);
	place_of(scene->memory, scene->upstream);
	go_up(scene->upstream, 2);
	find_engine(scene->upstream, 2, scene->near);
	find_engine("/sys/devices/pci0000:40", 2, scene->other);
	find_engine("/sys/devices/pci0000:00", 1, scene->root);
	engine_load();
	engine_reaches("");
	scene->bytes = map_memory(exported);
	scene->dmabuf = must_export(scene->bytes, EXPORTED);
}

static void scene_close(struct scene *scene)
{
	close(scene->dmabuf);
	munmap(scene->bytes, EXPORTED);
	engine_unload();
}

/* Bytes go both ways, seen by the CPU. */
static void assert_reached(const struct scene *scene)
{
	static uint8_t data[EDU_BUFFER], seen[EDU_BUFFER];
	int fd = engine_open();

	engine_attach(fd, scene->dmabuf, EDU_DYNAMIC);
	pattern_fill(data, sizeof(data), 61);
	engine_fill(data, sizeof(data));
	engine_move(fd, EDU_STORE, PAGE + 5, sizeof(data));
	memcpy(seen, scene->bytes + PAGE + 5, sizeof(data));
	assert_bytes(seen, data, sizeof(data), "stored by the device");
	pattern_fill(data, sizeof(data), 62);
	memcpy(scene->bytes, data, sizeof(data));
	engine_move(fd, EDU_LOAD, 0, sizeof(data));
	engine_read(seen, sizeof(data));
	assert_bytes(seen, data, sizeof(data), "loaded by the device");
	close(fd);
}

static void assert_way(const char *device, const char *memory, uint32_t path,
		       uint32_t properties)
{
	struct p2pmr_ioc_reach reach = reach_must_ask(device, memory);

	print_message("%s to %s: path %u, properties %#x, links %u\n", device,
		      memory, reach.path, reach.properties, reach.links);
	assert_int_equal(reach.path, path);
	assert_int_equal(reach.properties & ~P2PMR_REACH_SAME_GROUP,
			 properties);
	assert_int_equal(reach.error, path > P2PMR_PATH_ALLOWED ? EXDEV : 0);
}

/* No IOMMU in the way: what the switch routes, it routes. */
static void by_switch(void **state)
{
	struct scene scene;

	(void)state;
	scene_open(&scene, BELOW_SWITCH, BELOW_SWITCH);
	engine_choose(scene.near);
	assert_way(scene.near, scene.memory, P2PMR_PATH_SWITCH, 0);
	assert_int_equal(reach_must_ask(scene.near, scene.memory).links, 4);
	assert_reached(&scene);

	/* From outside the switch the same memory is behind the root complex. */
	engine_choose(scene.root);
	assert_way(scene.root, scene.memory, P2PMR_PATH_UNKNOWN_ROOT, 0);
	assert_int_equal(reach_try_attach(scene.dmabuf, EDU_DYNAMIC), EXDEV);
	engine_choose(scene.other);
	assert_way(scene.other, scene.memory, P2PMR_PATH_OTHER_ROOT, 0);
	assert_int_equal(reach_try_attach(scene.dmabuf, EDU_DYNAMIC), EXDEV);
	engine_reaches("*/*");
	assert_reached(&scene);
	scene_close(&scene);
}

/* Translated addresses are the IOMMU's, which is beyond the switch. */
static void by_switch_translated(void **state)
{
	struct scene scene;

	(void)state;
	scene_open(&scene, BELOW_SWITCH, BELOW_SWITCH);
	engine_choose(scene.near);
	assert_way(scene.near, scene.memory, P2PMR_PATH_UNKNOWN_ROOT,
		   P2PMR_REACH_TRANSLATED);
	assert_int_equal(reach_try_attach(scene.dmabuf, EDU_DYNAMIC), EXDEV);
	engine_reaches(ENGINE_IDS "/1af4:1110");
	assert_reached(&scene);
	scene_close(&scene);
}

/*
 * The switch's ports send upstream what is for a neighbour, though no address
 * is translated. Nothing of the kind is to be seen in the ports of the other.
 */
static void by_redirecting_switch(void **state)
{
	struct scene scene;

	(void)state;
	scene_open(&scene, BELOW_ACS_SWITCH, BELOW_ACS_SWITCH);
	engine_choose(scene.near);
	assert_way(scene.near, scene.memory, P2PMR_PATH_UNKNOWN_ROOT,
		   P2PMR_REACH_REDIRECTED);
	assert_int_equal(reach_must_ask(scene.near, scene.memory).links, 4);
	assert_int_equal(reach_try_attach(scene.dmabuf, EDU_DYNAMIC), EXDEV);
	engine_reaches(ENGINE_IDS "/1af4:1110");
	assert_way(scene.near, scene.memory, P2PMR_PATH_ALLOWED,
		   P2PMR_REACH_REDIRECTED);
	assert_reached(&scene);
	/* From outside of the switch no port of it is passed sideways. */
	engine_reaches("");
	engine_choose(scene.root);
	assert_way(scene.root, scene.memory, P2PMR_PATH_UNKNOWN_ROOT, 0);
	scene_close(&scene);
}

/* The root complex to which it goes is known to send it down again. */
static void by_redirecting_switch_known_root(void **state)
{
	struct scene scene;

	(void)state;
	scene_open(&scene, BELOW_ACS_SWITCH, BELOW_ACS_SWITCH);
	engine_choose(scene.near);
	assert_way(scene.near, scene.memory, P2PMR_PATH_ROOT,
		   P2PMR_REACH_REDIRECTED);
	assert_reached(&scene);
	scene_close(&scene);
}

/* The same switch, with ACS told not to. */
static void by_switch_told_not_to_redirect(void **state)
{
	struct scene scene;

	(void)state;
	scene_open(&scene, BELOW_ACS_SWITCH, BELOW_ACS_SWITCH);
	engine_choose(scene.near);
	assert_way(scene.near, scene.memory, P2PMR_PATH_SWITCH, 0);
	assert_reached(&scene);
	scene_close(&scene);
}

static bool has_p2pdma(void)
{
	return shell("grep -q ^CONFIG_PCI_P2PDMA=y /boot/config-$(uname -r)");
}

/* The CPU is one whose root complex carries it from port to port. */
static void by_known_root(void **state)
{
	char memory[32];
	struct scene scene;

	(void)state;
	scene_open(&scene, BELOW_SWITCH, "P2PMR_BAR");
	function_of("P2PMR_BAR", memory);
	engine_choose(scene.root);
	assert_way(scene.root, memory, P2PMR_PATH_ROOT, P2PMR_REACH_TRANSLATED);
	assert_reached(&scene);
	engine_choose(scene.near);
	assert_way(scene.near, memory, P2PMR_PATH_ROOT, P2PMR_REACH_TRANSLATED);
	assert_way(scene.near, scene.memory, P2PMR_PATH_ROOT,
		   P2PMR_REACH_TRANSLATED);
	assert_reached(&scene);
	/* From one root complex to another only the kernel's list goes. */
	engine_choose(scene.other);
	assert_way(scene.other, memory,
		   has_p2pdma() ? P2PMR_PATH_ROOT : P2PMR_PATH_OTHER_ROOT,
		   P2PMR_REACH_TRANSLATED);
	scene_close(&scene);
}

static const struct test tests[] = {
	TEST("fabric/switch", by_switch),
	TEST("fabric/switch-translated", by_switch_translated),
	TEST("fabric/redirected", by_redirecting_switch),
	TEST("fabric/redirected-known-root", by_redirecting_switch_known_root),
	TEST("fabric/redirection-off", by_switch_told_not_to_redirect),
	TEST("fabric/known-root", by_known_root),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
