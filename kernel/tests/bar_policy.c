// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * What /dev/p2pmr tells of a BAR: whether the built-in exporter serves it, and
 * if not, why.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "chardev.h"
#include "child.h"
#include "modules.h"
#include "monitor.h"
#include "peer.h"
#include "runner.h"
#include "system.h"

/* The errno of the request; what it answers is left in `bar`. */
static int ask_bar(struct p2pmr_ioc_bar *bar, const char *address,
		   unsigned int number)
{
	unsigned int domain, bus, slot, function;
	int fd = chardev_ready(), error;

	assert_int_equal(sscanf(address, "%x:%x:%x.%x", &domain, &bus, &slot,
				&function),
			 4);
	*bar = (struct p2pmr_ioc_bar){
		.size = sizeof(*bar),
		.domain = domain,
		.bus = bus,
		.devfn = slot << 3 | function,
		.bar = number,
		.error = 0xa5a5,
		.reason = 0xa5a5,
	};
	error = chardev_error(fd, P2PMR_IOC_BAR, bar);
	close(fd);
	return error;
}

static void assert_judged(unsigned int number, int error, uint32_t reason)
{
	struct p2pmr_ioc_bar bar;
	char address[32];

	pci_address(BAR, address);
	assert_int_equal(ask_bar(&bar, address, number), 0);
	assert_int_equal(bar.error, error);
	assert_int_equal(bar.reason, reason);
}

static void with(const char *parameter, const char *value, unsigned int number,
		 int error, uint32_t reason)
{
	char before[PARAMETER_SIZE];

	print_message("%s=%s\n", parameter, value);
	assert_int_equal(module_set(CORE_MODULE, parameter, value, before), 0);
	assert_judged(number, error, reason);
	assert_int_equal(module_set(CORE_MODULE, parameter, before, NULL), 0);
}

#define REGISTERS_BAR 0
#define MEMORY_BAR    2
#define ABSENT_BAR    5

/* And what is said of a BAR comes true when it is registered. */
static void judged_by_policy(void **state)
{
	uint8_t *registers = registers_map();
	struct ibv_mr *mr;
	struct asker a;
	char ids[64];

	(void)state;
	asker_open(&a, BAR);
	assert_judged(MEMORY_BAR, 0, P2PMR_BAR_SERVED);
	memory_register(&a.memory, a.device.pd);
	assert_judged(REGISTERS_BAR, EPERM, P2PMR_BAR_REGISTERS);
	mr = ibv_reg_mr(a.device.pd, registers, 256, ACCESS_ALL);
	assert_null(mr);
	assert_int_equal(errno, EPERM);

	with("allow_registers", "Y", REGISTERS_BAR, 0, P2PMR_BAR_SERVED);
	with("allow_registers", "request", REGISTERS_BAR, EPERM,
	     P2PMR_BAR_ON_REQUEST);
	with("allow_registers", "request", MEMORY_BAR, 0, P2PMR_BAR_SERVED);
	with("builtin_exporter", "N", MEMORY_BAR, EPERM,
	     P2PMR_BAR_EXPORTER_OFF);
	with("deny", "1af4:1110", MEMORY_BAR, EPERM, P2PMR_BAR_RULED_OUT);
	/* Asking for registers would not help there. */
	with("deny", "1af4:1110", REGISTERS_BAR, EPERM, P2PMR_BAR_RULED_OUT);
	with("allow", "1af4:1111", MEMORY_BAR, EPERM, P2PMR_BAR_RULED_OUT);
	pci_address(BAR, ids);
	with("allow", ids, MEMORY_BAR, 0, P2PMR_BAR_SERVED);
	assert_int_equal(munmap(registers, PAGE), 0);
	asker_close(&a);
}

static void no_memory_there(void **state)
{
	struct p2pmr_ioc_bar bar;
	unsigned int number;
	uint64_t first;
	char address[32];

	(void)state;
	/* The second half of what BAR 2 takes, and what the function lacks. */
	assert_judged(MEMORY_BAR + 1, ENXIO, P2PMR_BAR_NOT_THERE);
	assert_judged(ABSENT_BAR, ENXIO, P2PMR_BAR_NOT_THERE);
	pci_ports(address, &number, &first);
	assert_int_equal(ask_bar(&bar, address, number), 0);
	assert_int_equal(bar.error, ENXIO);
	assert_int_equal(bar.reason, P2PMR_BAR_NOT_MEMORY);

	pci_address(BAR, address);
	assert_int_equal(ask_bar(&bar, address, 6), EINVAL);
	assert_int_equal(ask_bar(&bar, address, UINT16_MAX), EINVAL);
	assert_int_equal(ask_bar(&bar, "ffff:ff:1f.7", 0), ENODEV);
	assert_int_equal(ask_bar(&bar, "ffffffff:ff:1f.7", 0), ENODEV);
}

static void nobody_asks(int socket, void *argument)
{
	(void)argument;
	become(NOBODY);
	assert_judged(MEMORY_BAR, 0, P2PMR_BAR_SERVED);
	assert_judged(REGISTERS_BAR, EPERM, P2PMR_BAR_REGISTERS);
	meet(socket);
}

static void anybody_may_ask(void **state)
{
	struct child child;

	(void)state;
	child_start(&child, nobody_asks, NULL);
	meet(child.socket);
	child_finish(&child);
}

static const struct test tests[] = {
	TEST("device/bar-policy", judged_by_policy),
	TEST("device/bar-no-memory", no_memory_there),
	TEST("device/bar-anybody-may-ask", anybody_may_ask),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
