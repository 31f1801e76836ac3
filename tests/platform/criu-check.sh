#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The private CRIU starts, is new enough, and finds in this kernel what it needs.

. "$(dirname "$0")/common.sh"

need_criu
version=$(criu --version | sed -n 's/^Version: //p')
dpkg --compare-versions "$version" ge 4.2 || fail "CRIU $version is older than 4.2"
out=$(criu check 2>&1) || fail "criu check: $(tail -1 <<<"$out")"
pass "CRIU $version fits kernel $(uname -r)"
