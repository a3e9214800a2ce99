// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* A second process of a test, see child.h. */
#include "child.h"

#include <errno.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runner.h"

#define PATIENCE_MS 30000
#define CHILDREN    64

/* The last that this process has started, ended or not. */
static pid_t started[CHILDREN];
static size_t start_count;

void child_start(struct child *child, void (*run)(int socket, void *argument),
		 void *argument)
{
	pid_t parent = getpid();
	int ends[2];

	assert_int_equal(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
	fflush(stdout);
	fflush(stderr);
	child->pid = fork();
	assert_true(child->pid >= 0);
	if (!child->pid) {
		close(ends[0]);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
		run(ends[1], argument);
		fflush(stdout);
		_exit(0);
	}
	close(ends[1]);
	child->socket = ends[0];
	started[start_count++ % CHILDREN] = child->pid;
}

/* A number that was waited for may be another process' by now. */
static bool is_ours(pid_t pid)
{
	siginfo_t info;

	return pid &&
	       waitid(P_PID, pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

void children_end(void)
{
	for (size_t i = 0; i < CHILDREN; i++)
		if (is_ours(started[i]))
			kill(started[i], SIGKILL);
	/* One may wait in the kernel for another. */
	for (size_t i = 0; i < CHILDREN; i++)
		if (is_ours(started[i]))
			waitpid(started[i], NULL, 0);
}

void child_finish(struct child *child)
{
	int status;

	assert_int_equal(waitpid(child->pid, &status, 0), child->pid);
	close(child->socket);
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		fail_msg("the other process ended with wait status 0x%x",
			 status);
}

void child_kill(struct child *child)
{
	int status;

	assert_int_equal(kill(child->pid, SIGKILL), 0);
	assert_int_equal(waitpid(child->pid, &status, 0), child->pid);
	close(child->socket);
	assert_true(WIFSIGNALED(status));
}

void become(uid_t uid)
{
	assert_int_equal(setgroups(0, NULL), 0);
	assert_int_equal(setgid(uid), 0);
	assert_int_equal(setuid(uid), 0);
}

/* Room for one file descriptor beside a message. */
union file_control {
	struct cmsghdr header;
	char room[CMSG_SPACE(sizeof(int))];
};

void send_file(int socket, int fd)
{
	union file_control control = { 0 };
	char nothing = 0;
	struct iovec iov = { &nothing, 1 };
	struct msghdr message = { .msg_iov = &iov,
				  .msg_iovlen = 1,
				  .msg_control = &control,
				  .msg_controllen = sizeof(control) };

	control.header = (struct cmsghdr){ .cmsg_level = SOL_SOCKET,
					   .cmsg_type = SCM_RIGHTS,
					   .cmsg_len = CMSG_LEN(sizeof(fd)) };
	memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	if (sendmsg(socket, &message, MSG_NOSIGNAL) != 1)
		fail_msg("cannot send a file: %s", strerror(errno));
}

int receive_file(int socket)
{
	union file_control control = { 0 };
	char nothing;
	struct iovec iov = { &nothing, 1 };
	struct msghdr message = { .msg_iov = &iov,
				  .msg_iovlen = 1,
				  .msg_control = &control,
				  .msg_controllen = sizeof(control) };
	int fd;

	assert_int_equal(recvmsg(socket, &message, MSG_CMSG_CLOEXEC), 1);
	assert_int_equal(control.header.cmsg_type, SCM_RIGHTS);
	memcpy(&fd, CMSG_DATA(&control.header), sizeof(fd));
	return fd;
}

void send_message(int socket, const void *message, size_t size)
{
	if (send(socket, message, size, MSG_NOSIGNAL) != (ssize_t)size)
		fail_msg("the other process is gone: %s", strerror(errno));
}

void receive_message(int socket, void *message, size_t size)
{
	struct pollfd p = { .fd = socket, .events = POLLIN };
	ssize_t n;

	if (poll(&p, 1, PATIENCE_MS * slowness()) != 1)
		fail_msg("the other process says nothing");
	n = recv(socket, message, size, 0);
	if (n != (ssize_t)size)
		fail_msg("the other process sent %zd bytes, not %zu", n, size);
}
