// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* p2pmr test: tries a BAR that the user names. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <infiniband/p2pmr.h>

#include "chardev.h"
#include "command.h"
#include "json.h"
#include "options.h"
#include "signals.h"
#include "terminal.h"
#include "text.h"
#include "trial.h"

#define DEFAULT_LENGTH 4096
#define LENGTH_MAX     (UINT64_C(1) << 30)
#define CREATED_NAME   "p2pmr_test"

static int take_number(const struct arguments *arguments, char letter,
		       uint64_t *number)
{
	const char *text = option(arguments, letter);

	if (text && !parse_number(text, number))
		return usage_error(arguments->command, "'%s' is no number",
				   text);
	return 0;
}

static int take_bar(const struct arguments *arguments, struct trial *trial)
{
	const char *address = arguments->operands[0];
	uint64_t number;

	if (!parse_number(arguments->operands[1], &number) ||
	    number >= PCI_BARS)
		return usage_error(arguments->command,
				   "'%s' is no number of a BAR (0 to 5)",
				   arguments->operands[1]);
	if (!pci_find(address, &trial->function)) {
		complain("there is no PCI function %s", address);
		return EXIT_NOT_THERE;
	}
	trial->bar = pci_bar(&trial->function, number);
	if (!trial->bar) {
		complain("%s has no memory BAR %" PRIu64, address, number);
		return EXIT_NOT_THERE;
	}
	return 0;
}

/* Is it safe, and has it a chance? */
static int check_bar(const struct trial *trial)
{
	const char *address = trial->function.address;
	unsigned int number = trial->bar->number;

	if (trial->offset >= trial->bar->size ||
	    trial->length > trial->bar->size - trial->offset) {
		complain("BAR %u of %s ends at 0x%" PRIx64, number, address,
			 trial->bar->size);
		return EXIT_NOT_THERE;
	}
	if (!trial->bar->prefetchable && !trial->registers) {
		complain("BAR %u of %s is not prefetchable: accesses may have "
			 "effects in the device (--registers, if it bears "
			 "that)",
			 number, address);
		return EXIT_NOT_THERE;
	}
	if (trial->bar->claimed &&
	    strcmp(trial->function.driver, "p2pmr_bar")) {
		complain("driver %s has claimed BAR %u of %s",
			 trial->function.driver, number, address);
		return EXIT_NOT_THERE;
	}
	if (!trial->function.enabled) {
		complain("%s is not enabled: "
			 "echo 1 >/sys/bus/pci/devices/%s/enable",
			 address, address);
		return EXIT_NOT_THERE;
	}
	return 0;
}

static int take(const struct arguments *arguments, struct trial *trial)
{
	int ret = take_bar(arguments, trial);

	trial->registers = option(arguments, 'r');
	trial->write_combining = option(arguments, 'w');
	if (!ret)
		ret = take_number(arguments, 'o', &trial->offset);
	if (ret)
		return ret;
	trial->length = DEFAULT_LENGTH;
	/* To the end, if that comes before; beyond it is found below. */
	if (trial->offset < trial->bar->size &&
	    trial->bar->size - trial->offset < DEFAULT_LENGTH)
		trial->length = trial->bar->size - trial->offset;
	ret = take_number(arguments, 'l', &trial->length);
	if (ret)
		return ret;
	if (!trial->length || trial->length > LENGTH_MAX)
		return usage_error(arguments->command,
				   "a length of 1 byte to 1G is wanted");
	return check_bar(trial);
}

static int take_device(const struct arguments *arguments, struct trial *trial)
{
	const char *name = option(arguments, 'd');
	struct rdma_device *devices;
	size_t count = rdma_devices(&devices);

	for (size_t i = 0; i < count && !*trial->device; i++)
		if (name ? !strcmp(devices[i].name, name)
			 : devices[i].soft_roce && devices[i].active)
			strcpy(trial->device, devices[i].name);
	free(devices);
	if (*trial->device)
		return 0;
	if (name)
		complain("there is no RDMA device %s", name);
	else
		complain("there is no active soft-RoCE device "
			 "(--create-device=NETDEV makes one)");
	return EXIT_NOT_THERE;
}

static const char *caching_name(uint32_t caching)
{
	switch (caching) {
	case P2PMR_CACHING_UNCACHED:
		return "uncached";
	case P2PMR_CACHING_WRITE_COMBINING:
		return "write-combining";
	default:
		return "unknown";
	}
}

