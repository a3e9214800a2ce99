/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * A spinlock that is not there where the application has said that no two
 * threads come at once: a thread domain, or a single-threaded CQ.
 */
#ifndef P2PMR_LOCK_H
#define P2PMR_LOCK_H

#include <pthread.h>
#include <stdbool.h>

struct p2pmr_lock {
	pthread_spinlock_t spin;
	bool needed;
};

static inline void p2pmr_lock_init(struct p2pmr_lock *lock, bool needed)
{
	lock->needed = needed;
	pthread_spin_init(&lock->spin, PTHREAD_PROCESS_PRIVATE);
}

static inline void p2pmr_lock_destroy(struct p2pmr_lock *lock)
{
	pthread_spin_destroy(&lock->spin);
}

static inline void p2pmr_lock(struct p2pmr_lock *lock)
{
	if (lock->needed)
		pthread_spin_lock(&lock->spin);
}

static inline void p2pmr_unlock(struct p2pmr_lock *lock)
{
	if (lock->needed)
		pthread_spin_unlock(&lock->spin);
}

#endif
