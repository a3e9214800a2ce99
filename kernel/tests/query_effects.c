// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Asking /dev/p2pmr changes nothing and gives nothing away: no line in the
 * kernel log, no count, no page brought in, no address told; and it survives
 * whatever else happens to the address space or the module meanwhile.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "addresses.h"
#include "chardev.h"
#include "child.h"
#include "endpoint.h"
#include "modules.h"
#include "peer.h"
#include "reach.h"
#include "runner.h"
#include "system.h"
#include "watch.h"

#define WINDOW	   (16 * PAGE)
#define READ_WRITE (PROT_READ | PROT_WRITE)

static void refuse_once(void *address)
{
	struct device device;

	device_open(&device);
	assert_null(ibv_reg_mr(device.pd, address, WINDOW, ACCESS_ALL));
	device_close(&device);
}

static void no_log_no_count(void **state)
{
	uint8_t *private =
		bar_mmap(BAR, NULL, WINDOW, READ_WRITE, MAP_PRIVATE, 0);
	uint8_t *reads = bar_mmap(BAR, NULL, WINDOW, PROT_READ, MAP_SHARED, 0);
	int fd = chardev_ready(), log = log_open();
	struct p2pmr_stat before[64], after[64];
	struct p2pmr_ioc_stats stats = { .size = sizeof(stats),
					 .stats = (uintptr_t)before,
					 .stat_size = sizeof(before[0]),
					 .capacity = 64 };
	struct answer answer;

	(void)state;
	assert_true(private != MAP_FAILED && reads != MAP_FAILED);
	assert_int_equal(chardev_error(fd, P2PMR_IOC_STATS, &stats), 0);
	query(fd, &answer, private, WINDOW);
	assert_int_equal(answer.query.read_error, EINVAL);
	query(fd, &answer, reads, WINDOW);
	assert_int_equal(answer.query.write_error, EACCES);
	query_while(&answer, reads, WINDOW, "builtin_exporter", "N");
	assert_int_equal(answer.query.read_error, EPERM);
	assert_int_equal(munmap(reads, WINDOW), 0);
	query(fd, &answer, reads, PAGE);
	assert_int_equal(answer.query.read_error, EFAULT);

	stats.stats = (uintptr_t)after;
	assert_int_equal(chardev_error(fd, P2PMR_IOC_STATS, &stats), 0);
	assert_memory_equal(before, after, stats.count * sizeof(before[0]));
	assert_int_equal(log_count(log, "p2pmr", NULL), 0);

	/* What a registration would have left behind. */
	refuse_once(private);
	assert_int_equal(log_count(log, "p2pmr", NULL), 1);
	assert_int_equal(munmap(private, WINDOW), 0);
	close(log);
	close(fd);
}

/* Pages of a mapping that are present, as mincore() has it. */
static int pages_present(uint8_t *bytes)
{
	unsigned char present[WINDOW / PAGE];
	int count = 0;

	assert_int_equal(mincore(bytes, WINDOW, present), 0);
	for (size_t i = 0; i < sizeof(present); i++)
		count += present[i] & 1;
	return count;
}

static uint64_t pinned_kib(void)
{
	FILE *file = fopen("/proc/self/status", "r");
	unsigned long kib = 0;
	char line[256];
	bool found = false;

	assert_non_null(file);
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "VmPin: %lu", &kib) == 1)
			found = true;
	fclose(file);
	assert_true(found);
	return kib;
}

static void nothing_brought_in(void **state)
{
	struct listing listing;
	struct answer answer;
	struct memory host;
	int fd = chardev_ready(), references = module_references(CORE_MODULE);
	uint64_t pinned = pinned_kib();
	int present;

	(void)state;
	memory_map(&host, HOST, WINDOW);
	assert_ptr_equal(bar_mmap(BAR, host.bytes + PAGE, PAGE, READ_WRITE,
				  MAP_SHARED | MAP_FIXED, 0),
			 host.bytes + PAGE);
	/* Some kernels count the BAR's page, others do not. */
	present = pages_present(host.bytes);
	assert_in_range(present, 0, 1);
	query(fd, &answer, host.bytes, WINDOW);
	assert_int_equal(answer.query.count, 3);
	assert_int_equal(pages_present(host.bytes), present);
	assert_int_equal(pinned_kib(), pinned);
	assert_int_equal(module_references(CORE_MODULE), references);
	list(fd, &listing, P2PMR_LIST_ALL);
	assert_null(range_of(&listing, getpid()));
	memory_release(&host);
	close(fd);
}

