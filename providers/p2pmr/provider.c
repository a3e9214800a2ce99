// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * How the provider is found: by libibverbs when it has been loaded, and by
 * libp2pmr through a symbol.
 */
#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "p2pmr.h"

static bool owns(const struct ibv_context *context)
{
	return verbs_get_device(context->device)->ops == &p2pmr_device_ops;
}

const struct p2pmr_provider p2pmr_provider_1 = {
	.owns = owns,
	.reg_mr = p2pmr_reg_mr_extended,
};

/*
 * Structs that libibverbs and its providers share change from version to
 * version and the plugin's name does not, so look at the library's file. One
 * that has no version in its name is taken for the right one.
 */
static bool is_right_libibverbs(const char **found)
{
	static char path[PATH_MAX];
	const char *version;
	Dl_info info;

	*found = path;
	if (!dladdr((void *)verbs_set_ops, &info) ||
	    !realpath(info.dli_fname, path))
		return true;
	version = strstr(path, ".so.1.");
	return !version ||
	       !strcmp(version + strlen(".so."), P2PMR_IBVERBS_VERSION);
}

static __attribute__((constructor)) void register_driver(void)
{
	const char *found;

	if (is_right_libibverbs(&found))
		verbs_register_driver(&p2pmr_device_ops);
	else
		fprintf(stderr,
			"libp2pmr: built for libibverbs %s, not for %s: not used\n",
			P2PMR_IBVERBS_VERSION, found);
}
