#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# CRIU_CONFIG_FILE in the environment reaches CRIU through runc, for a dump and, through Docker and
# the runtime wrapper, for a restore: no file under /etc is needed, and each has its own.

. "$(dirname "$0")/common.sh"

need_lab 2
counter_image pc1 pc2
run_counter pc1 app
for what in dump restore; do
	# shellcheck disable=SC2016 # the hook expands it
	printf '#!/bin/sh\necho "%s $CRTOOLS_SCRIPT_ACTION" >>/run/baton/seen\n' \
		"$what" >"$TMP/hook-$what"
	chmod 755 "$TMP/hook-$what"
done
ask pc1 >/dev/null
conf pc1 dump.conf "${PLAIN_CONF[@]}" "action-script $TMP/hook-dump"
conf pc2 restore.conf "${PLAIN_CONF[@]}" "action-script $TMP/hook-restore"
dump pc1 app cp || fail "the dump failed"
create_copy pc2 app
send pc1 /run/baton/cp pc2 "/run/baton/staged/$(id_of pc2 app)"
lab docker pc2 start app >/dev/null || fail "the restore failed"
lab exec-engine pc1 grep -q '^dump post-dump' /run/baton/seen || fail "dump did not read its file"
lab exec-engine pc2 grep -q '^restore post-restore' /run/baton/seen ||
	fail "restore did not read its file"
pass "dump and restore each read their own file"
