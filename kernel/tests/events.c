// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Things that happen to a mapping, or to the function behind it, without an
 * munmap: some must end the region, others must not.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/mempolicy.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "host.h"
#include "modules.h"
#include "revoked.h"
#include "runner.h"
#include "system.h"

/* Still reachable, by data that the machine outside has put there. */
static void assert_untouched(struct scene *scene)
{
	static uint8_t planted[WINDOW];

	assert_int_equal(ranges_of(getpid(), "live"), 1);
	assert_int_equal(ranges_of(getpid(), "revoked"), 0);
	assert_reachable(scene);
	pattern_fill(planted, WINDOW, 31);
	host_write(bar_index(scene->kind), 0, planted, WINDOW);
	assert_status(peer_access(scene, IBV_WR_RDMA_READ, 0, WINDOW),
		      IBV_WC_SUCCESS);
	assert_bytes(scene->host.bytes, planted, WINDOW, "read by the peer");
}

/* Referenced bits (1) and soft-dirty bits (4); the second fires notifiers. */
static void clear_refs_keeps(void **state)
{
	struct scene scene;

	(void)state;
	scene_open(&scene, BAR);
	for (int i = 0; i < 3; i++) {
		write_file("/proc/self/clear_refs", "1\n");
		assert_untouched(&scene);
		write_file("/proc/self/clear_refs", "4\n");
		assert_untouched(&scene);
	}
	memory_release(&scene.bar);
	scene_close(&scene);
}

/* A request on /proc/PID/pagemap, which headers before 6.7 do not have. */
struct scan {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
	uint64_t category_inverted, category_mask, category_anyof_mask;
	uint64_t return_mask;
};

struct scanned {
	uint64_t start, end, categories;
};

#define PAGEMAP_SCAN_ _IOWR('f', 16, struct scan)
#define WRITE_PROTECT (1 << 0)
#define PAGE_IS_THERE (1 << 3)

static int scan(const uint8_t *bytes, uint64_t flags)
{
	struct scanned found[4];
	struct scan scan = {
		.size = sizeof(scan),
		.flags = flags,
		.start = (uintptr_t)bytes,
		.end = (uintptr_t)bytes + WINDOW,
		.vec = (uintptr_t)found,
		.vec_len = ARRAY_SIZE(found),
		.category_mask = PAGE_IS_THERE,
		.return_mask = PAGE_IS_THERE,
	};
	int fd = open("/proc/self/pagemap", O_RDONLY);
	int error;

	assert_true(fd >= 0);
	error = ioctl(fd, PAGEMAP_SCAN_, &scan) < 0 ? errno : 0;
	close(fd);
	return error;
}

/* To look changes nothing; to write-protect does, even if nothing is in the end. */
static void pagemap_scan(void **state)
{
	struct scene scene;
	int error;

	(void)state;
	scene_open(&scene, BAR);
	error = scan(scene.bar.bytes, 0);
	assert_untouched(&scene);
	if (!error) {
		assert_int_equal(scan(scene.bar.bytes, WRITE_PROTECT), 0);
		assert_revoked(&scene);
	}
	memory_release(&scene.bar);
	scene_close(&scene);
	if (error == ENOTTY)
		skip_test("this kernel has no PAGEMAP_SCAN");
	assert_int_equal(error, 0);
}

/*
 * Advice that splits the mapping but changes no page, also that of a node. (What
 * takes two of them is in numa.c.) What then is several mappings can be registered
 * as one, and each part of it ends both regions.
 */
static void split_keeps(void **state)
{
	unsigned long nodes = 1;
	struct scene scene;
	struct ibv_mr *whole;
	uint8_t *middle;

	(void)state;
	scene_open(&scene, BAR);
	middle = scene.bar.bytes + 4 * PAGE;
	assert_int_equal(madvise(middle, 2 * PAGE, MADV_DONTFORK), 0);
	assert_untouched(&scene);
	assert_int_equal(mlock(middle + 4 * PAGE, PAGE), 0);
	assert_untouched(&scene);
	assert_int_equal(syscall(SYS_mbind, middle, 6 * PAGE, MPOL_PREFERRED,
				 &nodes, 8 * sizeof(nodes), 0),
			 0);
	assert_untouched(&scene);

	whole = scene.bar.mr;
	memory_register(&scene.bar, scene.pair.device.pd);
	assert_reachable(&scene);
	assert_int_equal(munmap(middle + PAGE, PAGE), 0);
	assert_int_equal(ranges_of(getpid(), "revoked"), 2);
	assert_revoked(&scene);
	assert_int_equal(ibv_dereg_mr(whole), 0);
	memory_release(&scene.bar);
	scene_close(&scene);
}

static void set_presence(bool present)
{
	char path[PATH_SIZE];

	if (!present) {
		pci_file(BAR2, "remove", path);
		write_file(path, "1\n");
		return;
	}
	write_file("/sys/bus/pci/rescan", "1\n");
	pci_file(BAR2, "enable", path);
	write_file(path, "1\n");
}

/* Stays bound to a driver that does nothing, and is then taken from it. */
static void unbind_revokes(void **state)
{
	int before = module_references(VERBS_MODULE);
	struct scene scene;

	(void)state;
	assert_true(shell("modprobe pci-stub"));
	pci_bind(BAR2, "pci-stub");
	scene_open(&scene, BAR2);
	assert_untouched(&scene);
	pci_bind(BAR2, "");
	assert_int_equal(ranges_of(getpid(), "revoked"), 1);
	assert_revoked(&scene);
	memory_release(&scene.bar);
	assert_registers_anew(&scene);
	scene_close(&scene);
	expect_references(VERBS_MODULE, before);
}

