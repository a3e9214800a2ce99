// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Hangs are found and shown, see chaos_watchdog.h. */
#include "chaos_watchdog.h"

#include <ctype.h>
#include <dirent.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "child.h"
#include "runner.h"
#include "system.h"

struct watch {
	atomic_ulong fed;
	unsigned int seconds;
	pid_t watched;
};

static struct watch *watch;
static struct child watchdog;

/* Only what cannot fail: the machine is in trouble. */
static void copy_file(const char *path)
{
	FILE *file = fopen(path, "r");
	char line[256];

	while (file && fgets(line, sizeof(line), file))
		fputs(line, stdout);
	if (file)
		fclose(file);
}

static void show_process(pid_t pid)
{
	char path[128];
	DIR *tasks;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	tasks = opendir(path);
	for (struct dirent *e; tasks && (e = readdir(tasks));) {
		if (!isdigit(e->d_name[0]))
			continue;
		printf("%d/%s waits in:\n", pid, e->d_name);
		snprintf(path, sizeof(path), "/proc/%d/task/%.20s/stack", pid,
			 e->d_name);
		copy_file(path);
	}
	if (tasks)
		closedir(tasks);
}

static void show_session(void)
{
	DIR *processes = opendir("/proc");

	for (struct dirent *e; processes && (e = readdir(processes));)
		if (isdigit(e->d_name[0]) &&
		    getsid(atoi(e->d_name)) == getsid(0))
			show_process(atoi(e->d_name));
	fflush(stdout);
	try_write_file("/proc/sysrq-trigger", "w");
}

static void keep_watch(int socket, void *argument)
{
	unsigned long fed = watch->fed;
	unsigned int silent = 0;

	(void)socket;
	(void)argument;
	while (silent < watch->seconds) {
		sleep(1);
		silent++;
		if (fed != watch->fed)
			silent = 0;
		fed = watch->fed;
	}
	printf("nothing has happened for %u s\n", watch->seconds);
	show_session();
	kill(watch->watched, SIGKILL);
}

void watchdog_start(unsigned int seconds)
{
	watch = mmap(NULL, sizeof(*watch), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(watch != MAP_FAILED);
	watch->seconds = seconds;
	watch->watched = getpid();
	child_start(&watchdog, keep_watch, NULL);
}

void watchdog_feed(void)
{
	watch->fed++;
}

void watchdog_stop(void)
{
	child_kill(&watchdog);
	munmap(watch, sizeof(*watch));
}
