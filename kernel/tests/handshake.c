// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * The handshake of /dev/p2pmr: once on each open file, before anything else,
 * and with a version that both sides speak.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "chardev.h"
#include "runner.h"

#define ALL_FEATURES                                                         \
	(P2PMR_FEATURE_QUERY | P2PMR_FEATURE_LIST | P2PMR_FEATURE_STATS |    \
	 P2PMR_FEATURE_WATCH | P2PMR_FEATURE_EXPORTERS |                     \
	 P2PMR_FEATURE_INSTANCES | P2PMR_FEATURE_BAR | P2PMR_FEATURE_REACH | \
	 P2PMR_FEATURE_EXPORT)

static int stats_error(int fd)
{
	struct p2pmr_ioc_stats request = {
		.size = sizeof(request),
		.stat_size = sizeof(struct p2pmr_stat),
	};

	return chardev_error(fd, P2PMR_IOC_STATS, &request);
}

static int say(int fd, uint32_t version, struct p2pmr_ioc_hello *hello)
{
	memset(hello, 0xa5, sizeof(*hello));
	hello->size = sizeof(*hello);
	hello->flags = 0;
	hello->version = version;
	hello->reserved = 0;
	return chardev_error(fd, P2PMR_IOC_HELLO, hello);
}

static void assert_filled(const struct p2pmr_ioc_hello *hello)
{
	assert_int_equal(hello->version_min, 1);
	assert_int_equal(hello->version_max, P2PMR_ABI_VERSION);
	assert_int_equal(hello->features, ALL_FEATURES);
	assert_int_equal(hello->module_version[P2PMR_NAME_SIZE - 1], 0);
	assert_int_not_equal(hello->module_version[0], 0);
}

static void this_version(void **state)
{
	struct p2pmr_ioc_hello hello;
	int fd = chardev_open();

	(void)state;
	assert_int_equal(say(fd, P2PMR_ABI_VERSION, &hello), 0);
	assert_int_equal(hello.version, P2PMR_ABI_VERSION);
	assert_filled(&hello);
	assert_int_equal(stats_error(fd), ENOSPC);
	/* Once more does no harm. */
	assert_int_equal(say(fd, P2PMR_ABI_VERSION, &hello), 0);
	assert_int_equal(stats_error(fd), ENOSPC);
	close(fd);
}

static void other_versions(void **state)
{
	static const uint32_t versions[] = { 0, P2PMR_ABI_VERSION + 1, 1000,
					     UINT32_MAX };
	struct p2pmr_ioc_hello hello;
	int fd = chardev_open();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(versions); i++) {
		print_message("version %u\n", versions[i]);
		assert_int_equal(say(fd, versions[i], &hello), EPROTONOSUPPORT);
		assert_filled(&hello);
		assert_int_equal(stats_error(fd), EPROTO);
	}
	/* The caller may fall back to what it has learnt. */
	assert_int_equal(say(fd, hello.version_max, &hello), 0);
	assert_int_equal(stats_error(fd), ENOSPC);
	/* And a bad one later does not undo it. */
	assert_int_equal(say(fd, 1000, &hello), EPROTONOSUPPORT);
	assert_int_equal(stats_error(fd), ENOSPC);
	close(fd);
}

static void requests_before(void **state)
{
	struct p2pmr_ioc_hello hello;
	static struct listing listing;
	static struct answer answer;
	int fd = chardev_open();

	(void)state;
	query_prepare(&answer, &answer, 1);
	list_prepare(&listing, 0);
	assert_int_equal(chardev_error(fd, P2PMR_IOC_QUERY, &answer.query),
			 EPROTO);
	assert_int_equal(chardev_error(fd, P2PMR_IOC_LIST, &listing.list),
			 EPROTO);
	assert_int_equal(stats_error(fd), EPROTO);
	assert_int_equal(chardev_error(fd, _IO(P2PMR_IOC_TYPE, 200), NULL),
			 EPROTO);
	assert_int_equal(say(fd, P2PMR_ABI_VERSION, &hello), 0);
	assert_int_equal(chardev_error(fd, P2PMR_IOC_QUERY, &answer.query), 0);
	assert_int_equal(chardev_error(fd, P2PMR_IOC_LIST, &listing.list), 0);
	assert_int_equal(stats_error(fd), ENOSPC);
	close(fd);
}

static void each_file(void **state)
{
	int ready = chardev_ready(), other = chardev_open();
	int same = dup(ready);

	(void)state;
	assert_int_equal(stats_error(ready), ENOSPC);
	assert_int_equal(stats_error(other), EPROTO);
	assert_int_equal(stats_error(same), ENOSPC);
	close(ready);
	assert_int_equal(stats_error(same), ENOSPC);
	close(same);
	close(other);
}

static void unknown_request(void **state)
{
	int fd = chardev_ready();
	char byte = 0;

	(void)state;
	assert_int_equal(chardev_error(fd, _IO(P2PMR_IOC_TYPE, 200), &byte),
			 ENOTTY);
	/* The right number under another letter, or with a size in it. */
	assert_int_equal(chardev_error(fd, _IO('!', 1), &byte), ENOTTY);
	assert_int_equal(
		chardev_error(fd,
			      _IOWR(P2PMR_IOC_TYPE, 3, struct p2pmr_ioc_stats),
			      &byte),
		ENOTTY);
	assert_int_equal(read(fd, &byte, 1), -1);
	assert_int_equal(write(fd, &byte, 1), -1);
	close(fd);
}

static void open_to_everybody(void **state)
{
	struct stat st;

	(void)state;
	assert_int_equal(stat(P2PMR_DEVICE_PATH, &st), 0);
	assert_true(S_ISCHR(st.st_mode));
	assert_int_equal(st.st_mode & 07777, 0666);
}

static const struct test tests[] = {
	TEST("device/handshake", this_version),
	TEST("device/handshake-other-versions", other_versions),
	TEST("device/handshake-comes-first", requests_before),
	TEST("device/handshake-is-of-the-file", each_file),
	TEST("device/refused-unknown-request", unknown_request),
	TEST("device/open-to-everybody", open_to_everybody),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
