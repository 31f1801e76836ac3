#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# runc alone dumps a container, leaves it running, and restores it with its memory.

. "$(dirname "$0")/common.sh"

need_lab 1
# shellcheck disable=SC2119 # no host: it is only built, no engine is involved
counter_image # built only, no engine is involved
bundle=$TMP/bundle
mkdir -p "$bundle"
mv "$TMP/image" "$bundle/rootfs"
(cd "$bundle" && runc spec)
# No network namespace of its own: the probe is about process and memory.
jq --arg port "$PORT" --arg cgroup "/$BATON_LAB-pc1/simple" '
	.process.terminal = false | .process.args = ["/counter", $port] | .root.readonly = false
	| .linux.cgroupsPath = $cgroup
	| .linux.namespaces |= map(select(.type != "network"))' \
	"$bundle/config.json" >"$bundle/new" && mv "$bundle/new" "$bundle/config.json"
conf pc1 dump.conf "${PLAIN_CONF[@]}"

# A detached container inherits our output, and CRIU cannot dump an open file of another mount tree:
# all of it goes to /dev/null, and runc's words to a log.
in_pc1() {
	lab exec-engine pc1 env CRIU_CONFIG_FILE=/run/baton/dump.conf \
		runc --root /run/baton/runc --log "$TMP/log" "$@" </dev/null >/dev/null 2>&1 ||
		fail "runc $1: $(tail -1 "$TMP/log")"
}
in_pc1 run --detach --bundle "$bundle" simple
ask pc1 >/dev/null
before=$(ask pc1)
in_pc1 checkpoint --leave-running --image-path /run/baton/cp --work-path /run/baton/work simple
left=$(ask pc1)
[ "$(field count "$left")" -eq 3 ] || fail "the original did not run on: $left"
in_pc1 kill simple KILL
in_pc1 delete --force simple
in_pc1 restore --detach --bundle "$bundle" --image-path /run/baton/cp \
	--work-path /run/baton/work simple
after=$(ask pc1)
[ "$(field boot "$after")" = "$(field boot "$before")" ] || fail "a new process, not the old one"
[ "$(field count "$after")" -eq 3 ] || fail "memory is lost: '$before' became '$after'"
pass "dumped at '$(cut -d' ' -f1 <<<"$before")', restored, next '$(cut -d' ' -f1 <<<"$after")'"
