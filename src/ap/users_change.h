/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Changes of the users of a running access point: services, the other access points, limits
 */

#include "ap/users.h"

/**
 * users_change() - Other access points, services and limits, while all runs
 * @u:		Users
 * @setup:	As for users_new(); used are @policy, @aps, @service, @services, @limits and @spool_bytes
 * @err:	Filled in on failure, as when a listener cannot have its address; then nothing has changed
 *
 * Connections stay, also those of a listener that goes. Sessions keep the waits that they began with.
 *
 * Return: 0, or negative error code
 */
int users_change(struct users *u, const struct users_setup *setup, struct err *err);
