// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* RDMA into a BAR and out of it, see trial.h. */
#include "trial.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <infiniband/p2pmr.h>

#include "command.h"
#include "loopback.h"
#include "signals.h"
#include "terminal.h"
#include "text.h"

static const char *why_not_registered(int error)
{
	switch (error) {
	case EPERM:
		return "policy: see p2pmr bars, and the kernel log";
	case EFAULT:
		return "p2pmr_verbs does not work for this RDMA device: see "
		       "p2pmr doctor";
	default:
		return strerror(error);
	}
}

/* With a provider that can, as device memory or not at all. */
static struct p2pmr_mr *register_bar(struct trial *trial, struct ibv_pd *pd,
				     struct p2pmr_mapping *mapping)
{
	struct p2pmr_reg_attr attr = {
		.size = sizeof(attr),
		.flags = P2PMR_REG_REQUIRE_DEVICE |
			 (trial->registers ? P2PMR_REG_REGISTER_BAR : 0),
	};
	void *address = p2pmr_mapping_address(mapping);
	unsigned int access = IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_READ |
			      IBV_ACCESS_REMOTE_WRITE;
	struct p2pmr_mr *mr;

	mr = p2pmr_reg_mr(pd, address, trial->length, access, &attr);
	trial->provider = mr;
	if (!mr && (errno == EOPNOTSUPP || errno == EPROTONOSUPPORT))
		mr = p2pmr_reg_mr(pd, address, trial->length, access, NULL);
	if (!mr)
		complain("cannot register the BAR: %s",
			 why_not_registered(errno));
	return mr;
}

static void fill(uint8_t *bytes, size_t length, uint32_t seed)
{
	for (size_t i = 0; i < length; i++) {
		seed = seed * 1664525 + 1013904223;
		bytes[i] = seed >> 24;
	}
}

static size_t differing(const uint8_t *a, const uint8_t *b, size_t length)
{
	size_t count = 0;

	for (size_t i = 0; i < length; i++)
		count += a[i] != b[i];
	return count;
}

/* Bytes between two looks at whether it shall go on. */
#define PIECE (1u << 20)

/*
 * What the steps of a trial work on; before, host and other have its length, and
 * host is what local is over.
 */
struct work {
	struct trial *trial;
	struct loopback *loopback;
	struct p2pmr_mapping *mapping;
	const struct ibv_mr *bar, *local;
	uint8_t *before, *host, *other;
};

/* A step, for some bytes from a place on. */
struct step {
	const char *name;
	bool (*run)(struct work *work, size_t at, size_t length);
};

static bool save(struct work *work, size_t at, size_t length)
{
	return !p2pmr_read(work->mapping, at, work->before + at, length);
}

static bool write_by_rdma(struct work *work, size_t at, size_t length)
{
	return loopback_transfer(work->loopback, IBV_WR_RDMA_WRITE, work->local,
				 work->bar, at, length);
}

static bool read_by_cpu(struct work *work, size_t at, size_t length)
{
	return !p2pmr_read(work->mapping, at, work->other + at, length);
}

static bool write_by_cpu(struct work *work, size_t at, size_t length)
{
	return !p2pmr_write(work->mapping, at, work->other + at, length);
}

static bool read_by_rdma(struct work *work, size_t at, size_t length)
{
	return loopback_transfer(work->loopback, IBV_WR_RDMA_READ, work->local,
				 work->bar, at, length);
}

static bool put_back(struct work *work, size_t at, size_t length)
{
	return !p2pmr_write(work->mapping, at, work->before + at, length);
}

static const struct step saving = { "reading the BAR", save };
static const struct step writing_by_rdma = { "RDMA WRITE", write_by_rdma };
static const struct step reading_by_cpu = { "reading the BAR", read_by_cpu };
static const struct step writing_by_cpu = { "writing to the BAR",
					    write_by_cpu };
static const struct step reading_by_rdma = { "RDMA READ", read_by_rdma };
static const struct step putting_back = { "putting back", put_back };

/* All of it, unless the user does not want to wait for that. */
static bool in_pieces(struct work *work, const struct step *step)
{
	size_t length, whole = work->trial->length;

	for (size_t at = 0; at < whole; at += length) {
		length = whole - at;
		if (length > PIECE)
			length = PIECE;
		if (step != &putting_back && signals_wait())
			return false;
		terminal_progress(step->name, at * 100 / whole);
		if (!step->run(work, at, length))
			return false;
	}
	return true;
}

