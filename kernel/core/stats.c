// SPDX-License-Identifier: GPL-2.0
/*
 * What can be seen: the kernel log's refusals, tracepoints, counters, and the
 * live ranges in debugfs (for root and for people only; no ABI).
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/debugfs.h>
#include <linux/export.h>
#include <linux/ratelimit.h>
#include <linux/sched.h>
#include <linux/seq_file.h>
#include <linux/slab.h>

#include "core.h"

#define CREATE_TRACE_POINTS
#include "trace.h"

static atomic64_t counters[P2PMR_NR_COUNTERS];

static const char * const counter_names[P2PMR_NR_COUNTERS] = {
	[P2PMR_COUNT_REGISTERED] = "registered",
	[P2PMR_COUNT_DEREGISTERED] = "deregistered_live",
	[P2PMR_COUNT_REFUSED] = "refused",
	[P2PMR_COUNT_RETRIED] = "retried",
	[P2PMR_COUNT_REVOKED + P2PMR_CAUSE_UNMAP] = "revoked_unmap",
	[P2PMR_COUNT_REVOKED + P2PMR_CAUSE_PROTECT] = "revoked_protect",
	[P2PMR_COUNT_REVOKED + P2PMR_CAUSE_EXIT] = "revoked_exit",
	[P2PMR_COUNT_REVOKED + P2PMR_CAUSE_DEVICE] = "revoked_device",
	[P2PMR_COUNT_REVOKED + P2PMR_CAUSE_EXPORTER] = "revoked_exporter",
	[P2PMR_COUNT_REVOKED + P2PMR_CAUSE_IMPORTER] = "revoked_importer",
};

void p2pmr_count(enum p2pmr_counter counter)
{
	atomic64_inc(&counters[counter]);
}

u64 p2pmr_counter_read(enum p2pmr_counter counter)
{
	return atomic64_read(&counters[counter]);
}

const char *p2pmr_counter_name(enum p2pmr_counter counter)
{
	return counter_names[counter];
}

/**
 * p2pmr_refuse() - tell the one who asked why he does not get it
 * @importer: through whom he asked
 * @error: negative errno that he gets instead
 * @fmt: the reason, without a newline
 *
 * One rate-limited line in the kernel log, a trace event, an event for those who
 * watch, and a count; none of them for a query, which asks for nothing that
 * could be refused. To be called in the context of the process that asked, whose
 * name in the log is escaped: it can be anything.
 *
 * Return: @error.
 */
int p2pmr_refuse(const struct p2pmr_range_ops *importer, int error,
		 const char *fmt, ...)
{
	struct va_format vaf = { .fmt = fmt };
	char instance[P2PMR_INSTANCE_NAME] = "", comm[TASK_COMM_LEN];
	va_list args;

	if (importer == &p2pmr_query_ops)
		return error;
	p2pmr_instance_name(importer, instance);
	va_start(args, fmt);
	vaf.va = &args;
	p2pmr_count(P2PMR_COUNT_REFUSED);
	trace_p2pmr_refuse(task_pid_nr(current), importer->name, &vaf);
	p2pmr_watch_refusal(importer, error, &vaf);
	strscpy(comm, current->comm, sizeof(comm));
	pr_notice_ratelimited("%s: refused for %*pE[%d]: %pV\n",
			      *instance ? instance : importer->name,
			      (int)strlen(comm), comm, task_pid_nr(current),
			      &vaf);
	va_end(args);
	return error;
}
EXPORT_SYMBOL_GPL(p2pmr_refuse);

static const char * const state_names[] = {
	[P2PMR_SETUP] = "setup",
	[P2PMR_LIVE] = "live",
	[P2PMR_REVOKING] = "revoking",
	[P2PMR_REVOKED] = "revoked",
};

/* Segments are complete, and stay, exactly while the range is live. */
static void show_segments(struct seq_file *s, const struct p2pmr_range *range)
{
	const struct p2pmr_segment *first = &range->segs[range->first_device_seg];
	const struct p2pmr_piece *piece = &range->pieces[first->piece];

	lockdep_assert_held(&range->lock);
	seq_printf(s, " segments=%u device_segments=%u", range->nr_segs,
		   range->nr_device_segs);
	if (range->nr_device_segs)
		seq_printf(s, " %s:%s:bar%d:%llu", p2pmr_piece_name(piece),
			   piece->map.dev ? dev_name(piece->map.dev) : "-",
			   piece->map.bar, first->len);
}

/**
 * p2pmr_range_show() - describe a range in one line of a debugfs file
 * @s: the file; gets the line with its end
 * @range: the caller makes sure that it is not unmapped meanwhile
 *
 * Of a live range it names the first segment of device memory.
 */
void p2pmr_range_show(struct seq_file *s, struct p2pmr_range *range)
{
	u64 age = ktime_to_ms(ktime_sub(ktime_get_boottime(), range->since));

	spin_lock(&range->lock);
	seq_printf(s, "pid=%d importer=%s state=%s age_ms=%llu length=%zu device_bytes=%llu write=%d",
		   pid_nr(range->pid), range->ops->name, state_names[range->state], age,
		   range->length, range->device_bytes, range->write);
	if (range->state == P2PMR_LIVE)
		show_segments(s, range);
	spin_unlock(&range->lock);
	seq_putc(s, '\n');
}
EXPORT_SYMBOL_GPL(p2pmr_range_show);

static int ranges_show(struct seq_file *s, void *unused)
{
	struct p2pmr_range *range;

	mutex_lock(&p2pmr_ranges_lock);
	list_for_each_entry(range, &p2pmr_ranges, link)
		p2pmr_range_show(s, range);
	mutex_unlock(&p2pmr_ranges_lock);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(ranges);

static int counters_show(struct seq_file *s, void *unused)
{
	int i;

	for (i = 0; i < P2PMR_NR_COUNTERS; i++)
		seq_printf(s, "%s %llu\n", counter_names[i],
			   p2pmr_counter_read(i));
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(counters);

struct dentry *p2pmr_debugfs_dir;
EXPORT_SYMBOL_GPL(p2pmr_debugfs_dir);

void p2pmr_debugfs_init(void)
{
	p2pmr_debugfs_dir = debugfs_create_dir(CORE_NAME, NULL);
	debugfs_create_file("ranges", 0400, p2pmr_debugfs_dir, NULL, &ranges_fops);
	debugfs_create_file("counters", 0400, p2pmr_debugfs_dir, NULL, &counters_fops);
}

void p2pmr_debugfs_exit(void)
{
	debugfs_remove_recursive(p2pmr_debugfs_dir);
}
