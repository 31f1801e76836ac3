/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Emulated user - a device that moves, its application that sends requests and checks the answers
 *
 *	mobility_management, _model ---> service_client ---> client <---> access points
 *	offloading_request_generator ----^     |       \--> direct_client <---> service
 *	                                       v
 *	                       answer_checker, run_record
 *
 * A run begins with the first association and ends when all requests are answered, when the session
 * is lost, or when nothing was sent for @deadline_ms and answers are still missing.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mud/client.h"
#include "mud/mobility_management.h"
#include "mud/mobility_model.h"
#include "mud/offloading_request_generator.h"
#include "mud/run_record.h"

struct emulated_user; /* opaque */
struct err;

/**
 * struct emulated_user_setup - A run; strings and structures are copied, unless said otherwise
 * @client:	As for client_new(), except @ops and @ctx
 * @direct:	Go straight to the service: addresses of access points are those of the service there
 * @patience_ms: Then: how long a request waits for a connection, see struct direct_client_setup
 * @start_ap:	Where the device is at first
 * @requests:	Requests to send
 * @plan:	Moves by a script
 * @model:	Moves by the signals that it hears: then @plan is empty and @start_ap the model's. Borrowed
 *		until the run has ended; NULL: by @plan alone
 * @service_seed: Seed of the service, for the answer checker
 * @out:	Directory for the record, or NULL
 * @deadline_ms: See above; also the longest wait for the first association
 * @progress:	Show a line on standard error while it runs
 * @ended:	Called once, from the event loop, when everything is released
 * @ctx:	First argument of @ended
 */
struct emulated_user_setup {
	struct client_setup client;
	bool direct;
	uint64_t patience_ms;
	const char *start_ap;
	struct generator_plan requests;
	const struct mobility_management *plan;
	struct mobility_model *model;
	const char *service_seed;
	const char *out;
	uint64_t deadline_ms;
	bool progress;
	void (*ended)(void *ctx, bool good);
	void *ctx;
};

/**
 * emulated_user_new() - Begin a run
 * @ret:	Set on success only; valid until @ended is called
 * @setup:	See struct emulated_user_setup
 * @err:	Filled in on failure; then run the event loop once before closing it
 *
 * Return: 0, or negative error code
 */
int emulated_user_new(struct emulated_user **ret, const struct emulated_user_setup *setup,
		      struct err *err);

/** emulated_user_stop() - End the run now; requests without an answer count as lost */
void emulated_user_stop(struct emulated_user *u);
