/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Signals that would end the program come when it has cleaned up, and it is told
 * that they wait.
 */
#ifndef P2PMR_TOOL_SIGNALS_H
#define P2PMR_TOOL_SIGNALS_H

#include <stdbool.h>

void signals_hold(void);
/* Does not return if one has come. */
void signals_let_go(void);
/* Is there one that would end the program? */
bool signals_wait(void);

#endif
