// SPDX-License-Identifier: GPL-2.0
/*
 * An exporter of dma-bufs that does as it is told, for tests: an ioctl makes a buffer
 * of kernel memory and gives its descriptor, others work on the one made last. Root
 * only.
 */
#include <linux/dma-buf.h>
#include <linux/dma-fence.h>
#include <linux/dma-resv.h>
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>

#include "compat.h"
#include "p2pmr_test_buffer.h"

P2PMR_IMPORT_NS_DMA_BUF;

/**
 * struct buffer - a buffer
 * @dmabuf: itself
 * @bytes: its memory
 * @how: as it was asked for
 * @moves: calls of vmap during which it moves, yet to come
 * @gone: nobody can attach any more
 * @vmaps: kernel mappings that there are
 * @accesses: accesses by the CPU that have begun and not ended
 * @pending: what is bringing it where it is, or NULL
 * @fence_lock: of @pending
 */
struct buffer {
	struct dma_buf *dmabuf;
	void *bytes;
	struct test_buffer how;
	u32 moves;
	bool gone;
	atomic_t vmaps;
	atomic_t accesses;
	struct dma_fence *pending;
	spinlock_t fence_lock;
};

static DEFINE_MUTEX(lock); /* last */
static struct buffer *last;

static int buffer_attach(struct dma_buf *dmabuf, struct dma_buf_attachment *attach)
{
	struct buffer *buffer = dmabuf->priv;

	return buffer->gone ? -ENODEV : 0;
}

static int buffer_pin(struct dma_buf_attachment *attach)
{
	return 0;
}

static void buffer_unpin(struct dma_buf_attachment *attach)
{
}

static struct sg_table *buffer_map(struct dma_buf_attachment *attach,
				   enum dma_data_direction dir)
{
	return ERR_PTR(-EOPNOTSUPP);
}

static void buffer_unmap(struct dma_buf_attachment *attach, struct sg_table *sgt,
			 enum dma_data_direction dir)
{
}

/* Up to 6.1 the caller does not have the reservation. */
static void move_within_vmap(struct dma_buf *dmabuf)
{
	if (!P2PMR_VMAP_UNDER_RESV)
		dma_resv_lock(dmabuf->resv, NULL);
	p2pmr_invalidate_mappings(dmabuf);
	if (!P2PMR_VMAP_UNDER_RESV)
		dma_resv_unlock(dmabuf->resv);
}

static int buffer_vmap(struct dma_buf *dmabuf, struct iosys_map *map)
{
	struct buffer *buffer = dmabuf->priv;

	if (buffer->moves) {
		buffer->moves--;
		move_within_vmap(dmabuf);
	}
	atomic_inc(&buffer->vmaps);
	iosys_map_set_vaddr(map, buffer->bytes +
			    (buffer->how.flags & TEST_BUFFER_UNALIGNED ? 64 : 0));
	return 0;
}

static void buffer_vunmap(struct dma_buf *dmabuf, struct iosys_map *map)
{
	struct buffer *buffer = dmabuf->priv;

	atomic_dec(&buffer->vmaps);
}

static int buffer_begin(struct dma_buf *dmabuf, enum dma_data_direction dir)
{
	struct buffer *buffer = dmabuf->priv;

	if (buffer->how.flags & TEST_BUFFER_NO_ACCESS)
		return -EIO;
	atomic_inc(&buffer->accesses);
	return 0;
}

static int buffer_end(struct dma_buf *dmabuf, enum dma_data_direction dir)
{
	struct buffer *buffer = dmabuf->priv;

	atomic_dec(&buffer->accesses);
	return 0;
}

static void buffer_release(struct dma_buf *dmabuf)
{
	struct buffer *buffer = dmabuf->priv;

	WARN_ON(atomic_read(&buffer->vmaps));
	WARN_ON(atomic_read(&buffer->accesses));
	mutex_lock(&lock);
	if (last == buffer)
		last = NULL;
	mutex_unlock(&lock);
	if (buffer->pending)
		dma_fence_signal(buffer->pending);
	dma_fence_put(buffer->pending);
	vfree(buffer->bytes);
	kfree(buffer);
}

#define OPS					\
	.attach = buffer_attach,		\
	.pin = buffer_pin,			\
	.unpin = buffer_unpin,			\
	.map_dma_buf = buffer_map,		\
	.unmap_dma_buf = buffer_unmap,		\
	.begin_cpu_access = buffer_begin,	\
	.end_cpu_access = buffer_end,		\
	.release = buffer_release

static const struct dma_buf_ops mapped_ops = {
	OPS,
	.vmap = buffer_vmap,
	.vunmap = buffer_vunmap,
};

static const struct dma_buf_ops unmapped_ops = { OPS };

static const char *fence_name(struct dma_fence *fence)
{
	return KBUILD_MODNAME;
}

