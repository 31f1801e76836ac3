#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# With "network-lock skip" no datagram is lost while a container is dumped (they wait in its socket, which has room
# for about 280; so the probe sends 200 a second, for a slow machine's freeze).

. "$(dirname "$0")/common.sh"

# lost LOCK - print how many datagrams a dump costs with this network-lock setting
lost() {
	local out
	conf pc1 dump.conf "network-lock $1" 'manage-cgroups ignore' 'tcp-close'
	lab exec laptop "$HERE/ask.py" udp-stream pc1 "$PORT" 1.5 200 >"$TMP/stream" &
	local stream=$!
	ask pc1 >/dev/null
	dump pc1 app "cp-$1" || fail "the dump failed with network-lock $1"
	wait "$stream" || fail "the stream of datagrams broke off"
	read -r _ _ _ out <"$TMP/stream"
	printf '%s' "$out"
}

need_lab 1
counter_image pc1
run_counter pc1 app
skipped=$(lost skip)
[ "$skipped" -eq 0 ] || fail "lost $skipped datagrams with network-lock skip"
pass "lost none with skip, $(lost iptables) with iptables"
