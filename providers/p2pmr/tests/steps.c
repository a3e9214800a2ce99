// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Counting instructions by single steps, see steps.h. */
#include "steps.h"

#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runner.h"

struct shared {
	volatile unsigned int running;
	volatile unsigned int id;
};

static struct shared *shared;

static bool enabled;

void steps_enable(void)
{
	enabled = true;
	/* What measuring itself costs. */
	steps_begin(0);
	steps_end();
}

void steps_begin(unsigned int id)
{
	if (!enabled)
		return;
	shared->id = id;
	shared->running = 1;
	__asm__ volatile("int3" ::: "memory");
}

void steps_end(void)
{
	__asm__ volatile("" ::: "memory");
	shared->running = 0;
}

static void child(void (*run)(void))
{
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL))
		_exit(1);
	run();
	_exit(0);
}

/* On one CPU, which each step then changes hands of without waking another. */
static void stay_on_this_cpu(void)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(sched_getcpu(), &cpus);
	assert_int_equal(sched_setaffinity(0, sizeof(cpus), &cpus), 0);
}

static unsigned int step(pid_t pid)
{
	unsigned int count = 0;
	int status;

	do {
		assert_int_equal(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP);
		count++;
	} while (shared->running);
	return count;
}

void count_steps(void (*run)(void), unsigned int counts[STEPS_MAX])
{
	unsigned int overhead = 0;
	int status, signal;
	pid_t pid;

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(shared, MAP_FAILED);
	stay_on_this_cpu();
	pid = fork();
	assert_return_code(pid, 0);
	if (!pid)
		child(run);
	for (;;) {
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (!WIFSTOPPED(status))
			break;
		signal = WSTOPSIG(status);
		if (signal == SIGTRAP && shared->running) {
			counts[shared->id] = step(pid) - overhead;
			if (!shared->id)
				overhead = counts[0];
			signal = 0;
		}
		assert_int_equal(ptrace(PTRACE_CONT, pid, NULL, signal), 0);
	}
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	munmap(shared, sizeof(*shared));
}
