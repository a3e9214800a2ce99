// SPDX-License-Identifier: GPL-2.0
/*
 * /dev/p2pmr: the file, the handshake, and how arguments come and go. The
 * requests themselves are in the files that know the answers (chardev.h says
 * which); their meaning is told in kernel-headers/rdma/p2pmr-abi.h.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/dma-mapping.h>
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "chardev.h"

#define VERSION_MIN 1
#define VERSION_MAX P2PMR_ABI_VERSION

/* Bounds what a caller can make the kernel check for zeroes. */
#define MAX_SIZE PAGE_SIZE

union argument {
	struct p2pmr_ioc_hello hello;
	struct p2pmr_ioc_query query;
	struct p2pmr_ioc_list list;
	struct p2pmr_ioc_stats stats;
	struct p2pmr_ioc_watch watch;
	struct p2pmr_ioc_exporters exporters;
	struct p2pmr_ioc_instances instances;
	struct p2pmr_ioc_bar bar;
	struct p2pmr_ioc_reach reach;
	struct p2pmr_export export;
};

/**
 * struct request - one ioctl
 * @cmd: its number
 * @size: of the argument as this kernel knows it
 * @min_size: of the argument in version 1
 * @run: turns the argument into the answer, which is written back also if the
 *	result is an error
 * @end: if it has one: what can be done only once the caller has the answer,
 *	or is known not to get it
 */
struct request {
	unsigned int cmd;
	u32 size;
	u32 min_size;
	int (*run)(struct p2pmr_file *file, void *arg);
	void (*end)(void *arg, int ret);
};

static int ioctl_hello(struct p2pmr_file *file, void *arg)
{
	struct p2pmr_ioc_hello *hello = arg;

	if (hello->flags || hello->reserved)
		return -EINVAL;
	hello->version_min = VERSION_MIN;
	hello->version_max = VERSION_MAX;
	hello->features = P2PMR_FEATURE_QUERY | P2PMR_FEATURE_LIST |
			  P2PMR_FEATURE_STATS | P2PMR_FEATURE_WATCH |
			  P2PMR_FEATURE_EXPORTERS | P2PMR_FEATURE_INSTANCES |
			  P2PMR_FEATURE_BAR | P2PMR_FEATURE_REACH |
			  P2PMR_FEATURE_EXPORT;
	memset(hello->module_version, 0, sizeof(hello->module_version));
	strscpy(hello->module_version, THIS_MODULE->version,
		sizeof(hello->module_version));
	if (hello->version < VERSION_MIN || hello->version > VERSION_MAX)
		return -EPROTONOSUPPORT;
	return 0;
}

static const struct request requests[] = {
	{ P2PMR_IOC_HELLO, sizeof(struct p2pmr_ioc_hello),
	  offsetofend(struct p2pmr_ioc_hello, module_version), ioctl_hello },
	{ P2PMR_IOC_QUERY, sizeof(struct p2pmr_ioc_query),
	  offsetofend(struct p2pmr_ioc_query, reserved), p2pmr_ioctl_query },
	{ P2PMR_IOC_LIST, sizeof(struct p2pmr_ioc_list),
	  offsetofend(struct p2pmr_ioc_list, reserved), p2pmr_ioctl_list },
	{ P2PMR_IOC_STATS, sizeof(struct p2pmr_ioc_stats),
	  offsetofend(struct p2pmr_ioc_stats, reserved), p2pmr_ioctl_stats },
	{ P2PMR_IOC_WATCH, sizeof(struct p2pmr_ioc_watch),
	  offsetofend(struct p2pmr_ioc_watch, capacity), p2pmr_ioctl_watch },
	{ P2PMR_IOC_EXPORTERS, sizeof(struct p2pmr_ioc_exporters),
	  offsetofend(struct p2pmr_ioc_exporters, reserved),
	  p2pmr_ioctl_exporters },
	{ P2PMR_IOC_INSTANCES, sizeof(struct p2pmr_ioc_instances),
	  offsetofend(struct p2pmr_ioc_instances, reserved),
	  p2pmr_ioctl_instances },
	{ P2PMR_IOC_BAR, sizeof(struct p2pmr_ioc_bar),
	  offsetofend(struct p2pmr_ioc_bar, reason), p2pmr_ioctl_bar },
	{ P2PMR_IOC_REACH, sizeof(struct p2pmr_ioc_reach),
	  offsetofend(struct p2pmr_ioc_reach, device_group), p2pmr_ioctl_reach },
	{ P2PMR_IOC_EXPORT, sizeof(struct p2pmr_ioc_export),
	  offsetofend(struct p2pmr_ioc_export, reserved), p2pmr_ioctl_export,
	  p2pmr_ioctl_export_end },
};

static const struct request *find_request(unsigned int cmd)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(requests); i++)
		if (requests[i].cmd == cmd)
			return &requests[i];
	return NULL;
}