static const struct dma_fence_ops fence_ops = {
	.get_driver_name = fence_name,
	.get_timeline_name = fence_name,
};

/* Under its reservation there is something that has yet to end. */
static int add_pending(struct buffer *buffer)
{
	struct dma_fence *fence = kzalloc(sizeof(*fence), GFP_KERNEL);
	int ret;

	if (!fence)
		return -ENOMEM;
	dma_fence_init(fence, &fence_ops, &buffer->fence_lock,
		       dma_fence_context_alloc(1), 1);
	dma_resv_lock(buffer->dmabuf->resv, NULL);
	ret = dma_resv_reserve_fences(buffer->dmabuf->resv, 1);
	if (!ret)
		dma_resv_add_fence(buffer->dmabuf->resv, fence,
				   DMA_RESV_USAGE_KERNEL);
	dma_resv_unlock(buffer->dmabuf->resv);
	if (ret)
		dma_fence_put(fence);
	else
		buffer->pending = fence;
	return ret;
}

static long make(struct test_buffer __user *arg)
{
	DEFINE_DMA_BUF_EXPORT_INFO(info);
	struct buffer *buffer = kzalloc(sizeof(*buffer), GFP_KERNEL);
	int ret = -ENOMEM;

	if (!buffer)
		return -ENOMEM;
	spin_lock_init(&buffer->fence_lock);
	if (copy_from_user(&buffer->how, arg, sizeof(*arg))) {
		kfree(buffer);
		return -EFAULT;
	}
	buffer->moves = buffer->how.moves;
	/* A page more, for who maps it at none. */
	buffer->bytes = vzalloc(buffer->how.size + PAGE_SIZE);
	if (!buffer->bytes)
		goto err_free;
	info.ops = buffer->how.flags & TEST_BUFFER_NO_VMAP ? &unmapped_ops :
							     &mapped_ops;
	info.size = buffer->how.size;
	info.flags = O_RDWR;
	info.priv = buffer;
	buffer->dmabuf = dma_buf_export(&info);
	if (IS_ERR(buffer->dmabuf)) {
		ret = PTR_ERR(buffer->dmabuf);
		goto err_bytes;
	}
	if (buffer->how.flags & TEST_BUFFER_PENDING) {
		ret = add_pending(buffer);
		if (ret) {
			dma_buf_put(buffer->dmabuf);
			return ret;
		}
	}
	mutex_lock(&lock);
	last = buffer;
	mutex_unlock(&lock);
	return dma_buf_fd(buffer->dmabuf, O_CLOEXEC);

err_bytes:
	vfree(buffer->bytes);
err_free:
	kfree(buffer);
	return ret;
}

/* The memory itself, which no process can map. */
static long peek(struct test_buffer_bytes __user *arg)
{
	struct test_buffer_bytes bytes;

	if (copy_from_user(&bytes, arg, sizeof(bytes)))
		return -EFAULT;
	if (!last || bytes.offset > last->how.size ||
	    bytes.length > last->how.size - bytes.offset)
		return -EINVAL;
	if (copy_to_user(u64_to_user_ptr(bytes.to), last->bytes + bytes.offset,
			 bytes.length))
		return -EFAULT;
	return 0;
}

static long with_last(unsigned int cmd, void __user *arg)
{
	lockdep_assert_held(&lock);
	if (!last)
		return -ENOENT;
	switch (cmd) {
	case TEST_BUFFER_GO:
		last->gone = true;
		fallthrough;
	case TEST_BUFFER_MOVE:
		dma_resv_lock(last->dmabuf->resv, NULL);
		p2pmr_invalidate_mappings(last->dmabuf);
		dma_resv_unlock(last->dmabuf->resv);
		return 0;
	case TEST_BUFFER_ARRIVE:
		if (last->pending)
			dma_fence_signal(last->pending);
		return 0;
	case TEST_BUFFER_USERS:
		return atomic_read(&last->vmaps) +
		       16 * atomic_read(&last->accesses);
	case TEST_BUFFER_PEEK:
		return peek(arg);
	}
	return -ENOTTY;
}

static long test_ioctl(struct file *file, unsigned int cmd, unsigned long uarg)
{
	void __user *arg = (void __user *)uarg;
	long ret;

	if (cmd == TEST_BUFFER_MAKE)
		return make(arg);
	mutex_lock(&lock);
	ret = with_last(cmd, arg);
	mutex_unlock(&lock);
	return ret;
}

static const struct file_operations test_fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = test_ioctl,
};

static struct miscdevice test_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = KBUILD_MODNAME,
	.fops = &test_fops,
	.mode = 0600,
};

module_misc_device(test_device);

MODULE_DESCRIPTION("An exporter of dma-bufs for the tests of p2pmr");
MODULE_AUTHOR("The p2pmr authors");
MODULE_LICENSE("GPL");
