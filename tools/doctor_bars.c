// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* p2pmr doctor: is there a BAR that the user could register? */
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "doctor.h"
#include "pci.h"
#include "policy.h"
#include "sysfs.h"
#include "text.h"

/* What is known after all BARs have been looked at. */
struct survey {
	unsigned int served;		 /* that somebody may map */
	unsigned int mine;		 /* of them, that the caller may map */
	unsigned int by_driver;		 /* of these, through p2pmr_bar */
	char function[PCI_ADDRESS_SIZE]; /* of the first one */
	char path[128]; /* of the first that is not the caller's */
};

static void look_at_bar(const struct doctor *doctor, struct survey *survey,
			const struct pci_function *function,
			const struct pci_bar *bar)
{
	struct verdict verdict = policy_ask(doctor->fd, function, bar);
	struct bar_access access;

	bar_access_look(&access, function, bar);
	if (strcmp(verdict.serves, "yes") != 0 || !*access.path)
		return;
	if (!survey->served++)
		strcpy(survey->function, function->address);
	if (access.mine) {
		survey->mine++;
		if (!strncmp(access.path, "/dev/", 5))
			survey->by_driver++;
	} else if (!*survey->path) {
		strcpy(survey->path, access.path);
	}
}

static bool is_locked_down(void)
{
	char line[LINE_SIZE];

	/* "none [integrity] confidentiality" */
	return sysfs_line(line, "/sys/kernel/security/lockdown") &&
	       !strstr(line, "[none]");
}

/* Under lockdown sysfs gives no BAR to mmap(), whoever asks. */
static void check_lockdown(struct doctor *doctor, const struct survey *survey)
{
	if (!is_locked_down()) {
		found(doctor, "lockdown", LEVEL_OK, NULL,
		      text_format("the kernel is not locked down"));
		return;
	}
	if (survey->by_driver || !survey->served) {
		found(doctor, "lockdown", LEVEL_OK, NULL,
		      text_format("the kernel is locked down, so BARs are "
				  "mapped through drivers only"));
		return;
	}
	found(doctor, "lockdown", LEVEL_FAIL,
	      text_format("modprobe p2pmr_bar && echo p2pmr_bar "
			  ">/sys/bus/pci/devices/%s/driver_override && "
			  "echo %s >/sys/bus/pci/drivers_probe",
			  survey->function, survey->function),
	      text_format("the kernel is locked down: sysfs maps no BARs, but "
			  "the driver p2pmr_bar does"));
}

static void check_enabled(struct doctor *doctor,
			  const struct pci_function *function)
{
	bool memory = false;

	for (size_t i = 0; i < function->bar_count; i++)
		memory |= function->bars[i].prefetchable;
	if (memory && !*function->driver && !function->enabled)
		found(doctor, "enabled", LEVEL_WARN,
		      text_format("echo 1 >/sys/bus/pci/devices/%s/enable",
				  function->address),
		      text_format("%s is not enabled, so that its BARs read as "
				  "0xff",
				  function->address));
}

static void report(struct doctor *doctor, const struct survey *survey)
{
	const struct passwd *user = getpwuid(getuid());

	if (!survey->served)
		found(doctor, "bars", LEVEL_WARN, NULL,
		      text_format("there is no BAR that p2pmr would take and "
				  "somebody may map: see p2pmr bars"));
	else if (!survey->mine)
		found(doctor, "bar-files", LEVEL_FAIL,
		      text_format("chown %s %s", user ? user->pw_name : "USER",
				  survey->path),
		      text_format("BARs that p2pmr takes: %u, of which you "
				  "may map none",
				  survey->served));
	else
		found(doctor, "bars", LEVEL_OK, NULL,
		      text_format("BARs that p2pmr takes: %u, of which you "
				  "may map %u",
				  survey->served, survey->mine));
}

void check_bars(struct doctor *doctor)
{
	struct survey survey = { 0 };
	struct pci_function *functions;
	size_t count = pci_functions(&functions);

	for (size_t i = 0; i < count; i++) {
		check_enabled(doctor, &functions[i]);
		for (size_t k = 0; k < functions[i].bar_count; k++)
			look_at_bar(doctor, &survey, &functions[i],
				    &functions[i].bars[k]);
	}
	free(functions);
	/* Without the module nobody can say which it would take. */
	if (doctor->fd < 0)
		return;
	report(doctor, &survey);
	check_lockdown(doctor, &survey);
}
