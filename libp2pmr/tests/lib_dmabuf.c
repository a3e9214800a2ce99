// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * p2pmr_reg_mr() on a device that pins no device memory, as NICs do: the test
 * stands in for libibverbs and its driver, and the lab's DMA engine for the NIC,
 * which reaches the BAR through the dma-buf that it is given.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <infiniband/p2pmr.h>

#include "engine.h"
#include "exported.h"
#include "host.h"
#include "modules.h"
#include "part.h"
#include "provider.h"
#include "runner.h"
#include "system.h"

#define LENGTH (4 * PAGE)

/* ----------------------------------------- libibverbs and its driver -- */

/* What they do, and what they have heard. */
static struct {
	int pin_error; /* of registering anything */
	int dmabuf_error;
	int pins, dmabufs, ended;
	uint64_t offset, iova;
	size_t length;
	int access, fd;
	off_t size;
	int engine; /* attached to the dma-buf; -1: it is not to be */
	struct ibv_mr mr;
} nic;

static struct ibv_device device;
static struct ibv_context context = { .device = &device };
static struct ibv_pd pd = { .context = &context };

static struct ibv_mr *answer(int error, void *address, size_t length)
{
	nic.mr = (struct ibv_mr){ .context = &context,
				  .pd = &pd,
				  .addr = address,
				  .length = length,
				  .lkey = 7 };
	errno = error;
	return error ? NULL : &nic.mr;
}

/* The linker puts these before the real ones. */
const struct p2pmr_provider *__wrap_provider_of(const struct ibv_context *c);
struct ibv_mr *__wrap_ibv_reg_mr_iova2(struct ibv_pd *of, void *address,
				       size_t length, uint64_t iova,
				       unsigned int access);
struct ibv_mr *__wrap_ibv_reg_dmabuf_mr(struct ibv_pd *of, uint64_t offset,
					size_t length, uint64_t iova, int fd,
					int access);
int __wrap_ibv_dereg_mr(struct ibv_mr *mr);

const struct p2pmr_provider *__wrap_provider_of(const struct ibv_context *c)
{
	(void)c;
	return NULL;
}

struct ibv_mr *__wrap_ibv_reg_mr_iova2(struct ibv_pd *of, void *address,
				       size_t length, uint64_t iova,
				       unsigned int access)
{
	assert_ptr_equal(of, &pd);
	(void)iova;
	(void)access;
	nic.pins++;
	return answer(nic.pin_error, address, length);
}

struct ibv_mr *__wrap_ibv_reg_dmabuf_mr(struct ibv_pd *of, uint64_t offset,
					size_t length, uint64_t iova, int fd,
					int access)
{
	assert_ptr_equal(of, &pd);
	nic.dmabufs++;
	nic.offset = offset;
	nic.length = length;
	nic.iova = iova;
	nic.fd = fd;
	nic.access = access;
	nic.size = lseek(fd, 0, SEEK_END);
	if (nic.engine >= 0 && !nic.dmabuf_error)
		nic.dmabuf_error = engine_try_attach(
			nic.engine, fd, EDU_DYNAMIC, EDU_BOTH_WAYS);
	/* As libibverbs leaves it. */
	return answer(nic.dmabuf_error, (void *)(uintptr_t)offset, length);
}

int __wrap_ibv_dereg_mr(struct ibv_mr *mr)
{
	assert_ptr_equal(mr, &nic.mr);
	nic.ended++;
	return 0;
}

static void nic_reset(void)
{
	memset(&nic, 0, sizeof(nic));
	nic.pin_error = EFAULT;
	nic.engine = -1;
	strcpy(device.name, "nic0");
}

static struct p2pmr_mr *reg(void *address, size_t length, unsigned int access,
			    uint32_t flags)
{
	struct p2pmr_reg_attr attr = { .size = sizeof(attr), .flags = flags };

	errno = 0;
	return p2pmr_reg_mr(&pd, address, length, access, flags ? &attr : NULL);
}

static void assert_not_registered(void *address, unsigned int access,
				  uint32_t flags, int expected)
{
	int next = dup(0);

	close(next);
	assert_null(reg(address, LENGTH, access, flags));
	assert_int_equal(errno, expected);
	/* Neither a descriptor nor a range is left. */
	assert_int_equal(dup(0), next);
	close(next);
	assert_int_equal(ranges_of(getpid(), NULL), 0);
}

/* ------------------------------------------------------------- tests -- */

