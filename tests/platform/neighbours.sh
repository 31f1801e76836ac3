#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# What keeps two containers of a bridge apart: icc=false stops IPv4 only, and only while the bridge asks
# iptables; ARP, IPv6 and raw frames pass. Isolated ports stop all that goes from port to port, whatever the bridge
# asks, but not what the host routes back, nor a container that takes another one's address for the host. So
# Baton has both isolated ports and a filter (src/base/apart.h). Docker leaves such ports alone.

. "$(dirname "$0")/common.sh"

need_lab 1
command -v bridge >/dev/null || skip "no bridge, of iproute2"
counter_image pc1

neighbour() { lab exec-engine pc1 nsenter -t "$1" -n "$ROOT/tests/e2e/neighbour.py" "${@:2}"; }
pid_of() { lab docker pc1 inspect -f '{{.State.Pid}}' "$1"; }
field_of() { lab docker pc1 inspect -f "{{(index .NetworkSettings.Networks \"$2\").$3}}" "$1"; }

# port_of CONTAINER - print the name of its port of the bridge
port_of() {
	local index
	index=$(lab exec-engine pc1 nsenter -t "$(pid_of "$1")" -n ip -o link show eth0 |
		sed -n 's/.*eth0@if\([0-9]*\):.*/\1/p')
	lab exec-engine pc1 ip -o link | sed -n "s/^$index: \([^:@]*\).*/\1/p"
}

# two NETWORK - two containers there
two() {
	local name
	for name in one two; do
		lab docker pc1 run -d --name "$name" --network "$1" counter /counter "$PORT" >/dev/null ||
			fail "cannot start a container"
	done
}

# ways NETWORK - print the ways in which "one" reaches "two"
ways() {
	local ip mac pid
	ip=$(field_of two "$1" IPAddress)
	mac=$(field_of two "$1" MacAddress)
	pid=$(pid_of two)
	neighbour "$pid" listen eth0 >"$TMP/heard" &
	local n
	for ((n = 0; n < 100; n++)); do
		! grep -q ready "$TMP/heard" || break
		sleep 0.05
	done
	neighbour "$(pid_of one)" attack eth0 "$ip" "$mac" "$PORT" 127.0.0.1 9 >"$TMP/said"
	lab exec-engine pc1 ip neigh flush to "$ip"
	lab exec-engine pc1 python3 -c "import socket
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'BATON-NEIGHBOUR:last\n', ('$ip', 4000))"
	wait $!
	cat "$TMP/said" "$TMP/heard" | sed "/^ready$/d" | sort -u | xargs
}

# has WORD LIST, lacks WORD LIST - fail unless
has() { [[ " $2 " == *" $1 "* ]] || fail "$1 is stopped by $3: $2"; }
lacks() { [[ " $2 " != *" $1 "* ]] || fail "$1 passes $3: $2"; }

lab docker pc1 network create -o com.docker.network.bridge.enable_icc=false quiet >/dev/null
two quiet
filter=/proc/sys/net/bridge/bridge-nf-call-iptables
found=$(ways quiet)
if [ "$(lab exec-engine pc1 cat $filter 2>/dev/null)" = 1 ]; then
	lacks tcp "$found" "icc=false"
	lab exec-engine pc1 sh -c "echo 0 >$filter"
	found=$(ways quiet)
fi
for way in tcp ip raw ipv6 arp steal; do has "$way" "$found" "icc=false without br_netfilter"; done
for name in one two; do
	lab exec-engine pc1 bridge link set dev "$(port_of "$name")" isolated on || skip "no isolated ports: kernel too old"
done
found=$(ways quiet)
[ -z "$found" ] || fail "isolated ports and icc=false let pass: $found"
lab docker pc1 rm -f one two >/dev/null

# The default bridge has icc, so the host routes from a container back to its neighbour.
two bridge
for name in one two; do
	lab exec-engine pc1 bridge link set dev "$(port_of "$name")" isolated on
done
found=$(ways bridge)
has route "$found" "isolated ports"
for way in tcp ip raw ipv6 arp steal; do lacks "$way" "$found" "isolated ports"; done
pass "icc=false stops IPv4 at most, isolated ports all but what the host routes"
