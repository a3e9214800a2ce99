/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Queue pairs on the device under test: opening, connecting over the device's
 * own address, posting, and waiting for completions asleep with a deadline.
 * Whatever goes wrong outside the behaviour under test fails the test.
 */
#ifndef P2PMR_TESTS_ENDPOINT_H
#define P2PMR_TESTS_ENDPOINT_H

#include <infiniband/verbs.h>
#include <stdbool.h>

/* rxe's own UD packets are preceded by this much in a receive buffer. */
#define GRH_LENGTH 40
#define UD_QKEY	   0x50324d52

#define ACCESS_ALL                                          \
	(IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE | \
	 IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_ATOMIC)

struct device {
	struct ibv_context *context;
	struct ibv_pd *pd;
	union ibv_gid gid;
	int gid_index;
};

struct queue {
	struct device *device;
	struct ibv_comp_channel *channel;
	struct ibv_cq *cq;
	struct ibv_qp *qp;
	struct ibv_ah *ah; /* UD only: the way to the device itself */
};

/* Two connected RC queue pairs of one process. */
struct pair {
	struct device device;
	struct queue near; /* posts */
	struct queue far;  /* is the peer */
};

void device_open(struct device *device);
void device_close(struct device *device);

void queue_open(struct queue *queue, struct device *device,
		enum ibv_qp_type type);
void queue_connect(struct queue *queue, uint32_t peer_qp_num);
void queue_start_ud(struct queue *queue);
/* After a failed transfer: a fresh RC queue pair in the place of the dead one. */
void queue_renew(struct queue *queue);
void queue_close(struct queue *queue);

void pair_open(struct pair *pair);
void pair_close(struct pair *pair);
/* After a failed transfer: fresh queue pairs in the place of the dead ones. */
void pair_reconnect(struct pair *pair);

/* One send work request, with the fields in the order one thinks of them. */
struct transfer {
	enum ibv_wr_opcode opcode;
	const void *local;
	uint32_t lkey;
	uint32_t length;
	uint64_t remote;
	uint32_t rkey;
	uint32_t imm;
	uint64_t compare_add;
	uint64_t swap;
	uint32_t ud_qp_num;
};

void post(struct queue *queue, const struct transfer *transfer);
void post_receive(struct queue *queue, void *buffer, uint32_t length,
		  uint32_t lkey);

/*
 * How long a completion may take: 16 MiB take half of it where several sanitizer
 * kernels are emulated at once.
 */
int deadline_ms(void);

/* The next completion; the deadline passing fails the test. */
struct ibv_wc wait_completion(struct queue *queue);

/*
 * The same for threads, where cmocka cannot fail the test: an errno, false at
 * the deadline, IBV_WC_GENERAL_ERR for either.
 */
int try_post(struct queue *queue, const struct transfer *transfer);
enum ibv_wc_status try_transfer(struct queue *queue,
				const struct transfer *transfer);
bool try_completion(struct queue *queue, struct ibv_wc *wc, int milliseconds);

/* post() and wait for its completion. */
enum ibv_wc_status run_transfer(struct queue *queue,
				const struct transfer *transfer);

#define assert_status(actual, expected) \
	assert_status_at(actual, expected, __FILE__, __LINE__)
void assert_status_at(enum ibv_wc_status actual, enum ibv_wc_status expected,
		      const char *file, int line);

#endif
