// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Other programs, see spawn.h. */
#define _GNU_SOURCE
#include "spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static void read_last_line(int fd, char *message, size_t size)
{
	FILE *file = fdopen(fd, "r");
	char line[256];

	if (!file) {
		close(fd);
		return;
	}
	while (fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\n")] = '\0';
		if (*line)
			snprintf(message, size, "%s", line);
	}
	fclose(file);
}

bool spawn(const char *const argv[], char *message, size_t size)
{
	posix_spawn_file_actions_t actions;
	int error, status, ends[2];
	pid_t pid;

	snprintf(message, size, "%s failed", argv[0]);
	if (pipe2(ends, O_CLOEXEC)) {
		snprintf(message, size, "%s", strerror(errno));
		return false;
	}
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO);
	error = posix_spawnp(&pid, argv[0], &actions, NULL, (char *const *)argv,
			     environ);
	posix_spawn_file_actions_destroy(&actions);
	close(ends[1]);
	if (error) {
		close(ends[0]);
		snprintf(message, size, "%s: %s", argv[0], strerror(error));
		return false;
	}
	read_last_line(ends[0], message, size);
	return waitpid(pid, &status, 0) == pid && status == 0;
}
