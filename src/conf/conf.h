/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Configuration - one file for each program
 *
 * The same grammar serves all programs. The role of a program decides which settings it may and must
 * have, see conf_help(). A whole file is checked before any of it is used. Errors name the file and
 * line, the allowed values and the remedy. Relative paths start at the directory of the file. The
 * address of another program may have its host's name, which is looked up once, while the file is read.
 *
 *     name = "AP-1"
 *     listen = "192.0.2.1:7100"		# access points, operators
 *     station_listen = "192.0.2.1:7101"	# mobile user devices
 *     es = "EdgeServer-1"
 *     pki { ca = "pki/ca.crt"  cert = "pki/AP-1.crt"  key = "pki/AP-1.key" }
 *     logrepo { name = "LogRepo"  address = "192.0.2.9:7300" }
 *     peer "EdgeServer-1"	{ role = "es"  address = "192.0.2.1:7200" }
 *     peer "EdgeServer-2"	{ role = "es"  address = "192.0.2.2:7200" }
 *     peer "AP-2"		{ role = "ap"  address = "192.0.2.2:7100"  es = "EdgeServer-2" }
 *     listener "cache" { listen = "10.80.0.1:6379"  service = "cache"  codec = "resp" }
 *     limits { grace_ms = 3000 }
 *
 * The services of an edge server may have a file each, in the directory that its setting
 * "catalogue" names: NAME.conf, with one section "service" and nothing else. Other files there are
 * passed over.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/auto.h"
#include "base/text.h"
#include "conf/limits.h"
#include "wire/message.h"

struct err;

#define CONF_PEERS_MAX     256
#define CONF_METRES_MAX    1000000
#define CONF_SERVICES_MAX  64
#define CONF_VOLUMES_MAX   16 /* of a service */
#define CONF_LISTENERS_MAX 64
#define CONF_LIST_MAX      256 /* entries of a list */

/** struct conf_pki - Files of our identity; @crl: lists of revoked certificates, or NULL */
struct conf_pki {
	char *ca;
	char *cert;
	char *key;
	char *crl;
};

/**
 * struct conf_peer - Another program
 * @name:	As in its certificate
 * @role:	As in its certificate
 * @address:	"IP:PORT" it listens on, in numbers
 * @transfer:	es only: likewise, where it accepts migrations; or NULL
 * @es:		ap only: its edge server; or empty
 * @placed:	ap only: whether @x and @y were given
 * @x, @y:	ap only: where it stands, in metres (docs/mobility.md)
 */
struct conf_peer {
	char name[NAME_SIZE];
	enum wire_role role;
	char *address;
	char *transfer;
	char es[NAME_SIZE];
	bool placed;
	double x;
	double y;
};

/**
 * struct conf_radio - Signals that a device hears, and when it leaves an access point (docs/mobility.md)
 * @transmit_dbm, @reference_loss_db, @exponent, @shadowing_db, @decorrelation_m: See mud/radio.h
 * @sensitivity_dbm, @hysteresis_db, @dwell_ms: See mud/ap_choice.h
 */
struct conf_radio {
	double transmit_dbm;
	double reference_loss_db;
	double exponent;
	double shadowing_db;
	double decorrelation_m;
	double sensitivity_dbm;
	double hysteresis_db;
	double dwell_ms;
};

#define CONF_IGNORE_SIZE 256 /* of a list of headers, as text */

/** enum conf_codec - Where a message of a service ends */
enum conf_codec {
	CONF_CODEC_FRAME, /* 4-byte big-endian length, then payload, over TCP */
	CONF_CODEC_LINE,  /* up to a newline */
	CONF_CODEC_RESP,  /* Redis */
	CONF_CODEC_HTTP,  /* HTTP/1.1 */
	CONF_CODEC_UDP,   /* a datagram */
	CONF_CODEC_TCP,   /* opaque bytes; moves by holding */
	CONF_CODECS,
};

/** enum conf_restart - Whether a container that has ended is started again */
enum conf_restart {
	CONF_RESTART_ALWAYS,
	CONF_RESTART_ON_FAILURE,
	CONF_RESTART_NO,
};

