#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# CRIU calls the action script at "post-dump" while every task of the container is still stopped, and
# a script that fails there makes the dump fail and the container run on.

. "$(dirname "$0")/common.sh"

need_lab 1
counter_image pc1
run_counter pc1 app /log
cat >"$TMP/hook" <<'HOOK'
#!/bin/sh
echo "$CRTOOLS_SCRIPT_ACTION" >>/run/baton/actions
[ "$CRTOOLS_SCRIPT_ACTION" = post-dump ] || exit 0
sed -n 's/^State:[ \t]*\(.\).*/\1/p' "/proc/$CRTOOLS_INIT_PID/status" >/run/baton/state
[ ! -e /run/baton/refuse ] || exit 1
HOOK
chmod 755 "$TMP/hook"
conf pc1 dump.conf "${PLAIN_CONF[@]}" "action-script $TMP/hook"

dump pc1 app cp || fail "the dump failed"
state=$(lab exec-engine pc1 cat /run/baton/state) || fail "post-dump was never called"
[[ $state == [tTD] ]] || fail "the container was in state $state at post-dump, not stopped"
actions=$(lab exec-engine pc1 cat /run/baton/actions | tr '\n' ' ')

lab exec-engine pc1 touch /run/baton/refuse
if dump pc1 app refused 2>/dev/null; then fail "the dump succeeded although its hook failed"; fi
ask pc1 >/dev/null
pass "state at post-dump: $state; calls: ${actions% }"
