/* SPDX-License-Identifier: Apache-2.0 */
#include "es/container/config.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "base/apart.h"
#include "base/clock.h"
#include "base/err.h"
#include "es/container/mounts.h"
#include "es/engine/docker_engine.h"
#include "es/system/process.h"

#define PORT_RETRY_MS 10

void container_name(char to[CONTAINER_ID_SIZE], uint64_t session, uint32_t epoch)
{
	(void)snprintf(to, CONTAINER_ID_SIZE, "baton-%016" PRIx64 "-%" PRIu32, session, epoch);
}

/** strings_json() - NULL-terminated list as JSON array, null for NULL */
static json_t *strings_json(const char *const *list)
{
	json_t *array = list ? json_array() : json_null();

	for (size_t i = 0; list && list[i]; i++)
		if (json_array_append_new(array, json_string(list[i])) < 0) {
			json_decref(array);
			return NULL;
		}
	return array;
}

/**
 * environment_json() - The environment of a service, in which there is always a time zone
 *
 * The local time of a program must be the same on all edge servers.
 */
static json_t *environment_json(const char *const *env)
{
	json_t *array = env ? strings_json(env) : json_array();
	bool zone = false;

	for (size_t i = 0; env && env[i]; i++)
		zone = zone || !strncmp(env[i], "TZ=", strlen("TZ="));
	if (array && !zone && json_array_append_new(array, json_string("TZ=UTC")) < 0) {
		json_decref(array);
		return NULL;
	}
	return array;
}

/**
 * port_publish() - Publish a port, given as [[IP:]HOST_PORT:]PORT[/tcp|udp]
 *
 * Return: 0 or negative
 */
static int port_publish(json_t *exposed, json_t *bindings, const char *entry)
{
	const char *slash = strchr(entry, '/');
	char port[32];

	auto_free char *host = strndup(entry, strcspn(entry, "/"));
	if (!host)
		return -ENOMEM;
	char *inside = strrchr(host, ':');
	(void)snprintf(port, sizeof(port), "%s%s", inside ? inside + 1 : host,
		       slash ? slash : "/tcp");
	if (inside)
		*inside = '\0';
	const char *outside = inside ? host : ""; /* "": the engine takes any that is free */
	char *colon = strrchr(host, ':');
	const char *ip = "";
	if (inside && colon) {
		*colon = '\0';
		ip = host;
		outside = colon + 1;
	}
	if (!json_object_get(bindings, port) &&
	    json_object_set_new(bindings, port, json_array()) < 0)
		return -ENOMEM;
	return json_object_set_new(exposed, port, json_object()) |
	       json_array_append_new(json_object_get(bindings, port),
				     json_pack("{s:s, s:s}", "HostIp", ip, "HostPort", outside));
}

/** ports_publish() - Publish ports of a configuration. Return: 0, or negative */
static int ports_publish(json_t *config, const char *const *publish)
{
	json_t *bindings = json_object();
	int r = json_object_set_new(json_object_get(config, "HostConfig"), "PortBindings",
				    bindings);

	for (; r == 0 && publish && *publish; publish++)
		r = port_publish(json_object_get(config, "ExposedPorts"), bindings, *publish);
	return r;
}

int container_config_for_service(json_t **ret, const struct container_service *service,
				 const char *runtime, struct err *err)
{
	json_error_t why;
	char port[16];

	(void)snprintf(port, sizeof(port), "%u/%s", service->port, service->udp ? "udp" : "tcp");
	/* Docker's own init would be the container's first process and is not ours to need. */
	json_t *config = json_pack_ex(
		&why, 0, "{s:s, s:o, s:o, s:{s:{}}, s:{}, s:{s:s, s:I, s:I, s:I, s:{s:s}}}",
		"Image", service->image, "Cmd", strings_json(service->command), "Env",
		environment_json(service->env), "ExposedPorts", port, "Labels", "HostConfig",
		"Runtime", runtime, "Memory", (json_int_t)service->memory_bytes, "NanoCpus",
		(json_int_t)service->cpu_millis * 1000000, "PidsLimit", (json_int_t)service->pids,
		"RestartPolicy", "Name", "no");
	if (!config)
		return err_set(err, -EINVAL,
			       "service %s: its settings cannot be told to docker: %s",
			       service->name, why.text);
	if (container_mounts_for_service(json_object_get(config, "HostConfig"), service) < 0 ||
	    ports_publish(config, service->publish) < 0) {
		json_decref(config);
		return err_set(err, -EINVAL, "service %s: its mounts or ports make no sense",
			       service->name);
	}
	*ret = config;
	return 0;
}