/* An array of elements from any request but those about ranges. */
static void assert_array_tells_none(int fd, const char *what,
				    unsigned long request, size_t element_size)
{
	static uint8_t elements[16 * 512];
	struct p2pmr_ioc_stats argument = {
		.size = sizeof(argument),
		.stats = (uintptr_t)elements,
		.stat_size = element_size,
		.capacity = sizeof(elements) / element_size,
	};

	assert_int_equal(chardev_error(fd, request, &argument), 0);
	assert_true(argument.count > 0);
	assert_no_address_in(what, elements, argument.count * element_size);
}

static void assert_functions_tell_none(int fd)
{
	struct p2pmr_ioc_reach reach;
	struct p2pmr_ioc_bar bar;
	char address[32], other[32];

	pci_address(BAR, address);
	pci_address(BAR2, other);
	reach = reach_must_ask(other, address);
	assert_no_address_in("reach", &reach, sizeof(reach));
	bar = (struct p2pmr_ioc_bar){ .size = sizeof(bar),
				      .domain = reach.domain,
				      .bus = reach.bus,
				      .devfn = reach.devfn,
				      .bar = 2 };
	assert_int_equal(chardev_error(fd, P2PMR_IOC_BAR, &bar), 0);
	assert_no_address_in("bar", &bar, sizeof(bar));
}

/* What the arrays are at is the caller's own address. */
static void no_address_told(void **state)
{
	static union {
		struct p2pmr_ioc_hello hello;
		struct answer answer;
		struct listing listing;
	} u;
	struct asker a;

	(void)state;
	asker_open(&a, BAR);
	memory_register(&a.memory, a.device.pd);
	query(a.fd, &u.answer, a.memory.bytes + 5, WINDOW - 5);
	assert_no_address_in("query", &u.answer.query, sizeof(u.answer.query));
	assert_no_address_in("segment", u.answer.segments,
			     sizeof(u.answer.segments[0]));
	list(a.fd, &u.listing, P2PMR_LIST_ALL);
	assert_int_equal(u.listing.list.count, 1);
	assert_no_address_in("list", &u.listing.list, sizeof(u.listing.list));
	assert_no_address_in("range", u.listing.ranges,
			     sizeof(u.listing.ranges[0]));
	u.hello = (struct p2pmr_ioc_hello){ .size = sizeof(u.hello),
					    .version = P2PMR_ABI_VERSION };
	assert_int_equal(chardev_error(a.fd, P2PMR_IOC_HELLO, &u.hello), 0);
	assert_no_address_in("hello", &u.hello, sizeof(u.hello));
	assert_array_tells_none(a.fd, "counter", P2PMR_IOC_STATS,
				sizeof(struct p2pmr_stat));
	assert_array_tells_none(a.fd, "exporter", P2PMR_IOC_EXPORTERS,
				sizeof(struct p2pmr_exporter_info));
	assert_array_tells_none(a.fd, "instance", P2PMR_IOC_INSTANCES,
				sizeof(struct p2pmr_instance_info));
	assert_functions_tell_none(a.fd);
	asker_close(&a);
}

#define RACE_SECONDS 5

struct race {
	uint8_t *bytes;
	atomic_bool stop;
	unsigned long rounds;
};

