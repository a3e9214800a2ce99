// SPDX-License-Identifier: GPL-2.0
/*
 * An importer that goes one step at a time, for tests: an open file is one range of
 * the writer's addresses, or of a dma-buf; what is written to it is the next step,
 * whose errno the write answers, and what is read tells what has happened. Root only.
 */
#include <linux/dma-buf.h>
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/p2pmr.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <asm/pgtable_types.h>

#include "compat.h"

P2PMR_IMPORT_NS_DMA_BUF;

/**
 * struct importer - an open file
 * @range: what it imports
 * @lock: one step at a time; not for the two counts
 * @mapped: @range is there, live or not
 * @refuses: says that it cannot end accesses
 * @activated: calls of activate()
 * @revoked: calls of revoke()
 */
struct importer {
	struct p2pmr_range range;
	struct mutex lock;
	bool mapped;
	bool refuses;
	unsigned int activated;
	unsigned int revoked;
};

static void importer_activate(struct p2pmr_range *range)
{
	container_of(range, struct importer, range)->activated++;
}

static int importer_revoke(struct p2pmr_range *range, enum p2pmr_cause cause)
{
	struct importer *importer = container_of(range, struct importer, range);

	importer->revoked++;
	return importer->refuses ? -EIO : 0;
}

static const struct p2pmr_range_ops importer_ops = {
	.name = KBUILD_MODNAME,
	.activate = importer_activate,
	.revoke = importer_revoke,
};

static int map(struct importer *importer, unsigned long start, unsigned long len)
{
	int ret;

	if (importer->mapped)
		return -EBUSY;
	ret = p2pmr_range_map(&importer->range, start, len, P2PMR_MAP_WRITE,
			      &importer_ops);
	importer->mapped = !ret;
	return ret;
}

static int map_dmabuf(struct importer *importer, int fd, unsigned long offset,
		      unsigned long len)
{
	struct dma_buf *dmabuf;
	int ret;

	if (importer->mapped)
		return -EBUSY;
	dmabuf = dma_buf_get(fd);
	if (IS_ERR(dmabuf))
		return PTR_ERR(dmabuf);
	ret = p2pmr_range_map_dmabuf(&importer->range, dmabuf, offset, len,
				     P2PMR_MAP_WRITE, &importer_ops);
	dma_buf_put(dmabuf);
	importer->mapped = !ret;
	return ret;
}

static void unmap(struct importer *importer)
{
	if (importer->mapped)
		p2pmr_range_unmap(&importer->range);
	importer->mapped = false;
}

/* "map ADDRESS LENGTH" or "dmabuf FD OFFSET LENGTH", then any of the others. */
static int step(struct importer *importer, const char *line)
{
	unsigned long start, len;
	int fd, ret = 0;

	if (sscanf(line, "dmabuf %d %lx %lx", &fd, &start, &len) == 3)
		return map_dmabuf(importer, fd, start, len);
	if (sscanf(line, "map %lx %lx", &start, &len) == 2)
		return map(importer, start, len);
	if (!importer->mapped)
		return -EINVAL;
	if (sysfs_streq(line, "kernel"))
		ret = p2pmr_range_map_kernel(&importer->range);
	else if (sysfs_streq(line, "commit"))
		ret = p2pmr_range_commit(&importer->range);
	else if (sysfs_streq(line, "revoke"))
		p2pmr_range_revoke(&importer->range, P2PMR_CAUSE_IMPORTER);
	else if (sysfs_streq(line, "refuse"))
		importer->refuses = true;
	else if (sysfs_streq(line, "unmap"))
		unmap(importer);
	else
		ret = -EINVAL;
	return ret;
}

static ssize_t importer_write(struct file *file, const char __user *from,
			      size_t count, loff_t *pos)
{
	struct importer *importer = file->private_data;
	char line[64];
	int ret;

	if (count >= sizeof(line))
		return -EINVAL;
	if (copy_from_user(line, from, count))
		return -EFAULT;
	line[count] = '\0';
	mutex_lock(&importer->lock);
	ret = step(importer, line);
	mutex_unlock(&importer->lock);
	return ret ?: count;
}

/* Bytes of the range that the kernel's page tables map by huge pages. */
static u64 count_huge(const struct p2pmr_range *range)
{
	unsigned int i, level;
	u64 done, huge = 0;

	for (i = 0; i < range->nr_segs; i++) {
		const struct p2pmr_segment *seg = &range->segs[i];

		for (done = 0; seg->window && done < seg->len; done += PAGE_SIZE) {
			if (lookup_address((uintptr_t)seg->kaddr + done, &level) &&
			    level > PG_LEVEL_4K)
				huge += PAGE_SIZE;
		}
	}
	return huge;
}

static ssize_t importer_read(struct file *file, char __user *to, size_t count,
			     loff_t *pos)
{
	struct importer *importer = file->private_data;
	char line[64];
	int len;

	mutex_lock(&importer->lock);
	len = scnprintf(line, sizeof(line), "activated=%u revoked=%u huge=%llu\n",
			importer->activated, importer->revoked,
			importer->mapped ? count_huge(&importer->range) : 0);
	mutex_unlock(&importer->lock);
	return simple_read_from_buffer(to, count, pos, line, len);
}

static int importer_open(struct inode *inode, struct file *file)
{
	struct importer *importer = kzalloc(sizeof(*importer), GFP_KERNEL);

	if (!importer)
		return -ENOMEM;
	mutex_init(&importer->lock);
	file->private_data = importer;
	return 0;
}

static int importer_release(struct inode *inode, struct file *file)
{
	struct importer *importer = file->private_data;

	unmap(importer);
	kfree(importer);
	return 0;
}

static const struct file_operations importer_fops = {
	.owner = THIS_MODULE,
	.open = importer_open,
	.release = importer_release,
	.read = importer_read,
	.write = importer_write,
};

static struct miscdevice importer_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = KBUILD_MODNAME,
	.fops = &importer_fops,
	.mode = 0600,
};

module_misc_device(importer_device);

MODULE_DESCRIPTION("An importer for the tests of p2pmr");
MODULE_AUTHOR("The p2pmr authors");
MODULE_LICENSE("GPL");
