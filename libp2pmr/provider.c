// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Loads p2pmr's provider before libibverbs looks for providers: among those
 * that drive a device it takes the one that came first.
 */
#define _GNU_SOURCE
#include "provider.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include <p2pmr_provider.h>

/* libibverbs' own rule: of another user's environment it takes nothing. */
static bool user_chooses(void)
{
	return getuid() == geteuid() &&
	       (getenv("RDMAV_DRIVERS") || getenv("IBV_DRIVERS"));
}

/*
 * It is never closed, since libibverbs keeps pointers into it. RTLD_NOW makes
 * one fail that was built for another private interface of libibverbs.
 */
__attribute__((constructor)) static void load_provider(void)
{
	if (!user_chooses())
		dlopen(P2PMR_PROVIDER_PATH, RTLD_NOW | RTLD_LOCAL);
}

const struct p2pmr_provider *provider_of(const struct ibv_context *context)
{
	const struct p2pmr_provider *provider;
	/* libibverbs may have loaded it by itself, from the same file. */
	void *handle = dlopen(P2PMR_PROVIDER_PATH, RTLD_NOW | RTLD_NOLOAD);

	if (!handle)
		return NULL;
	provider = dlsym(handle, P2PMR_PROVIDER_SYMBOL);
	dlclose(handle);
	return provider && provider->owns(context) ? provider : NULL;
}
