// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* Thread domains and parent domains: what they hold, and the locks they spare. */
#include <errno.h>

#include "calls.h"
#include "exchange.h"
#include "plugin.h"

struct domain {
	struct ibv_pd *pd; /* the kernel's */
	struct ibv_td *td;
	struct ibv_pd *parent;
};

static struct ibv_pd *parent_of(struct ibv_pd *pd, struct ibv_td *td)
{
	struct ibv_parent_domain_init_attr attr = { .pd = pd, .td = td };

	return ibv_alloc_parent_domain(pd->context, &attr);
}

static void domain_open(struct domain *domain, struct device *device,
			bool with_td)
{
	struct ibv_td_init_attr attr = { 0 };

	*domain = (struct domain){ .pd = device->pd };
	if (with_td) {
		domain->td = ibv_alloc_td(device->context, &attr);
		assert_non_null(domain->td);
	}
	domain->parent = parent_of(domain->pd, domain->td);
	assert_non_null(domain->parent);
	device->pd = domain->parent;
}

static void domain_close(struct domain *domain, struct device *device)
{
	assert_int_equal(ibv_dealloc_pd(domain->parent), 0);
	if (domain->td)
		assert_int_equal(ibv_dealloc_td(domain->td), 0);
	device->pd = domain->pd;
}

/* An extended CQ that belongs to the domain, in the place of a plain one. */
static struct ibv_cq *domain_cq(struct domain *domain)
{
	struct ibv_cq_init_attr_ex attr = {
		.cqe = 16,
		.comp_mask = IBV_CQ_INIT_ATTR_MASK_PD,
		.parent_domain = domain->parent,
	};
	struct ibv_cq_ex *cq;

	cq = ibv_create_cq_ex(domain->parent->context, &attr);
	assert_non_null(cq);
	return ibv_cq_ex_to_cq(cq);
}

/* Writes within the domain; returns the locks taken to post and to poll. */
static unsigned int locks_of_a_write(bool with_td)
{
	struct memory from = { .kind = HOST }, to = { .kind = HOST };
	struct pair pair = { 0 };
	struct domain domain;
	unsigned int before;

	device_open(&pair.device);
	domain_open(&domain, &pair.device, with_td);
	queue_open(&pair.near, &pair.device, IBV_QPT_RC);
	queue_open(&pair.far, &pair.device, IBV_QPT_RC);
	queue_connect(&pair.near, pair.far.qp->qp_num);
	queue_connect(&pair.far, pair.near.qp->qp_num);
	memory_map(&from, HOST, PAGE);
	memory_map(&to, HOST, PAGE);
	memory_register(&from, pair.device.pd);
	memory_register(&to, pair.device.pd);

	before = spin_locks;
	post(&pair.near, &(struct transfer){
				 .opcode = IBV_WR_RDMA_WRITE,
				 .local = from.bytes,
				 .lkey = from.mr->lkey,
				 .length = PAGE,
				 .remote = (uintptr_t)to.bytes,
				 .rkey = to.mr->rkey,
			 });
	post_receive(&pair.near, from.bytes, 8, from.mr->lkey);
	before = spin_locks - before;
	assert_status(wait_completion(&pair.near).status, IBV_WC_SUCCESS);
	exchange_checked(&pair, SEND, (struct place){ &from, 0 },
			 (struct place){ &to, 0 }, 64, PAGE, 2);

	memory_release(&from);
	memory_release(&to);
	queue_close(&pair.near);
	queue_close(&pair.far);
	domain_close(&domain, &pair.device);
	device_close(&pair.device);
	return before;
}

static void thread_domain_spares_locks(void **state)
{
	(void)state;
	assert_int_equal(locks_of_a_write(true), 0);
}

static void without_thread_domain_locks_stay(void **state)
{
	(void)state;
	assert_int_equal(locks_of_a_write(false), 2);
}

static void cq_in_thread_domain_spares_lock(void **state)
{
	struct ibv_cq_init_attr_ex single = {
		.cqe = 16,
		.comp_mask = IBV_CQ_INIT_ATTR_MASK_FLAGS,
		.flags = IBV_CREATE_CQ_ATTR_SINGLE_THREADED,
	};
	struct ibv_cq *in_domain, *said, *plain;
	struct device device;
	struct domain domain;
	unsigned int before;
	struct ibv_wc wc;

	(void)state;
	device_open(&device);
	domain_open(&domain, &device, true);
	in_domain = domain_cq(&domain);
	said = ibv_cq_ex_to_cq(ibv_create_cq_ex(device.context, &single));
	assert_non_null(said);
	plain = ibv_create_cq(device.context, 16, NULL, NULL, 0);
	assert_non_null(plain);

	before = spin_locks;
	assert_int_equal(ibv_poll_cq(in_domain, 1, &wc), 0);
	assert_int_equal(ibv_poll_cq(said, 1, &wc), 0);
	assert_int_equal(spin_locks, before);
	assert_int_equal(ibv_poll_cq(plain, 1, &wc), 0);
	assert_int_equal(spin_locks, before + 1);

	assert_int_equal(ibv_destroy_cq(in_domain), 0);
	assert_int_equal(ibv_destroy_cq(said), 0);
	assert_int_equal(ibv_destroy_cq(plain), 0);
	domain_close(&domain, &device);
	device_close(&device);
}

