// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Registration, deregistration, revocation and traffic at the same time, in
 * threads and processes.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "child.h"
#include "host.h"
#include "modules.h"
#include "peer.h"
#include "revoked.h"
#include "runner.h"

#define READ_WRITE (PROT_READ | PROT_WRITE)

static pthread_t start_thread(void *(*run)(void *), void *argument)
{
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, run, argument), 0);
	return thread;
}

static void join_thread(pthread_t thread)
{
	assert_int_equal(pthread_join(thread, NULL), 0);
}

#define REGISTRATIONS 100

struct registrar {
	struct ibv_pd *pd;
	struct memory memory;
	int error;
};

static void *register_many(void *argument)
{
	struct registrar *r = argument;

	for (size_t i = 0; i < REGISTRATIONS && !r->error; i++) {
		struct ibv_mr *mr = ibv_reg_mr(r->pd, r->memory.bytes + i,
					       PAGE + 100 * i, ACCESS_ALL);

		r->error = mr ? ibv_dereg_mr(mr) : errno;
	}
	return NULL;
}

static void register_in_threads(struct device *device)
{
	static const enum memory_kind kinds[] = { BAR, BAR2_WC, HOST };
	struct registrar registrars[ARRAY_SIZE(kinds)] = { 0 };
	pthread_t threads[ARRAY_SIZE(kinds)];

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		registrars[i].pd = device->pd;
		memory_map(&registrars[i].memory, kinds[i], WINDOW);
	}
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		threads[i] = start_thread(register_many, &registrars[i]);
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		join_thread(threads[i]);
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		assert_int_equal(registrars[i].error, 0);
		memory_release(&registrars[i].memory);
	}
}

static void register_in_process(int socket, void *argument)
{
	struct device device;

	(void)argument;
	device_open(&device);
	meet(socket);
	register_in_threads(&device);
	device_close(&device);
}

/* Threads share a PD, processes share nothing but the helper queue pair. */
static void parallel_registration(void **state)
{
	int before = module_references(VERBS_MODULE);
	struct child child;
	struct scene scene;

	(void)state;
	child_start(&child, register_in_process, NULL);
	scene_open(&scene, BAR);
	meet(child.socket);
	register_in_threads(&scene.pair.device);
	child_finish(&child);
	assert_reachable(&scene);
	memory_release(&scene.bar);
	expect_references(VERBS_MODULE, before);
	scene_close(&scene);
}

struct traffic {
	struct queue *queue;
	struct transfer transfer;
	atomic_uint done;
	atomic_bool ended;
	atomic_bool stop;
	enum ibv_wc_status last;
};

static void *move_until_error(void *argument)
{
	struct traffic *traffic = argument;

	do {
		traffic->last =
			try_transfer(traffic->queue, &traffic->transfer);
		traffic->done++;
	} while (traffic->last == IBV_WC_SUCCESS && !traffic->stop);
	traffic->ended = true;
	return NULL;
}

static void unmap_under_traffic(struct scene *scene, bool region_is_remote,
				unsigned int after)
{
	static uint8_t planted[WINDOW], seen[WINDOW];
	const struct memory *near =
		region_is_remote ? &scene->host : &scene->bar;
	const struct memory *far =
		region_is_remote ? &scene->bar : &scene->host;
	struct traffic traffic = {
		.queue = &scene->pair.near,
		.transfer = {
			.opcode = region_is_remote ? IBV_WR_RDMA_WRITE :
						     IBV_WR_RDMA_READ,
			.local = near->bytes,
			.lkey = near->mr->lkey,
			.length = WINDOW,
			.remote = (uintptr_t)far->bytes,
			.rkey = far->mr->rkey,
		},
	};
	pthread_t thread = start_thread(move_until_error, &traffic);
	unsigned int at_most;

	while (traffic.done < after && !traffic.ended)
		usleep(200);
	assert_false(traffic.ended);
	/* Not between two transfers, but at any point of one. */
	usleep(137 * after);
	assert_int_equal(munmap(scene->bar.bytes, WINDOW), 0);
	/*
	 * The transfer on its way may have moved all it had to, and the one
	 * before may be about to be counted: two more, however slow.
	 */
	at_most = traffic.done + 2;

	/* From here on not one byte of the BAR may move. */
	pattern_fill(planted, WINDOW, after);
	host_write(bar_index(scene->kind), 0, planted, WINDOW);
	while (!traffic.ended && traffic.done <= at_most)
		usleep(1000);
	traffic.stop = true;
	join_thread(thread);
	host_read(bar_index(scene->kind), 0, seen, WINDOW);
	assert_bytes(seen, planted, WINDOW, "file behind the BAR");
	assert_status(traffic.last, region_is_remote ? IBV_WC_REM_ACCESS_ERR
						     : IBV_WC_LOC_PROT_ERR);
	assert_int_equal(ibv_dereg_mr(scene->bar.mr), 0);
	pair_reconnect(&scene->pair);
}

