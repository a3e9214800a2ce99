// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Who drives the device: the provider when it was chosen, otherwise stock. */
#include <dlfcn.h>
#include <sched.h>
#include <stdlib.h>

#include "child.h"
#include "endpoint.h"
#include "exchange.h"
#include "plugin.h"
#include "system.h"

#define FOLDER "/etc/libibverbs.d"
#define OTHERS 4

static void send_something(void)
{
	struct memory from = { .kind = HOST }, to = { .kind = HOST };
	struct pair pair;

	pair_open(&pair);
	memory_map(&from, HOST, PAGE);
	memory_map(&to, HOST, PAGE);
	memory_register(&from, pair.device.pd);
	memory_register(&to, pair.device.pd);
	exchange_checked(&pair, WRITE, (struct place){ &from, 0 },
			 (struct place){ &to, 0 }, PAGE, PAGE, 1);
	memory_release(&from);
	memory_release(&to);
	pair_close(&pair);
}

static void chosen_by_environment(void **state)
{
	const struct p2pmr_provider *provider;
	struct device device;

	(void)state;
	setenv("IBV_DRIVERS", "p2pmr", 1);
	device_open(&device);
	provider = loaded_plugin();
	assert_non_null(provider);
	assert_true(provider->owns(device.context));
	device_close(&device);
	send_something();
}

static void stock_without_choice(void **state)
{
	(void)state;
	unsetenv("IBV_DRIVERS");
	unsetenv("RDMAV_DRIVERS");
	send_something();
	assert_null(loaded_plugin());
}

/* As libp2pmr's constructor does it: first come, first asked. */
static void chosen_by_loading_first(void **state)
{
	const struct p2pmr_provider *provider;
	struct device device;

	(void)state;
	unsetenv("IBV_DRIVERS");
	unsetenv("RDMAV_DRIVERS");
	assert_non_null(dlopen(P2PMR_PLUGIN, RTLD_NOW));
	device_open(&device);
	provider = loaded_plugin();
	assert_non_null(provider);
	assert_true(provider->owns(device.context));
	device_close(&device);
	send_something();
}

/* Loaded after stock has taken the device, it must know that this is not its. */
static void does_not_own_stock_context(void **state)
{
	const struct p2pmr_provider *provider;
	struct device device;

	(void)state;
	unsetenv("IBV_DRIVERS");
	unsetenv("RDMAV_DRIVERS");
	device_open(&device);
	assert_non_null(dlopen(P2PMR_PLUGIN, RTLD_NOW));
	provider = loaded_plugin();
	assert_non_null(provider);
	assert_false(provider->owns(device.context));
	device_close(&device);
}

/*
 * libibverbs' folder as it is after what the documentation says, with the files
 * that a system has in this order, and p2pmr's in the middle.
 */
static void configure(const char *const *others, bool backwards)
{
	assert_int_equal(unshare(CLONE_NEWNS), 0);
	assert_true(shell("mount --make-rprivate / &&"
			  "mkdir /tmp/drivers && cp -a " FOLDER
			  "/. /tmp/drivers"
			  "&& mount -t tmpfs tmpfs " FOLDER));
	for (int i = 0; i < OTHERS; i++) {
		const char *name = others[backwards ? OTHERS - 1 - i : i];

		if (i == OTHERS / 2)
			assert_true(
				shell("cp " P2PMR_CONFIGURATION " " FOLDER));
		assert_true(shell("cp /tmp/drivers/%s.driver " FOLDER, name));
	}
}

static void ask_configured(int socket, void *argument)
{
	static const char *const others[OTHERS] = { "mlx5", "siw", "efa",
						    "mlx4" };
	const bool *backwards = argument;
	struct device device;

	(void)socket;
	unsetenv("IBV_DRIVERS");
	unsetenv("RDMAV_DRIVERS");
	configure(others, *backwards);
	device_open(&device);
	assert_non_null(loaded_plugin());
	assert_true(loaded_plugin()->owns(device.context));
	device_close(&device);
	send_something();
}

/* Whichever entry of the folder comes first: there is none of librxe's. */
static void chosen_by_configuration(void **state)
{
	static bool orders[] = { false, true };
	struct child child;

	(void)state;
	/* Being installed is no choice. */
	assert_false(shell("test -e " FOLDER "/p2pmr.driver"));
	for (size_t i = 0; i < ARRAY_SIZE(orders); i++) {
		child_start(&child, ask_configured, &orders[i]);
		child_finish(&child);
		assert_true(shell("rm -r /tmp/drivers"));
	}
}

/* One in a file of another version, of which the plugin must believe the name. */
static void not_used_with_another_libibverbs(void **state)
{
	(void)state;
	assert_true(shell("mkdir /tmp/other && cd /tmp/other &&"
			  "cp /usr/lib/*/libibverbs.so.1 libibverbs.so.1.99.1.2"
			  "&& ln -s libibverbs.so.1.99.1.2 libibverbs.so.1 &&"
			  "LD_LIBRARY_PATH=/tmp/other IBV_DRIVERS=p2pmr "
			  "ibv_devinfo >devices 2>errors"));
	assert_true(shell("cd /tmp/other && grep \"hca_id:.*$P2PMR_DEV\" "
			  "devices && cat errors && grep -q 'libibverbs.so."
			  "1.99.1.2: not used' errors"));
	assert_true(shell("rm -r /tmp/other"));
}

static const struct test tests[] = {
	TEST("provider/chosen-by-environment", chosen_by_environment),
	TEST("provider/stock-without-choice", stock_without_choice),
	TEST("provider/chosen-by-loading-first", chosen_by_loading_first),
	TEST("provider/does-not-own-stock-context", does_not_own_stock_context),
	TEST("provider/chosen-by-configuration", chosen_by_configuration),
	TEST("provider/not-used-with-another-libibverbs",
	     not_used_with_another_libibverbs),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
