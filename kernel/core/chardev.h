/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the files behind /dev/p2pmr share.
 */
#ifndef P2PMR_CHARDEV_H
#define P2PMR_CHARDEV_H

#include <linux/poll.h>
#include <linux/types.h>
#include <linux/uidgid.h>
#include <linux/wait.h>

#include "core.h"

/**
 * struct p2pmr_array - an array of the caller's that is being filled
 * @base: its first element
 * @size: of one element, as the caller was compiled
 * @capacity: elements that there is room for
 * @count: elements that there are, more than @capacity or not
 */
struct p2pmr_array {
	void __user *base;
	u32 size;
	u32 capacity;
	u32 count;
};

struct p2pmr_record;

/**
 * struct p2pmr_watch - what a file has yet to tell of what happened
 * @link: in the list of those that are told; empty before P2PMR_IOC_WATCH
 * @wait: where readers wait
 * @records: a ring; NULL before P2PMR_IOC_WATCH
 * @first: index of the oldest record
 * @count: of records
 * @lost: events older than these that nobody was told of
 * @lost_ns: time of the last of them
 * @event_size: of an event, as who watches was compiled
 * @uid: whose events
 * @everybody: or everybody's
 */
struct p2pmr_watch {
	struct list_head link;
	wait_queue_head_t wait;
	struct p2pmr_record *records;
	unsigned int first;
	unsigned int count;
	u64 lost;
	u64 lost_ns;
	u32 event_size;
	kuid_t uid;
	bool everybody;
};

/**
 * struct p2pmr_file - an open file
 * @version: agreed upon, 0: none yet
 * @watch: what it has to tell
 */
struct p2pmr_file {
	u32 version;
	struct p2pmr_watch watch;
};

/* chardev.c */
int p2pmr_array_init(struct p2pmr_array *array, u64 base, u32 size,
		     u32 min_size, u32 capacity);
int p2pmr_array_add(struct p2pmr_array *array, const void *element, u32 size);

/* query.c */
int p2pmr_ioctl_query(struct p2pmr_file *file, void *arg);

/* report.c */
int p2pmr_ioctl_list(struct p2pmr_file *file, void *arg);
int p2pmr_ioctl_stats(struct p2pmr_file *file, void *arg);

/* exporter.c */
int p2pmr_ioctl_exporters(struct p2pmr_file *file, void *arg);

/* instance.c */
int p2pmr_ioctl_instances(struct p2pmr_file *file, void *arg);

/* pci_bar.c */
int p2pmr_ioctl_bar(struct p2pmr_file *file, void *arg);

/* topology.c */
int p2pmr_ioctl_reach(struct p2pmr_file *file, void *arg);

/* watch.c */
void p2pmr_watch_init(struct p2pmr_watch *watch);
int p2pmr_ioctl_watch(struct p2pmr_file *file, void *arg);
ssize_t p2pmr_watch_read(struct p2pmr_watch *watch, char __user *buf,
			 size_t size, bool wait);
__poll_t p2pmr_watch_poll(struct p2pmr_watch *watch, struct file *file,
			  poll_table *table);
void p2pmr_watch_end(struct p2pmr_watch *watch);

/* export.c: an argument with what becomes of it */
struct p2pmr_export {
	struct p2pmr_ioc_export arg;
	struct dma_buf *dmabuf;
};

int p2pmr_ioctl_export(struct p2pmr_file *file, void *arg);
void p2pmr_ioctl_export_end(void *arg, int ret);

/* location.c */
void p2pmr_locate(struct p2pmr_location *location,
		  const struct p2pmr_piece *piece,
		  const struct p2pmr_segment *seg);

#endif /* P2PMR_CHARDEV_H */