static void munmap_under_traffic(void **state)
{
	bool region_is_remote = *(const bool *)*state;
	struct scene scene;

	scene_open(&scene, BAR);
	for (unsigned int round = 1; round <= 8; round++) {
		unmap_under_traffic(&scene, region_is_remote, round);
		memory_map(&scene.bar, BAR, WINDOW);
		memory_register(&scene.bar, scene.pair.device.pd);
	}
	memory_release(&scene.bar);
	scene_close(&scene);
}

struct flicker {
	uint8_t *address;
	atomic_bool stop;
	bool failed;
	int fd;
};

/* The address is a BAR, then nothing accessible, and so on. */
static void *map_and_unmap(void *argument)
{
	struct flicker *f = argument;

	while (!f->stop && !f->failed) {
		f->failed =
			mmap(f->address, WINDOW, READ_WRITE,
			     MAP_SHARED | MAP_FIXED, f->fd, 0) == MAP_FAILED;
		usleep(300);
		f->failed |= mmap(f->address, WINDOW, PROT_NONE,
				  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
				  0) == MAP_FAILED;
		usleep(100);
	}
	return NULL;
}

static void registration_races(void **state)
{
	int before = module_references(VERBS_MODULE);
	struct flicker flicker = { 0 };
	unsigned int made = 0, refused = 0, gave_up = 0;
	struct scene scene;
	pthread_t thread;

	(void)state;
	scene_open(&scene, BAR);
	flicker.fd = open(bar_path(BAR), O_RDWR);
	flicker.address = mmap(NULL, WINDOW, PROT_NONE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(flicker.fd >= 0 && flicker.address != MAP_FAILED);
	thread = start_thread(map_and_unmap, &flicker);
	for (int i = 0; i < 500 || (!(made && refused) && i < 50000); i++) {
		struct ibv_mr *mr =
			ibv_reg_mr(scene.pair.device.pd, flicker.address,
				   WINDOW, ACCESS_ALL);

		if (mr) {
			made++;
			assert_int_equal(ibv_dereg_mr(mr), 0);
		} else if (errno == EAGAIN) {
			/* The mapping changed during every one of its tries. */
			gave_up++;
		} else {
			refused++;
			assert_int_equal(errno, EFAULT);
		}
	}
	flicker.stop = true;
	join_thread(thread);
	print_message("%u made, %u refused, %u gave up\n", made, refused,
		      gave_up);
	assert_false(flicker.failed);
	assert_true(made && refused);
	assert_int_equal(munmap(flicker.address, WINDOW), 0);
	close(flicker.fd);

	assert_reachable(&scene);
	memory_release(&scene.bar);
	expect_references(VERBS_MODULE, before);
	scene_close(&scene);
}

struct unmapper {
	pthread_barrier_t barrier;
	uint8_t *bytes;
	unsigned int delay;
	int error;
};

static void *unmap_at_once(void *argument)
{
	struct unmapper *u = argument;

	pthread_barrier_wait(&u->barrier);
	usleep(u->delay);
	u->error = munmap(u->bytes, WINDOW) ? errno : 0;
	return NULL;
}

static void deregistration_races(void **state)
{
	int before = module_references(VERBS_MODULE);
	struct unmapper u;
	struct scene scene;

	(void)state;
	scene_open(&scene, BAR);
	assert_int_equal(pthread_barrier_init(&u.barrier, NULL, 2), 0);
	for (unsigned int i = 0; i < 150; i++) {
		struct memory bar;
		pthread_t thread;

		memory_map(&bar, BAR, WINDOW);
		memory_register(&bar, scene.pair.device.pd);
		u.bytes = bar.bytes;
		u.delay = i % 3 ? 20 * (i % 7) : 0;
		thread = start_thread(unmap_at_once, &u);
		pthread_barrier_wait(&u.barrier);
		assert_int_equal(ibv_dereg_mr(bar.mr), 0);
		join_thread(thread);
		assert_int_equal(u.error, 0);
	}
	pthread_barrier_destroy(&u.barrier);
	assert_reachable(&scene);
	memory_release(&scene.bar);
	expect_references(VERBS_MODULE, before);
	scene_close(&scene);
}

#define REMOTE(is_remote) (&(const bool){ is_remote })

static const struct test tests[] = {
	TEST("verbs/parallel-registration", parallel_registration),
	TEST_OF("range/munmap-under-remote-traffic", munmap_under_traffic,
		REMOTE(true)),
	TEST_OF("range/munmap-under-local-traffic", munmap_under_traffic,
		REMOTE(false)),
	TEST("range/registration-races-with-munmap", registration_races),
	TEST("range/deregistration-races-with-munmap", deregistration_races),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
