// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * RDMA straight into a BAR: one process gives away a part of its device's
 * memory, another one writes into it.
 *
 *   remote_write ADDRESS PORT 0000:01:00.0 2    maps BAR 2 and waits
 *   remote_write ADDRESS PORT MESSAGE           writes into it
 *
 *   cc remote_write.c $(pkg-config --cflags --libs libp2pmr) -lrdmacm -libverbs
 */
#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <infiniband/p2pmr.h>
#include <rdma/rdma_cma.h>
#include <rdma/rdma_verbs.h>

/* What the writer must know; it travels with the connection. */
struct window {
	uint64_t address;
	uint32_t rkey;
	uint32_t length;
};

static void die(const char *what)
{
	perror(what);
	exit(1);
}

/* An end of a connection, whose calls wait until they are done. */
static struct rdma_cm_id *endpoint(char *address, char *port, int flags)
{
	struct rdma_addrinfo hints = { .ai_flags = flags,
				       .ai_port_space = RDMA_PS_TCP };
	struct ibv_qp_init_attr init = {
		.cap = { .max_send_wr = 1,
			 .max_recv_wr = 1,
			 .max_send_sge = 1,
			 .max_recv_sge = 1,
			 .max_inline_data = 64 },
		.sq_sig_all = 1,
	};
	struct rdma_addrinfo *info;
	struct rdma_cm_id *id;

	if (rdma_getaddrinfo(address, port, &hints, &info))
		die("rdma_getaddrinfo");
	if (rdma_create_ep(&id, info, NULL, &init))
		die("rdma_create_ep");
	rdma_freeaddrinfo(info);
	return id;
}

static void wait_for_the_end(struct rdma_cm_id *id)
{
	/* A quick writer has gone before it was known to be connected. */
	enum rdma_cm_event_type type = id->event->event;
	struct rdma_cm_event *event;

	while (type != RDMA_CM_EVENT_DISCONNECTED) {
		if (rdma_get_cm_event(id->channel, &event))
			die("rdma_get_cm_event");
		type = event->event;
		rdma_ack_cm_event(event);
	}
}

static void give_away(struct rdma_cm_id *listener, const char *function,
		      int bar)
{
	struct p2pmr_map_attr attr = { .size = sizeof(attr), .length = 4096 };
	struct rdma_conn_param param = { .responder_resources = 1 };
	struct p2pmr_mapping *mapping = p2pmr_map_bar(function, bar, &attr);
	struct window window;
	struct rdma_cm_id *id;
	struct p2pmr_mr *mr;
	char message[65] = "";

	if (!mapping)
		die("p2pmr_map_bar");
	if (rdma_listen(listener, 1) || rdma_get_request(listener, &id))
		die("rdma_listen");

	/* As ibv_reg_mr(), and any other mapping would do as well. */
	mr = p2pmr_reg_mr(id->pd, p2pmr_mapping_address(mapping),
			  p2pmr_mapping_length(mapping),
			  IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE,
			  NULL);
	if (!mr)
		die("p2pmr_reg_mr");
	window.address = htobe64((uintptr_t)p2pmr_mapping_address(mapping));
	window.rkey = htobe32(p2pmr_mr_verbs(mr)->rkey);
	window.length = htobe32(p2pmr_mapping_length(mapping));
	param.private_data = &window;
	param.private_data_len = sizeof(window);
	if (rdma_accept(id, &param))
		die("rdma_accept");

	wait_for_the_end(id);
	p2pmr_read(mapping, 0, message, sizeof(message) - 1);
	printf("%s\n", message);
	p2pmr_dereg_mr(mr);
	p2pmr_unmap(mapping);
	rdma_destroy_ep(id);
}

static void write_into(struct rdma_cm_id *id, const char *text)
{
	struct rdma_conn_param param = { .initiator_depth = 1,
					 .retry_count = 7 };
	char message[64] = "";
	struct window window;
	struct ibv_wc wc;

	snprintf(message, sizeof(message), "%s", text);
	if (rdma_connect(id, &param))
		die("rdma_connect");
	if (id->event->param.conn.private_data_len < sizeof(window))
		die("what came with the connection");
	memcpy(&window, id->event->param.conn.private_data, sizeof(window));

	if (rdma_post_write(id, NULL, message, sizeof(message), NULL,
			    IBV_SEND_INLINE, be64toh(window.address),
			    be32toh(window.rkey)))
		die("rdma_post_write");
	if (rdma_get_send_comp(id, &wc) != 1 || wc.status != IBV_WC_SUCCESS)
		die("the write");
	rdma_disconnect(id);
}

int main(int argc, char **argv)
{
	struct rdma_cm_id *id;

	if (argc != 4 && argc != 5) {
		fprintf(stderr, "see the first lines of the source\n");
		return 2;
	}
	id = endpoint(argv[1], argv[2], argc == 5 ? RAI_PASSIVE : 0);
	if (argc == 5)
		give_away(id, argv[3], atoi(argv[4]));
	else
		write_into(id, argv[3]);
	rdma_destroy_ep(id);
	return 0;
}
