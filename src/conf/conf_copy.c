/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Copy - struct conf: filled from libconfuse's values, searched, released
 *
 * All values have been checked when they were read. Paths are relative to the configuration file. Addresses are
 * looked up here, so a host's name can fail although the file is right.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "conf/conf_reader.h"

/* A path beside the configuration file, unless it is absolute */
static int copy_path(char **to, const char *from, const char *conf_path)
{
	const char *slash = strrchr(conf_path, '/');

	if (!from || from[0] == '/' || !slash)
		return conf_copy_string(to, from);
	return asprintf(to, "%.*s/%s", (int)(slash - conf_path), conf_path, from) < 0 ? -ENOMEM : 0;
}

static int copy_peers(struct conf *c, cfg_t *cfg)
{
	unsigned int n = cfg_size(cfg, "peer");
	int r = 0;

	c->peer = calloc(n ? n : 1, sizeof(*c->peer));
	if (!c->peer)
		return -ENOMEM;
	for (; r == 0 && c->peers < n; c->peers++) {
		struct conf_peer *p = &c->peer[c->peers];
		cfg_t *from = cfg_getnsec(cfg, "peer", (unsigned int)c->peers);

		conf_copy_name(p->name, cfg_title(from));
		conf_copy_name(p->es, cfg_getstr(from, "es"));
		p->role = wire_role_from_name(cfg_getstr(from, "role"));
		p->placed = cfg_size(from, "x") > 0;
		if (p->placed) {
			p->x = cfg_getfloat(from, "x");
			p->y = cfg_getfloat(from, "y");
		}
		r = conf_copy_address(&p->address, cfg_getstr(from, "address"), conf_reading.path);
		if (r == 0)
			r = conf_copy_address(&p->transfer, cfg_getstr(from, "transfer"),
					      conf_reading.path);
	}
	return r;
}

static int copy_listeners(struct conf *c, cfg_t *cfg)
{
	const char *stations = cfg_getstr(cfg, "stations");
	unsigned int n = cfg_size(cfg, "listener");
	int r = 0;

	c->listener = calloc(n ? n : 1, sizeof(*c->listener));
	if (!c->listener)
		return -ENOMEM;
	for (; r == 0 && c->listeners < n; c->listeners++) {
		struct conf_listener *l = &c->listener[c->listeners];
		cfg_t *from = cfg_getnsec(cfg, "listener", (unsigned int)c->listeners);
		const char *service = cfg_getstr(from, "service");

		conf_copy_name(l->name, cfg_title(from));
		conf_copy_name(l->service, service ? service : l->name);
		l->codec = conf_codec_index(cfg_getstr(from, "codec"));
		r = conf_copy_string(&l->listen, cfg_getstr(from, "listen"));
	}
	if (r == 0 && strncmp(stations, CONF_HOSTAPD, strlen(CONF_HOSTAPD)) == 0)
		r = conf_copy_string(&c->stations, stations + strlen(CONF_HOSTAPD));
	return r;
}

static int copy_sections(struct conf *c, cfg_t *cfg, const char *path)
{
	int r = 0;

	if (cfg_size(cfg, "pki")) {
		cfg_t *pki = cfg_getsec(cfg, "pki");

		r = copy_path(&c->pki.ca, cfg_getstr(pki, "ca"), path);
		if (r == 0)
			r = copy_path(&c->pki.cert, cfg_getstr(pki, "cert"), path);
		if (r == 0)
			r = copy_path(&c->pki.key, cfg_getstr(pki, "key"), path);
		if (r == 0 && cfg_getstr(pki, "crl"))
			r = copy_path(&c->pki.crl, cfg_getstr(pki, "crl"), path);
	}
	if (r == 0 && cfg_size(cfg, "logrepo")) {
		cfg_t *logrepo = cfg_getsec(cfg, "logrepo");

		conf_copy_name(c->logrepo_name, cfg_getstr(logrepo, "name"));
		r = conf_copy_address(&c->logrepo_address, cfg_getstr(logrepo, "address"), path);
	}
	if (r == 0 && cfg_size(cfg, "docker")) {
		cfg_t *docker = cfg_getsec(cfg, "docker");

		r = copy_path(&c->docker.socket, cfg_getstr(docker, "socket"), path);
		if (r == 0)
			r = copy_path(&c->docker.exec_root, cfg_getstr(docker, "exec_root"), path);
		if (r == 0)
			r = conf_copy_string(&c->docker.runtime, cfg_getstr(docker, "runtime"));
	}
	cfg_t *limits = cfg_size(cfg, "limits") ? cfg_getsec(cfg, "limits") : NULL;
	for (int i = 0; i < CONF_LIMITS; i++)
		c->limit[i] = limits ? cfg_getint(limits, conf_limit_table[i].name)
				     : conf_limit_table[i].standard;
	return r;
}