static void holds_what_it_is_made_of(void **state)
{
	struct device device;
	struct domain domain;

	(void)state;
	device_open(&device);
	domain_open(&domain, &device, true);
	assert_int_equal(ibv_dealloc_pd(domain.pd), EBUSY);
	assert_int_equal(ibv_dealloc_td(domain.td), EBUSY);
	domain_close(&domain, &device);
	device_close(&device);
}

/* An object in the domain, and its end. */
static void *make_mr(struct ibv_pd *pd)
{
	static uint8_t bytes[64];

	return ibv_reg_mr(pd, bytes, sizeof(bytes), IBV_ACCESS_LOCAL_WRITE);
}

static int end_mr(void *mr)
{
	return ibv_dereg_mr(mr);
}

static void *make_mw(struct ibv_pd *pd)
{
	return ibv_alloc_mw(pd, IBV_MW_TYPE_1);
}

static int end_mw(void *mw)
{
	return ibv_dealloc_mw(mw);
}

static void *make_srq(struct ibv_pd *pd)
{
	struct ibv_srq_init_attr attr = { .attr = { 8, 1, 0 } };

	return ibv_create_srq(pd, &attr);
}

static void *make_srq_ex(struct ibv_pd *pd)
{
	struct ibv_srq_init_attr_ex attr = {
		.attr = { 8, 1, 0 },
		.comp_mask = IBV_SRQ_INIT_ATTR_PD | IBV_SRQ_INIT_ATTR_TYPE,
		.srq_type = IBV_SRQT_BASIC,
		.pd = pd,
	};

	return ibv_create_srq_ex(pd->context, &attr);
}

static int end_srq(void *srq)
{
	return ibv_destroy_srq(srq);
}

static void *make_cq(struct ibv_pd *pd)
{
	struct ibv_cq_init_attr_ex attr = {
		.cqe = 1,
		.comp_mask = IBV_CQ_INIT_ATTR_MASK_PD,
		.parent_domain = pd,
	};

	return ibv_create_cq_ex(pd->context, &attr);
}

static int end_cq(void *cq)
{
	return ibv_destroy_cq(cq);
}

/* In the plain way, and with the extended calls. */
static void *make_qp_with(struct ibv_pd *pd, bool extended)
{
	struct ibv_cq *cq;
	struct ibv_qp_init_attr_ex attr = {
		.cap = { 1, 1, 1, 1, 0 },
		.qp_type = IBV_QPT_RC,
		.comp_mask = IBV_QP_INIT_ATTR_PD |
			     (extended ? IBV_QP_INIT_ATTR_SEND_OPS_FLAGS : 0),
		.pd = pd,
		.send_ops_flags = extended ? IBV_QP_EX_WITH_SEND : 0,
	};

	cq = ibv_create_cq(pd->context, 1, NULL, NULL, 0);
	assert_non_null(cq);
	attr.send_cq = attr.recv_cq = cq;
	return ibv_create_qp_ex(pd->context, &attr);
}

static void *make_qp(struct ibv_pd *pd)
{
	return make_qp_with(pd, false);
}

static void *make_qp_ex(struct ibv_pd *pd)
{
	return make_qp_with(pd, true);
}

static int end_qp(void *qp)
{
	struct ibv_cq *cq = ((struct ibv_qp *)qp)->send_cq;

	assert_int_equal(ibv_destroy_qp(qp), 0);
	return ibv_destroy_cq(cq);
}

static void *make_ah(struct ibv_pd *pd)
{
	struct ibv_ah_attr attr = { .is_global = 1, .port_num = 1 };
	struct ibv_gid_entry entry;

	assert_int_equal(ibv_query_gid_ex(pd->context, 1, 0, &entry, 0), 0);
	attr.grh.dgid = entry.gid;
	return ibv_create_ah(pd, &attr);
}

static int end_ah(void *ah)
{
	return ibv_destroy_ah(ah);
}

