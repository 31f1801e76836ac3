/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The simulated edge - devices, access points and edge servers in virtual time
 *
 *	 MUD 0 .. M-1      each near one access point at a time
 *	   |  (LAN)
 *	 AP 0 .. N-1  ---- every AP to every other AP and to every ES: WAN, to its own ES: LAN
 *	   |
 *	 ES 0 .. N-1  ---- every ES to every other ES: WAN (migrations)
 *
 * The session logic is the very code of the daemons (src/core). What it asks for is done by models:
 * links that delay, break and lose (network.c), containers, checkpoints and transfers that are slow
 * and fail (engine.c), processes and hosts that crash (faults.c). A container is a counter and a
 * hash chain over the requests it executed, and a file with as many lines: what a service must not
 * lose, double or reorder shows in one number. checks.c asserts the rules of the design after each
 * event. Everything random comes from one seed, so a failing run replays exactly.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "core/ap/node.h"
#include "core/es/node.h"
#include "core/mud/session.h"

#define EDGES_MAX    4
#define MUDS_MAX     3
#define NODES_MAX    (MUDS_MAX + 2 * EDGES_MAX)
#define REQUESTS_MAX 400 /* of a device, but in a long life */
#define KEPT_MAX     512 /* requests in the log of a protected session */
#define KEPT_SLOTS                                                                                 \
	8 /* of an edge server; more than there are devices are in use in a long life only */
#define HELD_MAX     WIRE_WINDOW /* no more are unanswered */
#define SESSIONS_MAX 32 /* policy.sessions_max, and so records and containers of an edge server */
#define ROGUE_LINK   (1ull << 40) /* from there on links of devices that are not who they say */

struct err;
struct world;

/* --- virtual time (clock.c) -------------------------------------------------------------------- */

typedef void (*event_fn)(struct world *w, void *arg);

/** struct event - Something that will happen; @arg is freed after @fn */
struct event {
	uint64_t time;
	uint64_t order;
	event_fn fn;
	void *arg;
};

/** struct agenda - Events to come, a binary heap by time, then by order of entry */
struct agenda {
	struct event *heap;
	size_t count;
	size_t capacity;
	uint64_t entered;
};

/* --- network (network.c) ----------------------------------------------------------------------- */

enum kind { KIND_MUD, KIND_AP, KIND_ES };

/** struct node_id - One process */
struct node_id {
	enum kind kind;
	int index;
};

/**
 * struct pipe - One direction of a connection
 * @generation:	grows when the connection breaks; what was under way belongs to an older one
 * @last:	when the last message under way arrives: order is kept
 */
struct pipe {
	bool up;
	uint32_t generation;
	uint64_t last;
};

/* --- containers (engine.c) --------------------------------------------------------------------- */

/** struct state - What a service keeps: @lines is in its file, the rest in memory */
struct state {
	uint64_t count;
	uint64_t chain;
	uint64_t lines;
};

/**
 * struct container - A model service
 * @running:	number it executes now, 0 if none
 * @stopped:	its processes have ended; what it keeps is there. This service keeps all it has on its disk
 * @frozen:	a cut is being taken
 * @authority:	it was ACTIVE once, so it must not be removed while it may be needed (R3)
 * @authority_since: when a copy became ACTIVE; 0 for the first container of a session
 * @diverged:	answers otherwise than its origin would (R5)
 * @since_restore: requests executed since it was restored
 */
struct container {
	bool present;
	uint64_t serial;
	uint64_t session;
	uint32_t epoch;
	struct state state;
	uint64_t running;
	bool stopped;
	bool frozen;
	uint64_t frozen_since;
	bool authority;
	uint64_t authority_since;
	bool diverged;
	uint64_t since_restore;
	uint64_t collecting; /* when the last part came of a request that is not whole; else 0 */
};

enum transfer_step {
	STEP_PREPARE,
	STEP_OFFER,
	STEP_WAIT_CUT,
	STEP_CUT,
	STEP_SEND,
	STEP_RESTORE,
	STEP_RESULT,
	STEP_ENDED
};

/** struct transfer - A migration's own connection and what goes over it */
struct transfer {
	struct es_migration_order order;
	int from, to;
	uint32_t from_life, to_life;
	uint32_t pipe_generation;
	enum transfer_step step;
	bool frozen;      /* it froze the container, which is to be thawed */
	bool offered;     /* the destination counts on an end of it */
	bool source_done; /* source_finished was called or must not be */
	uint64_t cut_number;
	struct buf cache;
	struct state snapshot;
	bool keep;    /* the cut is kept where it is taken */
	bool recover; /* it comes from there */
	unsigned int delays;
	unsigned int looks;    /* since it ended, see long_life.c */
	struct transfer *next; /* in the world's list, released at the end of the run */
};

