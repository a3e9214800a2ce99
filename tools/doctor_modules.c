// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* p2pmr doctor: the kernel modules, their device and their parameters. */
#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "chardev.h"
#include "doctor.h"
#include "module.h"
#include "text.h"

/* Is a file there that modprobe's list lacks? */
static bool lies_around(const char *name, const char *release)
{
	char *pattern =
		text_format("/lib/modules/%s/updates/*/%s.ko*", release, name);
	glob_t files;
	bool there = !glob(pattern, 0, NULL, &files);

	if (there)
		globfree(&files);
	free(pattern);
	return there;
}

static void check_installed(struct doctor *doctor, const struct module *module)
{
	struct utsname system;

	uname(&system);
	if (module->installed)
		found(doctor, "installed", LEVEL_OK, NULL,
		      text_format("%s is installed for kernel %s", module->name,
				  system.release));
	else
		found(doctor, "installed",
		      module->loaded ? LEVEL_WARN : LEVEL_FAIL,
		      text_format("%s",
				  lies_around(module->name, system.release)
					  ? "depmod"
					  : "apt install p2pmr-dkms"),
		      text_format("modprobe does not know %s for kernel %s",
				  module->name, system.release));
}

/* p2pmr goes with the last of those that stand on it. */
static char *reload_command(void)
{
	bool bar = sysfs_exists("/sys/module/p2pmr_bar");
	bool verbs = sysfs_exists("/sys/module/p2pmr_verbs");

	return text_format("modprobe -r%s%s%s && modprobe -a p2pmr_verbs%s",
			   bar ? " p2pmr_bar" : "", verbs ? " p2pmr_verbs" : "",
			   bar || verbs ? "" : " p2pmr",
			   bar ? " p2pmr_bar" : "");
}

static void check_loaded(struct doctor *doctor, const struct module *module)
{
	char build[LINE_SIZE];

	if (!module->loaded) {
		found(doctor, "loaded", LEVEL_FAIL,
		      text_format("modprobe p2pmr_verbs"),
		      text_format("%s is not loaded", module->name));
		return;
	}
	if (strcmp(module->version, P2PMR_TOOL_VERSION) != 0)
		found(doctor, "version", LEVEL_WARN, reload_command(),
		      text_format("%s %s is loaded, and this program is %s",
				  module->name, module->version,
				  P2PMR_TOOL_VERSION));
	else if (module_file_field(module->name, "srcversion", build) &&
		 strcmp(build, module->build) != 0)
		found(doctor, "version", LEVEL_WARN, reload_command(),
		      text_format("the %s that is loaded is another one than "
				  "the one that is installed",
				  module->name));
	else
		found(doctor, "loaded", LEVEL_OK, NULL,
		      text_format("%s %s is loaded", module->name,
				  module->version));
}

void check_modules(struct doctor *doctor)
{
	static const char *const names[] = { "p2pmr", "p2pmr_verbs" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct module module;

		module_look(&module, names[i]);
		check_installed(doctor, &module);
		check_loaded(doctor, &module);
	}
}

static void check_rights(struct doctor *doctor)
{
	struct stat st;

	if (stat(P2PMR_DEVICE_PATH, &st))
		return;
	if ((st.st_mode & 0666) == 0666)
		found(doctor, "device-file", LEVEL_OK, NULL,
		      text_format("%s is there, for everybody",
				  P2PMR_DEVICE_PATH));
	else
		found(doctor, "device-file",
		      doctor->fd == -EACCES ? LEVEL_FAIL : LEVEL_WARN,
		      text_format("chmod 666 %s", P2PMR_DEVICE_PATH),
		      text_format("%s is not open to everybody (mode %04o); it "
				  "shows nobody more than is his",
				  P2PMR_DEVICE_PATH, st.st_mode & 0777));
}

void check_chardev(struct doctor *doctor)
{
	unsigned int major_number, minor_number;
	char line[LINE_SIZE];

	/* Without the module it cannot be, and that has been said. */
	if (!sysfs_line(line, "/sys/class/misc/p2pmr/dev") ||
	    sscanf(line, "%u:%u", &major_number, &minor_number) != 2)
		return;
	if (access(P2PMR_DEVICE_PATH, F_OK)) {
		found(doctor, "device-file", LEVEL_FAIL,
		      text_format("mknod -m 666 %s c %u %u", P2PMR_DEVICE_PATH,
				  major_number, minor_number),
		      text_format("%s is missing", P2PMR_DEVICE_PATH));
		return;
	}
	check_rights(doctor);
	if (doctor->fd < 0 && doctor->fd != -EACCES)
		found(doctor, "interface", LEVEL_FAIL,
		      doctor->fd == -EPROTONOSUPPORT ? reload_command() : NULL,
		      text_format("%s: %s", P2PMR_DEVICE_PATH,
				  chardev_reason(doctor->fd)));
}

void check_parameters(struct doctor *doctor)
{
	char exporter[LINE_SIZE], registers[LINE_SIZE];
	char allow[LINE_SIZE], deny[LINE_SIZE];

	if (!module_parameter("p2pmr", "builtin_exporter", exporter))
		return;
	module_parameter("p2pmr", "allow_registers", registers);
	module_parameter("p2pmr", "allow", allow);
	module_parameter("p2pmr", "deny", deny);
	if (*exporter != 'Y')
		found(doctor, "policy", LEVEL_FAIL,
		      text_format("echo Y "
				  ">/sys/module/p2pmr/parameters/"
				  "builtin_exporter"),
		      text_format("policy takes no stock mappings of BARs"));
	else
		found(doctor, "policy", LEVEL_OK, NULL,
		      text_format("policy takes BARs of %s%s%s%s; registers: "
				  "%s",
				  *allow ? "" : "all functions", allow,
				  *deny ? " but " : "", deny, registers));
}
