/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What the costs are measured on: queue pairs, and work requests for them. */
#ifndef P2PMR_PROVIDER_TESTS_COST_SETTING_H
#define P2PMR_PROVIDER_TESTS_COST_SETTING_H

#include "bar.h"
#include "endpoint.h"

#define CHAIN 16

struct cost_setting {
	struct pair pair;
	struct queue ud; /* sends to itself, where nobody receives */
	struct ibv_srq *srq;
	struct memory from, to;
	struct ibv_cq_ex *cq; /* of the near queue pair */
	struct ibv_td *td;    /* that all of it is in, or NULL */
	struct ibv_pd *pd;    /* below the parent domain, then */
	struct ibv_sge sge;
	struct ibv_send_wr sends[CHAIN];
	struct ibv_recv_wr receives[CHAIN];
	struct ibv_wc wc[CHAIN];
};

/* in_domain: in a thread domain. */
void cost_setting_open(struct cost_setting *setting, bool in_domain);
void cost_setting_close(struct cost_setting *setting);

/* Makes `sends` a chain of these; a send can go to either kind of queue pair. */
void cost_setting_prepare(struct cost_setting *setting,
			  enum ibv_wr_opcode opcode, unsigned int flags);

#endif