static bool transfer(struct work *work)
{
	struct trial *trial = work->trial;
	size_t length = trial->length;

	fill(work->host, length, getpid());
	if (!in_pieces(work, &writing_by_rdma) ||
	    !in_pieces(work, &reading_by_cpu))
		return false;
	trial->write.differing = differing(work->host, work->other, length);
	trial->write.done = true;

	fill(work->other, length, getpid() + 1);
	memset(work->host, 0, length);
	if (!in_pieces(work, &writing_by_cpu) ||
	    !in_pieces(work, &reading_by_rdma))
		return false;
	trial->read.differing = differing(work->host, work->other, length);
	trial->read.done = true;
	return true;
}

static bool try_registered(struct work *work)
{
	struct trial *trial = work->trial;
	struct ibv_pd *pd = work->loopback->pd;
	struct p2pmr_mr *bar = register_bar(trial, pd, work->mapping);
	struct ibv_mr *local;
	bool ok = false;

	if (!bar)
		return false;
	local = ibv_reg_mr(pd, work->host, trial->length,
			   IBV_ACCESS_LOCAL_WRITE);
	if (local) {
		work->bar = p2pmr_mr_verbs(bar);
		work->local = local;
		ok = transfer(work);
		ibv_dereg_mr(local);
	} else {
		complain("cannot register %" PRIu64 " bytes of host memory: %s",
			 trial->length, strerror(errno));
	}
	p2pmr_dereg_mr(bar);
	return ok;
}

static const char *why_not_mapped(int error)
{
	switch (error) {
	case EACCES:
		return "you may not open its file (see p2pmr bars)";
	case EPERM:
		return "the kernel is locked down (see p2pmr doctor)";
	case EBUSY:
		return "it is in use with another caching, or by a driver";
	case EOPNOTSUPP:
		return "it cannot be mapped with this caching";
	default:
		return strerror(error);
	}
}

static struct p2pmr_mapping *map(const struct trial *trial)
{
	struct p2pmr_map_attr attr = {
		.size = sizeof(attr),
		.offset = trial->offset,
		.length = trial->length,
		.caching = trial->write_combining
				   ? P2PMR_CACHING_WRITE_COMBINING
				   : P2PMR_CACHING_UNCACHED,
	};
	struct p2pmr_mapping *mapping = p2pmr_map_bar(
		trial->function.address, trial->bar->number, &attr);

	if (!mapping)
		complain("cannot map BAR %u of %s: %s", trial->bar->number,
			 trial->function.address, why_not_mapped(errno));
	return mapping;
}

static int try_mapped(struct trial *trial, struct loopback *loopback,
		      struct p2pmr_mapping *mapping)
{
	size_t length = trial->length;
	uint8_t *before = must_realloc(NULL, length, 3);
	struct work work = {
		.trial = trial,
		.loopback = loopback,
		.mapping = mapping,
		.before = before,
		.host = before + length,
		.other = before + 2 * length,
	};
	bool ok = false;

	if (in_pieces(&work, &saving)) {
		ok = try_registered(&work);
		in_pieces(&work, &putting_back);
		trial->restored = in_pieces(&work, &reading_by_cpu) &&
				  !memcmp(before, work.other, length);
	}
	terminal_progress_end();
	if (signals_wait())
		complain("stopped; the BAR's bytes are what they were");
	free(before);
	return ok ? EXIT_OK : EXIT_WRONG;
}

int trial_run(struct trial *trial)
{
	struct p2pmr_mapping *mapping = map(trial);
	struct loopback loopback;
	int ret = EXIT_WRONG;

	if (!mapping)
		return EXIT_NOT_THERE;
	trial->caching = p2pmr_mapping_caching(mapping);
	if (loopback_open(&loopback, trial->device))
		ret = try_mapped(trial, &loopback, mapping);
	loopback_close(&loopback);
	p2pmr_unmap(mapping);
	return ret;
}

bool trial_is_good(const struct trial *trial)
{
	return trial->write.done && !trial->write.differing &&
	       trial->read.done && !trial->read.differing && trial->restored;
}
