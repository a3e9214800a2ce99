// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* p2pmr doctor: the soft-RoCE device, and the provider that drives it. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "chardev.h"
#include "doctor.h"
#include "module.h"
#include "rdma.h"
#include "text.h"

/* One that is up, rather than none; to be freed. */
static char *some_netdev(void)
{
	char **names = sysfs_names("/sys/class/net"), *chosen = NULL;
	char state[LINE_SIZE];

	for (char **name = names; *name; name++) {
		bool up =
			sysfs_line(state, "/sys/class/net/%s/carrier", *name) &&
			*state == '1';

		if (!strcmp(*name, "lo") || (chosen && !up))
			continue;
		free(chosen);
		chosen = text_format("%s", *name);
		if (up)
			break;
	}
	sysfs_names_free(names);
	return chosen ? chosen : text_format("lo");
}

static void no_device(struct doctor *doctor)
{
	struct module rxe;
	char *netdev;

	module_look(&rxe, "rdma_rxe");
	if (!rxe.installed && !rxe.loaded) {
		found(doctor, "rdma-device", LEVEL_FAIL,
		      text_format("apt install linux-image-amd64"),
		      text_format("this kernel comes without soft-RoCE "
				  "(rdma_rxe)"));
		return;
	}
	netdev = some_netdev();
	found(doctor, "rdma-device", LEVEL_FAIL,
	      text_format("rdma link add rxe0 type rxe netdev %s", netdev),
	      text_format("there is no soft-RoCE device"));
	free(netdev);
}

/* Does p2pmr_verbs know it? True also where that cannot be asked. */
static bool is_attached(const struct doctor *doctor, const char *name)
{
	struct p2pmr_instance_info *instances;
	bool attached = false;
	size_t count;

	if (doctor->fd < 0 || chardev_instances(doctor->fd, &instances, &count))
		return true;
	for (size_t i = 0; i < count; i++)
		attached |= !strcmp(instances[i].name, name);
	free(instances);
	return attached;
}

static void no_file(struct doctor *doctor, const struct rdma_device *device)
{
	unsigned int major_number, minor_number;
	char line[LINE_SIZE];
	char *mend;

	if (*device->file &&
	    sysfs_line(line, "/sys/class/infiniband_verbs/%s/dev",
		       strrchr(device->file, '/') + 1) &&
	    sscanf(line, "%u:%u", &major_number, &minor_number) == 2)
		mend = text_format("mknod -m 666 %s c %u %u", device->file,
				   major_number, minor_number);
	else
		mend = text_format("modprobe ib_uverbs");
	found(doctor, "verbs", LEVEL_FAIL, mend,
	      text_format("%s has no file in /dev/infiniband", device->name));
}

static void check_file(struct doctor *doctor, const struct rdma_device *device)
{
	int fd = open(device->file, O_RDWR | O_CLOEXEC);
	int error = errno;

	if (fd >= 0)
		close(fd);
	else if (error == ENOENT)
		no_file(doctor, device);
	else
		found(doctor, "verbs", LEVEL_FAIL,
		      error == EACCES
			      ? text_format("chmod 666 %s", device->file)
			      : NULL,
		      text_format("%s: %s", device->file, strerror(error)));
}

static void check_device(struct doctor *doctor,
			 const struct rdma_device *device)
{
	size_t before = doctor->count;

	if (!device->active)
		found(doctor, "rdma-port", LEVEL_FAIL,
		      text_format("ip link set %s up", device->netdev),
		      text_format("%s is not active: is %s up?", device->name,
				  device->netdev));
	else if (!device->addressed)
		found(doctor, "rdma-address", LEVEL_WARN,
		      text_format("ip address add 192.0.2.1/24 dev %s",
				  device->netdev),
		      text_format("%s has no IP address (the one below is for "
				  "this machine alone)",
				  device->netdev));
	if (!is_attached(doctor, device->name) &&
	    sysfs_exists("/sys/module/p2pmr_verbs"))
		found(doctor, "attached", LEVEL_FAIL,
		      text_format("rmmod p2pmr_verbs && modprobe p2pmr_verbs"),
		      text_format("p2pmr_verbs is not attached to %s",
				  device->name));
	check_file(doctor, device);
	if (doctor->count == before)
		found(doctor, "rdma-device", LEVEL_OK, NULL,
		      text_format("%s on %s is ready", device->name,
				  device->netdev));
}

void check_rdma(struct doctor *doctor)
{
	struct rdma_device *devices;
	size_t count = rdma_devices(&devices);
	bool any = false;

	for (size_t i = 0; i < count; i++) {
		if (!devices[i].soft_roce)
			continue;
		any = true;
		check_device(doctor, &devices[i]);
	}
	free(devices);
	if (!any)
		no_device(doctor);
}

#define CHOICE_FOLDER "/etc/libibverbs.d"

/* libibverbs takes the files of its folder in an order that is chance. */
static void check_choice(struct doctor *doctor)
{
	bool ours = !access(CHOICE_FOLDER "/p2pmr.driver", F_OK);
	bool stock = !access(CHOICE_FOLDER "/rxe.driver", F_OK);

	if (ours && stock)
		found(doctor, "provider-choice", LEVEL_WARN,
		      text_format("dpkg-divert --rename --divert "
				  "/etc/rxe.driver.stock " CHOICE_FOLDER
				  "/rxe.driver"),
		      text_format(
			      "both providers are configured in " CHOICE_FOLDER
			      ", and which one serves is chance"));
	else
		found(doctor, "provider-choice", LEVEL_OK, NULL,
		      text_format("p2pmr's provider serves %s",
				  ours ? "all programs"
				       : "programs with libp2pmr, those of "
					 "p2pmr exec, and where IBV_DRIVERS "
					 "says so"));
}

void check_provider(struct doctor *doctor)
{
	void *handle;

	if (access(P2PMR_PROVIDER_PATH, F_OK)) {
		found(doctor, "provider", LEVEL_WARN,
		      text_format("apt install p2pmr-provider"),
		      text_format("p2pmr's provider is not installed; the "
				  "stock one does without the extras"));
		return;
	}
	/* Fails where it was built for another private interface. */
	handle = dlopen(P2PMR_PROVIDER_PATH, RTLD_NOW | RTLD_LOCAL);
	if (!handle) {
		found(doctor, "provider", LEVEL_FAIL,
		      text_format("apt install --reinstall p2pmr-provider"),
		      text_format("p2pmr's provider does not fit this "
				  "libibverbs: %s",
				  dlerror()));
		return;
	}
	found(doctor, "provider", LEVEL_OK, NULL,
	      text_format("p2pmr's provider is installed and fits libibverbs"));
	check_choice(doctor);
	/* It stays: libibverbs may have pointers into it. */
}
