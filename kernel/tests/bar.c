// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Mapping, registering and filling the memory under test, see bar.h. */
#include "bar.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "endpoint.h"
#include "runner.h"

const char *bar_path(enum memory_kind kind)
{
	static const char *const variables[] = {
		[BAR] = "P2PMR_BAR",
		[BAR_WC] = "P2PMR_BAR_WC",
		[BAR2] = "P2PMR_BAR2",
		[BAR2_WC] = "P2PMR_BAR2_WC",
	};

	return need_env(variables[kind]);
}

int bar_index(enum memory_kind kind)
{
	return kind == BAR2 || kind == BAR2_WC;
}

size_t bar_size(enum memory_kind kind)
{
	struct stat st;

	assert_int_equal(stat(bar_path(kind), &st), 0);
	return st.st_size;
}

void *bar_mmap(enum memory_kind kind, void *address, size_t size, int prot,
	       int flags, size_t offset)
{
	int fd = open(bar_path(kind), prot & PROT_WRITE ? O_RDWR : O_RDONLY);
	void *mapped;
	int error;

	if (fd < 0)
		fail_msg("%s: %s", bar_path(kind), strerror(errno));
	mapped = mmap(address, size, prot, flags, fd, offset);
	error = errno;
	close(fd);
	errno = error;
	return mapped;
}

void memory_map(struct memory *memory, enum memory_kind kind, size_t size)
{
	memset(memory, 0, sizeof(*memory));
	memory->kind = kind;
	memory->size = size ? size : bar_size(kind);
	if (kind == HOST)
		memory->bytes = mmap(NULL, memory->size, PROT_READ | PROT_WRITE,
				     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	else
		memory->bytes = bar_mmap(kind, NULL, memory->size,
					 PROT_READ | PROT_WRITE, MAP_SHARED, 0);
	if (memory->bytes == MAP_FAILED)
		fail_msg("mmap of %zu bytes: %s", memory->size,
			 strerror(errno));
}

void memory_cover(struct memory *memory, size_t step)
{
	for (size_t at = 0; at < memory->size; at += step)
		assert_true(bar_mmap(BAR, memory->bytes + at, PAGE,
				     PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_FIXED,
				     memory->size - at) != MAP_FAILED);
}

struct ibv_mr *must_register(struct ibv_pd *pd, void *address, size_t length,
			     int access)
{
	struct ibv_mr *mr = ibv_reg_mr(pd, address, length, access);

	if (!mr)
		fail_msg("ibv_reg_mr of %zu bytes: %s", length,
			 strerror(errno));
	return mr;
}

void memory_register(struct memory *memory, struct ibv_pd *pd)
{
	memory->mr = must_register(pd, memory->bytes, memory->size, ACCESS_ALL);
}

void memory_release(struct memory *memory)
{
	if (memory->mr)
		assert_int_equal(ibv_dereg_mr(memory->mr), 0);
	assert_int_equal(munmap(memory->bytes, memory->size), 0);
}

uint64_t next_random(uint64_t *state)
{
	/* splitmix64: any state will do, 0 too. */
	uint64_t z = (*state += 0x9e3779b97f4a7c15ull);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

void pattern_fill(uint8_t *bytes, size_t size, uint64_t seed)
{
	uint64_t value = 0;

	for (size_t i = 0; i < size; i++) {
		if (i % 8 == 0)
			value = next_random(&seed);
		bytes[i] = value >> (8 * (i % 8));
	}
}

void assert_bytes(const uint8_t *actual, const uint8_t *expected, size_t size,
		  const char *what)
{
	if (!memcmp(actual, expected, size))
		return;
	for (size_t i = 0; i < size; i++)
		if (actual[i] != expected[i])
			fail_msg("%s: byte %zu of %zu is 0x%02x, not 0x%02x",
				 what, i, size, actual[i], expected[i]);
	fail_msg("%s: bytes differed and then did not", what);
}

uint8_t *registers_map(void)
{
	size_t length = strlen(bar_path(BAR));
	uint8_t *bytes;
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%.*s0", (int)length - 1, bar_path(BAR));
	fd = open(path, O_RDWR);
	if (fd < 0)
		fail_msg("%s: %s", path, strerror(errno));
	bytes = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (bytes == MAP_FAILED)
		fail_msg("%s: %s", path, strerror(errno));
	return bytes;
}
