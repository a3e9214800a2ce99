// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Advice on regions, where the kernel's soft-RoCE takes it (on-demand paging):
 * the driver must never get to look for the pages of device memory.
 */
#include <errno.h>
#include <pthread.h>
#include <rdma/ib_user_ioctl_cmds.h>
#include <rdma/ib_user_ioctl_verbs.h>
#include <rdma/rdma_user_ioctl_cmds.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "bar.h"
#include "endpoint.h"
#include "runner.h"
#include "stuck.h"

#define WINDOW (4 * PAGE)

/* ibv_advise_mr(), which the stock library lacks: 0 or an errno. */
static int advise(struct ibv_pd *pd, const struct ibv_sge *places,
		  unsigned int count)
{
	const uint32_t attr_length = count * sizeof(places[0]);
	struct {
		struct ib_uverbs_ioctl_hdr header;
		struct ib_uverbs_attr attrs[4];
	} command = {
		.header = {
			.length = sizeof(command),
			.object_id = UVERBS_OBJECT_MR,
			.method_id = UVERBS_METHOD_ADVISE_MR,
			.num_attrs = 4,
			.driver_id = RDMA_DRIVER_RXE,
		},
		.attrs = {
			{ .attr_id = UVERBS_ATTR_ADVISE_MR_PD_HANDLE,
			  .data = pd->handle },
			{ .attr_id = UVERBS_ATTR_ADVISE_MR_ADVICE,
			  .len = 8,
			  .data = IB_UVERBS_ADVISE_MR_ADVICE_PREFETCH_WRITE },
			{ .attr_id = UVERBS_ATTR_ADVISE_MR_FLAGS,
			  .len = 4,
			  .data = IB_UVERBS_ADVISE_MR_FLAG_FLUSH },
			{ .attr_id = UVERBS_ATTR_ADVISE_MR_SGE_LIST,
			  .len = attr_length,
			  .data = (uintptr_t)places },
		},
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(command.attrs); i++)
		command.attrs[i].flags = UVERBS_ATTR_F_MANDATORY;
	return ioctl(pd->context->cmd_fd, RDMA_VERBS_IOCTL, &command) ? errno
								      : 0;
}

static struct ibv_sge place_of(const struct ibv_mr *mr)
{
	return (struct ibv_sge){ (uintptr_t)mr->addr, PAGE, mr->lkey };
}

static struct device device;
static struct memory bar;

/* A region that is paged on demand; skips where there is no such thing. */
static struct ibv_mr *open_all(void *bytes)
{
	struct ibv_mr *mr;

	device_open(&device);
	memory_map(&bar, BAR, WINDOW);
	mr = ibv_reg_mr(device.pd, bytes, WINDOW,
			IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_ON_DEMAND);
	if (!mr)
		skip_test("this kernel's rdma_rxe has no on-demand paging");
	return mr;
}

static void close_all(struct ibv_mr *mr)
{
	assert_int_equal(ibv_dereg_mr(mr), 0);
	memory_release(&bar);
	device_close(&device);
}

static void refused_on_device_memory(void **state)
{
	struct ibv_sge places[2];
	struct memory host;
	struct ibv_mr *mr;

	(void)state;
	memory_map(&host, HOST, WINDOW);
	mr = open_all(host.bytes);
	memory_register(&bar, device.pd);
	places[0] = place_of(mr);
	places[1] = place_of(bar.mr);
	assert_int_equal(advise(device.pd, places, 1), 0);
	assert_int_equal(advise(device.pd, places, 2), EOPNOTSUPP);
	assert_int_equal(advise(device.pd, places + 1, 1), EOPNOTSUPP);
	/* A revoked region's key is as wrong as any. */
	memory_release(&bar);
	assert_int_equal(advise(device.pd, places + 1, 1), EINVAL);
	memory_map(&bar, BAR, WINDOW);
	close_all(mr);
	memory_release(&host);
}

struct task {
	struct ibv_pd *pd;
	struct ibv_sge place;
	struct ibv_mr *mr;
	int error;
	atomic_bool done;
};

static void *give_advice(void *argument)
{
	struct task *task = argument;

	task->error = advise(task->pd, &task->place, 1);
	atomic_store(&task->done, true);
	return NULL;
}

static void *register_bar(void *argument)
{
	struct task *task = argument;

	task->mr = ibv_reg_mr(task->pd, bar.bytes, WINDOW, ACCESS_ALL);
	atomic_store(&task->done, true);
	return NULL;
}

static bool done_within(struct task *task, int milliseconds)
{
	for (; milliseconds > 0 && !atomic_load(&task->done);
	     milliseconds -= 10)
		usleep(10 * 1000);
	return atomic_load(&task->done);
}

/*
 * Advice that sleeps in a page fault looks at its next key later: meanwhile no
 * device memory may get a key in that PD; in others it may.
 */
static void keeps_device_memory_out_of_its_pd(void **state)
{
	struct task advising = { 0 }, registering = { 0 };
	pthread_t adviser, registrar;
	struct ibv_mr *mr, *other;
	struct stuck stuck;
	struct ibv_pd *pd;
	bool early;

	(void)state;
	stuck_map(&stuck, WINDOW);
	mr = open_all(stuck.bytes);
	advising.pd = device.pd;
	advising.place = place_of(mr);
	assert_int_equal(pthread_create(&adviser, NULL, give_advice, &advising),
			 0);
	assert_true(stuck_is_touched(&stuck));
	registering.pd = device.pd;
	assert_int_equal(pthread_create(&registrar, NULL, register_bar,
					&registering),
			 0);
	early = done_within(&registering, 1000);

	pd = ibv_alloc_pd(device.context);
	assert_non_null(pd);
	other = must_register(pd, bar.bytes, WINDOW, ACCESS_ALL);
	assert_false(atomic_load(&advising.done));
	assert_int_equal(ibv_dereg_mr(other), 0);
	assert_int_equal(ibv_dealloc_pd(pd), 0);

	stuck_let_go(&stuck);
	pthread_join(adviser, NULL);
	pthread_join(registrar, NULL);
	assert_false(early);
	assert_int_equal(advising.error, 0);
	assert_non_null(registering.mr);
	assert_int_equal(ibv_dereg_mr(registering.mr), 0);
	close_all(mr);
	stuck_unmap(&stuck);
}

static const struct test tests[] = {
	TEST("verbs/advice-refused-on-device-memory", refused_on_device_memory),
	TEST("verbs/advice-keeps-device-memory-out-of-its-pd",
	     keeps_device_memory_out_of_its_pd),
};

int main(int argc, char **argv)
{
	return run_program(argc, argv, tests, ARRAY_SIZE(tests));
}