/* Copies the argument in, runs the request, copies the answer out. */
static int run(const struct request *request, struct p2pmr_file *file,
	       union argument *arg, void __user *uarg)
{
	u32 size;
	int ret;

	if (get_user(size, (u32 __user *)uarg))
		return -EFAULT;
	if (size < request->min_size)
		return -EINVAL;
	if (size > MAX_SIZE)
		return -E2BIG;
	ret = copy_struct_from_user(arg, request->size, uarg, size);
	if (ret)
		return ret;
	ret = request->run(file, arg);
	if (copy_to_user(uarg, arg, min(size, request->size)))
		ret = -EFAULT;
	if (request->end)
		request->end(arg, ret);
	return ret;
}

static long chardev_ioctl(struct file *filp, unsigned int cmd,
			  unsigned long uarg)
{
	const struct request *request = find_request(cmd);
	struct p2pmr_file *file = filp->private_data;
	union argument arg;
	int ret;

	if (cmd != P2PMR_IOC_HELLO && !READ_ONCE(file->version))
		return -EPROTO;
	if (!request)
		return -ENOTTY;
	if (!current->mm)
		return -EINVAL;
	ret = run(request, file, &arg, (void __user *)uarg);
	if (cmd == P2PMR_IOC_HELLO && !ret)
		WRITE_ONCE(file->version, arg.hello.version);
	return ret;
}

static ssize_t chardev_read(struct file *filp, char __user *buf, size_t size,
			    loff_t *pos)
{
	struct p2pmr_file *file = filp->private_data;

	return p2pmr_watch_read(&file->watch, buf, size,
				!(filp->f_flags & O_NONBLOCK));
}

static __poll_t chardev_poll(struct file *filp, poll_table *table)
{
	struct p2pmr_file *file = filp->private_data;

	return p2pmr_watch_poll(&file->watch, filp, table);
}

static int chardev_open(struct inode *inode, struct file *filp)
{
	struct p2pmr_file *file = kmalloc(sizeof(*file), GFP_KERNEL_ACCOUNT);

	if (!file)
		return -ENOMEM;
	file->version = 0;
	p2pmr_watch_init(&file->watch);
	filp->private_data = file;
	return 0;
}

static int chardev_release(struct inode *inode, struct file *filp)
{
	struct p2pmr_file *file = filp->private_data;

	p2pmr_watch_end(&file->watch);
	kfree(file);
	return 0;
}

/**
 * p2pmr_array_init() - begin to fill an array of the caller's
 * @array: to be initialized
 * @base: user pointer to it
 * @size: of an element, by the caller
 * @min_size: of an element in version 1
 * @capacity: number of elements, by the caller
 *
 * Return: 0, -EINVAL (@size is too small) or -E2BIG (too large). A bad @base
 * shows when it is used.
 */
int p2pmr_array_init(struct p2pmr_array *array, u64 base, u32 size,
		     u32 min_size, u32 capacity)
{
	if (size < min_size)
		return -EINVAL;
	if (size > MAX_SIZE)
		return -E2BIG;
	array->base = u64_to_user_ptr(base);
	array->size = size;
	array->capacity = capacity;
	array->count = 0;
	return 0;
}

/**
 * p2pmr_array_add() - append an element, or only count it if there is no room
 * @array: where to
 * @element: as this kernel knows it
 * @size: of @element
 *
 * What the caller's element has beyond @size is cleared.
 *
 * Return: 0 or -EFAULT.
 */
int p2pmr_array_add(struct p2pmr_array *array, const void *element, u32 size)
{
	void __user *to = array->base + (u64)array->count * array->size;

	if (array->count < array->capacity) {
		if (copy_to_user(to, element, min(size, array->size)))
			return -EFAULT;
		if (array->size > size &&
		    clear_user(to + size, array->size - size))
			return -EFAULT;
	}
	array->count++;
	return 0;
}

static const struct file_operations chardev_fops = {
	.owner = THIS_MODULE,
	.open = chardev_open,
	.release = chardev_release,
	.read = chardev_read,
	.poll = chardev_poll,
	.unlocked_ioctl = chardev_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.llseek = noop_llseek,
};

/*
 * For everybody: a caller learns about its own address space, its own user's
 * ranges, and system-wide counts. All else asks for a capability in the call.
 */
static struct miscdevice chardev = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = CORE_NAME,
	.fops = &chardev_fops,
	.mode = 0666,
};

/* The device that attaches to dma-bufs: the CPU, which reaches all memory. */
struct device *p2pmr_device(void)
{
	return chardev.this_device;
}

int p2pmr_chardev_init(void)
{
	int ret = misc_register(&chardev);

	if (ret)
		return ret;
	ret = dma_coerce_mask_and_coherent(chardev.this_device,
					   DMA_BIT_MASK(64));
	if (ret)
		misc_deregister(&chardev);
	return ret;
}

void p2pmr_chardev_exit(void)
{
	misc_deregister(&chardev);
}
