// SPDX-License-Identifier: GPL-2.0
/*
 * P2PMR_IOC_WATCH: who has opened /dev/p2pmr reads what happens. Each file has
 * a queue of its own, which is allocated in advance: an event may come under
 * range->lock, or from whoever reclaims memory.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/pid_namespace.h>
#include <linux/poll.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "chardev.h"

/* About 100 KiB for each file. */
#define QUEUE_CAPACITY 256
#define USER_MAX_WATCHES 16

static const u32 causes[] = {
	[P2PMR_CAUSE_UNMAP] = P2PMR_REVOKED_UNMAP,
	[P2PMR_CAUSE_PROTECT] = P2PMR_REVOKED_PROTECT,
	[P2PMR_CAUSE_EXIT] = P2PMR_REVOKED_EXIT,
	[P2PMR_CAUSE_DEVICE] = P2PMR_REVOKED_DEVICE,
	[P2PMR_CAUSE_EXPORTER] = P2PMR_REVOKED_EXPORTER,
	[P2PMR_CAUSE_IMPORTER] = P2PMR_REVOKED_IMPORTER,
};

/**
 * struct p2pmr_record - an event before its reader is known
 * @event: without what depends on him
 * @pid: referenced while in a queue
 * @uid: whose event it is
 */
struct p2pmr_record {
	struct p2pmr_event event;
	struct pid *pid;
	kuid_t uid;
};

static LIST_HEAD(watches);
static DEFINE_SPINLOCK(watches_lock); /* the list, and all watches in it */

/* Usually not, and then this is all that an event costs. */
static bool anybody_watches(void)
{
	return !list_empty(&watches);
}

void p2pmr_watch_init(struct p2pmr_watch *watch)
{
	memset(watch, 0, sizeof(*watch));
	INIT_LIST_HEAD(&watch->link);
	init_waitqueue_head(&watch->wait);
}

static struct p2pmr_record *first_record(struct p2pmr_watch *watch)
{
	return &watch->records[watch->first];
}

static void drop_first(struct p2pmr_watch *watch)
{
	put_pid(first_record(watch)->pid);
	watch->first = (watch->first + 1) % QUEUE_CAPACITY;
	WRITE_ONCE(watch->count, watch->count - 1);
}

static void lose(struct p2pmr_watch *watch, u64 time_ns)
{
	WRITE_ONCE(watch->lost, watch->lost + 1);
	watch->lost_ns = time_ns;
}

static void append(struct p2pmr_watch *watch, const struct p2pmr_record *record)
{
	struct p2pmr_record *place;

	lockdep_assert_held(&watches_lock);
	if (watch->count == QUEUE_CAPACITY) {
		lose(watch, first_record(watch)->event.time_ns);
		drop_first(watch);
	}
	place = &watch->records[(watch->first + watch->count) % QUEUE_CAPACITY];
	*place = *record;
	get_pid(place->pid);
	WRITE_ONCE(watch->count, watch->count + 1);
	wake_up_interruptible(&watch->wait);
}

static void publish(struct p2pmr_record *record)
{
	struct p2pmr_watch *watch;

	spin_lock(&watches_lock);
	record->event.time_ns = ktime_get_boottime_ns();
	list_for_each_entry(watch, &watches, link)
		if (watch->everybody || uid_eq(watch->uid, record->uid))
			append(watch, record);
	spin_unlock(&watches_lock);
}

static void describe_importer(struct p2pmr_event *event,
			      const struct p2pmr_range_ops *importer)
{
	strscpy(event->importer, importer->name, sizeof(event->importer));
	p2pmr_instance_name(importer, event->instance);
}

static void describe_process(struct p2pmr_record *record, struct pid *pid)
{
	struct task_struct *task;

	record->pid = pid;
	rcu_read_lock();
	task = pid_task(pid, PIDTYPE_TGID);
	if (task)
		strscpy(record->event.command, task->comm,
			sizeof(record->event.command));
	rcu_read_unlock();
}

