// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Steps of the fuzzer about /dev/p2pmr: requests as they should be, with some
 * of their bytes changed.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "chardev.h"
#include "fuzz.h"
#include "runner.h"

/*
 * Far from everything else, so that a changed pointer meets nothing of this
 * process. An argument is followed by bytes that stay, an array by nothing.
 */
#define ARGUMENT_AT(index) ((uint8_t *)(0x300000000000 + (index)*0x100000000))
#define ARRAY_AT(index)	   ((uint8_t *)(0x5ac3b5000000 + (index)*0x1000000000))
#define ARGUMENT_SIZE	   (4 * PAGE)
#define ARRAY_SIZE_BYTES   (1ul << 20)
#define GUARD		   0xa5

unsigned int mutate(void *bytes, size_t size, uint32_t how_many, uint32_t seed)
{
	uint64_t state = seed;
	unsigned int n = how_many % 16, i;

	/* Half of all stays as it is. */
	n = n >= 8 ? n - 8 : 0;
	if (!size)
		return 0;
	for (i = 0; i < n; i++) {
		uint64_t random = next_random(&state);
		uint8_t *byte = (uint8_t *)bytes + random % size;

		switch (random >> 32 & 3) {
		case 0:
			*byte ^= 1u << (random >> 34 & 7);
			break;
		case 1:
			*byte = random >> 40;
			break;
		case 2:
			*byte = 0xff;
			break;
		default:
			*byte = 0;
		}
	}
	return n;
}

static bool prepare(unsigned int index)
{
	static bool done[THREADS];

	if (done[index])
		return true;
	done[index] =
		mmap(ARGUMENT_AT(index), ARGUMENT_SIZE, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
		     0) != MAP_FAILED &&
		mmap(ARRAY_AT(index), ARRAY_SIZE_BYTES, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
		     0) != MAP_FAILED;
	return done[index];
}

#define REQUEST(name_, type_)                                    \
	{                                                        \
		.number = (name_), .size = sizeof(struct type_), \
	}
struct request {
	unsigned long number;
	uint32_t size;
};
/* Numbered by a step's argument, so none is ever added: others have steps of their own. */
static const struct request requests[] = {
	REQUEST(P2PMR_IOC_HELLO, p2pmr_ioc_hello),
	REQUEST(P2PMR_IOC_QUERY, p2pmr_ioc_query),
	REQUEST(P2PMR_IOC_LIST, p2pmr_ioc_list),
	REQUEST(P2PMR_IOC_STATS, p2pmr_ioc_stats),
	REQUEST(P2PMR_IOC_WATCH, p2pmr_ioc_watch),
	REQUEST(P2PMR_IOC_EXPORTERS, p2pmr_ioc_exporters),
	REQUEST(P2PMR_IOC_INSTANCES, p2pmr_ioc_instances),
	REQUEST(P2PMR_IOC_BAR, p2pmr_ioc_bar),
	REQUEST(P2PMR_IOC_EXPORT, p2pmr_ioc_export),
};
static const struct request reach = REQUEST(P2PMR_IOC_REACH, p2pmr_ioc_reach);
static const struct request bar = REQUEST(P2PMR_IOC_BAR, p2pmr_ioc_bar);

/* On the first buses, where the lab's functions are; mostly the first of a device. */
static void place(uint32_t where, uint8_t *bus, uint8_t *devfn)
{
	*bus = where & 3;
	*devfn = where & 4 ? where >> 3 & 0xf8 : 0;
	if (!(where >> 11 & 7))
		*devfn = where >> 3;
}

static void fill(union request_argument *a, const struct request *request,
		 const uint32_t *arg, uint64_t array)
{
	uint32_t capacity = arg[1] % 16;

	a->size = request->size;
	switch (request->number) {
	case P2PMR_IOC_HELLO:
		a->hello.version = P2PMR_ABI_VERSION;
		break;
	case P2PMR_IOC_QUERY:
		a->query.address = (uintptr_t)ARENA +
				   arg[3] % ARENA_PAGES * PAGE +
				   (arg[1] & 1024 ? arg[3] >> 20 : 0);
		a->query.length = 1 + (arg[3] >> 8) % (8 * PAGE);
		a->query.segments = array;
		a->query.segment_size = sizeof(struct p2pmr_query_segment);
		a->query.capacity = capacity;
		break;
	case P2PMR_IOC_LIST:
		a->list.flags = arg[3] & 1;
		a->list.after = arg[3] & 2 ? arg[3] >> 8 : 0;
		a->list.ranges = array;
		a->list.range_size = sizeof(struct p2pmr_list_range);
		a->list.capacity = capacity;
		break;
	case P2PMR_IOC_STATS:
		a->stats.stats = array;
		a->stats.stat_size = sizeof(struct p2pmr_stat);
		a->stats.capacity = capacity;
		break;
	case P2PMR_IOC_WATCH:
		a->watch.event_size = sizeof(struct p2pmr_event);
		break;
	case P2PMR_IOC_EXPORTERS:
		a->exporters.exporters = array;
		a->exporters.exporter_size = sizeof(struct p2pmr_exporter_info);
		a->exporters.capacity = capacity;
		break;
	case P2PMR_IOC_INSTANCES:
		a->instances.instances = array;
		a->instances.instance_size = sizeof(struct p2pmr_instance_info);
		a->instances.capacity = capacity;
		break;
	case P2PMR_IOC_BAR:
		a->bar.bus = arg[3];
		a->bar.devfn = arg[3] >> 8;
		a->bar.bar = arg[3] >> 16 & 7;
		break;
	case P2PMR_IOC_REACH:
		place(arg[3], &a->reach.bus, &a->reach.devfn);
		place(arg[3] >> 16, &a->reach.device_bus,
		      &a->reach.device_devfn);
		break;
	case P2PMR_IOC_EXPORT:
		a->export.flags = arg[3] & 3;
		a->export.address =
			(uintptr_t)ARENA + (arg[3] >> 2) % ARENA_PAGES * PAGE;
		a->export.length = (1 + (arg[3] >> 8) % 4) * PAGE;
		break;
	}
}

