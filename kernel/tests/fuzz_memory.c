// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Steps of the fuzzer that change what is mapped in the arena. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fuzz.h"
#include "runner.h"
#include "system.h"

/* Few pages more often than many. */
static unsigned int some_pages(uint32_t arg)
{
	static const unsigned int most[] = { 1, 1, 2, 2, 4, 8, 16, 64 };

	return 1 + (arg >> 8) % most[arg % ARRAY_SIZE(most)];
}

static size_t page_of(uint32_t arg)
{
	return arg % ARENA_PAGES;
}

static size_t fitting(size_t first, unsigned int count)
{
	return first + count > ARENA_PAGES ? ARENA_PAGES - first : count;
}

/* What has become of the regions over these pages, if it is known. */
static void over(struct world *w, uint64_t mask, bool surely)
{
	if (!w->alone)
		return;
	for (int i = 0; i < REGIONS; i++) {
		struct region *region = &w->regions[i];

		if (!region->used || !(region->device_pages & mask))
			continue;
		if (surely)
			region->dead = true;
		else
			region->unsure = true;
	}
}

bool step_map(struct actor *me, const uint32_t *arg)
{
	static const int rights[] = { PROT_READ | PROT_WRITE,
				      PROT_READ | PROT_WRITE,
				      PROT_READ | PROT_WRITE,
				      PROT_READ,
				      PROT_WRITE,
				      PROT_NONE,
				      PROT_READ | PROT_WRITE,
				      PROT_READ | PROT_WRITE };
	/* The BAR more often; beyond the sources: no file. */
	static const int sources[] = { SOURCE_BAR,	   SOURCE_BAR,
				       SOURCE_BAR,	   SOURCE_BAR_READ_ONLY,
				       SOURCE_BAR_WC,	   SOURCE_BAR2,
				       SOURCE_BAR2,	   SOURCE_REGISTERS,
				       SOURCE_MEMORY_FILE, NR_SOURCES,
				       NR_SOURCES };
	int source = sources[arg[0] % ARRAY_SIZE(sources)];
	size_t first = page_of(arg[1]), count = some_pages(arg[2]);
	int prot = rights[arg[4] % ARRAY_SIZE(rights)];
	int flags = (arg[4] >> 8) % 16 == 1 ? MAP_PRIVATE : MAP_SHARED;
	size_t offset = page_of(arg[3]);
	void *at;

	count = fitting(first, count);
	if (source == SOURCE_REGISTERS) {
		count = 1;
		offset = 0;
	}
	/* No further than the window that may be written. */
	if (offset + count > ARENA_PAGES)
		offset = ARENA_PAGES - count;
	if (source == SOURCE_BAR_READ_ONLY)
		prot &= PROT_READ;
	at = mmap(ARENA + first * PAGE, count * PAGE, prot,
		  source == NR_SOURCES ? MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED
				       : flags | MAP_FIXED,
		  source == NR_SOURCES ? -1 : me->world->sources[source],
		  source == NR_SOURCES ? 0 : offset * PAGE);
	/* What was there has gone in any case, but that nothing was tried. */
	over(me->world, page_mask(first, count), at != MAP_FAILED);
	return at != MAP_FAILED;
}

bool step_unmap(struct actor *me, const uint32_t *arg)
{
	size_t first = page_of(arg[0]),
	       count = fitting(first, some_pages(arg[1]));
	bool ok = !munmap(ARENA + first * PAGE, count * PAGE);

	over(me->world, page_mask(first, count), ok);
	return ok;
}

/* Those that have got less than they were registered with are over. */
static void rights_changed(struct world *w, uint64_t mask, int prot, bool ok)
{
	for (int i = 0; w->alone && i < REGIONS; i++) {
		struct region *region = &w->regions[i];
		bool write = region->access & ~IBV_ACCESS_REMOTE_READ;

		if (!region->used || !(region->device_pages & mask))
			continue;
		if (ok &&
		    (!(prot & PROT_READ) || (write && !(prot & PROT_WRITE))))
			region->dead = true;
		else
			region->unsure = true;
	}
}

