#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# A runtime registered with Docker that restores where it is asked to create: plain `docker start`
# brings up the migrated process, and Docker's network, ports, logs, exec and stop work on it.

. "$(dirname "$0")/common.sh"

need_lab 2
counter_image pc1 pc2
run_counter pc1 app
ask pc1 >/dev/null
before=$(ask pc1)
conf pc1 dump.conf "${PLAIN_CONF[@]}"
conf pc2 restore.conf "${PLAIN_CONF[@]}"
dump pc1 app cp || fail "the dump failed"
create_copy pc2 moved
send pc1 /run/baton/cp pc2 "/run/baton/staged/$(id_of pc2 moved)"
start=$EPOCHREALTIME
lab docker pc2 start moved >/dev/null || fail "docker start failed"
took=$(((${EPOCHREALTIME/./} - ${start/./}) / 1000))

after=$(ask pc2 udp)
[ "$(field boot "$after")" = "$(field boot "$before")" ] || fail "a new process was started"
[ "$(field count "$after")" -eq 3 ] || fail "state is lost: '$before' became '$after'"
after=$(ask pc2 tcp)
[ "$(field count "$after")" -eq 4 ] || fail "the published TCP port does not work: $after"
[ "$(lab docker pc2 inspect -f '{{.State.Running}}' moved)" = true ] || fail "not shown as running"
lab docker pc2 exec moved /counter 7778 >"$TMP/exec" 2>&1 &
for ((i = 0; i < 100; i++)); do
	! grep -q boot "$TMP/exec" || break
	read -r -t 0.05 <> <(:) || true
done
grep -q boot "$TMP/exec" || fail "docker exec does not work"
lab docker pc2 stop -t 1 moved >/dev/null || fail "docker stop does not work"
[ "$(field count "$(ask pc1)")" -eq 3 ] || fail "the original did not run on"
pass "restored under docker start in $took ms"
