#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# "tcp-close" lets a container with a live TCP connection be dumped: the original keeps the
# connection, the restored one has closed its copy and takes new ones. Without it the dump fails.

. "$(dirname "$0")/common.sh"

need_lab 2
counter_image pc1 pc2
run_counter pc1 app
conf pc2 restore.conf "${PLAIN_CONF[@]}"
coproc HELD { lab exec laptop "$HERE/ask.py" tcp-held pc1 "$PORT"; }
held() {
	local answer
	echo >&"${HELD[1]}"
	read -r -t 5 answer <&"${HELD[0]}" || fail "the live connection is dead $1"
	printf '%s' "$answer"
}
held "from the start" >/dev/null

conf pc1 dump.conf 'network-lock skip' 'manage-cgroups ignore'
if dump pc1 app refused 2>/dev/null; then fail "a dump without tcp-close succeeded"; fi
held "after a refused dump" >/dev/null
conf pc1 dump.conf "${PLAIN_CONF[@]}"
dump pc1 app cp || fail "the dump failed"
answer=$(held "after the dump")
[ "$(field count "$answer")" -eq 3 ] || fail "the original lost state: $answer"

create_copy pc2 moved
send pc1 /run/baton/cp pc2 "/run/baton/staged/$(id_of pc2 moved)"
lab docker pc2 start moved >/dev/null || fail "the restore failed"
answer=$(ask pc2 tcp)
[ "$(field count "$answer")" -eq 3 ] || fail "the restored one lost state: $answer"
pass "the original keeps its connection, the restored one takes new ones"
