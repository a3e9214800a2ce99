// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* A device without an address to reach it by, see plain.h. */
#include "plain.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "endpoint.h"
#include "runner.h"
#include "system.h"

bool plain_open(struct plain *plain, const char *name)
{
	struct ibv_device **list = ibv_get_device_list(NULL);

	plain->context = NULL;
	for (int i = 0; list && list[i]; i++)
		if (!strcmp(ibv_get_device_name(list[i]), name))
			plain->context = ibv_open_device(list[i]);
	if (list)
		ibv_free_device_list(list);
	if (!plain->context)
		return false;
	plain->pd = ibv_alloc_pd(plain->context);
	assert_non_null(plain->pd);
	return true;
}

void plain_close(struct plain *plain)
{
	assert_int_equal(ibv_dealloc_pd(plain->pd), 0);
	assert_int_equal(ibv_close_device(plain->context), 0);
}

#define SIZE (16 * PAGE)

int try_register_on(const char *name, enum memory_kind kind)
{
	struct plain plain;
	struct memory memory;
	int error = 0;

	if (!plain_open(&plain, name))
		return -1;
	memory_map(&memory, kind, SIZE);
	memory.mr = ibv_reg_mr(plain.pd, memory.bytes, SIZE, ACCESS_ALL);
	if (!memory.mr)
		error = errno;
	else if (kind != HOST)
		assert_int_equal(ranges_of(getpid(), "live"), 1);
	memory_release(&memory);
	plain_close(&plain);
	return error;
}
