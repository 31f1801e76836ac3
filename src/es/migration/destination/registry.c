/* SPDX-License-Identifier: Apache-2.0 */

/*
 * From where a missing image comes: the destination chooses, and pulls if a registry is the better
 * way
 *
 * The source says in which registries the image is, by the digests of its contents; the destination
 * pulls only from those that its own configuration names.
 */

#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "es/engine/docker_engine.h"
#include "es/engine/registry.h"
#include "es/migration/common/notes.h"
#include "es/migration/common/plan.h"
#include "es/migration/common/work.h"
#include "es/migration/destination/destination.h"
#include "es/migration/destination/incoming.h"

/* --- choosing --------------------------------------------------------------------------------- */

/** registry_allowed() - Whether images may be pulled from a host */
static bool registry_allowed(const struct migration *m, const char *host)
{
	for (const char *const *one = m->mc->config.registries; one && *one; one++) {
		if (!strcmp(*one, host))
			return true;
	}
	return false;
}

/** registry_find() - The first registry we may pull from that is said to have the image */
static bool registry_find(const struct migration *m, struct registry_image *ri)
{
	json_t *name;
	size_t i;

	json_array_foreach(json_at(m->plan, "image", "digests", NULL), i, name)
	{
		const char *text = json_string_value(name);

		if (text && registry_image_parse(ri, text) == 0 && registry_allowed(m, ri->host))
			return true;
	}
	return false;
}

/**
 * link_rate() - How fast the source can send to us; measured if it was not lately
 *
 * Return: bytes per second, or negative error code
 */
static int64_t link_rate(struct migration *m, struct err *err)
{
	const char *from = m->offer.offer.from_es;
	uint64_t rate = image_rates_ask(&m->mc->rates, from, monotonic_us());
	int64_t measured;

	if (rate)
		return (int64_t)rate;
	measured = destination_probe(m, err);
	if (measured > 0)
		image_rates_note(&m->mc->rates, from, (uint64_t)measured, monotonic_us());
	return measured;
}

/** registry_costs() - Ask the registry. Return: whether it can be pulled from */
static bool registry_costs(struct migration *m, const struct registry_image *ri,
			   struct image_costs *costs, struct err *err)
{
	struct registry_answer answer;

	costs->registry_rate = image_rates_ask(&m->mc->rates, ri->host, monotonic_us());
	if (registry_ask(&answer, ri, migration_plan_layers(m->plan), m->layers_here,
			 !costs->registry_rate, m->cancel_fd, err) < 0)
		return false;
	costs->registry_bytes = answer.bytes;
	if (answer.rate) {
		costs->registry_rate = answer.rate;
		image_rates_note(&m->mc->rates, ri->host, answer.rate, monotonic_us());
	}
	return true;
}

int destination_choose_source(struct migration *m, uint64_t missing, struct err *err)
{
	const char *method = json_text(m->plan, "method", NULL);
	bool partial = !strcmp(method, migration_method_name(METHOD_PARTIAL));
	bool automatic = !partial && strcmp(method, migration_method_name(METHOD_COMPLETE)) != 0;
	struct image_costs costs = {
		.image_bytes =
			(uint64_t)json_integer_value(json_at(m->plan, "image", "size", NULL)),
		.missing_bytes = missing,
	};
	uint64_t us[IMAGE_SOURCES] = { 0 };
	struct err why = { 0 };
	struct registry_image ri;
	int64_t rate;

	m->image_source = IMAGE_FROM_SOURCE;
	m->in->predicted_us = 0;
	m->in->expected_us = 0;
	if (!partial && (!automatic || !registry_find(m, &ri)))
		return 0;
	if (partial && !registry_find(m, &ri))
		return err_set(err, -ENOENT,
			       "image %s is neither here nor in a registry of ours, and method = "
			       "\"partial\" forbids to send it",
			       json_text(m->plan, "image", "name", NULL));
	if (!registry_costs(m, &ri, &costs, &why)) {
		if (why.code == -ECANCELED) {
			*err = why;
			return why.code;
		}
		/* It may still be pulled from: the engine has credentials that we have not. */
		m->image_source = partial ? IMAGE_FROM_REGISTRY : IMAGE_FROM_SOURCE;
		migration_stage_done(m, "IMAGE WAY", "from=%s reason=%s",
				     image_source_name(m->image_source), why.text);
		return 0;
	}
	rate = automatic ? link_rate(m, err) : 0;
	if (rate < 0)
		return (int)rate;
	costs.link_rate = (uint64_t)rate;
	for (int way = 0; way < IMAGE_SOURCES; way++)
		us[way] = image_predict(&costs, (enum image_source)way);
	for (int way = 0; way < IMAGE_SOURCES; way++)
		us[way] = image_rates_correct(&m->mc->rates, (enum image_source)way, us[way]);
	if (partial || us[IMAGE_FROM_REGISTRY] < us[IMAGE_FROM_SOURCE])
		m->image_source = IMAGE_FROM_REGISTRY;
	m->in->predicted_us = image_predict(&costs, m->image_source);
	m->in->expected_us = us[m->image_source];
	migration_stage_done(
		m, "IMAGE WAY",
		"from=%s source_us=%" PRIu64 " registry_us=%" PRIu64 " missing_bytes=%" PRIu64
		" registry_bytes=%" PRIu64 " link_rate=%" PRIu64 " registry_rate=%" PRIu64,
		image_source_name(m->image_source), us[IMAGE_FROM_SOURCE], us[IMAGE_FROM_REGISTRY],
		missing, costs.registry_bytes, costs.link_rate, costs.registry_rate);
	return 0;
}

