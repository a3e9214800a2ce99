// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/* One round from its couple's start to its end, see chaos_round.h. */
#include "chaos_round.h"

#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "bound.h"
#include "engine.h"
#include "host.h"
#include "runner.h"
#include "system.h"

/* Offsets in the BARs: nothing else of them is ever written to. */
#define SURVIVORS_AT (64 * PAGE)
#define VICTIMS_AT   CHAOS_VICTIMS_AT
#define REST_AT	     (VICTIMS_AT + OWNED_SIZE)
#define REST_SIZE    (1ul << 20)
#define REST_BYTE    0x5a

/* Checked transfers that must follow an event. */
#define MORE 2
/* How long the traffic goes on before the event, at most. */
#define BEFORE_US 40000
/* How long bytes that were planted must stay if nobody can be asked. */
#define STAY_US 50000
/* For whatever a couple is waited for, on a busy machine. */
#define PATIENCE 60

void survivors_start(struct chaos *chaos)
{
	couple_start(&chaos->survivors,
		     &(struct couple_plan){
			     .device = need_env("P2PMR_DEV"),
			     .source = next_random(&chaos->random) % 2
					       ? SYSFS_FIRST
					       : SYSFS_FIRST_WC,
			     .offset = SURVIVORS_AT,
			     .seed = next_random(&chaos->random),
			     .pause_us = 8000,
		     });
}

/* What lies around the couples' memory. */
static const struct {
	size_t offset, size;
} rests[] = {
	{ 0, SURVIVORS_AT },
	{ SURVIVORS_AT + OWNED_SIZE, VICTIMS_AT - SURVIVORS_AT - OWNED_SIZE },
	{ REST_AT, REST_SIZE },
};

void chaos_open(struct chaos *chaos)
{
	char why[WHY_SIZE];

	couple_patience = PATIENCE * slowness();
	function_clean_up();
	for (int f = 0; f < FUNCTIONS; f++)
		host_fill(f, 0, REST_AT + REST_SIZE, REST_BYTE);
	soft_roce_add(SECOND_DEVICE, SECOND_NETDEV, "198.51.100.1");
	survivors_start(chaos);
	if (!couple_moves(&chaos->survivors, MORE, why))
		fail_msg("before the first round, survivors: %s", why);
}

static bool rest_is_untouched(char why[WHY_SIZE])
{
	static uint8_t bytes[REST_SIZE];

	for (int f = 0; f < FUNCTIONS; f++)
		for (size_t i = 0; i < ARRAY_SIZE(rests); i++) {
			host_read(f, rests[i].offset, bytes, rests[i].size);
			for (size_t j = 0; j < rests[i].size; j++)
				if (bytes[j] != REST_BYTE) {
					snprintf(
						why, WHY_SIZE,
						"byte %zu of BAR %d, which is nobody's, was written",
						rests[i].offset + j, f);
					return false;
				}
		}
	return true;
}

static void count(const struct couple *couple, struct tally *tally)
{
	for (enum side s = 0; s < SIDES; s++) {
		const struct side_report *r = &couple->state->sides[s];

		tally->transfers += r->transfers;
		tally->bytes += r->bytes;
		tally->refused += r->failures;
	}
}

bool survivors_end(struct chaos *chaos, char why[WHY_SIZE])
{
	count(&chaos->survivors, &chaos->tally);
	return couple_end(&chaos->survivors, why);
}

bool chaos_close(struct chaos *chaos, char why[WHY_SIZE])
{
	if (!survivors_end(chaos, why) || !rest_is_untouched(why))
		return false;
	soft_roce_delete(SECOND_DEVICE, SECOND_NETDEV);
	function_clean_up();
	return true;
}

/* Without p2pmr too 6.1 warns if what vfio-pci has mapped is moved. */
static bool kernel_takes(const struct event *event, enum source source)
{
	struct utsname name;

	assert_int_equal(uname(&name), 0);
	return event->owner != owner_moves || source != VFIO ||
	       strncmp(name.release, "6.1.", 4);
}

static enum source choose_source(struct chaos *chaos, const struct event *event)
{
	enum source source;

	do
		source = next_random(&chaos->random) % SOURCES;
	while (!(event->sources & 1u << source) ||
	       !kernel_takes(event, source));
	return source;
}

