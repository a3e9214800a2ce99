/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The BAR's bytes as the machine outside the guest sees them: requests over
 * the lab's host port, to look at and to change the file behind a BAR
 * without the guest's CPU or the device under test having a hand in it.
 */
#ifndef P2PMR_TESTS_HOST_H
#define P2PMR_TESTS_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void host_read(int bar, size_t offset, uint8_t *bytes, size_t length);
void host_write(int bar, size_t offset, const uint8_t *bytes, size_t length);
void host_fill(int bar, size_t offset, size_t length, uint8_t byte);

/*
 * Takes the function of a BAR out of the running machine, or puts it back; the
 * bytes stay. They return when the machine outside says it has happened.
 */
void host_unplug(int bar);
void host_plug(int bar);
int host_is_plugged(int bar);
/*
 * Fails the test because plugging or unplugging has no effect, and tells
 * whether the machine has interrupted for it. Where it has not, the emulator
 * has lost the interrupt, which says nothing about what is tested: then
 * host_was_unheard() is true.
 */
_Noreturn void host_slot_fails(const char *format, ...)
	__attribute__((format(printf, 1, 2)));
bool host_was_unheard(void);

#define SHA256_HEX_LENGTH 64
void host_sha256(int bar, size_t offset, size_t length,
		 char hex[SHA256_HEX_LENGTH + 1]);
/* The same digest of memory of this process, by the sha256sum program. */
void guest_sha256(const uint8_t *bytes, size_t length,
		  char hex[SHA256_HEX_LENGTH + 1]);

#endif