bool step_protect(struct actor *me, const uint32_t *arg)
{
	static const int rights[] = { PROT_READ | PROT_WRITE, PROT_READ,
				      PROT_NONE, PROT_WRITE };
	size_t first = page_of(arg[0]),
	       count = fitting(first, some_pages(arg[1]));
	int prot = rights[arg[2] % ARRAY_SIZE(rights)];
	bool ok = !mprotect(ARENA + first * PAGE, count * PAGE, prot);

	rights_changed(me->world, page_mask(first, count), prot, ok);
	return ok;
}

bool step_remap(struct actor *me, const uint32_t *arg)
{
	static const int flags[] = { MREMAP_MAYMOVE | MREMAP_FIXED,
				     MREMAP_MAYMOVE | MREMAP_FIXED,
				     MREMAP_MAYMOVE | MREMAP_FIXED |
					     MREMAP_DONTUNMAP };
	size_t from = page_of(arg[0]),
	       count = fitting(from, some_pages(arg[1]));
	size_t to = page_of(arg[2]), size = fitting(to, some_pages(arg[3]));
	bool ok;

	/* Mostly of the same length, which is what a driver's mapping can do. */
	if (arg[4] % 4)
		size = fitting(to, count);
	ok = mremap(ARENA + from * PAGE, count * PAGE, size * PAGE,
		    flags[arg[5] % ARRAY_SIZE(flags)],
		    ARENA + to * PAGE) != MAP_FAILED;
	over(me->world, page_mask(from, count) | page_mask(to, size), ok);
	return ok;
}

bool step_advise(struct actor *me, const uint32_t *arg)
{
	static const int advice[] = {
		MADV_DONTNEED,	MADV_REMOVE,	 MADV_FREE,	MADV_DONTFORK,
		MADV_DOFORK,	MADV_WIPEONFORK, MADV_HUGEPAGE, MADV_NOHUGEPAGE,
		MADV_MERGEABLE, MADV_WILLNEED,	 MADV_COLD,	MADV_PAGEOUT
	};
	size_t first = page_of(arg[0]),
	       count = fitting(first, some_pages(arg[1]));
	bool ok = !madvise(ARENA + first * PAGE, count * PAGE,
			   advice[arg[2] % ARRAY_SIZE(advice)]);

	if (arg[3] % 8 == 0)
		try_write_file("/proc/self/clear_refs", "4\n");
	over(me->world, page_mask(first, count), false);
	return ok;
}

/* A child's changes are its own: what the parent has registered lives on. */
bool step_fork(struct actor *me, const uint32_t *arg)
{
	size_t first = page_of(arg[0]),
	       count = fitting(first, some_pages(arg[1]));
	int status = -1;
	pid_t pid;

	(void)me;
	fflush(stdout);
	pid = fork();
	if (!pid) {
		if (arg[2] % 3 == 0)
			mprotect(ARENA + first * PAGE, count * PAGE, PROT_NONE);
		else if (arg[2] % 3 == 1)
			munmap(ARENA + first * PAGE, count * PAGE);
		else
			execl("/bin/true", "true", NULL);
		_exit(0);
	}
	return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

/* The CPU's own access, where the mapping allows it, by way of the kernel. */
bool step_touch(struct actor *me, const uint32_t *arg)
{
	static const char zeros[64];
	int fd = me->world->sources[SOURCE_MEMORY_FILE];
	uint8_t *at = ARENA + page_of(arg[0]) * PAGE + arg[1] % (PAGE - 64);

	if (arg[2] % 2)
		return pwrite(fd, at, 64, 0) == 64;
	pwrite(fd, zeros, 64, 0);
	return pread(fd, at, 64, 0) == 64;
}
