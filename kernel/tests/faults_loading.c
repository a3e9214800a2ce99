// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Loading the modules, attaching to RDMA devices and unloading while the kernel
 * runs out of memory at each place where it can. Of loading, what the module does:
 * what the kernel does before with any module is its own.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <rdma/rdma_netlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bound.h"
#include "chardev.h"
#include "faulting.h"
#include "modules.h"
#include "plain.h"
#include "revoked.h"
#include "runner.h"
#include "system.h"
#include "watch.h"

#define SECONDS	       600
#define INIT	       "do_one_initcall"
#define UNBIND	       "/sys/bus/pci/drivers/" BAR_MODULE "/unbind"
#define SECOND	       "rxe1"
#define SECOND_NETDEV  "dummy1"
#define SECOND_ADDRESS "198.51.100.1"

static void must(int error)
{
	assert_int_equal(error, 0);
}

struct module {
	const char *name;
	const char *parameters;
	char path[PATH_SIZE];
	int log;
	unsigned int unattached;
};

static void find_module(struct module *module, const char *name)
{
	char command[64];
	FILE *pipe;

	*module = (struct module){ .name = name,
				   .parameters = "",
				   .log = log_open() };
	snprintf(command, sizeof(command), "modinfo -n %s", name);
	pipe = popen(command, "r");
	assert_non_null(pipe);
	assert_non_null(fgets(module->path, sizeof(module->path), pipe));
	must(pclose(pipe));
	module->path[strcspn(module->path, "\n")] = '\0';
}

static int call_load(void *argument)
{
	struct module *module = argument;
	int fd = open(module->path, O_RDONLY | O_CLOEXEC), error;

	if (fd < 0)
		return errno;
	error = syscall(SYS_finit_module, fd, module->parameters, 0) ? errno
								     : 0;
	close(fd);
	return error;
}

static int call_unload(void *argument)
{
	struct module *module = argument;

	return syscall(SYS_delete_module, module->name, O_NONBLOCK) ? errno : 0;
}

static void check_core(void *argument, int error)
{
	struct module *module = argument;
	int fd;

	if (error) {
		assert_false(module_is_loaded(module->name));
		assert_true(access(P2PMR_DEVICE_PATH, F_OK) < 0);
		must(call_load(module));
	}
	fd = chardev_ready();
	counter(fd, "registered");
	close(fd);
	must(call_unload(module));
}

/* The kernel says EBUSY when it finds no memory to number a device. */
static void loading_core(void **state)
{
	const struct faulted faulted = { .name = "load p2pmr",
					 .call = call_load,
					 .check = check_core,
					 .errors = { EBUSY } };
	struct module module;

	(void)state;
	faults_prepare();
	find_module(&module, CORE_MODULE);
	/* What it keeps of them must go, too. */
	module.parameters = "allow=1af4:1110 deny=ffff:ffff";
	modules_unload();
	faults_below(INIT);
	fail_each(&faulted, &module);
	close(module.log);
	modules_load();
	assert_int_equal(try_register_on("rxe0", BAR), 0);
}

/*
 * A device that could not be attached is as without the module, which says so; the
 * RDMA core then loads the module all the same.
 */
static bool is_attached(const char *name, int log, unsigned int *unattached)
{
	char why[64], line[LOG_LINE] = "";
	unsigned int lines;
	int error;

	/* "no helper QP: ERROR", of which -23 is ENFILE: no socket; or "no memory to attach" */
	snprintf(why, sizeof(why), VERBS_MODULE ": %s: no ", name);
	lines = log_count(log, why, line);
	error = try_register_on(name, BAR);

	if (error) {
		assert_int_equal(error, EFAULT);
		assert_int_equal(lines, 1);
		assert_true(strstr(line, "QP: -12") ||
			    strstr(line, "QP: -23") || strstr(line, "memory"));
		++*unattached;
	} else {
		assert_int_equal(lines, 0);
	}
	return !error;
}

static void check_verbs(void *argument, int error)
{
	struct module *module = argument;

	if (error) {
		assert_false(module_is_loaded(module->name));
		/* It may have attached, and let go again. */
		assert_int_equal(try_register_on("rxe0", BAR), EFAULT);
	} else if (is_attached("rxe0", module->log, &module->unattached)) {
		must(call_unload(module));
		return;
	} else {
		must(call_unload(module));
	}
	must(call_load(module));
	must(try_register_on("rxe0", BAR));
	must(call_unload(module));
}

static void loading_verbs(void **state)
{
	const struct faulted faulted = { .name = "load p2pmr_verbs, and attach",
					 .call = call_load,
					 .check = check_verbs };
	struct module module;

	(void)state;
	faults_prepare();
	find_module(&module, VERBS_MODULE);
	assert_true(module_try_remove(VERBS_MODULE));
	faults_below(INIT);
	fail_each(&faulted, &module);
	print_message("points load p2pmr_verbs, not attached: %u\n",
		      module.unattached);
	assert_true(module.unattached > 0);
	close(module.log);
	modules_load();
	assert_int_equal(try_register_on("rxe0", BAR), 0);
}