static void print_json(const struct trial *trial)
{
	json_begin("test");
	json_string("function", trial->function.address);
	json_number("bar", trial->bar->number);
	json_number("offset", trial->offset);
	json_number("length", trial->length);
	json_string("caching", caching_name(trial->caching));
	json_string("device", trial->device);
	json_string("provider", trial->provider ? "p2pmr" : "stock");
	json_object("write");
	json_bool("done", trial->write.done);
	json_number("differing", trial->write.differing);
	json_close();
	json_object("read");
	json_bool("done", trial->read.done);
	json_number("differing", trial->read.differing);
	json_close();
	json_bool("restored", trial->restored);
	json_bool("ok", trial_is_good(trial));
	json_end();
}

static void print_direction(const char *name, bool done, size_t differing_)
{
	if (!done)
		printf("%-12s%snot done%s\n", name, style_begin(BAD),
		       style_end(BAD));
	else if (differing_)
		printf("%-12s%s%zu bytes differ%s\n", name, style_begin(BAD),
		       differing_, style_end(BAD));
	else
		printf("%-12s%sall bytes right%s\n", name, style_begin(GOOD),
		       style_end(GOOD));
}

static void print(const struct trial *trial)
{
	char *size = text_size(trial->length);
	enum style style = trial_is_good(trial) ? GOOD : BAD;

	printf("%-12s%s BAR %u, %s at 0x%" PRIx64 ", %s\n", "memory",
	       trial->function.address, trial->bar->number, size, trial->offset,
	       caching_name(trial->caching));
	printf("%-12s%s, %s provider\n", "RDMA device", trial->device,
	       trial->provider ? "p2pmr's" : "stock");
	print_direction("RDMA WRITE", trial->write.done,
			trial->write.differing);
	print_direction("RDMA READ", trial->read.done, trial->read.differing);
	printf("%-12s%s\n", "afterwards",
	       trial->restored ? "the BAR's bytes are what they were"
			       : "the BAR did not take its bytes back");
	printf("%s%s%s\n", style_begin(style),
	       trial_is_good(trial) ? "it works" : "it does not work",
	       style_end(style));
	free(size);
}

static int try_on_device(const struct arguments *arguments, struct trial *trial)
{
	const char *netdev = option(arguments, 'c');
	int ret;

	if (!netdev) {
		ret = take_device(arguments, trial);
		return ret ? ret : trial_run(trial);
	}
	if (!rdma_link_add(CREATED_NAME, netdev))
		return EXIT_NOT_THERE;
	strcpy(trial->device, CREATED_NAME);
	ret = trial_run(trial);
	if (!rdma_link_delete(CREATED_NAME) && !ret)
		ret = EXIT_WRONG;
	return ret;
}

static int run(const struct arguments *arguments)
{
	struct trial trial = { 0 };
	int ret, fd;

	if (option(arguments, 'c') && option(arguments, 'd'))
		return usage_error(arguments->command,
				   "--device and --create-device: which?");
	ret = take(arguments, &trial);
	if (ret)
		return ret;
	fd = chardev_need(0);
	if (fd < 0)
		return EXIT_NO_P2PMR;
	close(fd);
	/* What it has taken and made it gives back before it ends. */
	signals_hold();
	ret = try_on_device(arguments, &trial);
	signals_let_go();
	/* Where it came to nothing, a line has said why. */
	if (ret != EXIT_OK && !trial.write.done)
		return ret;
	if (arguments->json)
		print_json(&trial);
	else
		print(&trial);
	return trial_is_good(&trial) ? ret : EXIT_WRONG;
}

static const struct option_spec options[] = {
	{ 'd', "device", "NAME", "RDMA device; else the first soft-RoCE one" },
	{ 'c', "create-device", "NETDEV",
	  "make one there for the test (for root)" },
	{ 'o', "offset", "BYTES", "where in the BAR; 0 if not given" },
	{ 'l', "length", "BYTES", "how much of it; 4K if not given" },
	{ 'w', "write-combining", NULL, "map the BAR so, not uncached" },
	{ 'r', "registers", NULL, "also a BAR that is not prefetchable" },
	OPTION_JSON,
	OPTION_HELP,
	{ 0 },
};

const struct command test_command = {
	.name = "test",
	.summary = "RDMA into a BAR and out of it, with the data checked",
	.about =
		"Writes into a BAR by RDMA and compares with the CPU, writes with the CPU and\n"
		"reads by RDMA, both over soft-RoCE on this machine, and puts back what was\n"
		"there. Whoever uses that part of the BAR meanwhile is disturbed. BYTES may be\n"
		"hexadecimal (0x...) and end in K, M or G.",
	.operands = "FUNCTION BAR",
	.least = 2,
	.most = 2,
	.options = options,
	.run = run,
};
