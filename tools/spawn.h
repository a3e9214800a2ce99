/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Other programs. */
#ifndef P2PMR_TOOL_SPAWN_H
#define P2PMR_TOOL_SPAWN_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Runs a program to its end. True if its status is 0; otherwise what it said
 * last on standard error, or why it could not be started, is in message.
 */
bool spawn(const char *const argv[], char *message, size_t size);

#endif
