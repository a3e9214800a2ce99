// SPDX-License-Identifier: GPL-2.0
/*
 * An importer with a real DMA engine, that of QEMU's educational device: maps
 * a range of the caller's addresses for it, or attaches to a dma-buf, and moves
 * bytes. For tests; root only, since it also does what a broken importer would.
 */
#include <linux/dma-mapping.h>
#include <linux/fs.h>
#include <linux/io.h>
#include <linux/iopoll.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "compat.h"
#include "edu.h"

P2PMR_IMPORT_NS_DMA_BUF;

#define REG_SOURCE	0x80
#define REG_TARGET	0x88
#define REG_COUNT	0x90
#define REG_COMMAND	0x98
#define COMMAND_RUN	BIT(0)
#define COMMAND_TO_RAM	BIT(1)
#define DEVICE_BUFFER	0x40000 /* where the engine sees its own buffer */

#define MAX_TRIES 10

/* The clients, their ranges as a whole, and the device coming and going. */
static DEFINE_MUTEX(clients_lock);
static LIST_HEAD(clients);
static struct pci_dev *edu;

/* The engine. Taken in revocations, so nobody sleeps on mmap_lock under it. */
static DEFINE_MUTEX(engine_lock);
static void __iomem *regs;

static void activate(struct p2pmr_range *range)
{
	WRITE_ONCE(container_of(range, struct client, range)->live, true);
}

/* Having the lock means that the engine stands still. */
void client_stop(struct client *client)
{
	mutex_lock(&engine_lock);
	client->live = false;
	mutex_unlock(&engine_lock);
}

static int revoke(struct p2pmr_range *range, enum p2pmr_cause cause)
{
	client_stop(container_of(range, struct client, range));
	return 0;
}

static const struct p2pmr_range_ops range_ops = {
	.name = KBUILD_MODNAME,
	.activate = activate,
	.revoke = revoke,
};

/* Consumes the array. */
void client_remember(struct client *client, struct edu_segment *segs,
		     unsigned int nr_segs, bool live)
{
	mutex_lock(&engine_lock);
	swap(client->segs, segs);
	client->nr_segs = nr_segs;
	client->live = live;
	mutex_unlock(&engine_lock);
	kvfree(segs);
}

static int remember(struct client *client)
{
	const struct p2pmr_range *range = &client->range;
	struct edu_segment *segs;
	unsigned int i;

	segs = kvcalloc(range->nr_segs, sizeof(*segs), GFP_KERNEL);
	if (!segs)
		return -ENOMEM;
	for (i = 0; i < range->nr_segs; i++) {
		segs[i].index = i;
		segs[i].dma = range->segs[i].dma;
		segs[i].length = range->segs[i].len;
		segs[i].host = range->segs[i].host;
	}
	client_remember(client, segs, range->nr_segs, false);
	return 0;
}

static int try_map(struct client *client, const struct edu_map *map)
{
	int ret = p2pmr_range_map(&client->range, map->address, map->length,
				  map->write, &range_ops);

	if (ret)
		return ret;
	ret = p2pmr_range_map_dma(&client->range, &edu->dev, map->direction);
	if (!ret)
		ret = remember(client);
	if (!ret)
		ret = p2pmr_range_commit(&client->range);
	if (ret)
		p2pmr_range_unmap(&client->range);
	return ret;
}

static int prepare(struct client *client, u32 mask_bits)
{
	lockdep_assert_held(&clients_lock);
	if (!edu)
		return -ENODEV;
	if (client->mapped || client->import)
		return -EBUSY;
	if (!mask_bits || mask_bits > 64)
		return -EINVAL;
	return dma_set_mask(&edu->dev, DMA_BIT_MASK(mask_bits));
}

static int client_map(struct client *client, const struct edu_map *map)
{
	int tries, ret;

	ret = prepare(client, map->mask_bits);
	if (ret)
		return ret;
	ret = -EAGAIN;
	for (tries = 0; ret == -EAGAIN && tries < MAX_TRIES; tries++)
		ret = try_map(client, map);
	client->mapped = !ret;
	return ret;
}

