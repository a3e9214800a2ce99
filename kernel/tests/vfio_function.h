/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The second PCI function in the hands of vfio-pci: binding it, opening it as
 * a program with a driver in user space does, and giving it back.
 */
#ifndef P2PMR_TESTS_VFIO_FUNCTION_H
#define P2PMR_TESTS_VFIO_FUNCTION_H

#include <stdbool.h>
#include <stddef.h>

struct vfio {
	int container;
	int group;
	int device;
	unsigned long long config; /* where config space is in the file */
};

/* Loads the drivers if need be, and binds. */
void vfio_bind(void);
/* Without a driver and enabled, as the other tests expect to find it. */
void vfio_give_back(void);

/* The function is bound; memory decoding is on afterwards. */
void vfio_open(struct vfio *vfio);
void vfio_close(struct vfio *vfio);
/* A part of BAR 2, never touched by this process until the caller does. */
void *vfio_map(struct vfio *vfio, size_t offset, size_t size);

void vfio_set_memory_decoding(struct vfio *vfio, bool on);
/* Whether the kernel knows a reset for the function. */
bool vfio_can_reset(struct vfio *vfio);
/* 0 or an errno; memory decoding is to be switched on again after it. */
int vfio_reset(struct vfio *vfio);

#endif
