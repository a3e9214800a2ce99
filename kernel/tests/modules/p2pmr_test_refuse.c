// SPDX-License-Identifier: GPL-2.0
/*
 * Functions of the kernel that fail when they are told to, for tests: a call does
 * not reach the function but returns an errno, so many times. For functions that
 * return an int or an error pointer. Root only.
 */
#include <linux/atomic.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/ptrace.h>

#define MAX_FUNCTIONS 2

static char *functions[MAX_FUNCTIONS];
static int nr_functions;
module_param_array(functions, charp, &nr_functions, 0);
MODULE_PARM_DESC(functions, "Their names");

static int errors[MAX_FUNCTIONS];
module_param_array(errors, int, NULL, 0);
MODULE_PARM_DESC(errors, "What each returns, as a positive errno");

static int times[MAX_FUNCTIONS];
module_param_array(times, int, NULL, 0444);
MODULE_PARM_DESC(times, "How often each fails, and how often it is still to fail");

static struct kprobe probes[MAX_FUNCTIONS];
static DEFINE_SPINLOCK(times_lock);

/* Each runs in the place of a function, with its arguments and its caller. */
static noinline notrace long answer_first(void)
{
	return -errors[0];
}

static noinline notrace long answer_second(void)
{
	return -errors[1];
}

static long (* const answers[MAX_FUNCTIONS])(void) = {
	answer_first, answer_second
};

/* At the function's first instruction, so that the caller's frame is on top. */
static int enter(struct kprobe *probe, struct pt_regs *regs)
{
	unsigned int i = probe - probes;
	unsigned long flags;
	bool fails;

	spin_lock_irqsave(&times_lock, flags);
	fails = times[i] > 0;
	if (fails)
		times[i]--;
	spin_unlock_irqrestore(&times_lock, flags);
	if (!fails)
		return 0;
	instruction_pointer_set(regs, (unsigned long)answers[i]);
	return 1;
}

static void remove_probes(int n)
{
	while (n--)
		unregister_kprobe(&probes[n]);
}

static int __init refuse_init(void)
{
	int i, ret;

	for (i = 0; i < nr_functions; i++) {
		probes[i].symbol_name = functions[i];
		probes[i].pre_handler = enter;
		ret = register_kprobe(&probes[i]);
		if (ret) {
			pr_err("p2pmr_test_refuse: %s: %d\n", functions[i], ret);
			remove_probes(i);
			return ret;
		}
	}
	return 0;
}

static void __exit refuse_exit(void)
{
	remove_probes(nr_functions);
}

module_init(refuse_init);
module_exit(refuse_exit);

MODULE_DESCRIPTION("Functions that fail on demand, for the tests of p2pmr");
MODULE_AUTHOR("The p2pmr authors");
MODULE_LICENSE("GPL");