/** networks_clone() - Names, aliases and links of the networks, without the engine's assignments */
static json_t *networks_clone(const json_t *networks)
{
	json_t *mine = json_object();
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)networks, name, value)
	{
		json_t *one = json_object();

		/* The default network takes neither; Docker refuses them there. */
		if (strcmp(name, "bridge") != 0) {
			(void)json_object_set(one, "Links", json_object_get(value, "Links"));
			(void)json_object_set(one, "DriverOpts",
					      json_object_get(value, "DriverOpts"));
		}
		(void)json_object_set_new(mine, name, one);
	}
	return mine;
}

int container_config_clone(json_t **ret, const json_t *inspect, struct err *err)
{
	static const char *const client[] = { "AttachStdin", "AttachStdout", "AttachStderr",
					      "StdinOnce", "MacAddress" };
	const json_t *theirs = json_object_get(inspect, "Config");
	const json_t *host = json_object_get(inspect, "HostConfig");

	if (!json_is_object(theirs) || !json_is_object(host))
		return err_set(err, -EPROTO, "docker inspect tells no configuration");
	json_t *config = json_deep_copy(theirs);
	json_t *host_config = json_deep_copy(host);
	json_t *networks = networks_clone(json_at(inspect, "NetworkSettings", "Networks", NULL));
	if (!config || !host_config || !networks ||
	    json_object_set_new(config, "HostConfig", host_config) < 0 ||
	    json_object_set_new(config, "NetworkingConfig",
				json_pack("{s:o}", "EndpointsConfig", networks)) < 0) {
		json_decref(config);
		return err_set(err, -ENOMEM, "copy of a configuration");
	}
	for (size_t i = 0; i < ARRAY_SIZE(client); i++)
		(void)json_object_del(config, client[i]);
	(void)json_object_del(host_config, "ContainerIDFile");
	/*
	 * It would be taken for an attached terminal's and must be absent in a new configuration.
	 */
	(void)json_object_del(host_config, "ConsoleSize");
	if (container_mounts_clone(config, inspect) < 0) {
		json_decref(config);
		return err_set(err, -ENOMEM, "copy of a configuration");
	}
	*ret = config;
	return 0;
}

/** apart_entry() - Whether it is our entry of an environment, with any value */
static bool apart_entry(const json_t *entry)
{
	const char *text = json_string_value(entry);

	return text && !strncmp(text, APART_ENV_KEY, strlen(APART_ENV_KEY));
}

bool container_config_apart(const json_t *inspect)
{
	const json_t *item;
	size_t i;

	json_array_foreach(json_at(inspect, "Config", "Env", NULL), i, item)
	{
		if (json_is_string(item) && !strcmp(json_string_value(item), APART_ENV))
			return true;
	}
	return false;
}

/** apart_put() - Have the environment say that the container is to be kept apart, once and nothing else of it */
static int apart_put(json_t *config)
{
	json_t *env = json_object_get(config, "Env");
	bool there = false;

	if (!json_is_array(env)) {
		env = json_array();
		if (json_object_set_new(config, "Env", env) < 0)
			return -ENOMEM;
	}
	for (size_t i = json_array_size(env); i > 0; i--) {
		const json_t *entry = json_array_get(env, i - 1);
		bool good = json_is_string(entry) && !strcmp(json_string_value(entry), APART_ENV);

		if (apart_entry(entry) && (there || !good))
			(void)json_array_remove(env, i - 1);
		there = there || good;
	}
	return there ? 0 : json_array_append_new(env, json_string(APART_ENV));
}

int container_config_adapt(json_t *config, const char *image, const char *runtime, uint64_t session,
			   uint32_t epoch, const char *service, uint16_t port)
{
	json_t *labels = json_object_get(config, "Labels");
	json_t *host = json_object_get(config, "HostConfig");
	char text[32];
	int r = 0;

	if (!json_is_object(labels)) {
		labels = json_object();
		r |= json_object_set_new(config, "Labels", labels);
	}
	(void)snprintf(text, sizeof(text), "%016" PRIx64, session);
	r |= json_object_set_new(labels, "baton.session", json_string(text));
	(void)snprintf(text, sizeof(text), "%" PRIu32, epoch);
	r |= json_object_set_new(labels, "baton.epoch", json_string(text));
	(void)snprintf(text, sizeof(text), "%u", port);
	r |= json_object_set_new(labels, "baton.port", json_string(text));
	r |= json_object_set_new(labels, "baton.service", json_string(service));
	r |= json_object_set_new(host, "Runtime", json_string(runtime));
	if (image)
		r |= json_object_set_new(config, "Image", json_string(image));
	r |= apart_put(config);
	return r ? -ENOMEM : 0;
}

