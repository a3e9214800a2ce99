// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* p2pmr doctor: limits, IOMMU, Secure Boot. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "doctor.h"
#include "module.h"
#include "sysfs.h"
#include "text.h"

/* What Debian gives; a few queues and buffers take less. */
#define MEMLOCK_ENOUGH (8ul << 20)

#define SECURE_BOOT                  \
	"/sys/firmware/efi/efivars/" \
	"SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"

static void check_memlock(struct doctor *doctor)
{
	struct rlimit limit;
	char *size;

	if (getrlimit(RLIMIT_MEMLOCK, &limit))
		return;
	if (limit.rlim_cur == RLIM_INFINITY) {
		found(doctor, "memlock", LEVEL_OK, NULL,
		      text_format("host memory is locked without limit"));
		return;
	}
	size = text_size(limit.rlim_cur);
	if (limit.rlim_cur >= MEMLOCK_ENOUGH || geteuid() == 0)
		found(doctor, "memlock", LEVEL_OK, NULL,
		      text_format("%s of host memory may be locked%s", size,
				  geteuid() ? "" : " by ordinary users"));
	else
		found(doctor, "memlock", LEVEL_WARN,
		      text_format("prlimit --pid $$ --memlock=unlimited"),
		      text_format("no more than %s of host memory may be "
				  "locked (device memory does not count)",
				  size));
	free(size);
}

static void check_iommu(struct doctor *doctor)
{
	char **units = sysfs_names("/sys/class/iommu");

	found(doctor, "iommu", LEVEL_OK, NULL,
	      text_format("the IOMMU is %s; soft-RoCE, which copies with the "
			  "CPU, does not mind",
			  *units ? "on" : "off"));
	sysfs_names_free(units);
}

/* Four bytes of attributes, then the value. */
static bool secure_boot(void)
{
	unsigned char bytes[5] = { 0 };
	FILE *file = fopen(SECURE_BOOT, "re");
	bool on;

	if (!file)
		return false;
	on = fread(bytes, 1, sizeof(bytes), file) == sizeof(bytes) && bytes[4];
	fclose(file);
	return on;
}

static void check_secure_boot(struct doctor *doctor)
{
	char signer[LINE_SIZE];

	if (!secure_boot())
		found(doctor, "secure-boot", LEVEL_OK, NULL,
		      text_format("Secure Boot is off"));
	else if (sysfs_exists("/sys/module/p2pmr"))
		found(doctor, "secure-boot", LEVEL_OK, NULL,
		      text_format("Secure Boot is on, and the modules are "
				  "loaded"));
	else if (module_file_field("p2pmr", "signer", signer) && *signer)
		found(doctor, "secure-boot", LEVEL_WARN,
		      text_format("mokutil --import /var/lib/dkms/mok.pub"),
		      text_format("Secure Boot is on: the key of '%s', who "
				  "signed the modules, must be enrolled",
				  signer));
	else
		found(doctor, "secure-boot", LEVEL_FAIL,
		      text_format("apt install openssl && "
				  "apt install --reinstall p2pmr-dkms && "
				  "mokutil --import /var/lib/dkms/mok.pub"),
		      text_format("Secure Boot is on, and the modules are not "
				  "signed"));
}

void check_machine(struct doctor *doctor)
{
	check_memlock(doctor);
	check_iommu(doctor);
	check_secure_boot(doctor);
}
