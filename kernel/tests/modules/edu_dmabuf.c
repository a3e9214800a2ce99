// SPDX-License-Identifier: GPL-2.0
/*
 * Attaching the engine to a dma-buf in the ways that drivers of hardware do:
 * some let go when they are told, some do not, some cannot take such memory.
 */
#include <linux/delay.h>
#include <linux/dma-buf.h>
#include <linux/dma-resv.h>
#include <linux/slab.h>
#include <linux/workqueue.h>

#include "compat.h"
#include "edu.h"

#define SLOWNESS msecs_to_jiffies(1000)

/* Members but the first three are under the dma-buf's reservation. */
struct import {
	struct client *client;
	struct dma_buf_attachment *attach;
	u32 mode;
	enum dma_data_direction dir;
	struct sg_table *sgt;
	bool pinned;
	bool revoked;
	struct delayed_work slow;
};

static void let_go(struct import *import)
{
	dma_resv_assert_held(import->attach->dmabuf->resv);
	client_stop(import->client);
	if (import->sgt)
		dma_buf_unmap_attachment(import->attach, import->sgt,
					 import->dir);
	import->sgt = NULL;
	if (import->pinned)
		dma_buf_unpin(import->attach);
	import->pinned = false;
}

static void let_go_late(struct work_struct *work)
{
	struct import *import = container_of(to_delayed_work(work),
					     struct import, slow);
	struct dma_resv *resv = import->attach->dmabuf->resv;

	dma_resv_lock(resv, NULL);
	let_go(import);
	dma_resv_unlock(resv);
}

static void invalidate(struct dma_buf_attachment *attach)
{
	struct import *import = attach->importer_priv;

	/* It may come before dma_buf_dynamic_attach() has returned. */
	import->attach = attach;
	import->revoked = import->mode == EDU_REVOCABLE;
	if (import->mode == EDU_SLOW)
		schedule_delayed_work(&import->slow, SLOWNESS);
	else
		let_go(import);
}

static const struct dma_buf_attach_ops obeying_ops = {
	.allow_peer2peer = true,
	.P2PMR_ATTACH_OP_INVALIDATE = invalidate,
};

static const struct dma_buf_attach_ops paged_ops = {
	.P2PMR_ATTACH_OP_INVALIDATE = invalidate,
};

/* For where there must be such an operation. */
static void __maybe_unused ignore(struct dma_buf_attachment *attach)
{
}

static const struct dma_buf_attach_ops pinning_ops = {
	.allow_peer2peer = true,
	.P2PMR_ATTACH_OP_INVALIDATE = P2PMR_ATTACH_OP_REQUIRED(ignore),
};

static const struct dma_buf_attach_ops *ops_of(u32 mode)
{
	switch (mode) {
	case EDU_PINNED:
		return &pinning_ops;
	case EDU_WITHOUT_PEERS:
		return &paged_ops;
	case EDU_STATIC:
		return NULL;
	default:
		return &obeying_ops;
	}
}

static int remember(struct import *import)
{
	struct sg_table *sgt = import->sgt;
	struct edu_segment *segs;
	struct scatterlist *sg;
	unsigned int i;

	segs = kvcalloc(sgt->nents, sizeof(*segs), GFP_KERNEL);
	if (!segs)
		return -ENOMEM;
	for_each_sgtable_dma_sg(sgt, sg, i) {
		segs[i].index = i;
		segs[i].dma = sg_dma_address(sg);
		segs[i].length = sg_dma_len(sg);
	}
	client_remember(import->client, segs, sgt->nents, true);
	return 0;
}

static int map(struct import *import)
{
	bool pins = import->mode == EDU_PINNED || import->mode == EDU_REVOCABLE;
	struct sg_table *sgt;
	int ret = 0;

	dma_resv_assert_held(import->attach->dmabuf->resv);
	if (import->revoked)
		return -ESTALE;
	if (import->sgt)
		return 0;
	if (pins)
		ret = dma_buf_pin(import->attach);
	if (ret)
		return ret;
	import->pinned = pins;
	sgt = dma_buf_map_attachment(import->attach, import->dir);
	if (IS_ERR(sgt)) {
		let_go(import);
		return PTR_ERR(sgt);
	}
	import->sgt = sgt;
	ret = remember(import);
	if (ret)
		let_go(import);
	return ret;
}

int import_refresh(struct client *client)
{
	struct import *import = client->import;
	struct dma_resv *resv = import->attach->dmabuf->resv;
	int ret;

	dma_resv_lock(resv, NULL);
	ret = map(import);
	dma_resv_unlock(resv);
	return ret;
}

void import_end(struct client *client)
{
	struct import *import = client->import;
	struct dma_buf *dmabuf = import->attach->dmabuf;

	flush_delayed_work(&import->slow);
	dma_resv_lock(dmabuf->resv, NULL);
	let_go(import);
	dma_resv_unlock(dmabuf->resv);
	dma_buf_detach(dmabuf, import->attach);
	cancel_delayed_work_sync(&import->slow);
	dma_buf_put(dmabuf);
	kfree(import);
	client->import = NULL;
}

int import_begin(struct client *client, struct device *dev,
		 const struct edu_attach *how)
{
	struct dma_buf *dmabuf = dma_buf_get(how->fd);
	struct import *import;
	int ret;

	if (IS_ERR(dmabuf))
		return PTR_ERR(dmabuf);
	import = kzalloc(sizeof(*import), GFP_KERNEL);
	if (!import) {
		dma_buf_put(dmabuf);
		return -ENOMEM;
	}
	import->client = client;
	import->mode = how->mode;
	import->dir = how->direction;
	INIT_DELAYED_WORK(&import->slow, let_go_late);
	import->attach = dma_buf_dynamic_attach(dmabuf, dev, ops_of(how->mode),
						import);
	if (IS_ERR(import->attach)) {
		ret = PTR_ERR(import->attach);
		dma_buf_put(dmabuf);
		kfree(import);
		return ret;
	}
	client->import = import;
	ret = import_refresh(client);
	if (ret)
		import_end(client);
	return ret;
}