static int lowest_free(void)
{
	int fd = fcntl(0, F_DUPFD, 0);

	if (fd >= 0)
		close(fd);
	return fd;
}

/* The errnos that docs/abi.md and the header have for requests. */
static bool is_known_error(int error)
{
	static const int known[] = {
		0,	EPERM,	 ENXIO,	     EAGAIN,	  ENOMEM,
		EACCES, EFAULT,	 ENODEV,     EINVAL,	  EMFILE,
		ENOTTY, ENOSPC,	 E2BIG,	     EPROTO,	  EDQUOT,
		EINTR,	ENODATA, EOPNOTSUPP, EMEDIUMTYPE, EPROTONOSUPPORT,
		ENFILE,
	};

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (known[i] == error)
			return true;
	return false;
}

/* Refused by the words of the header, whatever the rest is. */
static bool must_fail(const union request_argument *a,
		      const struct request *request)
{
	if (a->size < request->size || a->size > PAGE)
		return a->size < 8 || a->size > PAGE;
	switch (request->number) {
	case P2PMR_IOC_HELLO:
		return a->hello.flags || a->hello.reserved;
	case P2PMR_IOC_QUERY:
		return a->query.flags || a->query.reserved;
	case P2PMR_IOC_LIST:
		return a->list.flags & ~1u || a->list.reserved;
	case P2PMR_IOC_STATS:
		return a->stats.flags || a->stats.reserved;
	case P2PMR_IOC_WATCH:
		return a->watch.flags;
	case P2PMR_IOC_EXPORTERS:
		return a->exporters.flags || a->exporters.reserved;
	case P2PMR_IOC_INSTANCES:
		return a->instances.flags || a->instances.reserved;
	case P2PMR_IOC_BAR:
		return a->bar.flags || a->bar.bar > 5;
	case P2PMR_IOC_REACH:
		return a->reach.flags || a->reach.reserved ||
		       a->reach.device_reserved;
	default:
		return a->export.flags & ~3u || a->export.reserved ||
		       a->export.length % PAGE || a->export.address % PAGE;
	}
}

static bool is_function(uint32_t domain, uint8_t bus, uint8_t devfn)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%04x:%02x:%02x.%x",
		 domain, bus, devfn >> 3, devfn & 7);
	return !access(path, F_OK);
}

/* Functions neither come nor go in a case; who would be refused has no way. */
static void check_reach(const struct p2pmr_ioc_reach *asked,
			const struct p2pmr_ioc_reach *answer, int error)
{
	bool there = is_function(asked->domain, asked->bus, asked->devfn) &&
		     is_function(asked->device_domain, asked->device_bus,
				 asked->device_devfn);

	tally->foretold++;
	if (error != (there ? 0 : ENODEV))
		wrong("reach gives errno %d; the functions are %sthere", error,
		      there ? "" : "not ");
	if (!there)
		return;
	if (answer->path >= P2PMR_PATH_NOT_PCI || answer->properties & ~7u ||
	    answer->error != (answer->path > P2PMR_PATH_ALLOWED ? EXDEV : 0u))
		wrong("reach answers %u, path %u, properties %#x",
		      answer->error, answer->path, answer->properties);
	if (answer->domain != asked->domain || answer->bus != asked->bus ||
	    answer->devfn != asked->devfn ||
	    answer->device_domain != asked->device_domain ||
	    answer->device_bus != asked->device_bus ||
	    answer->device_devfn != asked->device_devfn)
		wrong("reach answers another question");
}

static void check_bar(const struct p2pmr_ioc_bar *asked,
		      const struct p2pmr_ioc_bar *answer, int error)
{
	bool there = is_function(asked->domain, asked->bus, asked->devfn);

	tally->foretold++;
	if (error != (there ? 0 : ENODEV))
		wrong("bar gives errno %d; the function is %sthere", error,
		      there ? "" : "not ");
	if (there && (answer->reason > P2PMR_BAR_NO_ADDRESS ||
		      !answer->error != (answer->reason == P2PMR_BAR_SERVED)))
		wrong("bar answers %u, reason %u", answer->error,
		      answer->reason);
}

