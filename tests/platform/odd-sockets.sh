#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# What CRIU does with sockets that are none of the usual: it dumps no MPTCP socket, so these are refused
# before; with "skip-in-flight" connections that nobody has accepted do not fail a dump; unread datagrams
# are dropped without a failure, so a cut waits for them to be read. A network namespace whose
# net.mptcp.enabled is 0 gives no MPTCP socket.

. "$(dirname "$0")/common.sh"

need_criu

# python TEXT - run it in the background, until it has written "ready"; sets $pid
python() {
	: >"$TMP/out"
	setsid python3 -u -c "import socket, time
$1
print('ready')
time.sleep(60)" </dev/null >"$TMP/out" 2>&1 &
	pid=$!
	local n
	for ((n = 0; n < 200; n++)); do
		! grep -q ready "$TMP/out" || return 0
		[ -d "/proc/$pid" ] || break
		sleep 0.05
	done
	fail "python: $(cat "$TMP/out")"
}

# dump_it [OPTION...] - whether CRIU can dump it; what it says is in $TMP/log
dump_it() {
	rm -rf "$TMP/images"
	mkdir "$TMP/images"
	criu dump -t "$pid" -D "$TMP/images" -o "$TMP/log" --leave-running --network-lock skip \
		--tcp-close --ghost-limit 1M "$@" >/dev/null 2>&1
}

end() { kill -KILL "$pid"; }

if [ "$(cat /proc/sys/net/mptcp/enabled 2>/dev/null || true)" = 1 ]; then
	python 's = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262); s.listen()'
	if dump_it; then fail "CRIU dumps MPTCP sockets now: give them to containers"; fi
	grep -q 'proto 262' "$TMP/log" || fail "CRIU says: $(grep Error "$TMP/log")"
	end
	# shellcheck disable=SC2016 # for the other shell
	unshare -n sh -c 'echo 0 >/proc/sys/net/mptcp/enabled
		! python3 -c "import socket; socket.socket(2, 1, 262)" 2>/dev/null' ||
		fail "there are MPTCP sockets where they are switched off"
else
	printf 'no MPTCP here: not shown\n'
fi

python 's = socket.create_server(("127.0.0.1", 0)); c = socket.create_connection(s.getsockname())'
if dump_it; then fail "a connection that nobody has accepted does not fail a dump any more"; fi
dump_it --skip-in-flight || fail "skip-in-flight: $(grep Error "$TMP/log")"
end

python 's = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("127.0.0.1", 0)); s.sendto(b"x", s.getsockname())'
dump_it || fail "an unread datagram fails a dump: $(grep Error "$TMP/log")"
grep -q 'Read queue is dropped' "$TMP/log" || fail "CRIU drops no unread datagram any more"
end
pass "refused, skipped, dropped as expected"
