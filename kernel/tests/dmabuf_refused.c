// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * What cannot become a dma-buf, and who cannot attach to one.
 */
#include <errno.h>
#include <fcntl.h>
#include <rdma/p2pmr-abi.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "chardev.h"
#include "child.h"
#include "engine.h"
#include "exported.h"
#include "modules.h"
#include "runner.h"
#include "system.h"

#define READ_WRITE (PROT_READ | PROT_WRITE)

static void assert_refused(const void *bytes, size_t length, int expected)
{
	int dmabuf;

	assert_int_equal(try_export(bytes, length, 0, &dmabuf), expected);
	assert_int_equal(ranges_of(getpid(), NULL), 0);
}

static void ranges(void **state)
{
	struct memory bar, host;

	(void)state;
	memory_map(&bar, BAR, EXPORTED);
	assert_refused(bar.bytes, 0, EINVAL);
	assert_refused(bar.bytes + 1, PAGE, EINVAL);
	assert_refused(bar.bytes, PAGE - 1, EINVAL);
	assert_refused(bar.bytes, -PAGE, EINVAL);

	/* A hole, then host memory, in the middle. */
	assert_int_equal(munmap(bar.bytes + 2 * PAGE, PAGE), 0);
	assert_refused(bar.bytes, EXPORTED, EFAULT);
	assert_true(mmap(bar.bytes + 2 * PAGE, PAGE, READ_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
			 0) != MAP_FAILED);
	assert_refused(bar.bytes, EXPORTED, EMEDIUMTYPE);
	memory_release(&bar);

	memory_map(&host, HOST, EXPORTED);
	assert_refused(host.bytes, EXPORTED, EMEDIUMTYPE);
	memory_release(&host);
	assert_refused(host.bytes, EXPORTED, EFAULT);
}

static int export_error(struct p2pmr_ioc_export *export)
{
	int fd = chardev_ready(), error;

	error = chardev_error(fd, P2PMR_IOC_EXPORT, export);
	close(fd);
	return error;
}

static void arguments(void **state)
{
	struct p2pmr_ioc_export good = { .size = sizeof(good), .length = PAGE },
				export;
	struct p2pmr_ioc_hello hello = { .size = sizeof(hello),
					 .version = P2PMR_ABI_VERSION };
	struct memory bar;
	int fd;

	(void)state;
	memory_map(&bar, BAR, PAGE);
	good.address = (uintptr_t)bar.bytes;
	export = good;
	assert_int_equal(export_error(&export), 0);
	close(export.fd);
	export = good;
	export.flags = 4;
	assert_int_equal(export_error(&export), EINVAL);
	export = good;
	export.reserved = 1;
	assert_int_equal(export_error(&export), EINVAL);
	export = good;
	export.size -= 4;
	assert_int_equal(export_error(&export), EINVAL);

	fd = chardev_open();
	export = good;
	assert_int_equal(chardev_error(fd, P2PMR_IOC_EXPORT, &export), EPROTO);
	assert_int_equal(chardev_error(fd, P2PMR_IOC_HELLO, &hello), 0);
	assert_true(hello.features & P2PMR_FEATURE_EXPORT);
	close(fd);
	memory_release(&bar);
}

/* Who cannot be told of the descriptor does not get one. */
static void answer_not_writable(void **state)
{
	struct p2pmr_ioc_export *export;
	struct memory bar;
	int fd = chardev_ready(), next;

	(void)state;
	memory_map(&bar, BAR, PAGE);
	export = mmap(NULL, PAGE, READ_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		      0);
	assert_true(export != MAP_FAILED);
	*export = (struct p2pmr_ioc_export){ .size = sizeof(*export),
					     .address = (uintptr_t)bar.bytes,
					     .length = PAGE };
	assert_int_equal(mprotect(export, PAGE, PROT_READ), 0);
	next = dup(fd);
	close(next);
	assert_int_equal(chardev_error(fd, P2PMR_IOC_EXPORT, export), EFAULT);
	assert_int_equal(ranges_of(getpid(), NULL), 0);
	assert_int_equal(dup(fd), next);
	close(next);
	close(fd);
	munmap(export, PAGE);
	memory_release(&bar);
}