/** enum conf_sync - How a moved container catches up (R6) */
enum conf_sync {
	CONF_SYNC_AUTO,   /* replay, and hold after a replica that answered differently */
	CONF_SYNC_REPLAY, /* it executes copies of the requests */
	CONF_SYNC_HOLD,   /* nothing executes between its cut and its restore */
};

/** enum conf_method - Whether image layers move with a container (the paper's C-Migr and P-Migr) */
enum conf_method {
	CONF_METHOD_AUTO,     /* the one with the shortest predicted time */
	CONF_METHOD_COMPLETE, /* image layers that the destination lacks are sent to it */
	CONF_METHOD_PARTIAL,  /* the image is there, or comes from a registry */
};

/** enum conf_profile - Which way an edge server migrates */
enum conf_profile {
	CONF_PROFILE_BATON,
	CONF_PROFILE_PAPER, /* as the paper did it, to compare with */
};

/**
 * struct conf_service - A service that an edge server offers
 * @name:		Name that MUDs ask for
 * @image:		Container image
 * @port:		Port in the container
 * @codec:		See enum conf_codec
 * @sync:		See enum conf_sync
 * @restart:		See enum conf_restart
 * @restart_tries:	Of CONF_RESTART_ON_FAILURE, in a row; 0: no limit
 * @protect_ms:		A cut of its container is kept so often, ms; 0: it is not protected
 * @compare:		Both containers must answer alike before one takes over (R5)
 * @compare_ignore:	HTTP headers that may differ, in small letters, a space before and behind
 *			each; empty: the codec's own list
 * @method:		See enum conf_method
 * @memory_bytes:	Limit, 0: none
 * @cpu_millis:		Limit in thousandths of a CPU, 0: none
 * @pids:		Limit of processes and threads, 0: none
 * @start_ms:		Time until its port answers
 * @volumes:		NULL-terminated list of NAME:/PATH, or NULL: each session gets its own
 * @tmpfs:		NULL-terminated list of /PATH[:OPTIONS], or NULL
 * @binds:		NULL-terminated list of /PATH:/PATH[:ro], or NULL; in directories of @shared
 * @publish:		NULL-terminated list of [[IP:]HOST_PORT:]PORT[/tcp|udp], or NULL
 * @env:		NULL-terminated NAME=VALUE list, or NULL
 * @trusted_images:	NULL-terminated list of repositories that other edge servers may bring under
 *			their names, and image ids that they may bring under @image, or NULL
 * @command:		NULL-terminated argument list, or NULL: the image's
 * @file:		File that it is in
 */
struct conf_service {
	char name[NAME_SIZE];
	char *image;
	uint16_t port;
	enum conf_codec codec;
	enum conf_sync sync;
	enum conf_restart restart;
	uint32_t restart_tries;
	uint64_t protect_ms;
	bool compare;
	char compare_ignore[CONF_IGNORE_SIZE];
	enum conf_method method;
	uint64_t memory_bytes;
	uint32_t cpu_millis;
	uint32_t pids;
	uint32_t start_ms;
	char **volumes;
	char **tmpfs;
	char **binds;
	char **publish;
	char **trusted_images;
	char **env;
	char **command;
	char *file;
};

/**
 * struct conf_listener - Where an access point's ordinary users find a service
 * @name:	Of the listener, for people
 * @listen:	"IP:PORT" on the users' side
 * @service:	As in the catalogue of the edge servers
 * @codec:	Likewise
 */
struct conf_listener {
	char name[NAME_SIZE];
	char *listen;
	char service[NAME_SIZE];
	enum conf_codec codec;
};

/** struct conf_docker - Where the engine of an edge server is */
struct conf_docker {
	char *socket;
	char *exec_root;
	char *runtime;
};

