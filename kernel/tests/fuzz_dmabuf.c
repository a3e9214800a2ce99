// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Steps of the fuzzer that make dma-bufs, register parts of them, and try what
 * else can be done with one.
 */
#include <linux/dma-buf.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "chardev.h"
#include "fuzz.h"

void keep_dmabuf(struct world *w, unsigned int slot, int fd)
{
	int old = atomic_exchange(&w->dmabufs[slot % HANDLES], fd);

	if (old >= 0)
		close(old);
}

bool step_export(struct actor *me, const uint32_t *arg)
{
	struct p2pmr_ioc_export export = {
		.size = sizeof(export),
		.flags = arg[0] & 1,
		.address = (uintptr_t)ARENA + arg[1] % ARENA_PAGES * PAGE,
		.length = (1 + (arg[1] >> 8) % 4) * PAGE,
	};
	struct page_view pages[ARENA_PAGES], *page;
	int fd = chardev_ready(), error;
	bool expected = true;
	uint64_t touched = pages_of(export.address, export.length);

	if (me->world->alone)
		view_arena(me->world, pages);
	error = chardev_error(fd, P2PMR_IOC_EXPORT, &export);
	close(fd);
	if (!error)
		keep_dmabuf(me->world, arg[2], export.fd);
	if (!me->world->alone || !touched)
		return !error;
	for (unsigned int i = 0; i < ARENA_PAGES; i++) {
		page = &pages[i];
		if (touched >> i & 1)
			expected &= page->device && page->shared &&
				    page->readable && !page->registers &&
				    (page->writable || !(export.flags & 1));
	}
	tally->foretold++;
	if (expected != !error)
		wrong("export of %#llx+%#llx gives %d; %s expected",
		      export.address, export.length, error,
		      expected ? "success" : "failure");
	return !error;
}

/* What can be done with a dma-buf by who is no driver: next to nothing. */
bool step_dmabuf(struct actor *me, const uint32_t *arg)
{
	atomic_int *slot = &me->world->dmabufs[arg[0] % HANDLES];
	struct dma_buf_sync sync = { .flags = arg[2] };
	int fd = atomic_load(slot);
	struct ibv_mr *mr;
	void *bytes;

	switch (arg[1] % 5) {
	case 0:
		fd = atomic_exchange(slot, -1);
		return fd >= 0 && !close(fd);
	case 1:
		bytes = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
		if (bytes != MAP_FAILED)
			wrong("a dma-buf can be mapped");
		return false;
	case 2:
		return !ioctl(fd, DMA_BUF_IOCTL_SYNC, &sync);
	case 3:
		return lseek(fd, 0, arg[2] % 2 ? SEEK_END : SEEK_SET) >= 0;
	default:
		mr = ibv_reg_dmabuf_mr(me->world->device.pd, arg[2] % 4 * PAGE,
				       1 + arg[3] % (2 * PAGE), arg[4], fd,
				       ACCESS_ALL);
		return mr && !ibv_dereg_mr(mr);
	}
}

static bool forget(struct imported *import)
{
	bool used = import->used;

	if (used)
		uverbs_deregister(&import->mr);
	import->used = false;
	return used;
}

/* One that there is, if there is any. */
static int dmabuf_pick(struct world *w, uint32_t arg)
{
	int fd = -1;

	for (unsigned int i = 0; i < HANDLES && fd < 0; i++)
		fd = atomic_load(&w->dmabufs[(arg + i) % HANDLES]);
	return fd;
}

/* What has just been registered can be read. */
static void read_some(struct actor *me, const struct imported *import,
		      uint64_t iova, uint64_t length)
{
	const struct transfer t = {
		.opcode = IBV_WR_RDMA_READ,
		.local = me->buffer,
		.lkey = me->buffer_mr->lkey,
		.length = length < 64 ? length : 64,
		.remote = iova,
		.rkey = import->mr.rkey,
	};
	enum ibv_wc_status status = try_transfer(&me->pair.near, &t);

	if (status == IBV_WC_SUCCESS)
		return;
	if (me->world->alone)
		wrong("a dma-buf was registered, and %s",
		      ibv_wc_status_str(status));
	pair_reconnect(&me->pair);
}

/* To read it needs nothing but that it is there; to write, the right to. */
bool step_import(struct actor *me, const uint32_t *arg)
{
	struct imported *import = &me->world->imports[arg[0] % HANDLES];
	int fd = dmabuf_pick(me->world, arg[2] % HANDLES), error;
	uint64_t offset = (arg[3] & 64 ? arg[3] % 4 * PAGE : 0) +
			  (arg[3] & 256 ? arg[3] >> 20 : 0);
	uint64_t length = 1 + arg[4] % (arg[3] & 512 ? 4 * PAGE : PAGE / 2);
	uint64_t iova = (uint64_t)arg[5] * PAGE + offset % PAGE;
	int access = arg[1] & 256 ? ACCESS_ALL : IBV_ACCESS_REMOTE_READ;
	off_t size = lseek(fd, 0, SEEK_END);
	bool fits = size >= 0 && offset + length <= (uint64_t)size, worked;

	if (atomic_flag_test_and_set(&import->taken))
		return false;
	worked = forget(import);
	if (arg[1] % 8 == 0)
		goto out;
	if (arg[1] % 8 == 1)
		access |= 1 << (arg[1] >> 9) % 21;
	error = uverbs_register_dmabuf(me->world->device.pd, fd, offset, length,
				       iova, access, &import->mr);
	import->used = worked = !error;
	if (me->world->alone && access == IBV_ACCESS_REMOTE_READ) {
		tally->foretold++;
		if (worked != fits)
			wrong("import of %#lx+%#lx of %ld bytes gives %d",
			      offset, length, size, error);
	}
	if (worked && access & IBV_ACCESS_REMOTE_READ)
		read_some(me, import, iova, length);
out:
	atomic_flag_clear(&import->taken);
	return worked;
}