static void describe_location(struct p2pmr_event *event,
			      const struct p2pmr_range *range)
{
	const struct p2pmr_segment *first = &range->segs[range->first_device_seg];

	if (range->nr_device_segs)
		p2pmr_locate(&event->location, &range->pieces[first->piece],
			     first);
}

static noinline void tell_range(const struct p2pmr_range *range, u32 type)
{
	struct p2pmr_record record = {
		.event.type = type,
		.event.flags = range->write ? P2PMR_RANGE_WRITE : 0,
		.event.id = range->id,
		.event.address = range->start,
		.event.length = range->length,
		.event.device_bytes = range->device_bytes,
		.uid = p2pmr_range_uid(range),
	};

	if (type == P2PMR_EVENT_REVOKE)
		record.event.cause = causes[range->cause];
	describe_process(&record, range->pid);
	describe_importer(&record.event, range->ops);
	describe_location(&record.event, range);
	publish(&record);
}

/**
 * p2pmr_watch_range() - something happens to a range
 * @range: its segments and pieces stay during the call
 * @type: P2PMR_EVENT_*
 *
 * Does not sleep.
 */
void p2pmr_watch_range(const struct p2pmr_range *range, u32 type)
{
	if (anybody_watches())
		tell_range(range, type);
}

static noinline void tell_refusal(const struct p2pmr_range_ops *importer,
				  int error, struct va_format *reason)
{
	struct p2pmr_record record = {
		.event.type = P2PMR_EVENT_REFUSE,
		.event.error = -error,
		.uid = current_uid(),
	};

	describe_process(&record, task_tgid(current));
	describe_importer(&record.event, importer);
	snprintf(record.event.reason, sizeof(record.event.reason), "%pV",
		 reason);
	publish(&record);
}

/**
 * p2pmr_watch_refusal() - the current process does not get what it asked for
 * @importer: through whom it asked
 * @error: negative errno
 * @reason: for people
 *
 * Does not sleep.
 */
void p2pmr_watch_refusal(const struct p2pmr_range_ops *importer, int error,
			 struct va_format *reason)
{
	if (anybody_watches())
		tell_refusal(importer, error, reason);
}

static bool sees_everything(void)
{
	return ns_capable_noaudit(&init_user_ns, CAP_SYS_ADMIN);
}

/* The first record, whose @pid is the caller's to put; or that some were lost. */
static int take_record(struct p2pmr_watch *watch, size_t room, bool everything,
		       struct p2pmr_record *record)
{
	lockdep_assert_held(&watches_lock);
	if (!watch->records)
		return -EINVAL;
	if (!everything &&
	    (watch->everybody || !uid_eq(watch->uid, current_uid())))
		return -EPERM;
	if (room < watch->event_size)
		return -EINVAL;
	if (watch->lost) {
		record->event.type = P2PMR_EVENT_LOST;
		record->event.lost = watch->lost;
		record->event.time_ns = watch->lost_ns;
		WRITE_ONCE(watch->lost, 0);
		return 0;
	}
	if (!watch->count)
		return -EAGAIN;
	*record = *first_record(watch);
	get_pid(record->pid);
	drop_first(watch);
	return 0;
}

/* The next event, as the current process may see it. */
static int take(struct p2pmr_watch *watch, size_t room,
		struct p2pmr_event *event, u32 *event_size)
{
	bool everything = sees_everything();
	struct p2pmr_record record = {};
	int ret;

	spin_lock(&watches_lock);
	ret = take_record(watch, room, everything, &record);
	*event_size = watch->event_size;
	spin_unlock(&watches_lock);

	if (record.pid) {
		if (!everything && record.pid != task_tgid(current))
			record.event.address = 0;
		record.event.pid = pid_nr_ns(record.pid,
					     task_active_pid_ns(current));
		record.event.uid = from_kuid_munged(current_user_ns(),
						    record.uid);
		put_pid(record.pid);
	}
	*event = record.event;
	return ret;
}

static int give(char __user *buf, const struct p2pmr_event *event, u32 size)
{
	u32 known = min_t(u32, size, sizeof(*event));

	if (copy_to_user(buf, event, known) ||
	    clear_user(buf + known, size - known))
		return -EFAULT;
	return 0;
}

