// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* The provider under test, see plugin.h. */
#include "plugin.h"

#include <dlfcn.h>
#include <stdlib.h>

int run_on_provider(int argc, char **argv, const struct test *tests,
		    size_t count)
{
	setenv("IBV_DRIVERS", "p2pmr", 1);
	return run_program(argc, argv, tests, count);
}

#ifdef P2PMR_BUILT_IN
const struct p2pmr_provider *loaded_plugin(void)
{
	return &p2pmr_provider_1;
}
#else
const struct p2pmr_provider *loaded_plugin(void)
{
	const struct p2pmr_provider *provider = NULL;
	void *plugin = dlopen(P2PMR_PLUGIN, RTLD_NOW | RTLD_NOLOAD);

	if (plugin) {
		provider = dlsym(plugin, P2PMR_PROVIDER_SYMBOL);
		assert_non_null(provider);
		dlclose(plugin);
	}
	return provider;
}
#endif
