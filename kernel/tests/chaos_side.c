// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * The processes of a couple: traffic, the deed of the owner under it, and
 * after a revocation further tries, by the queue pairs that are there and by
 * fresh ones.
 */
#include "chaos_side.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "chaos_couple.h"
#include "engine.h"
#include "peer.h"
#include "runner.h"

/* How often a side tries what was revoked before it has settled. */
#define TRIES  3
#define NAP_US 500
#define NAP_MS 50

struct side_run {
	struct couple *couple;
	struct side_report *report;
	struct stream stream;
	struct peer peer; /* the queue pair towards the other side */
	struct pair own;  /* the owner's own */
	struct owned owned;
	unsigned int tries;
	/* Fresh queue pairs for the stream; false if there are none to be had. */
	bool (*reconnect)(struct side_run *run);
	/* What else there is to do between two transfers. */
	void (*serve)(struct side_run *run);
};

static int stage_of(struct side_run *run)
{
	return run->couple->state->stage;
}

static bool is_over(void *run)
{
	return stage_of(run) == STOP;
}

__attribute__((format(printf, 2, 3))) static void
complain(struct side_run *run, const char *format, ...)
{
	va_list ap;

	if (run->report->is_wrong)
		return;
	va_start(ap, format);
	vsnprintf(run->report->wrong, WHY_SIZE, format, ap);
	va_end(ap);
	run->report->is_wrong = true;
}

/* Whether the stream has to go on by fresh queue pairs. */
static bool judge(struct side_run *run, int before, struct result result)
{
	switch (result.step) {
	case MOVED:
		run->report->transfers++;
		run->report->bytes += result.length;
		if (before == REVOKED)
			complain(run,
				 "%u bytes were moved after the revocation",
				 result.length);
		return false;
	case WRONG:
		complain(run, "byte %u of %lu is not what was written there",
			 result.first_wrong, STREAM_SIZE);
		return false;
	case STOPPED:
		return false;
	case FAILED:
		break;
	}
	run->report->failures++;
	if (!run->couple->plan.may_fail && stage_of(run) != EVENT &&
	    stage_of(run) != REVOKED && stage_of(run) != STOP)
		complain(run, "a transfer failed: %s",
			 ibv_wc_status_str(result.status));
	return true;
}

static void nap(struct side_run *run)
{
	unsigned int longest = run->couple->plan.pause_us;

	if (longest)
		usleep(next_random(&run->stream.random) % longest);
}

static void move_until_over(struct side_run *run)
{
	while (!is_over(run)) {
		int before = stage_of(run);
		struct result result;

		run->serve(run);
		if (run->report->has_settled) {
			usleep(NAP_US);
			continue;
		}
		run->stream.no_reads =
			run->couple->plan.no_reads && before == EVENT;
		result = stream_step(&run->stream, is_over, run);
		if (!judge(run, before, result)) {
			nap(run);
			continue;
		}
		/* An event may fail what is on its way, and then revoke. */
		while (stage_of(run) == EVENT)
			usleep(NAP_US);
		run->tries += stage_of(run) == REVOKED;
		if (run->tries >= TRIES || run->couple->plan.device_goes ||
		    !run->reconnect(run))
			run->report->has_settled = true;
	}
}

static void do_nothing(struct side_run *run)
{
	(void)run;
}

/* The peer tells its new queue pair's number, and waits for the other one. */
static bool reconnect_peer(struct side_run *run)
{
	struct queue *queue = &run->peer.queue;
	struct pollfd p = { .fd = run->peer.socket, .events = POLLIN };
	uint32_t number;

	queue_renew(queue);
	number = queue->qp->qp_num;
	if (send(p.fd, &number, sizeof(number), MSG_NOSIGNAL) < 0)
		return false;
	while (poll(&p, 1, NAP_MS) == 0)
		if (is_over(run))
			return false;
	if (recv(p.fd, &number, sizeof(number), 0) != sizeof(number))
		return false;
	queue_connect(queue, number);
	return true;
}

static void serve_reconnects(struct side_run *run)
{
	struct queue *queue = &run->peer.queue;
	uint32_t number;

	if (recv(run->peer.socket, &number, sizeof(number), MSG_DONTWAIT) !=
	    sizeof(number))
		return;
	queue_renew(queue);
	queue_connect(queue, number);
	number = queue->qp->qp_num;
	/* A peer that was killed in the meantime does not want to know. */
	send(run->peer.socket, &number, sizeof(number), MSG_NOSIGNAL);
}