/**
 * struct conf - A checked configuration; strings that are not set are NULL or empty
 * @role:		Role it was loaded for
 * @path:		File it was loaded from
 * @name:		Name of this program's node; its certificate must say the same
 * @listen:		"IP:PORT" for other programs (ap, es, logrepo)
 * @station_listen:	ap: for MUDs
 * @transfer_listen:	es: for migrations
 * @monitor_listen:	"IP:PORT" for /metrics and /healthz; NULL: nowhere
 * @es:			ap: its edge server, one of @peer
 * @uses:		mud: service it asks for
 * @radio:		mud: signals that it hears; or the defaults
 * @pki:		Files of our identity
 * @logrepo_name, @logrepo_address: Event log repository; empty and NULL: none
 * @peer, @peers:	Other programs
 * @service, @services:	es: services it offers
 * @listener, @listeners: ap: for ordinary users
 * @stations:		ap: hostapd's control socket; NULL: users are known by their traffic alone
 * @begins_anew:	ap: a user begins anew if an access point cannot be asked for its sessions
 * @catalogue:		es: directory whose services are in @service, too; or NULL
 * @docker:		es: its engine
 * @profile:		es: see enum conf_profile
 * @shared:		es: NULL-terminated list of directories that are the same on all edge
 *			servers, or NULL
 * @registries:		es: NULL-terminated list of hosts images may be pulled from, or NULL
 * @request_events:	mud, ap: each request and answer is an event of its own; else they are only counted
 * @compare:		ap: the answers of both containers must agree before authority moves (R5)
 * @state_dir:		ap, es: state that must survive a restart
 * @checkpoint_dir:	es: checkpoints on their way, best on tmpfs
 * @image_dir:		es: images on their way, on disk; by default "images" in @state_dir
 * @protect_dir:	es: cuts that are kept, on disk; by default "protected" in @state_dir
 * @spool_dir:		ap, es: long requests and answers on their way, on disk
 * @events:		logrepo: file of the event log
 * @ap, @aps:		mud: access points in the order of its way
 * @limit:		By enum conf_limit_id
 */
struct conf {
	enum wire_role role;
	char *path;
	char name[NAME_SIZE];
	char *listen;
	char *station_listen;
	char *transfer_listen;
	char *monitor_listen;
	char es[NAME_SIZE];
	char uses[NAME_SIZE];
	struct conf_radio radio;
	struct conf_pki pki;
	char logrepo_name[NAME_SIZE];
	char *logrepo_address;
	struct conf_peer *peer;
	size_t peers;
	struct conf_service *service;
	size_t services;
	struct conf_listener *listener;
	size_t listeners;
	char *stations;
	bool begins_anew;
	char *catalogue;
	struct conf_docker docker;
	enum conf_profile profile;
	char **shared;
	char **registries;
	bool request_events;
	bool compare;
	char *state_dir;
	char *checkpoint_dir;
	char *image_dir;
	char *protect_dir;
	char *spool_dir;
	char *events;
	char (*ap)[NAME_SIZE];
	size_t aps;
	int64_t limit[CONF_LIMITS];
};

/**
 * conf_load() - Read and check a configuration file
 * @path:	File
 * @role:	Role of the program; settings of other roles are refused
 * @ret:	Set on success only; the caller owns it, see conf_free()
 * @err:	Filled in on failure: file, line, what is wrong, what is allowed
 *
 * Not to be called by two threads at once: libconfuse's scanner is one for the process.
 *
 * Return: 0, -EINVAL for a mistake in the file, -EHOSTUNREACH for a host's name that is not found, or another
 * negative error code
 */
int conf_load(const char *path, enum wire_role role, struct conf **ret, struct err *err);

/** conf_free() - Release a configuration; @c may be NULL. Return: NULL, always */
struct conf *conf_free(struct conf *c);

AUTO_DEFINE(conf)

/** conf_peer_find() - Peer with a name. Return: NULL if there is none */
const struct conf_peer *conf_peer_find(const struct conf *c, const char *name);

/** conf_service_find() - Service with a name. Return: NULL if there is none */
const struct conf_service *conf_service_find(const struct conf *c, const char *name);

/** conf_codec_name() - Name of a codec in the catalogue */
const char *conf_codec_name(enum conf_codec codec);

/** conf_help() - Write the settings of a role, required ones marked, and the limits */
void conf_help(FILE *to, enum wire_role role);
