// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * A mapping without pages that its driver fills on first access: asking leaves
 * it empty, a registration fills it. The driver is vgem, whose memory is no
 * BAR, so that it is refused once it is known.
 */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <linux/ioctl.h>
#include <linux/types.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "chardev.h"
#include "endpoint.h"
#include "modules.h"
#include "runner.h"

#define WINDOW (16 * PAGE)

/* Two requests of DRM's, whose header not every Debian has without a library. */
struct create_buffer {
	__u32 height, width, bits_per_pixel, flags;
	__u32 handle, pitch; /* out */
	__u64 size;	     /* out */
};

struct map_buffer {
	__u32 handle, pad;
	__u64 offset; /* out */
};

#define CREATE_BUFFER _IOWR('d', 0xb2, struct create_buffer)
#define MAP_BUFFER    _IOWR('d', 0xb3, struct map_buffer)

static int open_vgem(void)
{
	const char *const argv[] = { "modprobe", "vgem", NULL };
	glob_t cards = { 0 };
	char path[128];
	int fd = -1;

	assert_int_equal(run_command(argv), 0);
	assert_int_equal(glob("/sys/devices/*/vgem/drm/card*", 0, NULL, &cards),
			 0);
	snprintf(path, sizeof(path), "/dev/dri/%s",
		 strrchr(cards.gl_pathv[0], '/') + 1);
	globfree(&cards);
	/* udev makes the node a moment later. */
	for (int tries = 0; fd < 0 && tries < 100; tries++) {
		fd = open(path, O_RDWR | O_CLOEXEC);
		if (fd < 0)
			usleep(50 * 1000);
	}
	if (fd < 0)
		fail_msg("%s: %s", path, strerror(errno));
	return fd;
}

/* Fresh memory of the driver's, not a page of which is mapped yet. */
static uint8_t *map_vgem(int fd)
{
	struct create_buffer create = { .height = 1,
					.width = WINDOW / 4,
					.bits_per_pixel = 32 };
	struct map_buffer map = { 0 };
	uint8_t *bytes;

	assert_int_equal(ioctl(fd, CREATE_BUFFER, &create), 0);
	assert_true(create.size >= WINDOW);
	map.handle = create.handle;
	assert_int_equal(ioctl(fd, MAP_BUFFER, &map), 0);
	bytes = mmap(NULL, WINDOW, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		     map.offset);
	assert_true(bytes != MAP_FAILED);
	return bytes;
}

static void assert_answer(const uint8_t *bytes, int error)
{
	struct answer answer;

	query_once(&answer, bytes, WINDOW);
	assert_int_equal(answer.query.count, 1);
	assert_int_equal(answer.segments[0].kind, P2PMR_SEGMENT_DEVICE);
	assert_int_equal(answer.segments[0].read_error, error);
	assert_int_equal(answer.segments[0].write_error, error);
	assert_nowhere(&answer.segments[0].location);
	assert_int_equal(answer.query.read_error, error);
	assert_int_equal(answer.query.write_error, error);
}

static void asking_leaves_it(void **state)
{
	int fd = open_vgem();
	uint8_t *bytes = map_vgem(fd);

	(void)state;
	/* Had the first question brought it in, the second would know more. */
	assert_answer(bytes, ENODATA);
	assert_answer(bytes, ENODATA);
	*(volatile uint8_t *)bytes = 1;
	assert_answer(bytes, ENXIO);
	assert_int_equal(munmap(bytes, WINDOW), 0);
	close(fd);
}

static void registering_fills_it(void **state)
{
	int fd = open_vgem();
	uint8_t *bytes = map_vgem(fd);
	struct device device;

	(void)state;
	assert_answer(bytes, ENODATA);
	device_open(&device);
	assert_null(ibv_reg_mr(device.pd, bytes, WINDOW, ACCESS_ALL));
	assert_int_equal(errno, ENXIO);
	device_close(&device);
	assert_answer(bytes, ENXIO);
	assert_int_equal(munmap(bytes, WINDOW), 0);
	close(fd);
}

static const struct test tests[] = {
	TEST("device/query-brings-no-page-in", asking_leaves_it),
	TEST("device/query-after-registration-filled", registering_fills_it),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
