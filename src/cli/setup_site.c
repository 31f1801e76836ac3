/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/setup_site.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/atomic_file.h"
#include "base/auto.h"
#include "base/buf.h"
#include "base/err.h"

#define MARK_BEGIN "# --- other programs: \"baton setup\" writes the lines from here\n"
#define MARK_END   "# --- to here\n"

/* dist/conf, by tools/embed */
extern const char example_es[];
extern const char example_ap[];
extern const char example_logrepo[];
extern const char example_baton[];

/* --- hosts -------------------------------------------------------------------------------------- */

/** address_valid() - Whether it is a numeric address that others can connect to */
static bool address_valid(const char *text)
{
	struct in_addr v4;
	struct in6_addr v6;

	if (inet_pton(AF_INET, text, &v4) == 1)
		return v4.s_addr != htonl(INADDR_ANY);
	return inet_pton(AF_INET6, text, &v6) == 1 && !IN6_IS_ADDR_UNSPECIFIED(&v6);
}

const struct site_host *site_find(const struct site *site, const char *name)
{
	for (size_t i = 0; i < site->hosts; i++)
		if (strcmp(site->host[i].name, name) == 0)
			return &site->host[i];
	return NULL;
}

int site_add(struct site *site, const char *name, const char *address, struct err *err)
{
	if (!name_valid(name) || strlen(name) >= SITE_HOST_SIZE)
		return err_set(
			err, -EINVAL,
			"host \"%.80s\": a name has 1 to %d of the characters A-Z a-z 0-9 . _ -",
			name, SITE_HOST_SIZE - 1);
	if (!address_valid(address) || strlen(address) >= SITE_ADDRESS_MAX)
		return err_set(err, -EINVAL, "host %s: \"%.80s\" is no address such as 192.0.2.1",
			       name, address);
	for (size_t i = 0; i < site->hosts; i++) {
		bool same_name = strcmp(site->host[i].name, name) == 0;
		bool same_address = strcmp(site->host[i].address, address) == 0;

		if (same_name && same_address)
			return 0;
		if (same_name || same_address)
			return err_set(err, -EEXIST, "host %s at %s is there already",
				       site->host[i].name, site->host[i].address);
	}
	if (site->hosts == SITE_HOSTS_MAX)
		return err_set(err, -ENOSPC, "there are %d hosts already", SITE_HOSTS_MAX);
	struct site_host *host = &site->host[site->hosts++];
	(void)snprintf(host->name, sizeof(host->name), "%s", name);
	(void)snprintf(host->address, sizeof(host->address), "%s", address);
	return 0;
}

int site_file(char path[PATH_MAX], const struct site *site, const char *name, struct err *err)
{
	if (snprintf(path, PATH_MAX, "%s/%s", site->etc, name) >= PATH_MAX)
		return err_set(err, -ENAMETOOLONG, "%s/%s", site->etc, name);
	return 0;
}

int site_read(char **ret, const struct site *site, const char *name, struct err *err)
{
	char path[PATH_MAX];
	int r = site_file(path, site, name, err);

	if (r < 0)
		return r;
	auto_fclose FILE *f = fopen(path, "re");
	if (!f)
		return err_set(err, -errno, "open %s", path);
	auto_free char *text = calloc(1, SITE_FILE_MAX + 1);
	if (!text)
		return err_set(err, -ENOMEM, "read %s", path);
	size_t len = fread(text, 1, SITE_FILE_MAX + 1, f);
	if (ferror(f))
		return err_set(err, -EIO, "read %s", path);
	if (len > SITE_FILE_MAX)
		return err_set(err, -EFBIG, "%s has more than %u bytes", path, SITE_FILE_MAX);
	*ret = TAKE_PTR(text);
	return 0;
}

int site_load(struct site *site, const char *etc, struct err *err)
{
	char *text = NULL;
	char *rest = NULL;

	*site = (struct site){ .etc = etc };
	int r = site_read(&text, site, "hosts", err);
	auto_free char *owned = text;
	if (r == -ENOENT)
		return 0;
	for (char *line = r == 0 ? strtok_r(owned, "\n", &rest) : NULL; r == 0 && line;
	     line = strtok_r(NULL, "\n", &rest)) {
		char name[NAME_SIZE] = "";
		char address[NAME_SIZE] = "";

		if (*line == '#')
			continue;
		if (sscanf(line, "%63s %63s", name, address) != 2)
			return err_set(err, -EINVAL, "%s/hosts: want NAME ADDRESS, not \"%.80s\"",
				       etc, line);
		r = site_add(site, name, address, err);
	}
	return r < 0 ? err_wrap(err, r, "%s/hosts", etc) : 0;
}

