/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The provider under test: chosen for this process, and its way in. */
#ifndef P2PMR_TESTS_PLUGIN_H
#define P2PMR_TESTS_PLUGIN_H

#include "p2pmr_provider.h"
#include "runner.h"

/* run_program() with the provider chosen by the environment. */
int run_on_provider(int argc, char **argv, const struct test *tests,
		    size_t count);

/* NULL if libibverbs has not loaded the provider. Some programs have it built in. */
const struct p2pmr_provider *loaded_plugin(void);

#endif