static struct couple_plan make_plan(struct chaos *chaos,
				    const struct event *event)
{
	bool second = next_random(&chaos->random) % 2;
	struct couple_plan plan = {
		.device = second || event->on_second_device
				  ? SECOND_DEVICE
				  : need_env("P2PMR_DEV"),
		.source = choose_source(chaos, event),
		.offset = VICTIMS_AT,
		.seed = next_random(&chaos->random),
		.event = event->owner,
		.keeps = !event->revokes,
		.may_fail = event->may_fail,
		.no_reads = event->no_reads,
		.device_goes = event->device_goes,
	};

	/* The RDMA device's end is none of the engine's business. */
	if (source_is_dmabuf(plan.source) && !event->device_goes)
		plan.by_engine = next_random(&chaos->random) % 2;
	return plan;
}

/* Lets it happen; from then on `stage` says what came of it. */
static bool happen(struct chaos *chaos, const struct event *event,
		   char why[WHY_SIZE])
{
	struct couple_state *state = chaos->victims.state;
	unsigned long reads;

	state->stage = EVENT;
	if (event->owner)
		return couple_has_happened(&chaos->victims, why);
	/* A side's next transfer may be a READ from before, the one after that is none. */
	if (event->no_reads && !couple_moves(&chaos->victims, 1, why))
		return false;
	reads = couple_reads(&chaos->victims);
	event->happen(chaos);
	if (event->no_reads && couple_reads(&chaos->victims) != reads) {
		snprintf(why, WHY_SIZE, "READs were posted during the event");
		return false;
	}
	state->stage = event->revokes ? REVOKED : KEPT;
	return true;
}

/*
 * The machine outside puts its own bytes there while both sides go on trying,
 * and they must still be there when those have given up.
 */
static bool stays_revoked(struct chaos *chaos, const struct event *event,
			  char why[WHY_SIZE])
{
	static uint8_t planted[OWNED_SIZE], seen[OWNED_SIZE];
	struct couple *victims = &chaos->victims;
	int function = source_function(victims->plan.source);

	pattern_fill(planted, OWNED_SIZE, next_random(&chaos->random));
	host_write(function, VICTIMS_AT, planted, OWNED_SIZE);
	if (event->kills == OWNER || event->device_goes)
		usleep(STAY_US); /* a dead one's peer waits for seconds */
	else if (!couple_has_settled(victims, why))
		return false;
	host_read(function, VICTIMS_AT, seen, OWNED_SIZE);
	for (size_t i = 0; i < OWNED_SIZE; i++)
		if (seen[i] != planted[i]) {
			snprintf(
				why, WHY_SIZE,
				"byte %zu of the BAR changed after the revocation",
				i);
			return false;
		}
	chaos->tally.planted += OWNED_SIZE;
	return true;
}

/* The couple in whose memory it happens; what it has ends with it. */
static bool run_victims(struct chaos *chaos, const struct event *event,
			char why[WHY_SIZE])
{
	char ignored[WHY_SIZE];
	bool well = couple_moves(&chaos->victims, MORE, why);

	usleep(next_random(&chaos->random) % BEFORE_US);
	well = well && happen(chaos, event, why) &&
	       (event->revokes ? stays_revoked(chaos, event, why)
			       : couple_moves(&chaos->victims, MORE, why));
	count(&chaos->victims, &chaos->tally);
	/* The first reason is the one to tell. */
	return couple_end(&chaos->victims, well ? why : ignored) && well;
}

static bool survivors_move(struct chaos *chaos, char why[WHY_SIZE])
{
	char reason[WHY_SIZE];

	if (couple_moves(&chaos->survivors, MORE, reason))
		return true;
	snprintf(why, WHY_SIZE, "survivors: %.240s", reason);
	return false;
}

bool chaos_round(struct chaos *chaos, const struct event *event, uint64_t seed,
		 char why[WHY_SIZE])
{
	struct couple_plan plan;
	bool well;

	chaos->random = seed;
	plan = make_plan(chaos, event);
	function_prepare(plan.source);
	if (plan.by_engine)
		engine_load();
	couple_start(&chaos->victims, &plan);
	well = run_victims(chaos, event, why);
	if (event->undo)
		event->undo(chaos);
	if (plan.by_engine)
		engine_unload();
	function_release(plan.source);
	chaos->tally.rounds += well;
	return well && survivors_move(chaos, why);
}

const char *chaos_place(const struct chaos *chaos)
{
	static char place[64];

	snprintf(place, sizeof(place), "%s %s%s",
		 source_name(chaos->victims.plan.source),
		 chaos->victims.plan.device,
		 chaos->victims.plan.by_engine ? " and the engine" : "");
	return place;
}