static bool has_news(const struct p2pmr_watch *watch)
{
	return READ_ONCE(watch->count) || READ_ONCE(watch->lost);
}

/* As many events as there are and fit, at least one. */
ssize_t p2pmr_watch_read(struct p2pmr_watch *watch, char __user *buf,
			 size_t size, bool wait)
{
	struct p2pmr_event event;
	size_t done = 0;
	u32 event_size;
	int ret;

	for (;;) {
		ret = take(watch, size - done, &event, &event_size);
		if (ret == -EAGAIN && wait && !done) {
			ret = wait_event_interruptible(watch->wait,
						       has_news(watch));
			if (!ret)
				continue;
		}
		if (ret)
			break;
		ret = give(buf + done, &event, event_size);
		if (ret) {
			/* What nobody has received is lost. */
			spin_lock(&watches_lock);
			lose(watch, event.time_ns);
			spin_unlock(&watches_lock);
			break;
		}
		done += event_size;
		cond_resched();
	}
	return done ?: ret;
}

__poll_t p2pmr_watch_poll(struct p2pmr_watch *watch, struct file *file,
			  poll_table *table)
{
	poll_wait(file, &watch->wait, table);
	if (!READ_ONCE(watch->records))
		return EPOLLERR;
	return has_news(watch) ? EPOLLIN | EPOLLRDNORM : 0;
}

/* Those of a user, @but for one. */
static unsigned int count_watches(kuid_t uid, const struct p2pmr_watch *but)
{
	const struct p2pmr_watch *watch;
	unsigned int n = 0;

	lockdep_assert_held(&watches_lock);
	list_for_each_entry(watch, &watches, link)
		if (watch != but && uid_eq(watch->uid, uid))
			n++;
	return n;
}

static void clear(struct p2pmr_watch *watch)
{
	while (watch->count)
		drop_first(watch);
	WRITE_ONCE(watch->lost, 0);
}

/* Begin, with @records, or if it has begun before, begin anew and use none. */
static bool begin(struct p2pmr_watch *watch, struct p2pmr_record *records,
		  u32 event_size)
{
	bool used = false;

	lockdep_assert_held(&watches_lock);
	clear(watch);
	watch->event_size = event_size;
	watch->uid = current_uid();
	watch->everybody = sees_everything();
	if (!watch->records) {
		WRITE_ONCE(watch->records, records);
		list_add_tail(&watch->link, &watches);
		used = true;
	}
	return used;
}

/* arg is the caller's struct p2pmr_ioc_watch, and becomes the answer. */
int p2pmr_ioctl_watch(struct p2pmr_file *file, void *arg)
{
	bool limited = !ns_capable_noaudit(&init_user_ns, CAP_SYS_RESOURCE);
	struct p2pmr_watch *watch = &file->watch;
	struct p2pmr_ioc_watch *request = arg;
	struct p2pmr_record *records;
	struct p2pmr_array unused;
	int ret;

	if (request->flags)
		return -EINVAL;
	ret = p2pmr_array_init(&unused, 0, request->event_size,
			       sizeof(struct p2pmr_event), 0);
	if (ret)
		return ret;
	records = kvcalloc(QUEUE_CAPACITY, sizeof(*records),
			   GFP_KERNEL_ACCOUNT);
	if (!records)
		return -ENOMEM;
	request->capacity = QUEUE_CAPACITY;

	spin_lock(&watches_lock);
	if (limited && count_watches(current_uid(), watch) >= USER_MAX_WATCHES)
		ret = -EDQUOT;
	else if (begin(watch, records, request->event_size))
		records = NULL;
	spin_unlock(&watches_lock);
	kvfree(records);
	return ret;
}

/* The file is being closed: nobody else has it. */
void p2pmr_watch_end(struct p2pmr_watch *watch)
{
	spin_lock(&watches_lock);
	list_del(&watch->link);
	spin_unlock(&watches_lock);
	clear(watch);
	kvfree(watch->records);
}
