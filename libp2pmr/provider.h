/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The way to p2pmr's provider, if the process has it. */
#ifndef LIBP2PMR_PROVIDER_H
#define LIBP2PMR_PROVIDER_H

#include <infiniband/verbs.h>

struct p2pmr_provider;

/* NULL if the context is another provider's. */
const struct p2pmr_provider *provider_of(const struct ibv_context *context);

#endif
