#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# CRIU cannot seize a stopped task of a frozen group: it hangs until the group is thawed or it is killed,
# which is why such tasks are refused before the freeze. Killing it does no harm: thawed and continued, the
# container goes on.

. "$(dirname "$0")/common.sh"

in_engine() { lab exec-engine pc1 sh -c "$1"; }

need_lab 1
counter_image pc1
run_counter pc1 app
ask pc1 >/dev/null
conf pc1 dump.conf "${PLAIN_CONF[@]}"
pid=$(lab docker pc1 inspect -f '{{.State.Pid}}' app)
group=$(in_engine "sed -n 's/^[0-9]*:freezer://p' /proc/$pid/cgroup")
if [ -n "$group" ]; then
	file=/sys/fs/cgroup/freezer$group/freezer.state frozen=FROZEN thawed=THAWED
else
	file=/sys/fs/cgroup$(in_engine "sed -n 's/^0:://p' /proc/$pid/cgroup")/cgroup.freeze frozen=1 thawed=0
fi
in_engine "kill -STOP $pid"
[ "$(in_engine "cut -d' ' -f3 /proc/$pid/stat")" = T ] || fail "a stopped task does not look stopped"
in_engine "echo $frozen >$file"
status=0
in_engine "CRIU_CONFIG_FILE=/run/baton/dump.conf timeout 4 \
	runc --root /run/docker/runtime-runc/moby checkpoint --leave-running --image-path /run/baton/cp \
	--work-path /run/baton/cp.work $(id_of pc1 app)" >/dev/null 2>&1 || status=$?
[ "$status" = 124 ] || fail "CRIU does not hang on a stopped task any more (status $status): move it then"
in_engine "pkill -KILL -f '[c]riu: dump' || true; echo $thawed >$file; kill -CONT $pid"
before=$(field count "$(ask pc1)")
after=$(field count "$(ask pc1)")
[ "$after" -gt "$before" ] || fail "the container does not go on: $before, $after"
pass "CRIU hangs, is killed, and the container goes on"
