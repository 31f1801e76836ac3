#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The sample service in Python (epoll, threads, an open log, 29 MB of memory) survives a move between
# two engines: memory and files are those of a service that was never moved.

. "$(dirname "$0")/common.sh"

SERVICE=$ROOT/service

# call HOST - send the requests on standard input, one a line; print the answers
call() {
	lab exec laptop python3 -c '
import socket, struct, sys
conn = socket.create_connection((sys.argv[1], 7000), 5)
answers = conn.makefile("rb")
for line in sys.stdin.buffer:
    payload = line.rstrip(b"\n")
    conn.sendall(struct.pack(">I", len(payload)) + payload)
    size, = struct.unpack(">I", answers.read(4))
    print(answers.read(size).decode())' "$1"
}

# requests FROM TO - print requests
requests() {
	local n
	for ((n = $1; n <= $2; n++)); do printf '{"seq": %d, "work": "w%d"}\n' "$n" "$n"; done
	printf '{"seq": %d, "op": "verify"}\n' "$n"
}

need_lab 2
image=$("$SERVICE/build-image.sh" 2>"$TMP/build") || skip "no image: $(tail -1 "$TMP/build")"
for host in pc1 pc2; do lab load-image "$host" "$image" offload; done
lab docker pc1 run -d --name app -e BATON_WRITER=1 -e BATON_WRITER_PAUSE_MS=1 -p 7000:7000 offload >/dev/null
until lab docker pc1 logs app | grep -q serving; do
	[ "$(lab docker pc1 inspect -f '{{.State.Running}}' app)" = true ] || fail "service ended"
done
requests 1 20 | call pc1 >"$TMP/answers"

cat >"$TMP/hook" <<HOOK
#!/bin/sh
[ "\$CRTOOLS_SCRIPT_ACTION" != post-dump ] || cp -a "$(upper_dir pc1 app)" "$TMP/layer"
HOOK
chmod 755 "$TMP/hook"
conf pc1 dump.conf "${PLAIN_CONF[@]}" "action-script $TMP/hook"
conf pc2 restore.conf "${PLAIN_CONF[@]}"
dump pc1 app cp || fail "the dump failed"
lab docker pc2 create --runtime baton --name app -e BATON_WRITER=1 -e BATON_WRITER_PAUSE_MS=1 -p 7000:7000 offload >/dev/null
cp -a "$TMP/layer/." "$(upper_dir pc2 app)"
send pc1 /run/baton/cp pc2 "/run/baton/staged/$(id_of pc2 app)"
lab docker pc2 start app >/dev/null || fail "the restore failed"
requests 22 40 | call pc2 >>"$TMP/answers"

{
	requests 1 20
	requests 22 40
} | "$SERVICE/offload.py" --reference >"$TMP/reference"
cmp -s "$TMP/answers" "$TMP/reference" || fail "answers differ from an unmoved service's: $(diff \
	"$TMP/answers" "$TMP/reference" | head -1)"
writer=$(echo '{"seq": 99, "op": "writer"}' | call pc2 | jq -c .writer.agree)
[ "$writer" = true ] || fail "the writer's memory and disk disagree"
pass "$(wc -l <"$TMP/answers") answers as from an unmoved service; writer agrees"
