// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Mappings of every origin, and their ends, see chaos_memory.h. */
#define _GNU_SOURCE
#include "chaos_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bound.h"
#include "exported.h"
#include "exporting.h"

#define READ_WRITE (PROT_READ | PROT_WRITE)

static const struct {
	const char *name;
	int function;
	enum memory_kind kind; /* of sysfs */
} sources[SOURCES] = {
	[SYSFS_FIRST] = { "sysfs-first", FIRST, BAR },
	[SYSFS_FIRST_WC] = { "sysfs-first-wc", FIRST, BAR_WC },
	[SYSFS] = { "sysfs", SECOND, BAR2 },
	[SYSFS_WC] = { "sysfs-wc", SECOND, BAR2_WC },
	[DRIVER] = { "p2pmr_bar", SECOND, 0 },
	[DRIVER_WC] = { "p2pmr_bar-wc", SECOND, 0 },
	[VFIO] = { "vfio", SECOND, 0 },
	[DMABUF_SYSFS] = { "dmabuf-sysfs", SECOND, BAR2 },
	[DMABUF_DRIVER] = { "dmabuf-p2pmr_bar", SECOND, 0 },
	[DMABUF_EXPORTER] = { "dmabuf-exporter", FIRST, 0 },
	[HOST_MEMORY] = { "host", -1, HOST },
};

const char *source_name(enum source source)
{
	return sources[source].name;
}

int source_function(enum source source)
{
	return sources[source].function;
}

bool source_is_dmabuf(enum source source)
{
	return source == DMABUF_SYSFS || source == DMABUF_DRIVER ||
	       source == DMABUF_EXPORTER;
}

static void *map_driver(bool wc, size_t offset)
{
	int fd = must_open(bar_file(SECOND, 2, wc), O_RDWR);
	void *bytes =
		mmap(NULL, OWNED_SIZE, READ_WRITE, MAP_SHARED, fd, offset);

	close(fd);
	return bytes;
}

void owned_map(struct owned *owned, enum source source, size_t offset)
{
	owned->source = source;
	switch (source) {
	case DRIVER:
	case DRIVER_WC:
	case DMABUF_DRIVER:
		owned->bytes = map_driver(source == DRIVER_WC, offset);
		break;
	case VFIO:
		vfio_open(&owned->vfio);
		owned->bytes = vfio_map(&owned->vfio, offset, OWNED_SIZE);
		break;
	case DMABUF_EXPORTER:
		owned->bytes = exporter_map(offset);
		break;
	case HOST_MEMORY:
		owned->bytes = mmap(NULL, OWNED_SIZE, READ_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		break;
	default:
		owned->bytes = bar_mmap(sources[source].kind, NULL, OWNED_SIZE,
					READ_WRITE, MAP_SHARED, offset);
	}
	if (owned->bytes == MAP_FAILED)
		fail_msg("mmap by %s: %s", source_name(source),
			 strerror(errno));
}

void owned_register(struct owned *owned, struct ibv_pd *pd, struct ibv_mr *mr)
{
	int error;

	if (!source_is_dmabuf(owned->source)) {
		owned->mr =
			must_register(pd, owned->bytes, OWNED_SIZE, ACCESS_ALL);
		*mr = *owned->mr;
		return;
	}
	owned->dmabuf = must_export(owned->bytes, OWNED_SIZE);
	error = uverbs_register_dmabuf(pd, owned->dmabuf, 0, OWNED_SIZE,
				       (uintptr_t)owned->bytes, ACCESS_ALL,
				       &owned->raw);
	if (error)
		fail_msg("registering a dma-buf: %s", strerror(error));
	*mr = (struct ibv_mr){ .addr = owned->bytes,
			       .length = OWNED_SIZE,
			       .lkey = owned->raw.lkey,
			       .rkey = owned->raw.rkey };
}

void owned_deregister(struct owned *owned)
{
	if (owned->mr)
		assert_int_equal(ibv_dereg_mr(owned->mr), 0);
	else
		uverbs_deregister(&owned->raw);
}

static int error_of(bool failed)
{
	return failed ? errno : 0;
}

int owner_unmaps(struct owned *owned)
{
	return error_of(munmap(owned->bytes, OWNED_SIZE));
}

int owner_unmaps_a_page(struct owned *owned)
{
	return error_of(munmap(owned->bytes + OWNED_SIZE / 2, PAGE));
}

int owner_makes_read_only(struct owned *owned)
{
	return error_of(mprotect(owned->bytes, OWNED_SIZE, PROT_READ));
}

int owner_makes_inaccessible(struct owned *owned)
{
	return error_of(mprotect(owned->bytes, OWNED_SIZE, PROT_NONE));
}

int owner_moves(struct owned *owned)
{
	void *room = mmap(NULL, OWNED_SIZE, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (room == MAP_FAILED)
		return errno;
	return error_of(mremap(owned->bytes, OWNED_SIZE, OWNED_SIZE,
			       MREMAP_MAYMOVE | MREMAP_FIXED,
			       room) == MAP_FAILED);
}

int owner_covers(struct owned *owned)
{
	return error_of(mmap(owned->bytes, OWNED_SIZE, READ_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
			     0) == MAP_FAILED);
}

int owner_closes(struct owned *owned)
{
	return error_of(close(owned->dmabuf));
}

int owner_resets(struct owned *owned)
{
	return vfio_reset(&owned->vfio);
}

int owner_switches_decoding_off(struct owned *owned)
{
	vfio_set_memory_decoding(&owned->vfio, false);
	return 0;
}