/* What is known of an answer to a request that is as it should be. */
static void check_answer(unsigned long number,
			 const union request_argument *asked,
			 const union request_argument *answer, int error)
{
	if (number == P2PMR_IOC_REACH)
		check_reach(&asked->reach, &answer->reach, error);
	if (number == P2PMR_IOC_BAR)
		check_bar(&asked->bar, &answer->bar, error);
}

static bool send_request(struct actor *me, const struct request *request,
			 const uint32_t *arg)
{
	unsigned long number = request->number;
	uint8_t *bytes = ARGUMENT_AT(me->index);
	int error, fd = me->world->chardevs[arg[2] % HANDLES], before;
	union request_argument asked;

	if (!prepare(me->index))
		return false;
	memset(bytes, GUARD, ARGUMENT_SIZE);
	/* At the end of what is mapped, or not. */
	if (arg[2] >> 8 & 1)
		bytes += ARGUMENT_SIZE - request->size;
	memset(bytes, 0, request->size);
	fill((union request_argument *)bytes, request, arg,
	     (uintptr_t)ARRAY_AT(me->index));
	mutate(bytes, request->size, arg[4], arg[5]);
	if (arg[4] >> 16 == 1)
		number ^= 1ul << (arg[5] & 31);
	if (arg[4] >> 16 == 2)
		bytes = (void *)(uintptr_t)((uint64_t)arg[5] << 16);
	else
		memcpy(&asked, bytes, request->size);
	before = lowest_free();
	error = chardev_error(fd, number, bytes);
	if (!is_known_error(error))
		wrong("request %#lx gives errno %d", number, error);
	if (arg[4] >> 16 == 1 || arg[4] >> 16 == 2)
		return !error;
	if (!error && must_fail(&asked, request))
		wrong("request %#lx with wrong members succeeds", number);
	for (uint8_t *at = bytes + request->size;
	     at < ARGUMENT_AT(me->index) + ARGUMENT_SIZE; at++)
		if (*at != GUARD)
			wrong("request %#lx: byte %zd behind its argument was written",
			      number, at - bytes - request->size);
	/* EPROTO: of a file without a handshake. */
	if (error != EPROTO && asked.size == request->size &&
	    !must_fail(&asked, request))
		check_answer(number, &asked, (union request_argument *)bytes,
			     error);
	if (!error && number == P2PMR_IOC_EXPORT)
		keep_dmabuf(me->world, arg[2] >> 16,
			    ((union request_argument *)bytes)->export.fd);
	else if (me->world->alone && lowest_free() != before)
		wrong("request %#lx leaves a descriptor", number);
	return !error;
}

bool step_request(struct actor *me, const uint32_t *arg)
{
	return send_request(me, &requests[arg[0] % ARRAY_SIZE(requests)], arg);
}

/* As step_request(); its first argument is not used. */
bool step_reach(struct actor *me, const uint32_t *arg)
{
	return send_request(me, &reach, arg);
}

/* The same of a BAR that there may be. */
bool step_bar(struct actor *me, const uint32_t *arg)
{
	uint32_t placed[ARGUMENTS];
	uint8_t bus, devfn;

	memcpy(placed, arg, sizeof(placed));
	place(arg[3], &bus, &devfn);
	placed[3] = bus | devfn << 8 | arg[3] >> 16 << 16;
	return send_request(me, &bar, placed);
}

bool step_read(struct actor *me, const uint32_t *arg)
{
	int fd = me->world->chardevs[arg[0] % HANDLES];
	struct pollfd p = { .fd = fd, .events = POLLIN };
	size_t size = arg[1] % (8 * sizeof(struct p2pmr_event));
	uint8_t *bytes = ARRAY_AT(me->index);

	if (!prepare(me->index))
		return false;
	if (arg[2] % 8 == 0)
		bytes += ARRAY_SIZE_BYTES - arg[2] / 8 % (size + 1);
	poll(&p, 1, 0);
	return read(fd, bytes, size) > 0;
}

/*
 * Another file in the place of one, under the number that it has: another thread
 * may just be about to use that, and is to meet the one or the other.
 */
bool step_handle(struct actor *me, const uint32_t *arg)
{
	int fd = open(P2PMR_DEVICE_PATH, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	int slot = me->world->chardevs[arg[0] % HANDLES];
	struct p2pmr_ioc_hello hello = { .size = sizeof(hello),
					 .version = P2PMR_ABI_VERSION };
	bool replaced;

	if (fd < 0)
		return false;
	if (arg[1] % 4)
		chardev_error(fd, P2PMR_IOC_HELLO, &hello);
	replaced = dup3(fd, slot, O_CLOEXEC) == slot;
	close(fd);
	return replaced;
}