static int copy_aps(struct conf *c, cfg_t *cfg)
{
	unsigned int aps = cfg_size(cfg, "ap");
	c->ap = calloc(aps ? aps : 1, sizeof(*c->ap));
	if (!c->ap)
		return -ENOMEM;
	for (; c->aps < aps; c->aps++)
		conf_copy_name(c->ap[c->aps], cfg_getnstr(cfg, "ap", (unsigned int)c->aps));
	return 0;
}

/* Settings that are copied as they are, paths as copy_path() does */
static const struct {
	const char *name;
	bool path;
	size_t offset;
} texts[] = {
	{ "listen", false, offsetof(struct conf, listen) },
	{ "station_listen", false, offsetof(struct conf, station_listen) },
	{ "transfer_listen", false, offsetof(struct conf, transfer_listen) },
	{ "monitor_listen", false, offsetof(struct conf, monitor_listen) },
	{ "state_dir", true, offsetof(struct conf, state_dir) },
	{ "checkpoint_dir", true, offsetof(struct conf, checkpoint_dir) },
	{ "image_dir", true, offsetof(struct conf, image_dir) },
	{ "protect_dir", true, offsetof(struct conf, protect_dir) },
	{ "spool_dir", true, offsetof(struct conf, spool_dir) },
	{ "events", true, offsetof(struct conf, events) },
	{ "catalogue", true, offsetof(struct conf, catalogue) },
};

static char **text_at(struct conf *c, size_t i)
{
	return (char **)(void *)((char *)c + texts[i].offset);
}

/* A directory is below state_dir unless it was given. */
static int below_state(char **dir, const struct conf *c, const char *name)
{
	if (*dir || !c->state_dir)
		return 0;
	return asprintf(dir, "%s/%s", c->state_dir, name) < 0 ? -ENOMEM : 0;
}

static int copy_texts(struct conf *c, cfg_t *cfg, const char *path)
{
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(texts) && r == 0; i++) {
		const char *from = cfg_getstr(cfg, texts[i].name);

		r = texts[i].path ? copy_path(text_at(c, i), from, path)
				  : conf_copy_string(text_at(c, i), from);
	}
	if (r == 0)
		r = below_state(&c->image_dir, c, "images");
	if (r == 0)
		r = below_state(&c->protect_dir, c, "protected");
	return r;
}

int conf_copy_all(struct conf *c, cfg_t *cfg, const char *path)
{
	int r;

	conf_copy_name(c->name, cfg_getstr(cfg, "name"));
	conf_copy_name(c->es, cfg_getstr(cfg, "es"));
	conf_copy_name(c->uses, cfg_getstr(cfg, "uses"));
	c->profile = (enum conf_profile)conf_word(cfg, "profile");
	c->compare = conf_compares(cfg);
	c->begins_anew = conf_word(cfg, "when_unreachable") == 1;
	c->request_events = conf_word(cfg, "request_events") == 1;
	r = conf_copy_string(&c->path, path);
	if (r == 0)
		r = conf_copy_list(&c->registries, cfg, "registries");
	if (r == 0)
		r = conf_copy_list(&c->shared, cfg, "shared");
	if (r == 0)
		r = copy_texts(c, cfg, path);
	if (r == 0)
		r = copy_peers(c, cfg);
	if (r == 0)
		r = conf_services_add(&c->service, &c->services, cfg, path);
	if (r == 0)
		r = copy_listeners(c, cfg);
	conf_radio_copy(&c->radio, cfg);
	if (r == 0)
		r = copy_sections(c, cfg, path);
	return r == 0 ? copy_aps(c, cfg) : r;
}

struct conf *conf_free(struct conf *c)
{
	if (!c)
		return NULL;
	for (size_t i = 0; i < c->peers; i++) {
		free(c->peer[i].address);
		free(c->peer[i].transfer);
	}
	for (size_t i = 0; i < c->listeners; i++)
		free(c->listener[i].listen);
	free(c->listener);
	free(c->stations);
	free(c->peer);
	conf_services_free(c->service, c->services);
	free(c->ap);
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		free(*text_at(c, i));
	free(c->path);
	free(c->pki.ca);
	free(c->pki.cert);
	free(c->pki.key);
	free(c->pki.crl);
	free(c->logrepo_address);
	free(c->docker.socket);
	free(c->docker.exec_root);
	free(c->docker.runtime);
	conf_free_list(c->registries);
	conf_free_list(c->shared);
	free(c);
	return NULL;
}

const struct conf_peer *conf_peer_find(const struct conf *c, const char *name)
{
	for (size_t i = 0; i < c->peers; i++) {
		if (name_equal(c->peer[i].name, name))
			return &c->peer[i];
	}
	return NULL;
}

const struct conf_service *conf_service_find(const struct conf *c, const char *name)
{
	for (size_t i = 0; i < c->services; i++) {
		if (name_equal(c->service[i].name, name))
			return &c->service[i];
	}
	return NULL;
}
