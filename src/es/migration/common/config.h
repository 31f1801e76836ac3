/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Inputs of a migration: an operator's configuration, and the order to move one container
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "es/container/management.h"
#include "wire/message.h"

struct file_workers; /* es/worker/file_worker.h */
struct thaw_guard;

#define MIGRATION_ADDRESS_SIZE 128

/** enum migration_profile - Which way migrations go; both edge servers must have the same */
enum migration_profile {
	PROFILE_BATON,
	PROFILE_PAPER, /* a baseline for measurements, see migration/paper.c */
};

/** enum migration_purpose - Why a cut of a container is taken, or sent */
enum migration_purpose {
	MIGRATION_MOVE,    /* to another edge server */
	MIGRATION_KEEP,    /* it is kept here (protection) */
	MIGRATION_RECOVER, /* from one that was kept here, to this edge server */
};

/** migration_profile_name() - "baton", "paper" */
const char *migration_profile_name(enum migration_profile profile);

/** migration_method_name() - "auto", "complete", "partial" */
const char *migration_method_name(enum migration_method method);

/**
 * struct migration_config - Settings, all strings borrowed for the life of the controller
 * @name:		of this edge server
 * @listen:		"ADDRESS:PORT" where other edge servers bring containers; NULL: take none
 * @docker_socket:	e.g. /run/docker.sock
 * @docker_exec_root:	where the engine keeps its runtimes' state, e.g. /run/docker
 * @runtime:		name under which the engine knows baton-runtime
 * @checkpoint_dir:	work directory, made with mode 0700; should be on tmpfs, since memory images
 *			and the copy of the container layer lie there during a migration (0600)
 * @image_dir:		images on their way from and to here, made with mode 0700; on disk
 * @arrival_ms:		the received part of an image is kept so long for the next attempt (R8);
 *			0: not at all
 * @protect_dir:	cuts that are kept (es/protection/kept_cuts.h), on disk; NULL: none
 * @staged_dir:		where baton-runtime looks for staged checkpoints (compiled into it)
 * @prefix:		@prefix/bin is put first in PATH for runc: the private criu
 * @cut_hook:		path of the program baton-cut-hook
 * @store:		path of the program baton-store, or NULL
 * @workers:		file workers; borrowed
 * @max_sources:	migrations away from here at a time; 0: 4
 * @max_destinations:	migrations to here at a time; 0: 4. One edge server gets incoming_share() of
 *			them
 * @max_bytes:		most bytes, uncompressed, that a transfer may bring; 0: 8 GiB
 * @drain_tries:	how often cut_wanted() is repeated after _cut_delayed(); 0: 20
 * @idle_ms:		a silent peer is given up after this; 0: 30000
 * @restore_ms:		the destination may need this long to restore; 0: 120000
 * @patience:		factor for the waits for CRIU, runc and the engine; 0: 1
 * @compression:	zstd level; 0: 3, of images what keeps the link full
 * @profile:		which way
 * @shared:		directories that are the same on all edge servers: containers may mount
 *			them, and their contents; NULL-terminated, NULL: none
 * @registries:		hosts that images may be pulled from, NULL-terminated; NULL: none
 * @guard:		thaws containers that must not stay frozen (R17); borrowed, or NULL
 * @test_late_snapshot:	TEST ONLY: snapshot the layer after the thaw, which breaks R2
 */
struct migration_config {
	const char *name;
	const char *listen;
	const char *docker_socket;
	const char *docker_exec_root;
	const char *runtime;
	const char *checkpoint_dir;
	const char *image_dir;
	uint64_t arrival_ms;
	const char *protect_dir;
	const char *staged_dir;
	const char *prefix;
	const char *cut_hook;
	const char *store;
	struct file_workers *workers;
	uint32_t max_sources;
	uint32_t max_destinations;
	uint64_t max_bytes;
	uint32_t drain_tries;
	uint32_t idle_ms;
	uint32_t restore_ms;
	uint32_t patience;
	int compression;
	enum migration_profile profile;
	const char *const *shared;
	const char *const *registries;
	struct thaw_guard *guard;
	bool test_late_snapshot;
};

/**
 * struct migration_source - The container to move, and its destination
 * @purpose:	to keep a cut there is no destination; of a recovery, @container is not used
 * @cut:	of a recovery: number of the kept cut
 * @container:	id or name of CT-x
 * @service:	name of its service
 * @mud, @ap, @secret, @association, @epoch:	of the session now; copied into the offer
 * @port:	port the service listens on in the container
 * @method:	C-Migr, P-Migr, or the destination decides
 * @hold:	the container stays frozen after a good cut (R6)
 * @to_es:	name of the destination; its certificate must carry it
 * @to_address:	"HOST:PORT" of its transfer listener
 */
struct migration_source {
	enum migration_purpose purpose;
	uint64_t cut;
	char container[CONTAINER_ID_SIZE];
	char service[NAME_SIZE];
	char mud[NAME_SIZE];
	char ap[NAME_SIZE];
	uint8_t secret[WIRE_SECRET_SIZE];
	uint32_t association;
	uint32_t epoch;
	uint16_t port;
	enum migration_method method;
	bool hold;
	char to_es[NAME_SIZE];
	char to_address[MIGRATION_ADDRESS_SIZE];
};