struct traffic {
	struct queue *queue;
	struct transfer transfer;
	atomic_uint done;
	enum ibv_wc_status last;
};

static void *write_until_error(void *argument)
{
	struct traffic *traffic = argument;

	do {
		traffic->last =
			try_transfer(traffic->queue, &traffic->transfer);
		traffic->done++;
	} while (traffic->last == IBV_WC_SUCCESS);
	return NULL;
}

/* By the time the function is gone, nothing writes into it any more. */
static void removal_under_traffic(void **state)
{
	static uint8_t planted[WINDOW], seen[WINDOW];
	struct traffic traffic = { 0 };
	struct scene scene;
	pthread_t thread;

	(void)state;
	scene_open(&scene, BAR2);
	traffic.queue = &scene.pair.near;
	traffic.transfer = (struct transfer){
		.opcode = IBV_WR_RDMA_WRITE,
		.local = scene.host.bytes,
		.lkey = scene.host.mr->lkey,
		.length = WINDOW,
		.remote = (uintptr_t)scene.bar.bytes,
		.rkey = scene.bar.mr->rkey,
	};
	assert_int_equal(
		pthread_create(&thread, NULL, write_until_error, &traffic), 0);
	for (int i = 0; traffic.done < 5 && i < 10000; i++)
		usleep(1000);
	set_presence(false);
	pattern_fill(planted, WINDOW, 32);
	host_write(1, 0, planted, WINDOW);
	usleep(100 * 1000);
	host_read(1, 0, seen, WINDOW);
	set_presence(true);
	/* Without a revocation the writes would go on for ever. */
	if (!traffic.last)
		assert_int_equal(munmap(scene.bar.bytes, WINDOW), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_true(traffic.done > 5);
	assert_int_equal(ranges_of(getpid(), "revoked"), 1);
	assert_status(traffic.last, IBV_WC_REM_ACCESS_ERR);
	assert_bytes(seen, planted, WINDOW, "file behind the BAR");
	memory_release(&scene.bar);
	pair_reconnect(&scene.pair);
	assert_registers_anew(&scene);
	scene_close(&scene);
}

#define KEPT 8

struct registrar {
	struct ibv_pd *pd;
	uint8_t *bytes;
	struct ibv_mr *kept[KEPT]; /* the latest, in a ring */
	atomic_bool stop;
	atomic_uint made, refused;
	int unexpected;
};

/* Replaces the oldest one; while it is refused nothing goes. */
static void *register_always(void *argument)
{
	struct registrar *r = argument;

	while (!r->stop && !r->unexpected) {
		struct ibv_mr *mr =
			ibv_reg_mr(r->pd, r->bytes, WINDOW, ACCESS_ALL);
		struct ibv_mr **place = &r->kept[r->made % KEPT];

		if (mr) {
			if (*place)
				r->unexpected = ibv_dereg_mr(*place);
			*place = mr;
			r->made++;
		} else {
			r->refused++;
			if (errno != ENXIO && errno != ENODEV &&
			    errno != EAGAIN)
				r->unexpected = errno;
		}
	}
	return NULL;
}

static void release_kept(struct registrar *r)
{
	for (int i = 0; i < KEPT; i++)
		if (r->kept[i])
			assert_int_equal(ibv_dereg_mr(r->kept[i]), 0);
}

static void wait_for_more(atomic_uint *count, const struct registrar *r)
{
	unsigned int before = *count;

	for (int i = 0; i < 5000 && *count < before + 2 && !r->unexpected; i++)
		usleep(1000);
}

static void registration_races_with_removal(void **state)
{
	int before = module_references(VERBS_MODULE);
	struct registrar registrar = { 0 };
	struct scene scene;
	pthread_t thread;
	int live = 0;

	(void)state;
	scene_open(&scene, BAR2);
	registrar.pd = scene.pair.device.pd;
	registrar.bytes = scene.bar.bytes;
	assert_int_equal(
		pthread_create(&thread, NULL, register_always, &registrar), 0);
	for (int i = 0; i < 12; i++) {
		wait_for_more(&registrar.made, &registrar);
		usleep(300 * i);
		set_presence(false);
		/* One that was under way may yet be made, but not be live. */
		wait_for_more(&registrar.refused, &registrar);
		live += ranges_of(getpid(), "live");
		set_presence(true);
	}
	registrar.stop = true;
	assert_int_equal(pthread_join(thread, NULL), 0);
	print_message("%u made, %u refused\n", registrar.made,
		      registrar.refused);
	assert_int_equal(registrar.unexpected, 0);
	assert_true(registrar.made && registrar.refused);
	assert_int_equal(live, 0);
	release_kept(&registrar);
	memory_release(&scene.bar);
	assert_registers_anew(&scene);
	scene_close(&scene);
	expect_references(VERBS_MODULE, before);
}

static const struct test tests[] = {
	TEST("range/clear-refs-keeps", clear_refs_keeps),
	TEST("range/pagemap-scan-that-protects-revokes", pagemap_scan),
	TEST("range/split-mapping-keeps", split_keeps),
	TEST("range/driver-unbind-revokes", unbind_revokes),
	TEST("range/function-removed-under-traffic", removal_under_traffic),
	TEST("range/registration-races-with-removal",
	     registration_races_with_removal),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