/* --- pulling ---------------------------------------------------------------------------------- */

#define PULL_SILENCE_MS 120000 /* an engine is silent longest while it unpacks a layer */

/** struct image_pulling - The engine pulls; a thread waits for it, and another tells the source */
struct image_pulling {
	struct migration *m;
	struct registry_image from;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool ended;
	int r;
	struct err err;
};

/** pulled_find() - Learn the engine's id of the image that it pulled */
static int pulled_find(struct migration *m, struct docker_engine *engine, const char *repository,
		       const char *digest, struct err *err)
{
	json_t *image = NULL;

	auto_free char *name = NULL;
	if (asprintf(&name, "%s@%s", repository, digest) < 0)
		return err_set(err, -ENOMEM, "docker pull");
	int r = docker_engine_image(engine, name, &image, err);
	if (r > 0)
		r = err_set(err, -EPROTO, "docker pull %s: it is not there", repository);
	(void)snprintf(m->in->image_id, sizeof(m->in->image_id), "%s",
		       json_text(image, "Id", NULL));
	(void)snprintf(m->in->image_digest, sizeof(m->in->image_digest), "%s", m->in->image_id);
	json_decref(image);
	return r;
}

static void *pulling_run(void *arg)
{
	struct image_pulling *ip = arg;
	char repository[sizeof(ip->from.host) + sizeof(ip->from.repository)];

	AUTO(docker_engine) struct docker_engine *engine = NULL;
	(void)snprintf(repository, sizeof(repository), "%s/%s", ip->from.host, ip->from.repository);
	ip->r = migration_engine(&engine, ip->m->mc, ip->m->cancel_fd, &ip->err);
	if (ip->r == 0)
		ip->r = docker_engine_pull(engine, repository, ip->from.digest, PULL_SILENCE_MS,
					   &ip->err);
	if (ip->r == 0)
		ip->r = pulled_find(ip->m, engine, repository, ip->from.digest, &ip->err);
	(void)pthread_mutex_lock(&ip->lock);
	ip->ended = true;
	(void)pthread_cond_broadcast(&ip->changed);
	(void)pthread_mutex_unlock(&ip->lock);
	return NULL;
}

/** image_pull() - Have the engine pull the image. Return: 0, or negative error code */
static int image_pull(struct migration *m, struct err *err)
{
	struct image_pulling ip = { .m = m };
	int r;

	if (!registry_find(m, &ip.from))
		return err_set(err, -ENOENT, "a registry that has the image");
	(void)pthread_mutex_init(&ip.lock, NULL);
	(void)pthread_cond_init(&ip.changed, NULL);
	r = pthread_create(&ip.thread, NULL, pulling_run, &ip);
	if (r)
		return err_set(err, -r, "start a thread");
	(void)pthread_mutex_lock(&ip.lock);
	r = migration_tell_until(m, &ip.lock, &ip.changed, &ip.ended, destination_accept, err);
	(void)pthread_mutex_unlock(&ip.lock);
	(void)pthread_join(ip.thread, NULL);
	(void)pthread_mutex_destroy(&ip.lock);
	(void)pthread_cond_destroy(&ip.changed);
	if (r == 0 && ip.r < 0) {
		*err = ip.err;
		r = ip.r;
	}
	return r;
}

int destination_pull(struct migration *m, struct err *err)
{
	bool partial =
		!strcmp(json_text(m->plan, "method", NULL), migration_method_name(METHOD_PARTIAL));
	struct err why = { 0 };
	int r = image_pull(m, &why);

	if (r == 0 || partial || r == -ECANCELED) {
		if (r < 0)
			*err = why;
		return r;
	}
	m->image_source = IMAGE_FROM_SOURCE;
	m->in->predicted_us = 0;
	m->in->expected_us = 0;
	migration_stage_done(m, "IMAGE WAY", "from=source reason=%s", why.text);
	return destination_accept(m, err);
}
