#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The emulated WAN has the delay, rate and loss it is told, can be changed, cut and mended as it runs,
# and ends with its lab; the LAN beside it is fast.

. "$(dirname "$0")/common.sh"

rtt() { lab exec "$1" "$HERE/ask.py" rtt "$2" 9000; }
# between LOW VALUE HIGH
between() { awk -v l="$1" -v v="$2" -v h="$3" 'BEGIN { exit !(v >= l && v <= h) }'; }

need_lab 2
lab exec pc2 "$HERE/ask.py" sink 9000 &
wan=$(rtt pc1 pc2)
between 200 "$wan" 205 || fail "RTT is $wan ms, wanted 200"
lan=$(rtt laptop pc2)
between 0 "$lan" 5 || fail "RTT in the LAN is $lan ms"
# From an idle start, so somewhat below the link's 10 MB/s; more than 10 cannot be.
rate=$(lab exec pc1 "$HERE/ask.py" rate pc2 9000 40)
between 5 "$rate" 10 || fail "$rate MB/s through a link of 10 MB/s"

lab link pc1 pc2 50 20 10
counter_image pc2
run_counter pc2 app
ask pc2 >/dev/null
# One in ten each way: 19 % of the answers are missing.
read -r _ sent _ lost < <(lab exec pc1 "$HERE/ask.py" udp-stream pc2 "$PORT" 1)
between 12 "$((lost * 100 / sent))" 27 || fail "lost $lost of $sent datagrams, wanted 19 %"

lab link pc1 pc2 50 20 0
other=$(rtt pc1 pc2)
between 50 "$other" 55 || fail "RTT is $other ms, wanted 50"
lab link down
if lab exec pc1 timeout 1 "$HERE/ask.py" rtt pc2 9000 >/dev/null 2>&1; then
	fail "the cut link still carries"
fi
lab link up
other=$(rtt pc1 pc2)
between 50 "$other" 55 || fail "RTT is $other ms after the cut, wanted 50"

emulator=$(<"$BATON_LAB_DIR/wan-pc1-pc2.pid")
rm "$BATON_LAB_DIR/wan-pc1-pc2.conf"
timeout 10 tail --pid="$emulator" -f /dev/null || fail "the emulator outlives its configuration file"
pass "RTT $wan ms, $rate MB/s in the first 40 MB, LAN $lan ms"
