#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# An image that goes through the lab's registry keeps its ID; an engine trusts the registry by its own
# certificate only; one that cannot be reached, or does not have the image, is told apart in Docker's
# error; nothing of it is left on the machine.

. "$(dirname "$0")/common.sh"

IMAGE=registry:5000/counter
CA=/etc/docker/certs.d/registry:5000/ca.crt

# refused WORDS - a pull on pc2 must fail, saying one of these
refused() {
	local said
	if said=$(lab docker pc2 pull -q "$IMAGE" 2>&1); then fail "pulled, but expected: $1"; fi
	grep -qE "$1" <<<"$said" || fail "expected '$1', not: $said"
}

need_criu
command -v docker-registry >/dev/null || skip "no docker-registry, run tools/setup.sh"
before=$(find /etc/docker 2>/dev/null | sort)
need_lab 2
lab registry up 2 100 >/dev/null || fail "the registry does not come up"
counter_image pc1
lab docker pc1 tag counter "$IMAGE"
refused 'manifest unknown|not found'
lab docker pc1 push -q "$IMAGE" >/dev/null || fail "cannot push"
lab docker pc2 pull -q "$IMAGE" >/dev/null || fail "cannot pull"
[ "$(lab docker pc1 inspect -f '{{.Id}}' "$IMAGE")" = "$(lab docker pc2 inspect -f '{{.Id}}' "$IMAGE")" ] ||
	fail "the image pulled has another ID"

lab exec-engine pc2 rm "$CA"
refused 'x509'
lab engine-down pc2
lab engine-up pc2
lab docker pc2 pull -q "$IMAGE" >/dev/null || fail "an engine started later does not trust it"

server=$(lab leftovers | awk '$1 == "process" && /docker-registry/ { print $2 }' || true)
kill -KILL "$server"
refused 'connection refused'
lab registry down
refused 'no route|unreachable|timeout|canceled'
left=$(lab leftovers | grep registry || true)
[ -z "$left" ] || fail "registry down leaves $left"

lab registry up >/dev/null || fail "it does not come up again"
refused 'manifest unknown|not found'
lab leftovers | awk '$1 == "process" { print $2 }' | xargs kill -KILL 2>/dev/null || true
lab down
left=$(lab leftovers) || fail "left after kill -9: $left"
[ "$before" = "$(find /etc/docker 2>/dev/null | sort)" ] || fail "files in /etc/docker are others now"
pass "an image pulled keeps its ID; unknown, untrusted, dead and unreachable are told apart"