/* --- processes --------------------------------------------------------------------------------- */

/** struct record_slot - What an edge server wrote down of one session */
struct record_slot {
	bool used;
	struct es_record record;
	struct buf cache;
};

/**
 * struct kept_slot - A cut that is kept, and the requests that were logged
 * @whole:	there is a cut, at number @cut; otherwise there are requests only
 * @logged:	numbers of these, each at its remainder; 0: none
 * @how:	how they ended
 */
struct kept_slot {
	bool used;
	uint64_t session;
	bool whole;
	uint64_t cut;
	struct state state;
	uint64_t logged[KEPT_MAX];
	struct es_logged how[KEPT_MAX];
	struct wire_data request[KEPT_MAX];
	uint8_t bytes[8];
};

struct edge {
	char ap_name[NAME_SIZE];
	char es_name[NAME_SIZE];
	struct ap_node *ap;
	struct es_node *es;
	uint32_t ap_life; /* grows with each restart */
	uint32_t es_life;
	uint64_t mud_link[MUDS_MAX];
	bool dying;          /* the edge server's program crashed in what it is doing */
	unsigned int moving; /* attempts that its access point has begun and not ended */
	bool ap_touched;     /* since its limits were checked last */
	bool drained;        /* its edge server is, and would be after a restart */
	uint64_t full_until; /* its edge server's disk: nothing can be written down */
	struct record_slot record[SESSIONS_MAX];
	struct container container[SESSIONS_MAX];
	struct kept_slot kept[KEPT_SLOTS];
};

/**
 * struct mud - A device and what it expects
 * @expected:	states the service may be in after the answers so far; more than one only after an
 *		answer "in doubt"
 * @unchecked_through: a copy answered otherwise up to here where nothing could be compared
 * @held:	answers that came before one with a lower number
 * @excused:	a fault destroyed the only container: the session may be lost
 * @seen, @held, @held_status: of the next HELD_MAX numbers, each at its remainder
 * @life, @left: in a long life: how many sessions it has had; it ended this one
 * @draining:	since when a cut is wanted while a request runs, per edge server; 0 if none is
 */
struct mud {
	char name[NAME_SIZE];
	const char *service; /* named after its sync (R6) */
	uint64_t session;
	struct mud_session *logic;
	int at;
	bool long_requests;
	bool done;
	uint64_t sent;
	uint64_t goal;
	uint64_t interval;
	uint64_t answered;
	struct state expected[2];
	size_t expected_count;
	uint64_t unchecked_through;
	bool seen[HELD_MAX];
	struct state held[HELD_MAX];
	enum wire_status held_status[HELD_MAX];
	uint32_t life;
	bool left;
	bool excused;
	uint64_t draining[EDGES_MAX];
	bool lost;
	bool diverges;
};

/** struct plan - What the seed decided for the whole run */
struct plan {
	unsigned int edges;
	unsigned int muds;
	uint64_t wan_ms;
	uint64_t fault_permille;
	bool link_faults, ap_faults, es_faults, host_faults, container_faults, slow_requests;
	bool device_faults, disk_faults, rogue, through_codec, operator;
	uint64_t faults_until;
	uint64_t end;
};

/** struct growth - Highest values of a quarter of a long life: bytes allocated, sessions that nodes know */
struct growth {
	uint64_t heap, known;
};

/** struct strikes - What happened in a long life; @crashed: edge servers by enum crash */
struct strikes {
	uint64_t begun, left, lost, answers, moves, aps, containers, links, full, crashed[3];
};

struct world {
	uint64_t hours; /* of a long life, or 0 */
	struct growth growth[4];
	struct strikes strikes;
	uint64_t seed;
	uint64_t random;
	uint64_t now;
	struct agenda agenda;
	struct plan plan;
	struct policy policy;
	struct edge edge[EDGES_MAX];
	struct mud mud[MUDS_MAX];
	struct pipe pipe[NODES_MAX][NODES_MAX];
	struct transfer *transfers;
	bool records_changed; /* since they were checked last */
	uint64_t next_link;
	uint64_t next_serial;
	uint64_t events;
	uint64_t migrations;
	uint64_t went_back;
	uint64_t moved;
	uint64_t wishes;
	uint64_t drains;
	uint64_t held;
	bool harder; /* containers die in the grace time, too */
	uint64_t restarts;
	uint64_t cuts_kept;
	uint64_t recovered;
	uint64_t memory_lost;
	bool trace;
	bool failed;
	char why[512];
};

