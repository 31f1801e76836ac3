/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/rounds.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "conf/conf.h"

static_assert(ROUNDS_NODES_MAX > CONF_PEERS_MAX, "all peers, and the event log repository");

/* One node, one thread */
struct asker {
	const struct nodes *nodes;
	const char *text;
	struct round_answer *to;
	pthread_t thread;
	bool started;
};

unsigned int round_role(enum wire_role role)
{
	return 1u << role;
}

static void *ask(void *data)
{
	struct asker *a = data;

	(void)nodes_ask(a->nodes, a->to->node, a->text, &a->to->answer, &a->to->why);
	return NULL;
}

int round_ask(struct round **ret, const struct nodes *n, const char *text, unsigned int roles,
	      const char *only, struct err *err)
{
	AUTO(round) struct round *r = calloc(1, sizeof(*r));
	auto_free struct asker *asker = calloc(ROUNDS_NODES_MAX, sizeof(*asker));
	if (!r || !asker)
		return err_set(err, -ENOMEM, "ask");
	for (size_t i = 0; i < nodes_count(n) && r->count < ROUNDS_NODES_MAX; i++) {
		const struct node *node = nodes_get(n, i);

		if ((roles & round_role(node->role)) && (!only || strcmp(only, node->name) == 0))
			r->at[r->count++].node = node;
	}
	for (size_t i = 0; i < r->count; i++) {
		struct asker *a = &asker[i];

		*a = (struct asker){ .nodes = n, .text = text, .to = &r->at[i] };
		a->started = pthread_create(&a->thread, NULL, ask, a) == 0;
		if (!a->started)
			(void)ask(a); /* then one after the other */
	}
	for (size_t i = 0; i < r->count; i++) {
		if (asker[i].started)
			(void)pthread_join(asker[i].thread, NULL);
	}
	*ret = TAKE_PTR(r);
	return 0;
}

struct round *round_free(struct round *r)
{
	for (size_t i = 0; r && i < r->count; i++)
		json_decref(r->at[i].answer);
	free(r);
	return NULL;
}
