// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* What the steps of a case act upon, and what the kernel says is mapped. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "chardev.h"
#include "child.h"
#include "fuzz.h"
#include "runner.h"
#include "system.h"

#define BUFFER_SIZE (8 * PAGE)
#define FILE_SIZE   (1l << 30)

static void open_sources(struct world *w)
{
	char registers[PATH_SIZE];
	const char *const paths[] = {
		[SOURCE_BAR] = bar_path(BAR),
		[SOURCE_BAR_READ_ONLY] = bar_path(BAR),
		[SOURCE_BAR_WC] = bar_path(BAR_WC),
		[SOURCE_BAR2] = bar_path(BAR2),
		[SOURCE_REGISTERS] = registers,
	};
	uint64_t last;

	pci_file(BAR, "resource0", registers);
	for (int i = 0; i < NR_SOURCES; i++) {
		if (i == SOURCE_MEMORY_FILE)
			w->sources[i] = memfd_create("fuzz", MFD_CLOEXEC);
		else
			w->sources[i] = open(
				paths[i], O_CLOEXEC | (i == SOURCE_BAR_READ_ONLY
							       ? O_RDONLY
							       : O_RDWR));
		if (w->sources[i] < 0 || fstat(w->sources[i], &w->files[i]))
			wrong("source %d: %s", i, strerror(errno));
	}
	physical_range(BAR, &w->bases[SOURCE_BAR], &last);
	physical_range(BAR2, &w->bases[SOURCE_BAR2], &last);
	w->bases[SOURCE_BAR_WC] = w->bases[SOURCE_BAR];
	w->bases[SOURCE_BAR_READ_ONLY] = w->bases[SOURCE_BAR];
	/* More than mremap() can make of a mapping: what is mapped is there. */
	if (ftruncate(w->sources[SOURCE_MEMORY_FILE], FILE_SIZE))
		wrong("ftruncate: %s", strerror(errno));
}

static const uint8_t *map_witness(int fd)
{
	void *bytes = mmap(NULL, ARENA_SIZE, PROT_READ, MAP_SHARED, fd, 0);

	if (bytes == MAP_FAILED)
		wrong("mmap: %s", strerror(errno));
	return bytes;
}