static void mappings(void **state)
{
	struct memory bar;
	void *private;
	int dmabuf;

	(void)state;
	private = bar_mmap(BAR, NULL, PAGE, PROT_READ, MAP_PRIVATE, 0);
	if (private != MAP_FAILED) {
		assert_refused(private, PAGE, EINVAL);
		munmap(private, PAGE);
	}
	memory_map(&bar, BAR, PAGE);
	assert_int_equal(mprotect(bar.bytes, PAGE, PROT_NONE), 0);
	assert_refused(bar.bytes, PAGE, EACCES);
	assert_int_equal(mprotect(bar.bytes, PAGE, PROT_READ), 0);
	assert_int_equal(try_export(bar.bytes, PAGE, P2PMR_EXPORT_WRITE,
				    &dmabuf),
			 EACCES);
	memory_release(&bar);
}

static void policy(void **state)
{
	char before[PARAMETER_SIZE];
	uint8_t *registers = registers_map();
	struct memory bar;
	int dmabuf;

	(void)state;
	memory_map(&bar, BAR, PAGE);
	assert_int_equal(
		module_set(CORE_MODULE, "builtin_exporter", "N", before), 0);
	assert_refused(bar.bytes, PAGE, EPERM);
	assert_int_equal(
		module_set(CORE_MODULE, "builtin_exporter", before, NULL), 0);
	assert_refused(registers, PAGE, EPERM);
	assert_int_equal(module_set(CORE_MODULE, "allow_registers", "request",
				    before),
			 0);
	assert_refused(registers, PAGE, EPERM);
	/* Let in, and then found not to fill its page. */
	assert_int_equal(try_export(registers, PAGE, P2PMR_EXPORT_REGISTER_BAR,
				    &dmabuf),
			 ENXIO);
	assert_int_equal(
		module_set(CORE_MODULE, "allow_registers", before, NULL), 0);
	assert_int_equal(munmap(registers, PAGE), 0);
	memory_release(&bar);
}

static void *map_file(const char *path, const void *written, size_t size)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	void *bytes;

	if (fd < 0)
		fail_msg("%s: %s", path, strerror(errno));
	if (size)
		assert_int_equal(write(fd, written, size), size);
	bytes = mmap(NULL, PAGE, READ_WRITE, MAP_SHARED, fd, 0);
	assert_true(bytes != MAP_FAILED);
	close(fd);
	return bytes;
}

/* Mappings of drivers that have not said that their memory may outlive them. */
static void not_lasting(void **state)
{
	uint64_t first, last;
	void *bytes;

	(void)state;
	physical_range(BAR, &first, &last);
	assert_true(shell("modprobe uio"));
	test_module_load("p2pmr_test_remap", "%s", "");
	bytes = map_file("/dev/p2pmr_test_remap", &first, sizeof(first));
	assert_refused(bytes, PAGE, EOPNOTSUPP);
	assert_int_equal(munmap(bytes, PAGE), 0);
	assert_true(module_try_remove("p2pmr_test_remap"));

	test_module_load("p2pmr_test_exporter", "addr=%#lx size=%lu", first,
			 last - first + 1);
	bytes = map_file("/dev/p2pmr_test_exporter", NULL, 0);
	assert_refused(bytes, PAGE, EOPNOTSUPP);
	assert_int_equal(munmap(bytes, PAGE), 0);
	assert_true(module_try_remove("p2pmr_test_exporter"));
}

struct counts {
	int errors[3];
	int out_of_files;
};

