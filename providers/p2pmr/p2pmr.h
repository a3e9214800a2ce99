/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The provider's objects, and what its files offer each other. */
#ifndef P2PMR_H
#define P2PMR_H

#include <errno.h>
#include <infiniband/driver.h>
#include <stdatomic.h>

#include "lock.h"
#include "p2pmr_provider.h"
#include "queue.h"

struct p2pmr_context {
	struct verbs_context verbs;
};

struct p2pmr_td {
	struct ibv_td td;
	atomic_int users; /* parent domains */
};

/* A PD of the kernel's, or a parent domain, which stands for one. */
struct p2pmr_pd {
	struct ibv_pd pd;
	struct p2pmr_pd *parent_of; /* NULL: a PD of the kernel's */
	struct p2pmr_td *td;	    /* of a parent domain, or NULL */
	atomic_int users;	    /* parent domains, and objects in it */
};

struct p2pmr_dm;

struct p2pmr_mr {
	struct verbs_mr verbs;
	uint64_t iova;
	struct p2pmr_dm *dm; /* NULL: memory that the caller has mapped */
	bool extended;	     /* what was asked for is not known any more */
};

struct p2pmr_ah {
	struct ibv_ah ah;
	uint32_t number;
};

struct p2pmr_cq {
	struct verbs_cq verbs;
	struct p2pmr_lock lock;
	struct p2pmr_ring ring;
	struct mminfo owed;    /* a ring still to be mapped; size 0: none */
	struct ibv_pd *domain; /* parent domain, or NULL */
	pthread_mutex_t members_lock;
	struct list_head senders;   /* QPs whose sends complete here */
	struct list_head receivers; /* QPs whose receives do */
	/* Between start_poll and end_poll: what is shown, the last known of. */
	const struct ib_uverbs_wc *wc;
	const struct ib_uverbs_wc *last;
	const void *poller; /* the thread that polls so; NULL: none */
};

/* Of a QP or an SRQ. */
struct p2pmr_receive_queue {
	struct p2pmr_lock lock;
	struct p2pmr_ring ring;
	uint32_t max_sge;
	/* Of an SRQ alone: */
	uint32_t max_wr;    /* that it has room for */
	struct mminfo owed; /* as with a CQ */
};

struct p2pmr_srq {
	struct verbs_srq verbs;
	struct p2pmr_receive_queue queue;
};

struct p2pmr_qp {
	struct verbs_qp verbs;
	struct p2pmr_lock lock; /* of the send queue */
	struct p2pmr_ring ring;
	uint32_t max_sge;
	uint32_t max_inline;
	uint32_t opcodes; /* a bit for each that this type of QP has */
	bool all_signaled;
	struct list_node sender, receiver; /* of its CQs */
	bool owes_doorbell;		   /* the kernel has refused one */
	struct ibv_post_send doorbell;
	struct ib_uverbs_post_send_resp doorbell_resp;
	/* Between wr_start and wr_complete: */
	struct rxe_send_wqe *wqe;
	uint32_t next;
	int error;
	struct p2pmr_receive_queue receives;
};

static inline struct p2pmr_pd *to_pd(struct ibv_pd *pd)
{
	return container_of(pd, struct p2pmr_pd, pd);
}

static inline struct p2pmr_mr *to_mr(struct verbs_mr *mr)
{
	return container_of(mr, struct p2pmr_mr, verbs);
}

static inline struct p2pmr_ah *to_ah(struct ibv_ah *ah)
{
	return container_of(ah, struct p2pmr_ah, ah);
}

static inline struct p2pmr_cq *to_cq(struct ibv_cq *cq)
{
	return container_of(cq, struct p2pmr_cq, verbs.cq);
}

static inline struct p2pmr_cq *to_cq_ex(struct ibv_cq_ex *cq)
{
	return container_of(cq, struct p2pmr_cq, verbs.cq_ex);
}

