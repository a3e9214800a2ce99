// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* The system around the device under test, see system.h. */
#include "system.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runner.h"

int try_write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY), error = 0;

	if (fd < 0)
		return errno;
	if (write(fd, text, strlen(text)) < 0)
		error = errno;
	close(fd);
	return error;
}

void write_file(const char *path, const char *text)
{
	int error = try_write_file(path, text);

	if (error)
		fail_msg("%s > %s: %s", text, path, strerror(error));
}

char *read_file(const char *path)
{
	size_t size = 0, room = 1 << 16;
	char *text = malloc(room);
	int fd = open(path, O_RDONLY);
	ssize_t n;

	assert_non_null(text);
	if (fd < 0)
		fail_msg("%s: %s", path, strerror(errno));
	while ((n = read(fd, text + size, room - 1 - size)) > 0) {
		size += n;
		if (size < room - 1)
			continue;
		room *= 2;
		text = realloc(text, room);
		assert_non_null(text);
	}
	close(fd);
	text[size] = '\0';
	return text;
}

void pci_file(enum memory_kind kind, const char *name, char path[PATH_SIZE])
{
	const char *bar = bar_path(kind);

	snprintf(path, PATH_SIZE, "%.*s/%s", (int)(strrchr(bar, '/') - bar),
		 bar, name);
}

void pci_address(enum memory_kind kind, char address[32])
{
	const char *end = strrchr(bar_path(kind), '/'), *start = end;

	while (start[-1] != '/')
		start--;
	snprintf(address, 32, "%.*s", (int)(end - start), start);
}

void pci_ports(char address[32], unsigned int *bar, uint64_t *first)
{
	FILE *pipe = popen(
		"cd /sys/bus/pci/devices && awk "
		"'FNR <= 6 && $1 ~ /^0x0+[1-9a-f][0-9a-f][0-9a-f][0-9a-f]$/ && "
		"$3 ~ /1[0-9a-f][0-9a-f]$/ "
		"{ print FILENAME, FNR - 1, $1; exit }' */resource",
		"r");

	assert_non_null(pipe);
	assert_int_equal(fscanf(pipe, "%12s/resource %u %" SCNx64, address, bar,
				first),
			 3);
	assert_int_equal(pclose(pipe), 0);
}

void pci_bind(enum memory_kind kind, const char *driver)
{
	char path[PATH_SIZE], address[32], line[64];

	pci_address(kind, address);
	pci_file(kind, "driver/unbind", path);
	if (!access(path, F_OK))
		write_file(path, address);
	pci_file(kind, "driver_override", path);
	snprintf(line, sizeof(line), "%s\n", driver);
	write_file(path, line);
	if (*driver)
		write_file("/sys/bus/pci/drivers_probe", address);
	pci_file(kind, "driver", path);
	if (!access(path, F_OK) != (*driver != '\0'))
		fail_msg("%s %s the driver '%s'", address,
			 *driver ? "does not take" : "keeps", driver);
}

bool shell(const char *format, ...)
{
	char command[1024];
	va_list ap;

	va_start(ap, format);
	vsnprintf(command, sizeof(command), format, ap);
	va_end(ap);
	fflush(stdout);
	return system(command) == 0;
}

bool rdma_device_exists(const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/class/infiniband/%s", name);
	return access(path, F_OK) == 0;
}

void soft_roce_add(const char *name, const char *netdev, const char *address)
{
	if (rdma_device_exists(name))
		assert_true(shell("rdma link delete %s", name));
	shell("ip link delete %s 2>/dev/null", netdev);
	assert_true(shell("ip link add %s type dummy", netdev));
	if (address)
		assert_true(
			shell("ip address add %s/24 dev %s", address, netdev));
	else
		assert_true(shell("ip link set %s addrgenmode none", netdev));
	assert_true(shell("ip link set %s up", netdev));
	assert_true(shell("rdma link add %s type rxe netdev %s", name, netdev));
}

void soft_roce_delete(const char *name, const char *netdev)
{
	assert_true(shell("rdma link delete %s", name));
	assert_true(shell("ip link delete %s", netdev));
}

pid_t soft_roce_start_deleting(const char *name)
{
	pid_t deleter = fork();

	assert_true(deleter >= 0);
	if (!deleter) {
		execlp("rdma", "rdma", "link", "delete", name, NULL);
		_exit(127);
	}
	return deleter;
}

void soft_roce_finish_deleting(pid_t deleter, const char *name,
			       const char *netdev)
{
	int status;

	assert_int_equal(waitpid(deleter, &status, 0), deleter);
	assert_int_equal(status, 0);
	assert_false(rdma_device_exists(name));
	assert_true(shell("ip link delete %s", netdev));
}

bool process_ends(pid_t pid, int tenths)
{
	siginfo_t info = { 0 };

	for (int i = 0; i < tenths && !info.si_pid; i++) {
		usleep(100 * 1000);
		assert_int_equal(waitid(P_PID, pid, &info,
					WEXITED | WNOHANG | WNOWAIT),
				 0);
	}
	return info.si_pid != 0;
}

/* The kernel takes namespaces of dead processes apart when it has time. */
void rdma_netns_mode(const char *mode)
{
	for (int i = 0; i < 100; i++) {
		if (shell("rdma system set netns %s 2>/dev/null", mode))
			return;
		usleep(200 * 1000);
	}
	fail_msg("RDMA's network namespaces do not become %s", mode);
}

static int count_ranges(pid_t pid, const char *importer, const char *state)
{
	char *text = read_file("/sys/kernel/debug/p2pmr/ranges");
	char process[64], wanted[32];
	int count = 0;

	snprintf(process, sizeof(process), "pid=%d importer=%s", pid, importer);
	snprintf(wanted, sizeof(wanted), " state=%s ", state ? state : "");
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
		if (!strncmp(line, process, strlen(process)) &&
		    (!state || strstr(line, wanted)))
			count++;
	free(text);
	return count;
}

int ranges_of(pid_t pid, const char *state)
{
	return count_ranges(pid, "", state);
}

int mrs_of(pid_t pid, const char *state)
{
	return count_ranges(pid, "p2pmr_verbs ", state);
}