static void export_several(int socket, void *argument)
{
	const struct rlimit files = { 8, 8 };
	struct counts seen = { 0 };
	struct memory bar;
	int dmabufs[3], next;

	(void)argument;
	memory_map(&bar, BAR, PAGE);
	become(NOBODY);
	for (int i = 0; i < 3; i++)
		seen.errors[i] = try_export(bar.bytes, PAGE, 0, &dmabufs[i]);
	/* As soon as nobody holds it, it does not count. */
	close(dmabufs[0]);
	assert_int_equal(try_export(bar.bytes, PAGE, 0, &dmabufs[0]), 0);
	close(dmabufs[0]);
	close(dmabufs[1]);

	/* Room for the file of the requests, and for no other. */
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
	do
		next = dup(socket);
	while (next >= 0 && next < 6);
	while (dup(socket) < 7 && errno != EMFILE)
		;
	close(7);
	seen.out_of_files = try_export(bar.bytes, PAGE, 0, &next);
	send_message(socket, &seen, sizeof(seen));
	memory_release(&bar);
}

static void limits(void **state)
{
	char before[PARAMETER_SIZE];
	struct counts seen;
	struct child child;

	(void)state;
	assert_int_equal(
		module_set(CORE_MODULE, "user_max_ranges", "2", before), 0);
	child_start(&child, export_several, NULL);
	receive_message(child.socket, &seen, sizeof(seen));
	child_finish(&child);
	assert_int_equal(
		module_set(CORE_MODULE, "user_max_ranges", before, NULL), 0);
	assert_int_equal(seen.errors[0], 0);
	assert_int_equal(seen.errors[1], 0);
	assert_int_equal(seen.errors[2], EDQUOT);
	assert_int_equal(seen.out_of_files, EMFILE);
}

static void assert_not_attached(int dmabuf, unsigned int mode,
				unsigned int direction, int expected)
{
	int fd = engine_open();

	assert_int_equal(engine_try_attach(fd, dmabuf, mode, direction),
			 expected);
	/* Nothing is left of it: another way is open. */
	assert_int_equal(
		engine_try_attach(fd, dmabuf, EDU_DYNAMIC, EDU_BOTH_WAYS), 0);
	close(fd);
}

static void importers(void **state)
{
	int fd, dmabuf;

	(void)state;
	engine_load();
	dmabuf = export_bar(BAR);
	assert_not_attached(dmabuf, EDU_WITHOUT_PEERS, EDU_BOTH_WAYS,
			    EOPNOTSUPP);
	assert_not_attached(dmabuf, EDU_STATIC, EDU_BOTH_WAYS, EOPNOTSUPP);
	assert_not_attached(dmabuf, EDU_PINNED, EDU_BOTH_WAYS, EOPNOTSUPP);
	assert_not_attached(dmabuf, EDU_DYNAMIC, EDU_NO_WAY, EINVAL);
	assert_int_equal(engine_try_attach(fd = engine_open(), -1, EDU_DYNAMIC,
					   EDU_BOTH_WAYS),
			 EBADF);
	close(fd);
	close(dmabuf);
	engine_unload();
}

/* All that the device could address is less than the buffer. */
static void unreachable(void **state)
{
	struct edu_attach narrow = { .mode = EDU_DYNAMIC,
				     .direction = EDU_BOTH_WAYS,
				     .mask_bits = 20 };
	struct memory bar;
	int fd;

	(void)state;
	skip_with_dma_checker();
	engine_load();
	fd = engine_open();
	memory_map(&bar, BAR, 2 << 20);
	narrow.fd = must_export(bar.bytes, bar.size);
	memory_release(&bar);
	assert_int_equal(ioctl(fd, EDU_ATTACH, &narrow), -1);
	assert_int_equal(errno, EIO);
	close(narrow.fd);
	close(fd);
	engine_unload();
}

static const struct test tests[] = {
	TEST("dmabuf/refused-ranges", ranges),
	TEST("dmabuf/refused-arguments", arguments),
	TEST("dmabuf/refused-answer-not-writable", answer_not_writable),
	TEST("dmabuf/refused-mappings", mappings),
	TEST("dmabuf/refused-by-policy", policy),
	TEST("dmabuf/refused-not-lasting", not_lasting),
	TEST("dmabuf/refused-by-limits", limits),
	TEST("dmabuf/refused-importers", importers),
	TEST("dmabuf/refused-unreachable", unreachable),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
