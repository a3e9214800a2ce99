// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Running a case of the fuzzer in a process of its own, looking after it at what
 * must be as it was before, and finding the steps of it that matter.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fuzz.h"
#include "modules.h"
#include "runner.h"
#include "system.h"
#include "watch.h"

#define CASE_SECONDS 100
#define DEPTH	     32

struct tally *tally;

static void vtell_wrong(const char *format, va_list ap)
{
	char text[sizeof(tally->reason)];

	vsnprintf(text, sizeof(text), format, ap);
	printf("wrong: %s\n", text);
	fflush(stdout);
	if (!*tally->reason)
		strcpy(tally->reason, text);
}

__attribute__((format(printf, 1, 2))) static void tell_wrong(const char *format,
							     ...)
{
	va_list ap;

	va_start(ap, format);
	vtell_wrong(format, ap);
	va_end(ap);
}

void wrong(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vtell_wrong(format, ap);
	va_end(ap);
	_exit(1);
}

static void *act(void *argument)
{
	struct actor *me = argument;
	const struct fuzz_case *c = me->todo;

	coverage_start(me);
	for (unsigned int i = me->index; i < c->count; i += c->threads) {
		const struct step *step = &c->steps[i];

		tally->tried[step->op]++;
		if (operations[step->op].run(me, step->arg))
			tally->worked[step->op]++;
		coverage_collect(me);
	}
	return NULL;
}

/* An address of the fuzzer's own is not right: where it happened. */
static void crashed(int number, siginfo_t *info, void *context)
{
	void *frames[DEPTH];

	(void)context;
	tell_wrong("signal %d at %p", number, info->si_addr);
	backtrace_symbols_fd(frames, backtrace(frames, DEPTH), STDOUT_FILENO);
	_exit(1);
}

static void carry_out(const struct fuzz_case *c)
{
	const struct sigaction crash = { .sa_sigaction = crashed,
					 .sa_flags = SA_SIGINFO };
	static struct world world;
	pthread_t threads[THREADS];

	sigaction(SIGSEGV, &crash, NULL);
	sigaction(SIGBUS, &crash, NULL);
	world_open(&world, c);
	for (unsigned int i = 1; i < c->threads; i++)
		if (pthread_create(&threads[i], NULL, act, &world.actors[i]))
			wrong("no thread: %s", strerror(errno));
	act(&world.actors[0]);
	for (unsigned int i = 1; i < c->threads; i++)
		pthread_join(threads[i], NULL);
	if (c->killed)
		raise(SIGKILL);
	world_close(&world);
	coverage_collect(&world.actors[0]);
	fflush(stdout);
	_exit(0);
}

/* Into the kernel's log, so that a report there has its case. */
static void mark(const struct fuzz_case *c)
{
	char line[80];

	snprintf(line, sizeof(line), "p2pmr-lab: fuzz seed %" PRIu64 "\n",
		 c->seed);
	try_write_file("/dev/kmsg", line);
}

static int wait_for(pid_t pid)
{
	const unsigned int seconds = CASE_SECONDS * slowness();
	int status;

	for (unsigned int i = 0; i < seconds * 200; i++) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			return status;
		usleep(5000);
	}
	tell_wrong("not over after %u s; it waits in:", seconds);
	shell("for t in /proc/%d/task/*; do cat $t/stack; done", pid);
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	return -1;
}

/* No range is left, and each has ended in one way. */
static bool counters_agree(void)
{
	static const char *const ends[] = {
		"deregistered_live", "revoked_unmap",  "revoked_protect",
		"revoked_exit",	     "revoked_device", "revoked_exporter",
		"revoked_importer",
	};
	unsigned long ended = 0, registered = debugfs_counter("registered");
	char *text = read_file(DEBUGFS "ranges");
	bool none = !*text;

	for (size_t i = 0; i < ARRAY_SIZE(ends); i++)
		ended += debugfs_counter(ends[i]);
	if (!none || ended != registered) {
		tell_wrong("%lu registered, %lu ended; left:", registered,
			   ended);
		fputs(text, stdout);
	}
	free(text);
	return none && ended == registered;
}

static bool references_agree(const struct ground *ground)
{
	for (int i = 0; i < 500; i++) {
		if (module_references(CORE_MODULE) == ground->core &&
		    module_references(VERBS_MODULE) == ground->verbs)
			return true;
		usleep(10000);
	}
	tell_wrong("references of the modules are %d and %d, not %d and %d",
		   module_references(CORE_MODULE),
		   module_references(VERBS_MODULE), ground->core,
		   ground->verbs);
	return false;
}

/* Quietly: only whether all is well. */
static bool run_once(const struct fuzz_case *c, const struct ground *ground,
		     bool quiet)
{
	int out = quiet ? open("/dev/null", O_WRONLY | O_CLOEXEC) : -1;
	int own = quiet ? dup(STDOUT_FILENO) : -1, status;
	pid_t pid;
	bool ok;

	fflush(stdout);
	if (quiet)
		dup2(out, STDOUT_FILENO);
	mark(c);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid)
		carry_out(c);
	status = wait_for(pid);
	ok = c->killed ? WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL
		       : status == 0;
	if (!ok)
		tell_wrong("the case ended with wait status %#x", status);
	ok = references_agree(ground) && counters_agree() && ok;
	fflush(stdout);
	if (quiet) {
		dup2(own, STDOUT_FILENO);
		close(own);
		close(out);
	}
	return ok;
}

/* Leaves out what can be left out while it still goes wrong. */
static void shrink(struct fuzz_case *c, const struct ground *ground)
{
	struct fuzz_case less;
	unsigned int at, size;

	for (size = c->count / 2; size; size /= 2) {
		for (at = 0; at + size <= c->count;) {
			less = *c;
			less.count -= size;
			memmove(&less.steps[at], &less.steps[at + size],
				(less.count - at) * sizeof(less.steps[0]));
			if (less.count && !run_once(&less, ground, true))
				*c = less;
			else
				at += size;
		}
	}
}

bool run_case(struct fuzz_case *c, const struct ground *ground)
{
	*tally->reason = '\0';
	if (run_once(c, ground, false))
		return true;
	printf("seed %" PRIu64 "; the case:\n", c->seed);
	case_print(c, stdout);
	if (c->threads == 1) {
		printf("what of it is enough:\n");
		fflush(stdout);
		shrink(c, ground);
		case_print(c, stdout);
		run_once(c, ground, false);
	}
	printf("first wrong with it: %s\n", tally->reason);
	fflush(stdout);
	return false;
}