/* By all that knows of it; after that it can go. */
static void is_held(void **state)
{
	static const struct {
		void *(*make)(struct ibv_pd *pd);
		int (*end)(void *object);
	} kinds[] = {
		{ make_mr, end_mr },	{ make_mw, end_mw },
		{ make_srq, end_srq },	{ make_srq_ex, end_srq },
		{ make_cq, end_cq },	{ make_qp, end_qp },
		{ make_qp_ex, end_qp }, { make_ah, end_ah },
	};
	struct device device;
	struct domain domain;

	(void)state;
	device_open(&device);
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		void *object;

		domain_open(&domain, &device, true);
		object = kinds[i].make(domain.parent);
		assert_non_null(object);
		if (ibv_dealloc_pd(domain.parent) != EBUSY)
			fail_msg("kind %zu does not hold its domain", i);
		assert_int_equal(ibv_dealloc_td(domain.td), EBUSY);
		assert_int_equal(kinds[i].end(object), 0);
		domain_close(&domain, &device);
	}
	device_close(&device);
}

/* An MR that moves holds where it is, not where it was; and if it fails too. */
static void is_held_by_an_mr_that_moves(void **state)
{
	struct memory host = { .kind = HOST };
	struct device device;
	struct domain domain;
	struct ibv_mr *mr;

	(void)state;
	device_open(&device);
	domain_open(&domain, &device, true);
	memory_map(&host, HOST, PAGE);
	mr = must_register(domain.parent, host.bytes, PAGE,
			   IBV_ACCESS_LOCAL_WRITE);
	assert_int_not_equal(ibv_rereg_mr(mr, IBV_REREG_MR_CHANGE_TRANSLATION,
					  NULL, (void *)PAGE, PAGE, 0),
			     0);
	assert_int_equal(ibv_dealloc_pd(domain.parent), EBUSY);
	assert_int_equal(ibv_rereg_mr(mr, IBV_REREG_MR_CHANGE_PD, domain.pd,
				      NULL, 0, 0),
			 0);
	assert_int_equal(ibv_dealloc_pd(domain.parent), 0);
	domain.parent = parent_of(domain.pd, domain.td);
	assert_non_null(domain.parent);
	assert_int_equal(ibv_rereg_mr(mr,
				      IBV_REREG_MR_CHANGE_PD |
					      IBV_REREG_MR_CHANGE_TRANSLATION,
				      domain.parent, host.bytes, 64, 0),
			 0);
	assert_int_equal(ibv_dealloc_pd(domain.parent), EBUSY);
	assert_int_equal(ibv_dereg_mr(mr), 0);
	memory_release(&host);
	domain_close(&domain, &device);
	device_close(&device);
}

static void refuses_bad_input(void **state)
{
	struct ibv_td_init_attr unknown = { .comp_mask = 1 };
	struct ibv_parent_domain_init_attr attr = { .pd = NULL };
	struct ibv_cq_init_attr_ex cq = {
		.cqe = 16,
		.comp_mask = IBV_CQ_INIT_ATTR_MASK_PD,
	};
	struct device device;
	struct domain domain;

	(void)state;
	device_open(&device);
	assert_null(ibv_alloc_td(device.context, &unknown));
	assert_int_equal(errno, EOPNOTSUPP);
	assert_null(ibv_alloc_parent_domain(device.context, &attr));
	assert_int_equal(errno, EINVAL);
	attr.pd = device.pd;
	attr.comp_mask = 1u << 31;
	assert_null(ibv_alloc_parent_domain(device.context, &attr));
	assert_int_equal(errno, EOPNOTSUPP);

	domain_open(&domain, &device, false);
	assert_null(parent_of(domain.parent, NULL));
	assert_int_equal(errno, EINVAL);
	/* A CQ belongs to a parent domain, not to a PD. */
	cq.parent_domain = domain.pd;
	assert_null(ibv_create_cq_ex(device.context, &cq));
	assert_int_equal(errno, EINVAL);
	domain_close(&domain, &device);
	device_close(&device);
}

static const struct test tests[] = {
	TEST("provider/thread-domain-spares-locks", thread_domain_spares_locks),
	TEST("provider/without-thread-domain-locks-stay",
	     without_thread_domain_locks_stay),
	TEST("provider/cq-in-thread-domain-spares-lock",
	     cq_in_thread_domain_spares_lock),
	TEST("provider/domain-holds-what-it-is-made-of",
	     holds_what_it_is_made_of),
	TEST("provider/domain-is-held-by-what-is-in-it", is_held),
	TEST("provider/domain-is-held-by-an-mr-that-moves",
	     is_held_by_an_mr_that_moves),
	TEST("provider/domain-refuses-bad-input", refuses_bad_input),
};

int main(int argc, char **argv)
{
	return run_on_provider(argc, argv, tests, ARRAY_SIZE(tests));
}