/* clock.c */
void agenda_add(struct world *w, uint64_t after, event_fn fn, void *arg);
bool agenda_step(struct world *w);
void agenda_clear(struct world *w);
uint64_t roll(struct world *w, uint64_t below);
bool chance(struct world *w, uint64_t permille);

/* checks.c */
void violated(struct world *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void trace(struct world *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void check_always(struct world *w);
void check_waits(struct world *w);
void check_answer(struct world *w, struct mud *m, const struct wire_data *answer);
void check_delivery(struct world *w, struct mud *m, const struct wire_data *answer);
void check_stranger(struct world *w, const char *from, const char *to,
		    const struct wire_message *m);
/* Name of an edge server with a valid certificate that never had a session */
#define ROGUE_ES "EdgeServer-rogue"

/** rogue_es_asked() - An access point has asked the rogue edge server, which answers in its way */
void rogue_es_asked(struct world *w, int edge, const struct wire_message *m);

void check_rogue(struct world *w, const char *from, const struct wire_message *m);
void check_removal(struct world *w, int edge, const struct container *c);
void check_end(struct world *w);
struct state state_after(struct state before, uint64_t session, uint64_t number);
enum wire_segment part_of(const struct mud *m, uint64_t number);

/* network.c */
struct node_id node_mud(int index);
struct node_id node_ap(int index);
struct node_id node_es(int index);
struct pipe *pipe_between(struct world *w, struct node_id a, struct node_id b);
void network_send(struct world *w, struct node_id from, struct node_id to,
		  const struct wire_message *m);
void network_cut(struct world *w, struct node_id a, struct node_id b, uint64_t for_ms);
void network_connect(struct world *w, struct node_id a, struct node_id b);
void network_drop_all(struct world *w, struct node_id a);
uint64_t network_delay(struct world *w, struct node_id a, struct node_id b);

/* engine.c */
extern const struct es_node_ops engine_ops;
struct container *engine_find(struct world *w, int edge, uint64_t session, uint32_t epoch);
void engine_daemon_died(struct world *w, int edge);
void engine_host_died(struct world *w, int edge, bool disk);
bool engine_in_grace(struct world *w, int edge, const struct container *c);
void engine_kill(struct world *w, int edge, struct container *c);
void engine_transfers_broken(struct world *w, int a, int b);

/* protection.c */
bool protected_service(const char *service);
struct kept_slot *kept_of(struct world *w, int edge, uint64_t session, bool make);
bool kept_covers(const struct kept_slot *k, uint64_t executed);
int kept_log(struct kept_slot *k, const struct wire_data *request, struct err *err);
int kept_read(struct kept_slot *k, uint64_t number, struct wire_data *request,
	      struct es_logged *how, struct err *err);

/* actors.c */
void proof_model(uint8_t *proof, const uint8_t *secret, uint64_t session, uint32_t association,
		 const char *ap);
void actors_start(struct world *w);
void actors_stop(struct world *w);
void actor_start_mud_again(struct world *w, int index);
void actor_start_ap(struct world *w, int index);
void actor_start_es(struct world *w, int index);
void actor_deliver(struct world *w, struct node_id from, struct node_id to,
		   const struct wire_message *m);
void actor_up(struct world *w, struct node_id at, struct node_id other);
void actor_down(struct world *w, struct node_id at, struct node_id other);
void actor_tick_all(struct world *w);
int edge_by_ap(struct world *w, const char *name);
int edge_by_es(struct world *w, const char *name);
struct mud *mud_by_session(struct world *w, uint64_t session);

/* long_life.c; all but the last do nothing unless w->hours */
void long_life_plan(struct world *w);
void long_life_start(struct world *w);
bool long_life_over(const struct world *w);
void long_life_began(struct world *w, int index);
void long_life_lost(struct world *w, int index);
void long_life_check(struct world *w);
void long_life_report(const struct world *w);

/* faults.c */
void faults_plan(struct world *w);
void faults_maybe(struct world *w);
void faults_after(struct world *w);