/** number_label() - Read a number label. Return: whether it is there and at most @max */
static bool number_label(const json_t *labels, const char *name, int base, uint64_t max,
			 uint64_t *to)
{
	const char *text = json_text(labels, name, NULL);
	char *end;

	errno = 0;
	*to = strtoull(text, &end, base);
	return *text && !*end && !errno && *to <= max;
}

int container_found_from(struct container_found *to, const json_t *labels)
{
	uint64_t session;
	uint64_t epoch;
	uint64_t port;

	if (!number_label(labels, "baton.session", 16, UINT64_MAX, &session) ||
	    !number_label(labels, "baton.epoch", 10, UINT32_MAX, &epoch) ||
	    !number_label(labels, "baton.port", 10, UINT16_MAX, &port) ||
	    name_set(to->service, json_text(labels, "baton.service", NULL), NULL) < 0)
		return -EINVAL;
	to->session = session;
	to->epoch = (uint32_t)epoch;
	to->where.port = (uint16_t)port;
	return 0;
}

void container_address_from(struct container_address *to, const json_t *inspect, uint16_t port)
{
	const char *ip = json_text(inspect, "NetworkSettings", "IPAddress", NULL);
	json_t *networks = json_at(inspect, "NetworkSettings", "Networks", NULL);
	const char *name;
	json_t *value;

	json_object_foreach(networks, name, value)
	{
		if (!*ip)
			ip = json_text(value, "IPAddress", NULL);
	}
	(void)snprintf(to->id, sizeof(to->id), "%s", json_text(inspect, "Id", NULL));
	(void)snprintf(to->ip, sizeof(to->ip), "%s", ip);
	(void)snprintf(to->started, sizeof(to->started), "%s",
		       json_text(inspect, "State", "StartedAt", NULL));
	to->port = port;
	to->pid = (pid_t)json_integer_value(json_at(inspect, "State", "Pid", NULL));
}

/** port_try() - Connect once. Return: 0, -EAGAIN if refused or not answered, or negative */
static int port_try(const struct container_address *where, int timeout_ms, int cancel_fd)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(where->port) };
	int code = 0;
	socklen_t len = sizeof(code);

	if (inet_pton(AF_INET, where->ip, &a.sin_addr) != 1)
		return -EAFNOSUPPORT;
	auto_close int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	struct pollfd fds[2] = { { .fd = fd, .events = POLLOUT },
				 { .fd = cancel_fd, .events = POLLIN } };
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0 && errno != EINPROGRESS)
		return -EAGAIN;
	if (poll(fds, 2, timeout_ms) < 0)
		return -errno;
	if (fds[1].revents)
		return -ECANCELED;
	if (!fds[0].revents || getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &len) < 0 || code)
		return -EAGAIN;
	return 0;
}

/** udp_bound_in() - Whether a table of the kernel's UDP sockets has one with port @port */
static bool udp_bound_in(pid_t pid, const char *table, uint16_t port)
{
	char path[64];
	char line[256];
	bool found = false;

	(void)snprintf(path, sizeof(path), "/proc/%d/net/%s", (int)pid, table);
	auto_fclose FILE *f = fopen(path, "re");
	while (f && !found && fgets(line, sizeof(line), f)) {
		const char *colon = strchr(line, ':'); /* "  12: 00000000:1B58 ..." */

		colon = colon ? strchr(colon + 1, ':') : NULL;
		found = colon && strtoul(colon + 1, NULL, 16) == port;
	}
	return found;
}

bool container_udp_bound(pid_t pid, uint16_t port)
{
	return udp_bound_in(pid, "udp", port) || udp_bound_in(pid, "udp6", port);
}

int container_port_wait(const struct container_address *where, uint32_t timeout_ms, int cancel_fd,
			struct err *err)
{
	uint64_t end = monotonic_us() + (uint64_t)timeout_ms * 1000;
	struct pollfd rest = { .fd = cancel_fd, .events = POLLIN };

	for (;;) {
		uint64_t now = monotonic_us();
		int left = now >= end ? 0 : (int)((end - now) / 1000);
		int r = port_try(where, left, cancel_fd);

		if (r == 0)
			return 0;
		if (r == -EAGAIN && left == 0)
			return err_set(err, -ETIMEDOUT, "port %u of the container at %s for %u ms",
				       where->port, where->ip, timeout_ms);
		if (r != -EAGAIN)
			return err_set(err, r, "connect to port %u of the container at '%s'",
				       where->port, where->ip);
		(void)poll(&rest, 1, PORT_RETRY_MS);
	}
}
