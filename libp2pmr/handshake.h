/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* /dev/p2pmr, opened and agreed upon. */
#ifndef LIBP2PMR_HANDSHAKE_H
#define LIBP2PMR_HANDSHAKE_H

/* A descriptor, or a negative errno. */
int handshake(void);

#endif
