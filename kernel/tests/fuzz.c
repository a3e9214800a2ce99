// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * The fuzzer's program. As a test it runs a fixed number of seeds, and the corpus;
 * `fuzz run` is for `lab fuzz`.
 */
#define _GNU_SOURCE
#include <getopt.h>
#include <glob.h>
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "fuzz.h"
#include "modules.h"
#include "runner.h"
#include "system.h"

#define SHORT_SEED	 1
#define SHORT_CASES	 60
#define STEPS		 100
#define LOOK_OUTSIDE	 16 /* cases from one look at the BARs' files to the next */
#define PROGRESS_SECONDS 5

static void ground_find(struct ground *ground)
{
	tally = mmap(NULL, sizeof(*tally), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(tally != MAP_FAILED);
	coverage_find_modules();
	ground->core = module_references(CORE_MODULE);
	ground->verbs = module_references(VERBS_MODULE);
	ground->outside = bar_size(BAR) - ARENA_SIZE;
	for (int i = 0; i < BARS; i++)
		host_sha256(i, ARENA_SIZE, ground->outside, ground->digest[i]);
}

/*
 * The BARs as the machine outside has them: what no case may write is as ever,
 * and what they may nobody writes now that all are over.
 */
static bool look_outside(const struct ground *ground)
{
	char digest[SHA256_HEX_LENGTH + 1], later[SHA256_HEX_LENGTH + 1];
	bool ok = true;

	for (int i = 0; i < BARS; i++) {
		host_fill(i, 0, ARENA_SIZE, 0x11);
		host_sha256(i, 0, ARENA_SIZE, digest);
		host_sha256(i, ARENA_SIZE, ground->outside, later);
		if (strcmp(later, ground->digest[i])) {
			printf("wrong: BAR %d was written where it was not mapped\n",
			       i);
			ok = false;
		}
		host_sha256(i, 0, ARENA_SIZE, later);
		if (strcmp(later, digest)) {
			printf("wrong: BAR %d is written by nobody\n", i);
			ok = false;
		}
	}
	return ok;
}

static void show_tally(FILE *file, bool json)
{
	const char *separator = "";

	for (unsigned int i = 0; i < nr_operations; i++) {
		fprintf(file,
			json ? "%s{\"step\": \"%s\", \"tried\": %lu, \"worked\": %lu}"
			     : "%s  %-12s tried %8lu, worked %8lu\n",
			separator, operations[i].name, tally->tried[i],
			tally->worked[i]);
		separator = json ? ",\n    " : "";
	}
}

static void short_run(void **state)
{
	struct ground ground;
	struct fuzz_case c;

	(void)state;
	ground_find(&ground);
	for (unsigned int i = 0; i < SHORT_CASES; i++) {
		case_from_seed(&c, SHORT_SEED + i, STEPS);
		assert_true(run_case(&c, &ground));
	}
	assert_true(look_outside(&ground));
	show_tally(stdout, false);
	/* A fuzzer of which nothing works finds nothing. */
	for (unsigned int i = 0; i < nr_operations; i++)
		assert_true(tally->tried[i] > 0);
	assert_true(tally->foretold > SHORT_CASES);
}

#define CORPUS "fuzz-corpus"

static void corpus(void **state)
{
	char program[PATH_SIZE], pattern[PATH_SIZE + 32];
	struct ground ground;
	struct fuzz_case c;
	ssize_t length;
	glob_t found;

	(void)state;
	length = readlink("/proc/self/exe", program, sizeof(program) - 1);
	assert_true(length > 0);
	program[length] = '\0';
	snprintf(pattern, sizeof(pattern), "%s/%s/*.steps", dirname(program),
		 CORPUS);
	assert_int_equal(glob(pattern, 0, NULL, &found), 0);
	ground_find(&ground);
	for (size_t i = 0; i < found.gl_pathc; i++) {
		print_message("%s\n", found.gl_pathv[i]);
		assert_true(case_from_file(&c, found.gl_pathv[i]));
		assert_true(run_case(&c, &ground));
	}
	assert_true(look_outside(&ground));
	globfree(&found);
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

struct options {
	uint64_t seed;
	unsigned long cases;
	unsigned int steps;
	double seconds;
	const char *folder;
	const char *file; /* one case from it, instead of seeds */
	bool show;	  /* the first case, instead of running it */
};

static void write_results(const struct options *o, unsigned long cases,
			  double seconds, bool ok)
{
	char path[PATH_SIZE];
	FILE *file;

	if (!o->folder)
		return;
	snprintf(path, sizeof(path), "%s/result.json", o->folder);
	file = fopen(path, "w");
	assert_non_null(file);
	fprintf(file,
		"{\"ok\": %s, \"first_seed\": %" PRIu64
		", \"cases\": %lu, \"steps_each\": %u, \"seconds\": %.1f, \"foretold\": %lu,\n  \"steps\": [\n    ",
		ok ? "true" : "false", o->seed, cases, o->steps, seconds,
		tally->foretold);
	show_tally(file, true);
	fprintf(file, "]}\n");
	fclose(file);
	snprintf(path, sizeof(path), "%s/coverage", o->folder);
	file = fopen(path, "w");
	assert_non_null(file);
	coverage_write(file);
	fclose(file);
}

static int run_many(const struct options *o)
{
	double start = now(), told = start;
	struct ground ground;
	struct fuzz_case c;
	unsigned long n;
	bool ok = true;

	setvbuf(stdout, NULL, _IOLBF, 0);
	ground_find(&ground);
	for (n = 0; ok && n < o->cases && now() - start < o->seconds; n++) {
		case_from_seed(&c, o->seed + n, o->steps);
		ok = run_case(&c, &ground);
		if (ok && n % LOOK_OUTSIDE == 0)
			ok = look_outside(&ground);
		if (now() - told < PROGRESS_SECONDS)
			continue;
		told = now();
		printf("%lu cases, seed %" PRIu64 ", %.0f s\n", n + 1, c.seed,
		       told - start);
	}
	ok = look_outside(&ground) && ok;
	show_tally(stdout, false);
	write_results(o, n, now() - start, ok);
	return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int run_file(const char *path)
{
	struct ground ground;
	struct fuzz_case c;

	if (!case_from_file(&c, path)) {
		fprintf(stderr, "%s: not a case\n", path);
		return 2;
	}
	ground_find(&ground);
	return run_case(&c, &ground) ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int run_by_hand(int argc, char **argv)
{
	struct options o = {
		.seed = 1, .cases = ULONG_MAX, .steps = STEPS, .seconds = 60
	};
	struct fuzz_case shown;
	int option;

	while ((option = getopt(argc, argv, "s:c:n:t:o:f:p")) != -1) {
		if (option == 's')
			o.seed = strtoull(optarg, NULL, 0);
		else if (option == 'c')
			o.cases = strtoul(optarg, NULL, 0);
		else if (option == 'n')
			o.steps = strtoul(optarg, NULL, 0);
		else if (option == 't')
			o.seconds = strtod(optarg, NULL);
		else if (option == 'o')
			o.folder = optarg;
		else if (option == 'f')
			o.file = optarg;
		else if (option == 'p')
			o.show = true;
		else
			return 2;
	}
	if (!o.steps || o.steps > MOST_STEPS)
		return 2;
	if (o.show) {
		case_from_seed(&shown, o.seed, o.steps);
		case_print(&shown, stdout);
		return EXIT_SUCCESS;
	}
	return o.file ? run_file(o.file) : run_many(&o);
}

static const struct test tests[] = {
	TEST_WITHIN(900, "fuzz/short", short_run),
	TEST_WITHIN(300, "fuzz/corpus", corpus),
};

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "run"))
		return run_by_hand(argc - 1, argv + 1);
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