int site_put(const struct site *site, const char *name, const char *text, bool secret,
	     struct err *err)
{
	char path[PATH_MAX];
	int r = site_file(path, site, name, err);

	if (r < 0)
		return r;
	char *slash = strrchr(path, '/');
	*slash = '\0';
	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		return err_set(err, -errno, "create %s", path);
	auto_close int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return err_set(err, -errno, "open %s", path);
	return atomic_file_write(dir, slash + 1, text, strlen(text), secret ? 0600 : 0644, err);
}

/* --- configurations ----------------------------------------------------------------------------- */

/** add() - Append a text. Return: 0, or -ENOBUFS or -ENOMEM */
static int add(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static int add(struct buf *b, const char *fmt, ...)
{
	char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	int n = vasprintf(&text, fmt, ap);
	va_end(ap);
	auto_free char *owned = n < 0 ? NULL : text;
	return owned ? buf_append(b, owned, (size_t)n, NULL) : -ENOMEM;
}

/** add_address() - Append a quoted "ADDRESS:PORT" */
static int add_address(struct buf *b, const char *key, const struct site_host *host, int port)
{
	bool v6 = strchr(host->address, ':');

	return add(b, "  %s = \"%s%s%s:%d\"", key, v6 ? "[" : "", host->address, v6 ? "]" : "",
		   port);
}

/** add_es() - Append an edge server as a peer of @file */
static int add_es(struct buf *b, const char *file, const struct site_host *host)
{
	int r = add(b, "peer \"EdgeServer-%s\" { role = \"es\"", host->name);

	if (r == 0)
		r = add_address(b, "address", host, 7200);
	if (r == 0 && strcmp(file, "es.conf") == 0)
		r = add_address(b, "transfer", host, 7201);
	return r < 0 ? r : add(b, " }\n");
}

/** add_ap() - Append an access point as a peer of @file */
static int add_ap(struct buf *b, const char *file, const struct site_host *host)
{
	int r = add(b, "peer \"AP-%s\" { role = \"ap\"", host->name);

	if (r == 0)
		r = add_address(b, "address", host, 7100);
	if (r == 0 && strcmp(file, "ap.conf") == 0)
		r = add(b, "  es = \"EdgeServer-%s\"", host->name);
	return r < 0 ? r : add(b, " }\n");
}

/** add_peers() - Append the lines between the marks, for a configuration of @self */
static int add_peers(struct buf *b, const struct site *site, const char *file,
		     const struct site_host *self)
{
	bool es = strcmp(file, "es.conf") == 0;
	bool operator= strcmp(file, "baton.conf") == 0;
	int r = add(b, "%s", MARK_BEGIN);

	for (size_t i = 0; r == 0 && i < site->hosts; i++) {
		const struct site_host *host = &site->host[i];

		if (!es || host != self)
			r = add_es(b, file, host);
		if (r == 0 && !es && (operator|| host != self))
			r = add_ap(b, file, host);
	}
	return r < 0 ? r : add(b, "%s", MARK_END);
}

/** add_replaced() - Append a line of an example with @self in place of its first host */
static int add_replaced(struct buf *b, const char *line, size_t len, const struct site *site,
			const struct site_host *self)
{
	/* The event log repository is the first host's. */
	const struct site_host *at = strncmp(line, "logrepo ", 8) == 0 ? &site->host[0] : self;
	bool v6 = strchr(at->address, ':');
	int r = 0;

	for (size_t i = 0; r == 0 && i < len;) {
		if (!strncmp(line + i, "192.0.2.1:", 10)) {
			r = add(b, "%s%s%s:", v6 ? "[" : "", at->address, v6 ? "]" : "");
			i += 10;
		} else if (!strncmp(line + i, "\"EdgeServer-1\"", 14)) {
			r = add(b, "\"EdgeServer-%s\"", self->name);
			i += 14;
		} else if (!strncmp(line + i, "\"AP-1\"", 6)) {
			r = add(b, "\"AP-%s\"", self->name);
			i += 6;
		} else {
			r = buf_append(b, line + i++, 1, NULL);
		}
	}
	return r;
}

/** from_example() - A whole configuration. Return: 0, or negative error code */
static int from_example(struct buf *b, const char *example, const struct site *site,
			const char *file, const struct site_host *self)
{
	bool peers = false;
	int r = 0;

	for (const char *line = example; r == 0 && *line;) {
		size_t len = strcspn(line, "\n") + 1;

		if (strncmp(line, "peer ", 5) != 0)
			r = add_replaced(b, line, len, site, self);
		else if (!peers)
			r = add_peers(b, site, file, self);
		peers |= strncmp(line, "peer ", 5) == 0;
		line += len;
	}
	return r;
}

/** peers_again() - A configuration that is there, with new lines between the marks. Return: 0, or negative */
static int peers_again(struct buf *b, const char *text, const struct site *site, const char *file,
		       const struct site_host *self, struct err *err)
{
	const char *begin = strstr(text, MARK_BEGIN);
	const char *end = begin ? strstr(begin, MARK_END) : NULL;

	if (!end)
		return err_set(err, -EINVAL,
			       "%s/%s was not written by baton setup: add the peers of the new "
			       "host by hand",
			       site->etc, file);
	int r = add(b, "%.*s", (int)(begin - text), text);
	if (r == 0)
		r = add_peers(b, site, file, self);
	return r < 0 ? r : add(b, "%s", end + strlen(MARK_END));
}

/** conf_write() - Write one configuration. @peers: Whether it names other hosts. Return: 0, or negative */
static int conf_write(const struct site *site, const struct site_host *self, const char *file,
		      const char *example, bool peers, struct err *err)
{
	struct buf b;
	char *old = NULL;
	int r = site_read(&old, site, file, err);
	auto_free char *owned = old;

	if ((r == 0 && !peers) || (r < 0 && r != -ENOENT))
		return r;
	buf_init(&b, SITE_FILE_MAX);
	if (r == 0)
		r = peers_again(&b, owned, site, file, self, err);
	else
		r = from_example(&b, example, site, file, self);
	if (r == 0)
		r = add(&b, "%c", '\0');
	if (r == 0)
		r = site_put(site, file, (const char *)buf_bytes(&b), false, err);
	else if (r != -EINVAL)
		r = err_set(err, r, "write %s/%s", site->etc, file);
	buf_deinit(&b);
	return r;
}

/** hosts_write() - Write the list of hosts. Return: 0, or negative error code */
static int hosts_write(const struct site *site, struct err *err)
{
	struct buf b;

	buf_init(&b, SITE_FILE_MAX);
	int r = add(&b, "# Hosts of this deployment, written by baton setup: NAME ADDRESS\n");
	for (size_t i = 0; r == 0 && i < site->hosts; i++)
		r = add(&b, "%s %s\n", site->host[i].name, site->host[i].address);
	if (r == 0)
		r = add(&b, "%c", '\0');
	r = r == 0 ? site_put(site, "hosts", (const char *)buf_bytes(&b), false, err)
		   : err_set(err, r, "write %s/hosts", site->etc);
	buf_deinit(&b);
	return r;
}

int site_write(const struct site *site, const char *self, struct err *err)
{
	const struct site_host *host = site_find(site, self);

	if (!host)
		return err_set(err, -ENOENT, "host %s is not in %s/hosts", self, site->etc);
	bool first = host == &site->host[0];
	char services[PATH_MAX];
	int r = hosts_write(site, err);
	if (r == 0)
		r = site_file(services, site, "services", err);
	if (r == 0 && mkdir(services, 0755) < 0 && errno != EEXIST)
		r = err_set(err, -errno, "create %s", services);
	if (r == 0)
		r = conf_write(site, host, "es.conf", example_es, true, err);
	if (r == 0)
		r = conf_write(site, host, "ap.conf", example_ap, true, err);
	if (r == 0 && first)
		r = conf_write(site, host, "logrepo.conf", example_logrepo, false, err);
	if (r == 0 && first)
		r = conf_write(site, host, "baton.conf", example_baton, true, err);
	return r;
}