static int client_attach(struct client *client, const struct edu_attach *how)
{
	int ret = prepare(client, how->mask_bits);

	return ret ?: import_begin(client, &edu->dev, how);
}

static void client_unmap(struct client *client)
{
	lockdep_assert_held(&clients_lock);
	if (client->import)
		import_end(client);
	if (client->mapped)
		p2pmr_range_unmap(&client->range);
	client->mapped = false;
}

static int run_engine(u64 dma, u32 place, u32 length, bool store)
{
	u64 source = store ? DEVICE_BUFFER + place : dma;
	u64 target = store ? dma : DEVICE_BUFFER + place;
	u64 command;

	lockdep_assert_held(&engine_lock);
	writeq(source, regs + REG_SOURCE);
	writeq(target, regs + REG_TARGET);
	writeq(length, regs + REG_COUNT);
	writeq(COMMAND_RUN | (store ? COMMAND_TO_RAM : 0), regs + REG_COMMAND);
	return readq_poll_timeout(regs + REG_COMMAND, command,
				  !(command & COMMAND_RUN), 2000, 5000000);
}

/* Bytes go to, or come from, the beginning of the device's own buffer. */
static int run_segments(struct client *client, u64 offset, u32 length,
			bool store)
{
	u32 done = 0, part;
	unsigned int i;
	int ret;

	for (i = 0; i < client->nr_segs && done < length; i++) {
		const struct edu_segment *seg = &client->segs[i];

		if (offset >= seg->length) {
			offset -= seg->length;
			continue;
		}
		part = min_t(u64, length - done, seg->length - offset);
		ret = run_engine(seg->dma + offset, done, part, store);
		if (ret)
			return ret;
		done += part;
		offset = 0;
	}
	return done == length ? 0 : -EINVAL;
}

/* An importer that was told of a move maps again before it goes on. */
static int client_refresh(struct client *client)
{
	int ret = 0;

	mutex_lock(&clients_lock);
	if (client->import)
		ret = import_refresh(client);
	mutex_unlock(&clients_lock);
	return ret;
}

static int client_transfer(struct client *client,
			   const struct edu_transfer *transfer, bool store)
{
	int ret;

	if (!transfer->length || transfer->length > EDU_BUFFER)
		return -EINVAL;
	if (!(transfer->flags & EDU_REGARDLESS)) {
		ret = client_refresh(client);
		if (ret)
			return ret;
	}
	mutex_lock(&engine_lock);
	if (!regs)
		ret = -ENODEV;
	else if (!client->live && !(transfer->flags & EDU_REGARDLESS))
		ret = -ESTALE;
	else
		ret = run_segments(client, transfer->offset, transfer->length,
				   store);
	mutex_unlock(&engine_lock);
	return ret;
}

static int client_segment(struct client *client, struct edu_segment *segment)
{
	int ret = -ENOENT;

	mutex_lock(&engine_lock);
	if (segment->index < client->nr_segs) {
		*segment = client->segs[segment->index];
		ret = 0;
	}
	mutex_unlock(&engine_lock);
	return ret;
}

static int client_request(struct client *client, unsigned int request,
			  void *argument)
{
	int ret = 0;

	switch (request) {
	case EDU_LOAD:
	case EDU_STORE:
		return client_transfer(client, argument, request == EDU_STORE);
	case EDU_SEGMENT:
		return client_segment(client, argument);
	}
	mutex_lock(&clients_lock);
	if (request == EDU_MAP)
		ret = client_map(client, argument);
	else if (request == EDU_ATTACH)
		ret = client_attach(client, argument);
	else if (request == EDU_UNMAP)
		client_unmap(client);
	else
		ret = -ENOTTY;
	mutex_unlock(&clients_lock);
	return ret;
}

