/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * A device by its name and a PD, for devices that have no address to connect
 * to and for tests that only register.
 */
#ifndef P2PMR_TESTS_PLAIN_H
#define P2PMR_TESTS_PLAIN_H

#include <stdbool.h>

#include "bar.h"

struct plain {
	struct ibv_context *context;
	struct ibv_pd *pd;
};

/* False if this process has no such device. */
bool plain_open(struct plain *plain, const char *name);
void plain_close(struct plain *plain);

/*
 * Registers and deregisters: 0, an errno, or -1 if the device is not there
 * for this process. Device memory must show in debugfs meanwhile.
 */
int try_register_on(const char *name, enum memory_kind kind);

#endif
