/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The system around the device under test: small files of the kernel, the
 * files of a PCI function, further soft-RoCE devices, and what the kernel
 * says of regions in debugfs.
 */
#ifndef P2PMR_TESTS_SYSTEM_H
#define P2PMR_TESTS_SYSTEM_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "bar.h"

/* Of a file in sysfs, procfs and the like; 0 or an errno. */
int try_write_file(const char *path, const char *text);
/* The same; anything but success fails the test. */
void write_file(const char *path, const char *text);
/* The whole file as a string, to be freed. */
char *read_file(const char *path);

/* ".../0000:02:00.0/NAME" for the function of a BAR. */
#define PATH_SIZE 256
void pci_file(enum memory_kind kind, const char *name, char path[PATH_SIZE]);
/* "0000:02:00.0" */
void pci_address(enum memory_kind kind, char address[32]);
/* Of some function with I/O ports from 0x1000 on: which BAR they are, and where. */
void pci_ports(char address[32], unsigned int *bar, uint64_t *first);
/* Binds the function to a driver that is loaded; "" leaves it without one. */
void pci_bind(enum memory_kind kind, const char *driver);

/* Runs a shell command; false if it fails. */
bool shell(const char *format, ...) __attribute__((format(printf, 1, 2)));

/*
 * Another soft-RoCE device on a dummy interface of its own. What an earlier
 * test has left of that name is removed first. No address: none is given,
 * and the kernel makes none up.
 */
void soft_roce_add(const char *name, const char *netdev, const char *address);
void soft_roce_delete(const char *name, const char *netdev);
/*
 * The same by a process of its own, which is answered, for deletions that wait; and
 * whether a process ends within so many tenths of a second.
 */
pid_t soft_roce_start_deleting(const char *name);
/* Waits for that process, which must have succeeded; now the interface goes. */
void soft_roce_finish_deleting(pid_t deleter, const char *name,
			       const char *netdev);
bool process_ends(pid_t pid, int tenths);
bool rdma_device_exists(const char *name);

/* Whether network namespaces share RDMA devices: "shared", "exclusive". */
void rdma_netns_mode(const char *mode);

/* How many ranges of a process debugfs lists, and how many in a state. */
int ranges_of(pid_t pid, const char *state);
/* Of them those of MRs. */
int mrs_of(pid_t pid, const char *state);

#endif