static long edu_ioctl(struct file *file, unsigned int request, unsigned long arg)
{
	void __user *user = (void __user *)arg;
	union {
		struct edu_map map;
		struct edu_attach attach;
		struct edu_transfer transfer;
		struct edu_segment segment;
	} argument = {};
	size_t size = min_t(size_t, _IOC_SIZE(request), sizeof(argument));
	int ret;

	if ((_IOC_DIR(request) & _IOC_WRITE) &&
	    copy_from_user(&argument, user, size))
		return -EFAULT;
	ret = client_request(file->private_data, request, &argument);
	if (!ret && (_IOC_DIR(request) & _IOC_READ) &&
	    copy_to_user(user, &argument, size))
		ret = -EFAULT;
	return ret;
}

static int edu_open(struct inode *inode, struct file *file)
{
	struct client *client = kzalloc(sizeof(*client), GFP_KERNEL);

	if (!client)
		return -ENOMEM;
	file->private_data = client;
	mutex_lock(&clients_lock);
	list_add(&client->link, &clients);
	mutex_unlock(&clients_lock);
	return 0;
}

static int edu_release(struct inode *inode, struct file *file)
{
	struct client *client = file->private_data;

	mutex_lock(&clients_lock);
	client_unmap(client);
	list_del(&client->link);
	mutex_unlock(&clients_lock);
	kvfree(client->segs);
	kfree(client);
	return 0;
}

static const struct file_operations edu_fops = {
	.owner = THIS_MODULE,
	.open = edu_open,
	.release = edu_release,
	.unlocked_ioctl = edu_ioctl,
};

static struct miscdevice edu_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "p2pmr_test_edu",
	.fops = &edu_fops,
	.mode = 0600,
};

static int edu_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	void __iomem *mapped;
	int ret;

	/* One at a time: the tests choose. */
	mutex_lock(&clients_lock);
	ret = edu ? -EBUSY : 0;
	mutex_unlock(&clients_lock);
	if (ret)
		return ret;
	ret = pci_enable_device(pdev);
	if (ret)
		return ret;
	ret = pci_request_regions(pdev, KBUILD_MODNAME);
	if (ret)
		goto disable;
	mapped = pci_iomap(pdev, 0, 0);
	if (!mapped) {
		ret = -ENOMEM;
		goto release;
	}
	pci_set_master(pdev);

	mutex_lock(&clients_lock);
	edu = pdev;
	mutex_lock(&engine_lock);
	regs = mapped;
	mutex_unlock(&engine_lock);
	mutex_unlock(&clients_lock);
	return 0;

release:
	pci_release_regions(pdev);
disable:
	pci_disable_device(pdev);
	return ret;
}

/* The ranges end while the device still has its driver. */
static void edu_remove(struct pci_dev *pdev)
{
	struct client *client;
	void __iomem *mapped;

	mutex_lock(&clients_lock);
	edu = NULL;
	list_for_each_entry(client, &clients, link)
		client_unmap(client);
	mutex_lock(&engine_lock);
	mapped = regs;
	regs = NULL;
	mutex_unlock(&engine_lock);
	mutex_unlock(&clients_lock);

	pci_clear_master(pdev);
	pci_iounmap(pdev, mapped);
	pci_release_regions(pdev);
	pci_disable_device(pdev);
}

static const struct pci_device_id edu_ids[] = {
	{ PCI_DEVICE(0x1234, 0x11e8) },
	{}
};

static struct pci_driver edu_driver = {
	.name = KBUILD_MODNAME,
	.id_table = edu_ids,
	.probe = edu_probe,
	.remove = edu_remove,
};

static int __init edu_init(void)
{
	int ret = misc_register(&edu_misc);

	if (ret)
		return ret;
	ret = pci_register_driver(&edu_driver);
	if (ret)
		misc_deregister(&edu_misc);
	return ret;
}

static void __exit edu_exit(void)
{
	pci_unregister_driver(&edu_driver);
	misc_deregister(&edu_misc);
}

module_init(edu_init);
module_exit(edu_exit);

MODULE_DESCRIPTION("Moves bytes by a DMA engine for the tests of p2pmr");
MODULE_AUTHOR("The p2pmr authors");
MODULE_LICENSE("GPL");
