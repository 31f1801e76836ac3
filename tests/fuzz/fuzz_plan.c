/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Fuzzer of migration plans - what another edge server says about its container, and what it is granted
 *
 * Any text must be either refused with a text, or give a configuration without rights that nobody here has
 * given.
 */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/err.h"
#include "es/container/grant.h"
#include "es/container/management.h"
#include "es/engine/docker_engine.h"
#include "es/migration/common/plan.h"
#include "fuzz_input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/** grant() - What our entry gives; it does not change */
static const json_t *grant(void)
{
	const struct container_service service = {
		.name = "svc", .image = "svc:1", .port = 7000, .memory_bytes = 1u << 20, .pids = 10
	};
	static json_t *made;

	if (!made)
		require(container_grant_new(&made, &service, "baton", NULL) == 0);
	return made;
}

/** granted_check() - What the container gets is what our entry gives */
static void granted_check(const json_t *config)
{
	static const char *const none[] = {
		"CapAdd",      "Privileged",   "Devices",    "DeviceCgroupRules",
		"Sysctls",     "CgroupParent", "PidMode",    "UsernsMode",
		"VolumesFrom", "Binds",        "MaskedPaths"
	};
	const json_t *host = json_object_get(config, "HostConfig");
	json_int_t memory = json_integer_value(json_object_get(host, "Memory"));

	require(memory > 0 && memory <= 1 << 20);
	for (size_t i = 0; i < ARRAY_SIZE(none); i++)
		require(!json_object_get(host, none[i]));
	require(!strcmp(json_text(host, "Runtime", NULL), "baton"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	json_t *plan = NULL;
	json_t *config = NULL;
	struct err err = { 0 };
	int r = migration_plan_parse(&plan, data, size, NULL, &err);

	require(r == 0 || err.text[0]);
	if (r == 0)
		r = container_grant_config(&config, grant(), json_object_get(plan, "config"), 7000,
					   &err);
	if (r == 0)
		granted_check(config);
	json_decref(config);
	json_decref(plan);
	return 0;
}
