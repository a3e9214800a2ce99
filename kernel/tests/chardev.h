/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Asking /dev/p2pmr: the file, and each request as a call that must succeed.
 */
#ifndef P2PMR_TESTS_CHARDEV_H
#define P2PMR_TESTS_CHARDEV_H

#include <rdma/p2pmr-abi.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bar.h"
#include "endpoint.h"

/* The file without and with a handshake; the caller closes it. */
int chardev_open(void);
int chardev_ready(void);

/* The file ready, an RDMA device, and 16 pages of a memory, not registered. */
#define ASKER_SIZE (16 * PAGE)
struct asker {
	int fd;
	struct device device;
	struct memory memory;
};
void asker_open(struct asker *asker, enum memory_kind kind);
/* Deregisters the memory if it is registered. */
void asker_close(struct asker *asker);

/* The argument of any request; each begins with its size. */
union request_argument {
	uint32_t size;
	struct p2pmr_ioc_hello hello;
	struct p2pmr_ioc_query query;
	struct p2pmr_ioc_list list;
	struct p2pmr_ioc_stats stats;
	struct p2pmr_ioc_watch watch;
	struct p2pmr_ioc_exporters exporters;
	struct p2pmr_ioc_instances instances;
	struct p2pmr_ioc_bar bar;
	struct p2pmr_ioc_reach reach;
	struct p2pmr_ioc_export export;
};

/* The errno of an ioctl, 0 if it succeeds. */
int chardev_error(int fd, unsigned long request, void *argument);

#define MAX_SEGMENTS 16
#define ALL_RIGHTS   (P2PMR_RIGHT_READ | P2PMR_RIGHT_WRITE | P2PMR_RIGHT_SHARED)

struct answer {
	struct p2pmr_ioc_query query;
	struct p2pmr_query_segment segments[MAX_SEGMENTS];
};

void query_prepare(struct answer *answer, const void *address, size_t length);
void query(int fd, struct answer *answer, const void *address, size_t length);
/* Opens a file for just this one query. */
void query_once(struct answer *answer, const void *address, size_t length);
/* The same while a parameter of the module has another value. */
void query_while(struct answer *answer, const void *address, size_t length,
		 const char *parameter, const char *value);

/* Fails the test unless the location is in that BAR at that offset. */
void assert_location(const struct p2pmr_location *location,
		     enum memory_kind kind, uint64_t offset);

/*
 * Fails the test unless the caching told of a mapped place in the BAR is what
 * the kernel's own list of memory types has. That need not be what was asked
 * for: kernels before 6.15 forget to strike out a mapping that was unmapped in
 * parts, and what is mapped there afterwards gets the old type.
 */
void assert_caching(const struct p2pmr_location *location,
		    enum memory_kind kind);

/* Nothing is known of the place. */
void assert_nowhere(const struct p2pmr_location *location);

void assert_segment(const struct p2pmr_query_segment *segment, uint32_t kind,
		    uint64_t length, uint32_t rights, int read_error,
		    int write_error);

/* What is foretold for the whole range, and that it comes true. */
void assert_foretold(const struct answer *answer, int read_error,
		     int write_error);

/* First and last physical address of a BAR. */
void physical_range(enum memory_kind kind, uint64_t *first, uint64_t *last);

#define MAX_RANGES 64

struct listing {
	struct p2pmr_ioc_list list;
	struct p2pmr_list_range ranges[MAX_RANGES];
};

void list_prepare(struct listing *listing, uint32_t flags);
void list(int fd, struct listing *listing, uint32_t flags);
/* The only range of that process, NULL if there is none. */
const struct p2pmr_list_range *range_of(const struct listing *listing, int pid);

/* The value of the counter of that name, which must be there. */
uint64_t counter(int fd, const char *name);

#endif
