/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * A second process of a test: runs a function, talks with its parent over a
 * socket in small fixed messages, and never outlives the test.
 *
 * The child may use cmocka's assertions: a failed one ends it with a failing
 * exit status.
 */
#ifndef P2PMR_TESTS_CHILD_H
#define P2PMR_TESTS_CHILD_H

#include <stddef.h>
#include <sys/types.h>

struct child {
	pid_t pid;
	int socket;
};

/* `run` gets the child's end of the socket, and exits 0 by returning. */
void child_start(struct child *child, void (*run)(int socket, void *argument),
		 void *argument);
/* Waits for the child to end by itself; it must have been satisfied. */
void child_finish(struct child *child);
/* SIGKILL, and waits until it is gone. */
void child_kill(struct child *child);
/* All that are left of a test that has failed; of none it may be asked how it ended. */
void children_end(void);

/* This process gets another user and group, for good; those without any rights. */
#define NOBODY	      65534
#define SOMEBODY_ELSE 65533
void become(uid_t uid);

/* A file for the other process. */
void send_file(int socket, int fd);
int receive_file(int socket);

/* Whole messages of a known size; the other end missing fails the test. */
void send_message(int socket, const void *message, size_t size);
void receive_message(int socket, void *message, size_t size);

#endif
