#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# A client waits on a connection to a host that has been replaced by another one with its address. A
# connect() there from beside the listener, to the client's port, ends it: whatever the client's options,
# also if bytes of it are not acknowledged, or unread. Without privilege, and without a sequence number.
# A connection tracking that drops invalid segments at the client takes that SYN for one,
# but would let a SYN with ACK pass, which only a privileged program can send.

. "$(dirname "$0")/common.sh"

[ "$(id -u)" -eq 0 ] || skip "must run as root"
command -v ip >/dev/null || skip "no ip command"
"$HERE/half_open.py" "$TMP" || fail "see above"
pass "the client sees the end of its connection"
