/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What the two processes of a couple do, for child_start(). */
#ifndef P2PMR_TESTS_CHAOS_SIDE_H
#define P2PMR_TESTS_CHAOS_SIDE_H

/* `couple` is a struct couple. */
void side_own(int socket, void *couple);
void side_be_peer(int socket, void *couple);

#endif