/* Maps and unmaps single pages, BAR and host memory, all over the window. */
static void *change_mappings(void *argument)
{
	struct race *race = argument;
	uint64_t seed = 1;

	for (; !atomic_load(&race->stop); race->rounds++) {
		uint64_t random = next_random(&seed);
		uint8_t *page = race->bytes + random % (WINDOW / PAGE) * PAGE;

		if (random >> 32 & 1)
			munmap(page, PAGE);
		else if (random >> 33 & 1)
			mmap(page, PAGE, READ_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
		else
			bar_mmap(BAR, page, PAGE, READ_WRITE,
				 MAP_SHARED | MAP_FIXED, page - race->bytes);
	}
	return NULL;
}

/* Whatever is there at the moment: of the BAR only what belongs there. */
static void assert_plausible(const struct answer *answer)
{
	for (uint32_t i = 0; i < answer->query.count; i++) {
		const struct p2pmr_query_segment *s = &answer->segments[i];

		if (s->kind == P2PMR_SEGMENT_DEVICE)
			assert_location(&s->location, BAR, s->offset);
		else if (s->kind == P2PMR_SEGMENT_HOLE)
			assert_int_equal(s->read_error, EFAULT);
		else
			assert_int_equal(s->kind, P2PMR_SEGMENT_HOST);
	}
}

static void while_mappings_change(void **state)
{
	struct race race = { .bytes =
				     mmap(NULL, WINDOW, PROT_NONE,
					  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) };
	time_t end = time(NULL) + RACE_SECONDS;
	unsigned long queries = 0;
	struct answer answer;
	pthread_t thread;
	int fd = chardev_ready();

	(void)state;
	assert_true(race.bytes != MAP_FAILED);
	/* So that nobody else moves into what is unmapped for a moment. */
	assert_ptr_equal(bar_mmap(BAR, race.bytes, WINDOW, READ_WRITE,
				  MAP_SHARED | MAP_FIXED, 0),
			 race.bytes);
	assert_int_equal(pthread_create(&thread, NULL, change_mappings, &race),
			 0);
	for (; time(NULL) < end; queries++) {
		query(fd, &answer, race.bytes, WINDOW);
		assert_plausible(&answer);
	}
	atomic_store(&race.stop, true);
	pthread_join(thread, NULL);
	print_message("%lu queries, %lu changes\n", queries, race.rounds);
	assert_true(queries > 100 && race.rounds > 100);
	assert_int_equal(munmap(race.bytes, WINDOW), 0);
	close(fd);
}

struct inherited {
	int fd;
	uint8_t *bytes;
};

/* The same address, the same file, and another process's memory behind. */
static void ask_as_child(int socket, void *argument)
{
	const struct inherited *inherited = argument;
	struct answer answer;

	query(inherited->fd, &answer, inherited->bytes, WINDOW);
	assert_int_equal(answer.query.count, 1);
	assert_location(&answer.segments[0].location, BAR, 0);
	assert_ptr_equal(bar_mmap(BAR2, inherited->bytes, WINDOW, READ_WRITE,
				  MAP_SHARED | MAP_FIXED, 0),
			 inherited->bytes);
	query(inherited->fd, &answer, inherited->bytes, WINDOW);
	assert_location(&answer.segments[0].location, BAR2, 0);
	meet(socket);
	meet(socket);
}

static void file_after_fork(void **state)
{
	struct inherited inherited = { .fd = chardev_ready() };
	struct answer answer;
	struct child child;
	struct memory bar;

	(void)state;
	memory_map(&bar, BAR, WINDOW);
	inherited.bytes = bar.bytes;
	child_start(&child, ask_as_child, &inherited);
	meet(child.socket);
	query(inherited.fd, &answer, bar.bytes, WINDOW);
	assert_location(&answer.segments[0].location, BAR, 0);
	meet(child.socket);
	child_finish(&child);
	memory_release(&bar);
	close(inherited.fd);
}

static void open_file_holds_module(void **state)
{
	const char *const verbs[] = { "rmmod", VERBS_MODULE, NULL };
	int fd, references = module_references(CORE_MODULE);

	(void)state;
	fd = chardev_open();
	expect_references(CORE_MODULE, references + 1);
	close(fd);
	expect_references(CORE_MODULE, references);

	fd = chardev_open();
	assert_int_equal(run_command(verbs), 0);
	assert_false(module_try_remove(CORE_MODULE));
	assert_true(module_is_loaded(CORE_MODULE));
	close(fd);
	assert_true(module_try_remove(CORE_MODULE));
	assert_int_equal(access(P2PMR_DEVICE_PATH, F_OK), -1);
	modules_load();
	close(chardev_ready());
}

static const struct test tests[] = {
	TEST("device/query-leaves-no-trace", no_log_no_count),
	TEST("device/query-brings-nothing-in", nothing_brought_in),
	TEST("device/no-address-told", no_address_told),
	TEST("device/query-while-mappings-change", while_mappings_change),
	TEST("device/file-after-fork", file_after_fork),
	TEST("device/open-file-holds-module", open_file_holds_module),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
