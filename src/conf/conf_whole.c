/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Whole - mistakes that show only when all of a configuration is read
 *
 * They have no line: the error names the file.
 */

#include <string.h>

#include "conf/conf_reader.h"

static int check_section(const char *path, cfg_t *cfg, const char *section, const char *const *keys)
{
	cfg_t *sec = cfg_size(cfg, section) ? cfg_getsec(cfg, section) : NULL;

	for (size_t i = 0; sec && keys[i]; i++) {
		const char *s = cfg_getstr(sec, keys[i]);

		if (!s || !*s)
			return conf_wrong(path, "%s in section %s is missing", keys[i], section);
	}
	return 0;
}

static int check_peers(const char *path, const struct conf *c)
{
	for (size_t i = 0; i < c->peers; i++) {
		const struct conf_peer *p = &c->peer[i];
		const struct conf_peer *es = p->es[0] ? conf_peer_find(c, p->es) : NULL;

		if (name_equal(p->name, c->name))
			return conf_wrong(path, "peer \"%s\" is this node itself", p->name);
		if (p->es[0] && (!es || es->role != WIRE_ROLE_ES))
			return conf_wrong(path,
					  "peer \"%s\": es \"%s\" is no peer with role \"es\"",
					  p->name, p->es);
	}
	if (c->es[0]) {
		const struct conf_peer *es = conf_peer_find(c, c->es);

		if (!es || es->role != WIRE_ROLE_ES)
			return conf_wrong(path, "es \"%s\" is no peer with role \"es\"", c->es);
	}
	for (size_t i = 0; i < c->aps; i++) {
		const struct conf_peer *ap = conf_peer_find(c, c->ap[i]);

		if (!ap || ap->role != WIRE_ROLE_AP)
			return conf_wrong(path, "ap \"%s\" is no peer with role \"ap\"", c->ap[i]);
	}
	return 0;
}

/* Whether a bind's source is a shared directory, or in one */
static bool is_shared(const struct conf *c, const char *bind)
{
	size_t source = strcspn(bind, ":");

	for (size_t i = 0; c->shared && c->shared[i]; i++) {
		size_t len = strlen(c->shared[i]);

		if (len <= source && !strncmp(bind, c->shared[i], len) &&
		    (bind[len] == '/' || bind[len] == ':'))
			return true;
	}
	return false;
}

static int check_binds(const struct conf *c)
{
	for (size_t i = 0; i < c->services; i++) {
		const struct conf_service *s = &c->service[i];

		for (size_t k = 0; s->binds && s->binds[k]; k++) {
			if (!is_shared(c, s->binds[k]))
				return conf_wrong(s->file,
						  "service \"%s\": bind \"%.200s\" is in no "
						  "directory of shared = {...}; it would not move",
						  s->name, s->binds[k]);
		}
	}
	return 0;
}

int conf_whole_sections(const char *path, cfg_t *cfg)
{
	static const char *const pki[] = { "ca", "cert", "key", NULL };
	static const char *const logrepo[] = { "name", "address", NULL };
	static const char *const docker[] = { "socket", "exec_root", NULL };
	int r = check_section(path, cfg, "pki", pki);

	if (r == 0)
		r = check_section(path, cfg, "logrepo", logrepo);
	if (r == 0)
		r = check_section(path, cfg, "docker", docker);
	return r;
}

int conf_whole_check(const char *path, const struct conf *c)
{
	int r = check_peers(path, c);

	return r == 0 ? check_binds(c) : r;
}
