/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Cuts that are kept, and the log of requests since - on the disk of an edge server
 *
 * Sessions of the service "memory" are protected. It keeps nothing on its disk: what it has is gone with its
 * processes, unless it is recovered.
 */

#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/err.h"
#include "world.h"

bool protected_service(const char *service)
{
	return strcmp(service, "memory") == 0;
}

struct kept_slot *kept_of(struct world *w, int edge, uint64_t session, bool make)
{
	struct kept_slot *unused = NULL;

	for (int i = 0; i < (w->hours ? KEPT_SLOTS : MUDS_MAX); i++) {
		struct kept_slot *k = &w->edge[edge].kept[i];

		if (k->used && k->session == session)
			return k;
		if (!k->used && !unused)
			unused = k;
	}
	if (!make)
		return NULL;
	if (!unused) {
		violated(w, "too many kept cuts at %s", w->edge[edge].es_name);
		unused = &w->edge[edge].kept[0];
	}
	*unused = (struct kept_slot){ .used = true, .session = session };
	return unused;
}

bool kept_covers(const struct kept_slot *k, uint64_t executed)
{
	if (!k || !k->whole || k->cut > executed)
		return false;
	if (executed - k->cut > KEPT_MAX)
		return false;
	for (uint64_t n = k->cut + 1; n <= executed; n++)
		if (k->logged[n % KEPT_MAX] != n)
			return false;
	return true;
}

int kept_log(struct kept_slot *k, const struct wire_data *request, struct err *err)
{
	size_t i = request->number % KEPT_MAX;

	if (k->logged[i] && k->logged[i] != request->number)
		return err_set(err, -ENOSPC, "log a request");
	k->logged[i] = request->number;
	k->how[i] = (struct es_logged){ .digest = 0 };
	k->request[i] = *request;
	return 0;
}

int kept_read(struct kept_slot *k, uint64_t number, struct wire_data *request,
	      struct es_logged *how, struct err *err)
{
	size_t i = number % KEPT_MAX;

	if (!k || !number || k->logged[i] != number)
		return err_set(err, -ENOENT, "request %llu is not logged",
			       (unsigned long long)number);
	put_be64(k->bytes, number);
	*request = k->request[i];
	request->bytes = k->bytes;
	*how = k->how[i];
	return 0;
}