static void actor_open(struct actor *me)
{
	struct world *w = me->world;
	struct pair *pair = &me->pair;

	pair->device = w->device;
	queue_open(&pair->near, &pair->device, IBV_QPT_RC);
	queue_open(&pair->far, &pair->device, IBV_QPT_RC);
	queue_connect(&pair->near, pair->far.qp->qp_num);
	queue_connect(&pair->far, pair->near.qp->qp_num);
	me->buffer = mmap(NULL, BUFFER_SIZE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (me->buffer == MAP_FAILED)
		wrong("mmap: %s", strerror(errno));
	me->buffer_mr = must_register(w->device.pd, me->buffer, BUFFER_SIZE,
				      ACCESS_ALL);
}

/* Files are opened with all rights; what follows is done with the case's. */
void world_open(struct world *w, const struct fuzz_case *c)
{
	memset(w, 0, sizeof(*w));
	w->alone = c->threads == 1;
	w->privileged = c->privileged;
	open_sources(w);
	w->witness = map_witness(w->sources[SOURCE_BAR]);
	w->witness2 = map_witness(w->sources[SOURCE_BAR2]);
	for (unsigned int i = 0; i < c->threads; i++) {
		w->actors[i] =
			(struct actor){ .world = w, .index = i, .todo = c };
		coverage_open(&w->actors[i]);
	}
	if (!c->privileged)
		become(NOBODY);
	device_open(&w->device);
	w->other_pd = ibv_alloc_pd(w->device.context);
	if (!w->other_pd)
		wrong("ibv_alloc_pd: %s", strerror(errno));
	for (int i = 0; i < REGIONS; i++)
		atomic_flag_clear(&w->regions[i].taken);
	for (int i = 0; i < HANDLES; i++) {
		w->chardevs[i] = chardev_ready();
		fcntl(w->chardevs[i], F_SETFL, O_NONBLOCK);
		atomic_init(&w->dmabufs[i], -1);
		atomic_flag_clear(&w->imports[i].taken);
	}
	for (unsigned int i = 0; i < c->threads; i++)
		actor_open(&w->actors[i]);
}

/* In order, half of it by the end of the process: as programs do. */
void world_close(struct world *w)
{
	for (int i = 0; i < HANDLES; i++)
		close(w->chardevs[i]);
	for (int i = 0; i < REGIONS; i += 2) {
		const uint32_t arg[ARGUMENTS] = { i };

		step_deregister(&w->actors[0], arg);
	}
	munmap(ARENA, ARENA_SIZE / 2);
}

uint64_t page_mask(unsigned int first, unsigned int count)
{
	uint64_t all = count >= 64 ? ~0ull : (1ull << count) - 1;

	return first >= ARENA_PAGES ? 0 : all << first;
}

uint64_t pages_of(uint64_t start, uint64_t length)
{
	uint64_t first = start - (uintptr_t)ARENA, last = first + length - 1;

	if (!length || first >= ARENA_SIZE || last >= ARENA_SIZE)
		return 0;
	return page_mask(first / PAGE, last / PAGE - first / PAGE + 1);
}

static void view_mapping(const struct world *w, struct page_view *pages,
			 const char *line)
{
	unsigned long start, end, offset, inode;
	unsigned int major, minor;
	struct page_view view = { .mapped = true, .source = -1 };
	char rights[5];

	if (sscanf(line, "%lx-%lx %4s %lx %x:%x %lu", &start, &end, rights,
		   &offset, &major, &minor, &inode) != 7)
		wrong("/proc/self/maps: %s", line);
	if (end <= (uintptr_t)ARENA || start >= (uintptr_t)ARENA + ARENA_SIZE)
		return;
	view.readable = rights[0] == 'r';
	view.writable = rights[1] == 'w';
	view.shared = rights[3] == 's';
	for (int i = 0; inode && i < NR_SOURCES; i++)
		if (w->files[i].st_ino == inode &&
		    w->files[i].st_dev == makedev(major, minor))
			view.source = i;
	/* What sysfs maps shows with its place on the bus. */
	if (view.source >= 0)
		offset -= w->bases[view.source];
	view.device = view.source >= 0 && view.source != SOURCE_MEMORY_FILE;
	view.registers = view.source == SOURCE_REGISTERS;
	for (; start < end; start += PAGE, offset += PAGE) {
		view.page = offset / PAGE;
		if (start >= (uintptr_t)ARENA &&
		    start < (uintptr_t)ARENA + ARENA_SIZE)
			pages[(start - (uintptr_t)ARENA) / PAGE] = view;
	}
}

void view_arena(const struct world *w, struct page_view pages[ARENA_PAGES])
{
	char *maps = read_file("/proc/self/maps"), *line, *end;

	memset(pages, 0, ARENA_PAGES * sizeof(*pages));
	for (line = maps; (end = strchr(line, '\n')); line = end + 1) {
		*end = '\0';
		view_mapping(w, pages, line);
	}
	free(maps);
}

/* For people. */
void show_arena(void)
{
	char *maps = read_file("/proc/self/maps"), *line;

	for (line = strtok(maps, "\n"); line; line = strtok(NULL, "\n"))
		if (!strncmp(line, "2000000", 7))
			puts(line);
	free(maps);
}

/* Where there is something, if there is anything. */
struct region *region_pick(struct world *w, uint32_t arg)
{
	for (unsigned int i = 0; i < REGIONS; i++)
		if (w->regions[(arg + i) % REGIONS].used)
			return &w->regions[(arg + i) % REGIONS];
	return &w->regions[arg % REGIONS];
}

bool region_take(struct region *region)
{
	return !atomic_flag_test_and_set(&region->taken);
}

void region_give(struct region *region)
{
	atomic_flag_clear(&region->taken);
}
