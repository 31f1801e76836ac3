#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# "lab down" leaves nothing on the machine, whatever was killed before; nor does it touch another lab.

. "$(dirname "$0")/common.sh"

# clean WHEN - fail if anything is left
clean() {
	local left
	left=$(lab leftovers) || fail "left $1: $(head -2 <<<"$left" | tr '\n' ' ')"
}

# with_container N - a lab with a running container in it
with_container() {
	lab up "$1" >/dev/null || fail "the lab does not come up"
	counter_image pc1
	run_counter pc1 app
	ask pc1 >/dev/null
}

need_lab 1
lab down
clean "after an idle lab"

with_container 2
# The other lab has a name that begins like ours.
BATON_LAB=$BATON_LAB-x BATON_LAB_DIR=$TMP/other lab up 1 >/dev/null
lab exec-engine pc1 sleep 1000 &
lab docker pc1 pause app >/dev/null # frozen, as by a dump that was going on
lab down
clean "after a busy lab with a frozen container"
BATON_LAB=$BATON_LAB-x BATON_LAB_DIR=$TMP/other lab docker pc1 version >/dev/null ||
	fail "down took another lab with it"
BATON_LAB=$BATON_LAB-x BATON_LAB_DIR=$TMP/other lab down
BATON_LAB=$BATON_LAB-x BATON_LAB_DIR=$TMP/other lab leftovers >/dev/null || fail "the other stays"
lab down
clean "after down twice"

for victim in engine dockerd emulator all; do
	with_container "$([[ $victim == @(emulator|all) ]] && echo 2 || echo 1)" # a link needs two
	case $victim in
	engine) kill -KILL "$(<"$BATON_LAB_DIR/pc1/engine.pid")" ;;
	dockerd) lab exec-engine pc1 pkill -KILL -x dockerd || true ;;
	emulator) kill -KILL "$(<"$BATON_LAB_DIR/wan-pc1-pc2.pid")" ;;
	all) lab leftovers | awk '$1 == "process" { print $2 }' | xargs kill -KILL 2>/dev/null || true ;;
	esac
	[ "$victim" != all ] || rm -rf "$BATON_LAB_DIR" # and its notes are lost too
	lab down
	clean "after kill -9 of $victim"
done

with_container 1
lab leftovers | awk '$1 == "process" { print $2 }' | xargs kill -KILL 2>/dev/null || true
lab up 1 >/dev/null || fail "up does not come up over a crashed lab"
lab down
clean "after up over a crashed lab"
pass "nothing left after kill -9 of engine, dockerd, emulator, all"
