// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Asking /dev/p2pmr what is behind a range. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <infiniband/p2pmr.h>

#include "handshake.h"

/* Enough for nearly all; more is asked for once the number is known. */
#define FIRST_CAPACITY 8

struct p2pmr_answer {
	uint32_t count;
	int read_error;
	int write_error;
	struct p2pmr_query_segment segments[];
};

int handshake(void)
{
	struct p2pmr_ioc_hello hello = { .size = sizeof(hello),
					 .version = P2PMR_ABI_VERSION };
	int fd = open(P2PMR_DEVICE_PATH, O_RDWR | O_CLOEXEC);
	int error;

	if (fd < 0)
		return -errno;
	if (!ioctl(fd, P2PMR_IOC_HELLO, &hello))
		return fd;
	error = errno;
	close(fd);
	return -error;
}

/* 0, or ENOSPC with the number of segments for the next attempt. */
static int ask(int fd, const void *address, size_t length,
	       struct p2pmr_answer *answer, uint32_t *capacity)
{
	struct p2pmr_ioc_query query = {
		.size = sizeof(query),
		.address = (uintptr_t)address,
		.length = length,
		.segments = (uintptr_t)answer->segments,
		.segment_size = sizeof(answer->segments[0]),
		.capacity = *capacity,
	};

	if (ioctl(fd, P2PMR_IOC_QUERY, &query)) {
		*capacity = query.count;
		return -errno;
	}
	answer->count = query.count;
	answer->read_error = -(int)query.read_error;
	answer->write_error = -(int)query.write_error;
	return 0;
}

static struct p2pmr_answer *make_answer(uint32_t capacity)
{
	return calloc(1, sizeof(struct p2pmr_answer) +
				 (size_t)capacity *
					 sizeof(struct p2pmr_query_segment));
}

struct p2pmr_answer *p2pmr_query(const void *address, size_t length)
{
	uint32_t capacity = FIRST_CAPACITY;
	struct p2pmr_answer *answer = NULL;
	int fd = handshake(), ret;

	if (fd < 0) {
		errno = -fd;
		return NULL;
	}
	/* Another thread may map more between one attempt and the next. */
	do {
		free(answer);
		answer = make_answer(capacity);
		ret = answer ? ask(fd, address, length, answer, &capacity)
			     : -ENOMEM;
	} while (ret == -ENOSPC);
	close(fd);
	if (!ret)
		return answer;
	free(answer);
	errno = -ret;
	return NULL;
}

size_t p2pmr_answer_count(const struct p2pmr_answer *answer)
{
	return answer->count;
}

const struct p2pmr_query_segment *
p2pmr_answer_segment(const struct p2pmr_answer *answer, size_t index)
{
	return index < answer->count ? &answer->segments[index] : NULL;
}

int p2pmr_answer_error(const struct p2pmr_answer *answer, int writing)
{
	return writing ? answer->write_error : answer->read_error;
}

void p2pmr_answer_free(struct p2pmr_answer *answer)
{
	free(answer);
}
