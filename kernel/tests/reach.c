// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Who reaches whose memory, see reach.h. */
#include "reach.h"

#include <stdio.h>
#include <unistd.h>

#include "chardev.h"
#include "engine.h"
#include "runner.h"

static void place(const char *address, uint32_t *domain, uint8_t *bus,
		  uint8_t *devfn)
{
	unsigned int d, b, slot, function;

	assert_int_equal(
		sscanf(address, "%x:%x:%x.%x", &d, &b, &slot, &function), 4);
	*domain = d;
	*bus = b;
	*devfn = slot << 3 | function;
}

struct p2pmr_ioc_reach reach_question(const char *device, const char *memory)
{
	struct p2pmr_ioc_reach reach = { .size = sizeof(reach),
					 .error = 0xa5a5,
					 .path = 0xa5a5,
					 .properties = 0xa5a5,
					 .links = 0xa5a5 };

	place(memory, &reach.domain, &reach.bus, &reach.devfn);
	place(device, &reach.device_domain, &reach.device_bus,
	      &reach.device_devfn);
	return reach;
}

int reach_ask(struct p2pmr_ioc_reach *reach)
{
	int fd = chardev_ready(), error;

	error = chardev_error(fd, P2PMR_IOC_REACH, reach);
	close(fd);
	return error;
}

struct p2pmr_ioc_reach reach_must_ask(const char *device, const char *memory)
{
	struct p2pmr_ioc_reach reach = reach_question(device, memory);

	assert_int_equal(reach_ask(&reach), 0);
	return reach;
}

int reach_try_attach(int dmabuf, unsigned int mode)
{
	int fd = engine_open();
	int error = engine_try_attach(fd, dmabuf, mode, EDU_BOTH_WAYS);

	close(fd);
	return error;
}
