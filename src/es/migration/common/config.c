/* SPDX-License-Identifier: Apache-2.0 */
#include "es/migration/common/config.h"

const char *migration_profile_name(enum migration_profile profile)
{
	static const char *const names[] = {
		[PROFILE_BATON] = "baton",
		[PROFILE_PAPER] = "paper",
	};

	return names[profile];
}

const char *migration_method_name(enum migration_method method)
{
	static const char *const names[] = {
		[METHOD_AUTO] = "auto",
		[METHOD_COMPLETE] = "complete",
		[METHOD_PARTIAL] = "partial",
	};

	return names[method];
}