/* The device writes where the program said, with the mapping gone. */
static void reaches_the_bar(void **state)
{
	static uint8_t data[1000], seen[1000];
	struct p2pmr_mr_info info = { .size = sizeof(info) };
	struct memory bar;
	struct p2pmr_mr *mr;
	uint8_t *start;

	(void)state;
	nic_reset();
	engine_load();
	nic.engine = engine_open();
	memory_map(&bar, BAR, 8 * PAGE);
	start = bar.bytes + PAGE + 100;
	mr = reg(start, 5000, IBV_ACCESS_LOCAL_WRITE, 0);
	assert_non_null(mr);
	assert_int_equal(nic.pins, 1);
	assert_int_equal(nic.dmabufs, 1);
	assert_int_equal(nic.offset, 100);
	assert_int_equal(nic.length, 5000);
	assert_int_equal(nic.size, 2 * PAGE);
	assert_int_equal(nic.iova, (uintptr_t)start);
	assert_int_equal(nic.access, IBV_ACCESS_LOCAL_WRITE);
	assert_int_equal(fcntl(nic.fd, F_GETFD), -1);
	assert_ptr_equal(p2pmr_mr_verbs(mr)->addr, start);
	assert_int_equal(p2pmr_mr_query(mr, &info), 0);
	assert_int_equal(info.kind, P2PMR_MR_DEVICE);
	assert_int_equal(info.segments, 0);
	assert_int_equal(p2pmr_mr_fd(mr), -ENOENT);

	memory_release(&bar);
	pattern_fill(data, sizeof(data), 71);
	engine_fill(data, sizeof(data));
	engine_move(nic.engine, EDU_STORE, nic.offset, sizeof(data));
	host_read(bar_index(BAR), PAGE + 100, seen, sizeof(seen));
	assert_bytes(seen, data, sizeof(data), "file behind the BAR");
	assert_int_equal(p2pmr_dereg_mr(mr), 0);
	assert_int_equal(nic.ended, 1);
	close(nic.engine);
	engine_unload();
}

/* What p2pmr's kernel part says of the pair is what the program hears. */
static void out_of_reach(void **state)
{
	struct memory bar;

	(void)state;
	nic_reset();
	engine_load();
	assert_int_equal(module_set(CORE_MODULE, "deny_pairs", "*/*", NULL), 0);
	nic.engine = engine_open();
	memory_map(&bar, BAR, LENGTH);
	assert_not_registered(bar.bytes, IBV_ACCESS_LOCAL_WRITE, 0, EXDEV);
	assert_int_equal(module_set(CORE_MODULE, "deny_pairs", "", NULL), 0);
	close(nic.engine);
	memory_release(&bar);
	engine_unload();
}

static void iova(void **state)
{
	struct p2pmr_reg_attr attr = { .size = sizeof(attr),
				       .iova = 0x77000,
				       .has_iova = 1 };
	struct memory bar;
	struct p2pmr_mr *mr;

	(void)state;
	nic_reset();
	memory_map(&bar, BAR, LENGTH);
	mr = p2pmr_reg_mr(&pd, bar.bytes, LENGTH, 0, &attr);
	assert_non_null(mr);
	assert_int_equal(nic.iova, 0x77000);
	assert_int_equal(p2pmr_dereg_mr(mr), 0);
	memory_release(&bar);
}

/* Nobody asks about host memory, nor makes its failures others. */
static void host_memory(void **state)
{
	struct memory host, bar;
	struct p2pmr_mr *mr;

	(void)state;
	nic_reset();
	memory_map(&host, HOST, LENGTH);
	assert_not_registered(host.bytes, 0, 0, EFAULT);
	nic.pin_error = 0;
	mr = reg(host.bytes, LENGTH, 0, 0);
	assert_non_null(mr);
	assert_int_equal(p2pmr_dereg_mr(mr), 0);
	assert_int_equal(nic.dmabufs, 0);

	/* A driver that can do without is left alone, */
	memory_map(&bar, BAR, LENGTH);
	mr = reg(bar.bytes, LENGTH, 0, 0);
	assert_non_null(mr);
	assert_int_equal(p2pmr_dereg_mr(mr), 0);
	/* and so is what fails for another reason. */
	nic.pin_error = ENOMEM;
	assert_not_registered(bar.bytes, 0, 0, ENOMEM);
	assert_int_equal(nic.dmabufs, 0);

	/* Both in one range no dma-buf can be. */
	nic.pin_error = EFAULT;
	assert_true(mmap(bar.bytes, PAGE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
			 0) != MAP_FAILED);
	assert_not_registered(bar.bytes, 0, 0, EMEDIUMTYPE);
	memory_release(&bar);
	memory_release(&host);
}

static void read_only(void **state)
{
	struct p2pmr_mr *mr;
	void *bytes;

	(void)state;
	nic_reset();
	bytes = bar_mmap(BAR, NULL, LENGTH, PROT_READ, MAP_SHARED, 0);
	assert_true(bytes != MAP_FAILED);
	assert_not_registered(bytes, IBV_ACCESS_LOCAL_WRITE, 0, EACCES);
	assert_not_registered(bytes, IBV_ACCESS_REMOTE_ATOMIC, 0, EACCES);
	assert_int_equal(nic.dmabufs, 0);
	mr = reg(bytes, LENGTH, IBV_ACCESS_REMOTE_READ, 0);
	assert_non_null(mr);
	assert_int_equal(p2pmr_dereg_mr(mr), 0);
	/* A driver that asks for both ways is refused by the kernel part. */
	engine_load();
	nic.engine = engine_open();
	assert_not_registered(bytes, IBV_ACCESS_REMOTE_READ, 0, EACCES);
	assert_int_equal(nic.dmabufs, 2);
	close(nic.engine);
	engine_unload();
	assert_int_equal(munmap(bytes, LENGTH), 0);
}

