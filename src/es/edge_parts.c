/* SPDX-License-Identifier: Apache-2.0 */

/*
 * End of an edge server: it is released when the last of its parts is closed
 */

#include <stdlib.h>

#include "base/list.h"
#include "es/edge_inner.h"
#include "es/system/thaw_guard.h"

void edge_part_closed(struct edge_server *es)
{
	if (--es->closing > 0)
		return;
	list_for_each_safe(at, next, &es->later) free(list_entry(at, struct later, link));
	list_for_each_safe(at, next, &es->discarded) free(list_entry(at, struct discarded, link));
	es->guard = thaw_guard_free(es->guard); /* migrations used it until now */
	if (es->closed)
		es->closed(es->closed_ctx);
	free(es);
}