static inline struct p2pmr_srq *to_srq(struct ibv_srq *srq)
{
	return container_of(srq, struct p2pmr_srq, verbs.srq);
}

static inline struct p2pmr_qp *to_qp(struct ibv_qp *qp)
{
	return container_of(qp, struct p2pmr_qp, verbs.qp);
}

static inline struct p2pmr_qp *to_qp_ex(struct ibv_qp_ex *qp)
{
	return container_of(qp, struct p2pmr_qp, verbs.qp_ex);
}

/* device.c */
extern const struct verbs_device_ops p2pmr_device_ops;

/* pd.c */
struct ibv_pd *p2pmr_alloc_pd(struct ibv_context *context);
int p2pmr_dealloc_pd(struct ibv_pd *pd);
struct ibv_td *p2pmr_alloc_td(struct ibv_context *context,
			      struct ibv_td_init_attr *attr);
int p2pmr_dealloc_td(struct ibv_td *td);
struct ibv_pd *
p2pmr_alloc_parent_domain(struct ibv_context *context,
			  struct ibv_parent_domain_init_attr *attr);
/* May what belongs to this PD be used by several threads at once? */
bool p2pmr_pd_is_shared(struct ibv_pd *pd);
/* An object is made in it, or has gone. */
void p2pmr_pd_hold(struct ibv_pd *pd);
void p2pmr_pd_release(struct ibv_pd *pd);

/* mr.c */
struct ibv_mr *p2pmr_reg_mr(struct ibv_pd *pd, void *addr, size_t length,
			    uint64_t iova, int access);
struct ibv_mr *p2pmr_reg_mr_extended(struct ibv_pd *pd, void *addr,
				     size_t length, uint64_t iova,
				     unsigned int access,
				     const struct p2pmr_reg_mr_req *req,
				     struct p2pmr_reg_mr_resp *resp);
struct ibv_mr *p2pmr_reg_dmabuf_mr(struct ibv_pd *pd, uint64_t offset,
				   size_t length, uint64_t iova, int fd,
				   int access);
int p2pmr_dereg_mr(struct verbs_mr *mr);
struct ibv_mw *p2pmr_alloc_mw(struct ibv_pd *pd, enum ibv_mw_type type);
int p2pmr_dealloc_mw(struct ibv_mw *mw);

/* rereg.c */
int p2pmr_rereg_mr(struct verbs_mr *mr, int flags, struct ibv_pd *pd,
		   void *addr, size_t length, int access);

/* dm.c */
struct ibv_dm *p2pmr_alloc_dm(struct ibv_context *context,
			      struct ibv_alloc_dm_attr *attr);
int p2pmr_free_dm(struct ibv_dm *dm);
struct ibv_mr *p2pmr_reg_dm_mr(struct ibv_pd *pd, struct ibv_dm *dm,
			       uint64_t offset, size_t length,
			       unsigned int access);
/* An MR of it has gone. */
void p2pmr_dm_release(struct p2pmr_dm *dm);

/* ah.c */
struct ibv_ah *p2pmr_create_ah(struct ibv_pd *pd, struct ibv_ah_attr *attr);
int p2pmr_destroy_ah(struct ibv_ah *ah);

/* cq.c */
struct ibv_cq *p2pmr_create_cq(struct ibv_context *context, int cqe,
			       struct ibv_comp_channel *channel, int vector);
struct ibv_cq_ex *p2pmr_create_cq_ex(struct ibv_context *context,
				     struct ibv_cq_init_attr_ex *attr);
/* Which QPs complete in a CQ. */
void p2pmr_cq_add_member(struct p2pmr_qp *qp);
void p2pmr_cq_remove_member(struct p2pmr_qp *qp);
/* Takes a QP's completions out of it. */
void p2pmr_cq_purge(struct ibv_cq *cq, uint32_t qp_num);
/*
 * Does a poll that was started and not ended stand in the way of the caller's
 * taking the lock?
 */
