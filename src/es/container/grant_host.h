/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Grant: host - settings of a foreign configuration that mean something to the host
 *
 * Inner header of grant.c, grant_host.c and grant_tasks.c; es/container/grant.h has the whole.
 */

#include <stdbool.h>

#include <jansson.h>

struct err;

/**
 * container_grant_host() - Take the granted settings of a HostConfig, and refuse all others
 * @config:	HostConfig of the container that is made; it begins as @own
 * @own:	HostConfig of our entry
 * @asked:	HostConfig of CT-x, not trusted; NULL: none
 *
 * Return: 0, -EPERM for a setting that is not granted, or -ENOMEM
 */
int container_grant_host(json_t *config, const json_t *own, const json_t *asked, struct err *err);

/** container_grant_refuse() - Say which setting is not granted, and the remedy. Return: -EPERM, which lasts */
int container_grant_refuse(const char *setting, struct err *err);

/** container_grant_gives_up() - Whether a security option gives up new privileges, which only takes away */
bool container_grant_gives_up(const char *option);

/* Forms of a value; null and none fit each of them */

/** value_empty() - Whether a value asks for nothing */
bool value_empty(const json_t *value);

/** value_strings() - Whether it is a list of strings, or one; none is too long */
bool value_strings(const json_t *value);

/** value_string() - Whether it is a string that is not too long */
bool value_string(const json_t *value);

/** value_number() - Whether it is an integer */
bool value_number(const json_t *value);

/** value_truth() - Whether it is true or false */
bool value_truth(const json_t *value);

/** value_object() - Whether it is an object */
bool value_object(const json_t *value);
