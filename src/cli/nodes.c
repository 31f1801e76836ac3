/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/nodes.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/text.h"
#include "cli/inquiry.h"
#include "conf/conf.h"
#include "net/tls.h"

struct nodes {
	struct conf *conf;
	struct tls_context *tls;
	struct node *node;
	size_t count;
};

int nodes_load(struct nodes **ret, const char *config, struct err *err)
{
	int r;

	AUTO(nodes) struct nodes *n = calloc(1, sizeof(*n));
	if (!n)
		return err_set(err, -ENOMEM, "read %s", config);
	r = conf_load(config, WIRE_ROLE_OPERATOR, &n->conf, err);
	if (r < 0)
		return r;
	const struct conf *c = n->conf;
	const struct tls_files files = {
		.ca = c->pki.ca, .cert = c->pki.cert, .key = c->pki.key, .crl = c->pki.crl
	};
	r = tls_context_new(&n->tls, &files, err);
	if (r < 0)
		return r;
	n->node = calloc(c->peers + 1, sizeof(*n->node));
	if (!n->node)
		return err_set(err, -ENOMEM, "read %s", config);
	for (size_t i = 0; i < c->peers; i++) {
		const struct conf_peer *p = &c->peer[i];

		if (p->role != WIRE_ROLE_MUD) /* nobody can call a user device */
			n->node[n->count++] = (struct node){ p->name, p->role, p->address };
	}
	if (c->logrepo_address)
		n->node[n->count++] =
			(struct node){ c->logrepo_name, WIRE_ROLE_LOGREPO, c->logrepo_address };
	*ret = TAKE_PTR(n);
	return 0;
}

struct nodes *nodes_free(struct nodes *n)
{
	if (n) {
		conf_free(n->conf);
		tls_context_free(n->tls);
		free(n->node);
	}
	free(n);
	return NULL;
}

size_t nodes_count(const struct nodes *n)
{
	return n->count;
}

const struct node *nodes_get(const struct nodes *n, size_t i)
{
	return &n->node[i];
}

const struct node *nodes_find(const struct nodes *n, const char *name)
{
	for (size_t i = 0; i < n->count; i++) {
		if (name_equal(n->node[i].name, name))
			return &n->node[i];
	}
	return NULL;
}

const struct node *nodes_logrepo(const struct nodes *n)
{
	for (size_t i = 0; i < n->count; i++) {
		if (n->node[i].role == WIRE_ROLE_LOGREPO)
			return &n->node[i];
	}
	return NULL;
}

int nodes_connect(const struct nodes *n, const struct node *node, struct inquiry **ret,
		  struct err *err)
{
	return inquiry_open(ret, n->tls, node->name, node->role, node->address, err);
}

void nodes_print_json(const json_t *answer)
{
	auto_free char *text = json_dumps(answer, JSON_COMPACT | JSON_ENCODE_ANY);

	(void)printf("%s\n", text ? text : "null");
}

int nodes_ask(const struct nodes *n, const struct node *node, const char *text, json_t **ret,
	      struct err *err)
{
	struct inquiry *opened = NULL;
	int r = nodes_connect(n, node, &opened, err);

	if (r < 0)
		return r;
	AUTO(inquiry) struct inquiry *q = opened;
	return inquiry_ask(q, text, ret, err);
}
