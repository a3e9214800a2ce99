// SPDX-License-Identifier: GPL-2.0
/*
 * P2PMR_IOC_LIST and P2PMR_IOC_STATS: which ranges there are, and what has
 * happened.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/pid_namespace.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "chardev.h"

/* Ranges described in one go, under a lock that others want too. */
#define BATCH 32

static_assert(P2PMR_STATE_SETUP == (int)P2PMR_SETUP);
static_assert(P2PMR_STATE_LIVE == (int)P2PMR_LIVE);
static_assert(P2PMR_STATE_REVOKING == (int)P2PMR_REVOKING);
static_assert(P2PMR_STATE_REVOKED == (int)P2PMR_REVOKED);

/* Who asks, and for what. */
struct asker {
	kuid_t uid;
	bool everybody;
	bool all_states;
};

/* Segments are complete, and stay, exactly while the range is live. */
static void describe_segments(struct p2pmr_list_range *out,
			      const struct p2pmr_range *range)
{
	const struct p2pmr_segment *first = &range->segs[range->first_device_seg];

	lockdep_assert_held(&range->lock);
	out->device_segments = range->nr_device_segs;
	if (!range->nr_device_segs)
		return;
	p2pmr_locate(&out->location, &range->pieces[first->piece], first);
}

/* False: not one of those that are asked for. */
static bool describe(struct p2pmr_list_range *out, struct p2pmr_range *range,
		     const struct asker *asker)
{
	ktime_t age = ktime_sub(ktime_get_boottime(), range->since);
	kuid_t uid = p2pmr_range_uid(range);

	lockdep_assert_held(&p2pmr_ranges_lock);
	if (!asker->everybody && !uid_eq(uid, asker->uid))
		return false;

	memset(out, 0, sizeof(*out));
	spin_lock(&range->lock);
	out->state = range->state;
	if (range->state == P2PMR_LIVE)
		describe_segments(out, range);
	spin_unlock(&range->lock);
	if (out->state != P2PMR_STATE_LIVE && !asker->all_states)
		return false;

	out->id = range->id;
	out->length = range->length;
	out->device_bytes = range->device_bytes;
	out->age_ms = ktime_to_ms(age);
	out->pid = pid_nr_ns(range->pid, task_active_pid_ns(current));
	out->uid = from_kuid_munged(current_user_ns(), uid);
	out->flags = range->write ? P2PMR_RANGE_WRITE : 0;
	strscpy(out->importer, range->ops->name, sizeof(out->importer));
	p2pmr_instance_name(range->ops, out->instance);
	if (asker->everybody || range->mm == current->mm)
		out->address = range->start;
	return true;
}

/* The next ranges after @after; returns how many, at most @max. */
static unsigned int next_batch(struct p2pmr_list_range *batch, unsigned int max,
			       u64 after, const struct asker *asker)
{
	struct p2pmr_range *range;
	unsigned int n = 0;

	mutex_lock(&p2pmr_ranges_lock);
	list_for_each_entry(range, &p2pmr_ranges, link) {
		if (n == max)
			break;
		if (range->id > after && describe(&batch[n], range, asker))
			n++;
	}
	mutex_unlock(&p2pmr_ranges_lock);
	return n;
}

static int list(struct p2pmr_ioc_list *list, struct p2pmr_array *out,
		struct p2pmr_list_range *batch, const struct asker *asker)
{
	unsigned int i, n, max;
	u64 after = list->after;
	int ret;

	do {
		if (fatal_signal_pending(current))
			return -EINTR;
		max = min_t(u32, BATCH, out->capacity - out->count);
		n = next_batch(batch, max, after, asker);
		for (i = 0; i < n; i++) {
			ret = p2pmr_array_add(out, &batch[i], sizeof(*batch));
			if (ret)
				return ret;
			after = batch[i].id;
		}
	} while (n == max && out->count < out->capacity);
	list->count = out->count;
	return 0;
}

/* arg is the caller's struct p2pmr_ioc_list, and becomes the answer. */
int p2pmr_ioctl_list(struct p2pmr_file *file, void *arg)
{
	struct p2pmr_ioc_list *request = arg;
	struct asker asker = {
		.uid = current_uid(),
		.everybody = ns_capable_noaudit(&init_user_ns, CAP_SYS_ADMIN),
		.all_states = request->flags & P2PMR_LIST_ALL,
	};
	struct p2pmr_list_range *batch;
	struct p2pmr_array out;
	int ret;

	if (request->flags & ~P2PMR_LIST_ALL || request->reserved ||
	    !request->capacity)
		return -EINVAL;
	ret = p2pmr_array_init(&out, request->ranges, request->range_size,
			       offsetofend(struct p2pmr_list_range, location),
			       request->capacity);
	if (ret)
		return ret;
	batch = kmalloc_array(BATCH, sizeof(*batch), GFP_KERNEL);
	if (!batch)
		return -ENOMEM;
	ret = list(request, &out, batch, &asker);
	kfree(batch);
	return ret;
}

/*
 * arg is the caller's struct p2pmr_ioc_stats, and becomes the answer. The
 * counters are of the whole machine and for everybody, like /proc/vmstat.
 */
int p2pmr_ioctl_stats(struct p2pmr_file *file, void *arg)
{
	struct p2pmr_ioc_stats *request = arg;
	struct p2pmr_array out;
	unsigned int i;
	int ret;

	if (request->flags || request->reserved)
		return -EINVAL;
	ret = p2pmr_array_init(&out, request->stats, request->stat_size,
			       sizeof(struct p2pmr_stat), request->capacity);
	for (i = 0; !ret && i < P2PMR_NR_COUNTERS; i++) {
		struct p2pmr_stat stat = { .value = p2pmr_counter_read(i) };

		strscpy(stat.name, p2pmr_counter_name(i), sizeof(stat.name));
		ret = p2pmr_array_add(&out, &stat, sizeof(stat));
	}
	if (ret)
		return ret;
	request->count = out.count;
	return out.count > out.capacity ? -ENOSPC : 0;
}