static bool reconnect_own(struct side_run *run)
{
	pair_reconnect(&run->own);
	return true;
}

/* The engine's fresh attachment may be refused; it must not move anything then. */
static bool reattach(struct side_run *run)
{
	int *engine = &run->stream.target.engine;

	close(*engine);
	*engine = engine_open();
	engine_try_attach(*engine, run->owned.dmabuf, EDU_DYNAMIC,
			  EDU_BOTH_WAYS);
	return true;
}

static void side_begin(struct side_run *run, struct couple *couple,
		       enum side side)
{
	memset(run, 0, sizeof(*run));
	run->couple = couple;
	run->report = &couple->state->sides[side];
	close(couple->link[!side]);
	assert_int_equal(setenv("P2PMR_DEV", couple->plan.device, 1), 0);
	peer_open(&run->peer, couple->link[side]);
}

void side_be_peer(int socket, void *argument)
{
	struct couple *couple = argument;
	struct side_run run;
	struct region region;

	(void)socket;
	side_begin(&run, couple, PEER);
	run.reconnect = reconnect_peer;
	run.serve = do_nothing;
	region = learn_region(&run.peer);
	stream_open(&run.stream, &run.peer.queue, run.peer.device.pd,
		    (struct target){ region.address, region.rkey, false, 0 },
		    ~couple->plan.seed, &run.report->reads);
	move_until_over(&run);
	if (couple->plan.device_goes)
		return;
	stream_close(&run.stream);
	peer_close(&run.peer);
}

/* A thread, so that the owner's own transfers go on meanwhile. */
static void *act(void *argument)
{
	struct side_run *run = argument;
	struct couple_state *state = run->couple->state;
	int stage = EVENT;

	while (state->stage != EVENT) {
		if (state->stage == STOP)
			return NULL;
		usleep(NAP_US);
	}
	state->error = run->couple->plan.event(&run->owned);
	/* Unless the director has had enough. */
	atomic_compare_exchange_strong(&state->stage, &stage,
				       run->couple->plan.keeps ? KEPT
							       : REVOKED);
	return NULL;
}

static void own_open(struct side_run *run)
{
	struct device *device = &run->peer.device;

	queue_open(&run->own.near, device, IBV_QPT_RC);
	queue_open(&run->own.far, device, IBV_QPT_RC);
	queue_connect(&run->own.near, run->own.far.qp->qp_num);
	queue_connect(&run->own.far, run->own.near.qp->qp_num);
}

/* The half of the MR that is the owner's own, and the way to it. */
static struct target own_target(struct side_run *run, const struct ibv_mr *mr)
{
	struct target target = { (uintptr_t)mr->addr + STREAM_SIZE, mr->lkey,
				 true, 0 };

	if (run->couple->plan.by_engine) {
		target.engine = engine_open();
		engine_attach(target.engine, run->owned.dmabuf, EDU_DYNAMIC);
		target.address = STREAM_SIZE;
		run->reconnect = reattach;
	}
	return target;
}

void side_own(int socket, void *argument)
{
	struct couple *couple = argument;
	pthread_t actor;
	struct side_run run;
	struct ibv_mr mr;

	(void)socket;
	side_begin(&run, couple, OWNER);
	run.reconnect = reconnect_own;
	run.serve = serve_reconnects;
	owned_map(&run.owned, couple->plan.source, couple->plan.offset);
	owned_register(&run.owned, run.peer.device.pd, &mr);
	tell_region(&run.peer, &mr);
	own_open(&run);
	stream_open(&run.stream, &run.own.near, run.peer.device.pd,
		    own_target(&run, &mr), couple->plan.seed,
		    &run.report->reads);
	if (couple->plan.event)
		assert_int_equal(pthread_create(&actor, NULL, act, &run), 0);
	move_until_over(&run);
	if (couple->plan.event)
		assert_int_equal(pthread_join(actor, NULL), 0);
	if (couple->plan.device_goes)
		return;
	owned_deregister(&run.owned);
	stream_close(&run.stream);
	queue_close(&run.own.near);
	queue_close(&run.own.far);
	peer_close(&run.peer);
}
