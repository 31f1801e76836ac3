#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# hostapd tells on its control interface when a station is authorised (AP-STA-CONNECTED) and when it logs
# off (AP-STA-DISCONNECTED). A station that leaves without a word stays authorised where it was, and is
# not reported when it comes back, unless hostapd was told DISASSOCIATE meanwhile. Shown with 802.1X
# over cables, for which Linux needs no radio.

. "$(dirname "$0")/common.sh"

MAC=02:ba:70:00:01:01 # user1, see lab/lab

stations() { "$ROOT/lab/stations" "$@"; }

# listen HOST - write each event of hostapd there as a line into $TMP/HOST
listen() {
	: >"$TMP/$1"
	printf '#!/bin/sh\nshift; echo "$*" >>%s\n' "$TMP/$1" >"$TMP/$1.sh"
	chmod +x "$TMP/$1.sh"
	lab exec "$1" hostapd_cli -p "$BATON_LAB_DIR/$1/hostapd" -i users -a "$TMP/$1.sh" \
		</dev/null >"$TMP/$1.log" 2>&1 &
}

# count HOST EVENT - print how often it came for our station
count() { grep -cxF "$2 $MAC" "$TMP/$1" || true; }

# await HOST EVENT N - until it has come N times; 20 s at most
await() {
	local n
	for ((n = 0; n < 1000; n++)); do
		[ "$(count "$1" "$2")" -lt "$3" ] || return 0
		sleep 0.02
	done
	fail "no $2 at $1: $(tail -n 3 "$TMP/$1" "$BATON_LAB_DIR/$1/hostapd.log")"
}

need_lab 2
PATH=$PATH:/usr/sbin:/sbin
command -v hostapd >/dev/null || skip "no hostapd, run tools/setup.sh"
command -v wpa_supplicant >/dev/null || skip "no wpa_supplicant, run tools/setup.sh"
lab users 1
for host in pc1 pc2; do
	stations hostapd "$host"
	listen "$host"
done
stations supplicant user1
await pc1 AP-STA-CONNECTED 1

lab move user1 AP-2
await pc2 AP-STA-CONNECTED 1
[ "$(count pc1 AP-STA-DISCONNECTED)" = 0 ] || fail "a station that leaves without a word is reported"

lab move user1 AP-1
await pc1 CTRL-EVENT-EAP-SUCCESS 2
stations tell pc1 ping >/dev/null
[ "$(count pc1 AP-STA-CONNECTED)" = 1 ] || fail "one that comes back is reported after all"

for host in pc1 pc2; do
	stations tell "$host" disassociate "$MAC" >/dev/null
	await "$host" AP-STA-DISCONNECTED 1
done
lab move user1 AP-2
await pc2 AP-STA-CONNECTED 2
lab move user1 AP-1
await pc1 AP-STA-CONNECTED 2

stations logoff user1
await pc1 AP-STA-DISCONNECTED 2
lab down
left=$(lab leftovers) || fail "left: $left"
pass "connected, disassociated, connected again and logged off are told; leaving is not"