static void check_bar(void *argument, int error)
{
	struct module *module = argument;

	if (error) {
		assert_false(module_is_loaded(module->name));
	} else if (access(UNBIND, F_OK)) {
		/* A driver without this file is none the worse to the kernel. */
		must(call_unload(module));
		error = ENOENT;
	}
	if (error)
		must(call_load(module));
	function_bind(FIRST);
	assert_true(access(bar_file(FIRST, 2, false), F_OK) == 0);
	function_unbind(FIRST);
	must(call_unload(module));
}

/* The kernel says EINVAL when it finds no memory for the module's folder of drivers. */
static void loading_bar(void **state)
{
	const struct faulted faulted = { .name = "load p2pmr_bar",
					 .call = call_load,
					 .check = check_bar,
					 .errors = { EINVAL } };
	struct module module;

	(void)state;
	faults_prepare();
	find_module(&module, BAR_MODULE);
	faults_below(INIT);
	fail_each(&faulted, &module);
	close(module.log);
}

static void prepare_unload(void *argument)
{
	must(call_load(argument));
}

static void check_unloaded(void *argument, int error)
{
	struct module *module = argument;

	if (error) {
		assert_true(module_is_loaded(module->name));
		must(try_register_on("rxe0", BAR));
		must(call_unload(module));
	}
	assert_false(module_is_loaded(module->name));
	assert_int_equal(try_register_on("rxe0", BAR), EFAULT);
}

static void unloading_verbs(void **state)
{
	const struct faulted faulted = { .name = "unload p2pmr_verbs",
					 .prepare = prepare_unload,
					 .call = call_unload,
					 .check = check_unloaded };
	struct module module;

	(void)state;
	faults_prepare();
	find_module(&module, VERBS_MODULE);
	assert_true(module_try_remove(VERBS_MODULE));
	fail_each(&faulted, &module);
	close(module.log);
	modules_load();
}

/* A request of `rdma link add` in this thread, whose allocations can fail. */
struct link_request {
	struct nlmsghdr header;
	char attributes[256];
};

static void add_attribute(struct link_request *request, unsigned short type,
			  const char *text)
{
	struct nlattr *attribute =
		(void *)((char *)request +
			 NLMSG_ALIGN(request->header.nlmsg_len));

	attribute->nla_type = type;
	attribute->nla_len = NLA_HDRLEN + strlen(text) + 1;
	strcpy((char *)attribute + NLA_HDRLEN, text);
	request->header.nlmsg_len = NLMSG_ALIGN(request->header.nlmsg_len) +
				    NLA_ALIGN(attribute->nla_len);
}

struct attaching {
	int socket;
	int log;
	unsigned int unattached;
};

static int call_attach(void *argument)
{
	struct attaching *attaching = argument;
	struct link_request request = {
		.header = {
			.nlmsg_len = NLMSG_HDRLEN,
			.nlmsg_type = RDMA_NL_GET_TYPE(RDMA_NL_NLDEV,
						       RDMA_NLDEV_CMD_NEWLINK),
			.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK,
		},
	};
	struct {
		struct nlmsghdr header;
		struct nlmsgerr error;
		char room[512];
	} answer;

	add_attribute(&request, RDMA_NLDEV_ATTR_DEV_NAME, SECOND);
	add_attribute(&request, RDMA_NLDEV_ATTR_LINK_TYPE, "rxe");
	add_attribute(&request, RDMA_NLDEV_ATTR_NDEV_NAME, SECOND_NETDEV);
	if (send(attaching->socket, &request, request.header.nlmsg_len, 0) <
		    0 ||
	    recv(attaching->socket, &answer, sizeof(answer), 0) < 0)
		return errno;
	return -answer.error.error;
}

static void check_attached(void *argument, int error)
{
	struct attaching *attaching = argument;

	must(error);
	if (!is_attached(SECOND, attaching->log, &attaching->unattached)) {
		assert_true(shell("rdma link delete " SECOND));
		must(call_attach(attaching));
		must(try_register_on(SECOND, BAR));
	}
	assert_true(shell("rdma link delete " SECOND));
}

static void attaching(void **state)
{
	const struct faulted faulted = { .name = "attach to a new device",
					 .call = call_attach,
					 .check = check_attached,
					 .never_fails = true };
	struct attaching attaching = { .log = log_open() };

	(void)state;
	faults_prepare();
	soft_roce_add(SECOND, SECOND_NETDEV, SECOND_ADDRESS);
	assert_true(shell("rdma link delete " SECOND));
	attaching.socket =
		socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_RDMA);
	assert_true(attaching.socket >= 0);
	faults_below_module(VERBS_MODULE);
	fail_each(&faulted, &attaching);
	print_message("points attach, not attached: %u\n",
		      attaching.unattached);
	assert_true(attaching.unattached > 0);
	must(try_register_on("rxe0", BAR));
	close(attaching.socket);
	close(attaching.log);
	assert_true(shell("ip link delete " SECOND_NETDEV));
}

static const struct test tests[] = {
	TEST_WITHIN(SECONDS, "faults/load-core", loading_core),
	TEST_WITHIN(SECONDS, "faults/load-verbs", loading_verbs),
	TEST_WITHIN(SECONDS, "faults/load-bar", loading_bar),
	TEST_WITHIN(SECONDS, "faults/unload-verbs", unloading_verbs),
	TEST_WITHIN(SECONDS, "faults/attach", attaching),
};

int main(int argc, char **argv)
{
	return run_bound_program(argc, argv, tests, ARRAY_SIZE(tests));
}