static void driver_without(void **state)
{
	struct memory bar;

	(void)state;
	nic_reset();
	nic.dmabuf_error = EOPNOTSUPP;
	memory_map(&bar, BAR, LENGTH);
	assert_not_registered(bar.bytes, 0, 0, EOPNOTSUPP);
	assert_int_equal(nic.dmabufs, 1);
	memory_release(&bar);
}

/* p2pmr_verbs has the last word on its own devices. */
static void served_device(void **state)
{
	struct memory bar;

	(void)state;
	nic_reset();
	strcpy(device.name, need_env("P2PMR_DEV"));
	memory_map(&bar, BAR, LENGTH);
	assert_not_registered(bar.bytes, 0, 0, EFAULT);
	assert_not_registered(bar.bytes, 0, P2PMR_REG_REQUIRE_DEVICE,
			      EOPNOTSUPP);
	assert_int_equal(nic.dmabufs, 0);
	memory_release(&bar);
}

static void flags(void **state)
{
	struct memory bar, host;
	struct p2pmr_mr *mr;

	(void)state;
	nic_reset();
	memory_map(&bar, BAR, LENGTH);
	memory_map(&host, HOST, LENGTH);
	nic.pin_error = 0;
	mr = reg(bar.bytes, LENGTH, 0, P2PMR_REG_REQUIRE_DEVICE);
	assert_non_null(mr);
	assert_int_equal(nic.pins, 0);
	assert_int_equal(nic.dmabufs, 1);
	assert_int_equal(p2pmr_dereg_mr(mr), 0);
	assert_not_registered(host.bytes, 0, P2PMR_REG_REQUIRE_DEVICE,
			      EMEDIUMTYPE);
	/* Nobody would tell of a revocation. */
	assert_not_registered(bar.bytes, 0, P2PMR_REG_EVENTFD, EOPNOTSUPP);
	assert_int_equal(nic.pins, 0);
	memory_release(&host);
	memory_release(&bar);
}

static void registers(void **state)
{
	uint8_t *bytes = registers_map();
	char before[PARAMETER_SIZE];

	(void)state;
	nic_reset();
	assert_null(reg(bytes, PAGE, 0, 0));
	assert_int_equal(errno, EPERM);
	assert_int_equal(module_set(CORE_MODULE, "allow_registers", "request",
				    before),
			 0);
	assert_null(reg(bytes, PAGE, 0, 0));
	assert_int_equal(errno, EPERM);
	/* Let in, and then found not to fill its page. */
	assert_null(reg(bytes, PAGE, 0, P2PMR_REG_REGISTER_BAR));
	assert_int_equal(errno, ENXIO);
	assert_int_equal(
		module_set(CORE_MODULE, "allow_registers", before, NULL), 0);
	assert_int_equal(munmap(bytes, PAGE), 0);
}

static void without_kernel_part(void **state)
{
	struct memory bar;

	(void)state;
	nic_reset();
	memory_map(&bar, BAR, LENGTH);
	modules_unload();
	struct p2pmr_mr *plain = reg(bar.bytes, LENGTH, 0, 0);
	int plain_error = errno;
	struct p2pmr_mr *flagged =
		reg(bar.bytes, LENGTH, 0, P2PMR_REG_REQUIRE_DEVICE);
	int flagged_error = errno;

	modules_load();
	assert_null(plain);
	assert_int_equal(plain_error, EFAULT);
	assert_null(flagged);
	assert_int_equal(flagged_error, EOPNOTSUPP);
	memory_release(&bar);
}

static void nonsense(void **state)
{
	struct memory bar;

	(void)state;
	nic_reset();
	memory_map(&bar, BAR, LENGTH);
	assert_null(reg(bar.bytes, 0, 0, P2PMR_REG_REQUIRE_DEVICE));
	assert_int_equal(errno, EINVAL);
	assert_null(reg(bar.bytes, SIZE_MAX, 0, P2PMR_REG_REQUIRE_DEVICE));
	assert_int_equal(errno, EINVAL);
	assert_null(reg(bar.bytes, SIZE_MAX - (uintptr_t)bar.bytes, 0,
			P2PMR_REG_REQUIRE_DEVICE));
	assert_true(errno == EFAULT || errno == EINVAL);
	memory_release(&bar);
}

static const struct test tests[] = {
	TEST(DMABUF_TEST("registers-reaches-the-bar"), reaches_the_bar),
	TEST(DMABUF_TEST("registers-out-of-reach"), out_of_reach),
	TEST(DMABUF_TEST("registers-iova"), iova),
	TEST(DMABUF_TEST("registers-host-memory"), host_memory),
	TEST(DMABUF_TEST("registers-read-only"), read_only),
	TEST(DMABUF_TEST("registers-driver-without-dmabuf"), driver_without),
	TEST(DMABUF_TEST("registers-served-device"), served_device),
	TEST(DMABUF_TEST("registers-flags"), flags),
	TEST(DMABUF_TEST("registers-register-bar"), registers),
	TEST(DMABUF_TEST("registers-without-kernel-part"), without_kernel_part),
	TEST(DMABUF_TEST("registers-nonsense"), nonsense),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