bool p2pmr_cq_is_polled(const struct p2pmr_cq *cq);
int p2pmr_destroy_cq(struct ibv_cq *cq);

/* cq_resize.c */
int p2pmr_resize_cq(struct ibv_cq *cq, int cqe);
/* The ring that could not be mapped when it was made; with the CQ's lock. */
int p2pmr_cq_map_owed(struct p2pmr_cq *cq);

/* debts.c */
/* A CQ, or a QP that sends to it, owes something: polls see to it from now on. */
void p2pmr_cq_owes(struct ibv_cq *cq);

/* poll.c */
int p2pmr_poll_cq(struct ibv_cq *cq, int count, struct ibv_wc *wc);
int p2pmr_start_poll(struct ibv_cq_ex *cq, struct ibv_poll_cq_attr *attr);
/* The fields of a completion that it can show; others are EOPNOTSUPP. */
extern const uint64_t p2pmr_wc_flags;
void p2pmr_set_poll_ops(struct ibv_cq_ex *cq, uint64_t wc_flags);

/* srq.c */
struct ibv_srq *p2pmr_create_srq(struct ibv_pd *pd,
				 struct ibv_srq_init_attr *attr);
struct ibv_srq *p2pmr_create_srq_ex(struct ibv_context *context,
				    struct ibv_srq_init_attr_ex *attr);
int p2pmr_modify_srq(struct ibv_srq *srq, struct ibv_srq_attr *attr, int mask);
/* As p2pmr_cq_map_owed(). */
int p2pmr_srq_map_owed(struct p2pmr_srq *srq);
int p2pmr_query_srq(struct ibv_srq *srq, struct ibv_srq_attr *attr);
int p2pmr_destroy_srq(struct ibv_srq *srq);

/* qp.c */
struct ibv_qp *p2pmr_create_qp(struct ibv_pd *pd,
			       struct ibv_qp_init_attr *attr);
struct ibv_qp *p2pmr_create_qp_ex(struct ibv_context *context,
				  struct ibv_qp_init_attr_ex *attr);
int p2pmr_query_qp(struct ibv_qp *qp, struct ibv_qp_attr *attr, int mask,
		   struct ibv_qp_init_attr *init);
int p2pmr_modify_qp(struct ibv_qp *qp, struct ibv_qp_attr *attr, int mask);
int p2pmr_destroy_qp(struct ibv_qp *qp);

/* receive.c */
int p2pmr_post_recv(struct ibv_qp *qp, struct ibv_recv_wr *wr,
		    struct ibv_recv_wr **bad_wr);
int p2pmr_post_srq_recv(struct ibv_srq *srq, struct ibv_recv_wr *wr,
			struct ibv_recv_wr **bad_wr);

/* send.c */
int p2pmr_post_send(struct ibv_qp *qp, struct ibv_send_wr *wr,
		    struct ibv_send_wr **bad_wr);
int p2pmr_bind_mw(struct ibv_qp *qp, struct ibv_mw *mw,
		  struct ibv_mw_bind *bind);
void p2pmr_init_doorbell(struct p2pmr_qp *qp);
/* Tells the kernel that there is something to send, now or later. */
void p2pmr_ring_doorbell(struct p2pmr_qp *qp);
/* Tells it again if it has refused to hear; an errno if it still does. */
int p2pmr_pay_doorbell(struct p2pmr_qp *qp);

static inline bool p2pmr_owes_doorbell(const struct p2pmr_qp *qp)
{
	return __builtin_expect(
		__atomic_load_n(&qp->owes_doorbell, __ATOMIC_RELAXED), 0);
}

/* wr.c: which ibv_wr_* calls a type of QP can have, and giving it some. */
uint64_t p2pmr_supported_send_ops(enum ibv_qp_type type);
void p2pmr_set_send_ops(struct p2pmr_qp *qp, uint64_t ops);

/* wr_data.c */
void p2pmr_set_data_ops(struct ibv_qp_ex *qp);

#endif
