# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# common.sh - what the platform probes share; sourced by each
#
# A probe proves one assumption about kernel, CRIU, runc or Docker that Baton relies on. It ends
# with pass, or dies through fail or skip (exit status 0, 1, 77: Meson's convention), and leaves
# nothing behind. Each has a lab of its own, which takes about a second.

set -euo pipefail

PROBE=$(basename "$0" .sh)
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$HERE/../.." && pwd)
TMP=$(mktemp -d)
PORT=7777
export BATON_PREFIX=${BATON_PREFIX:-/opt/baton}
export BATON_LAB=${BATON_LAB:-baton}-probe-$$
export BATON_LAB_DIR=$TMP/lab
export BATON_RUNTIME=$HERE/wrapper
export PATH=$BATON_PREFIX/bin:$PATH

lab() { "$ROOT/lab/lab" "$@"; }

at_exit() {
	local status=$?
	[ ! -e "$BATON_LAB_DIR" ] || lab down
	# A probe may end while a client of its own still waits for an answer.
	jobs -p | xargs -r kill 2>/dev/null || true
	rm -rf "$TMP"
	exit "$status"
}
trap at_exit EXIT

pass() {
	printf 'pass: %s\n' "${*:-$PROBE}"
	exit 0
}

fail() {
	printf 'FAIL: %s\n' "$*"
	exit 1
}

skip() {
	printf 'skip: %s\n' "$*"
	exit 77
}

# need_criu, need_lab - skip where the machine is not set up for it
need_criu() {
	[ "$(id -u)" -eq 0 ] || skip "must run as root"
	command -v criu >/dev/null || skip "no criu, run tools/setup.sh"
}

need_lab() {
	need_criu
	command -v dockerd >/dev/null || skip "no Docker engine, run tools/setup.sh"
	lab up "${1:-2}" >/dev/null || fail "the lab does not come up"
}

# counter_image [HOST...] - build the counter once, import it as image "counter" there
counter_image() {
	local host
	if [ ! -e "$TMP/counter.tar" ]; then
		mkdir "$TMP/image"
		"${CC:-cc}" -std=gnu17 -O2 -D_GNU_SOURCE -static -o "$TMP/image/counter" \
			"$HERE/counter.c" || fail "cannot build a static program"
		tar -C "$TMP/image" -cf "$TMP/counter.tar" .
	fi
	for host in "$@"; do lab load-image "$host" "$TMP/counter.tar" counter; done
}

# run_counter HOST NAME [COUNTER ARGS...] - start a container with the counter, ports published
run_counter() {
	local host=$1 name=$2
	shift 2
	lab docker "$host" run -d --name "$name" -p "$PORT:$PORT/tcp" -p "$PORT:$PORT/udp" \
		counter /counter "$PORT" "$@" >/dev/null || fail "cannot start a container"
}

id_of() { lab docker "$1" inspect -f '{{.Id}}' "$2"; }
upper_dir() { lab docker "$1" inspect -f '{{.GraphDriver.Data.UpperDir}}' "$2"; }

# ask HOST [tcp|udp] - one message from the laptop to the counter on a host; print the answer
ask() { lab exec laptop "$HERE/ask.py" once "${2:-udp}" "$1" "$PORT" || fail "no answer from $1"; }

# field NAME ANSWER - print one value out of an answer
field() { sed -n "s/.*$1=\([0-9]*\).*/\1/p" <<<"$2"; }

# conf HOST NAME LINES... - write a CRIU configuration file /run/baton/NAME there
conf() {
	local host=$1 name=$2
	shift 2
	printf '%s\n' "$@" | lab exec-engine "$host" sh -c "cat >/run/baton/$name"
}

# dump HOST CONTAINER NAME - runc checkpoint into /run/baton/NAME, with /run/baton/dump.conf
dump() {
	lab exec-engine "$1" env CRIU_CONFIG_FILE=/run/baton/dump.conf \
		runc --root /run/docker/runtime-runc/moby checkpoint --leave-running \
		--image-path "/run/baton/$3" --work-path "/run/baton/$3.work" "$(id_of "$1" "$2")"
}

# send FROM DIR TO DIR - copy a directory from engine to engine, around the WAN
send() {
	lab exec-engine "$3" mkdir -p "$4"
	lab exec-engine "$1" tar -C "$2" -cf - . | lab exec-engine "$3" tar -C "$4" -xf -
}

# create_copy HOST NAME [COUNTER ARGS...] - create, do not start, a container under the wrapper
create_copy() {
	local host=$1 name=$2
	shift 2
	lab docker "$host" create --runtime baton --name "$name" -p "$PORT:$PORT/tcp" \
		-p "$PORT:$PORT/udp" counter /counter "$PORT" "$@" >/dev/null ||
		fail "cannot create a container under the wrapper"
}

# What a dump and a restore need in this lab, and Baton everywhere; see the probes of each
# shellcheck disable=SC2034 # used by the probes
PLAIN_CONF=('network-lock skip' 'manage-cgroups ignore' 'tcp-close')
