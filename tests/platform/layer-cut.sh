#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The container layer copied in the post-dump hook belongs to the same instant as the memory: what is
# restored from both agrees, while the container appended to a file all the time. A copy made after
# the thaw does not: that restore is refused, or memory and file disagree.

. "$(dirname "$0")/common.sh"

# agrees NAME LAYER_DIR - restore checkpoint "cp" of pc1 with this layer on pc2; do both agree?
agrees() {
	local name=$1 layer=$2 id answer
	create_copy pc2 "$name" /log
	id=$(id_of pc2 "$name")
	lab exec-engine pc2 cp -a "$layer/." "$(upper_dir pc2 "$name")"
	send pc1 /run/baton/cp pc2 "/run/baton/staged/$id"
	lab docker pc2 start "$name" >/dev/null 2>&1 || return 1
	answer=$(ask pc2)
	printf '%s\n' "$answer"
	[ "$(field lines "$answer")" = "$(field disk "$answer")" ]
}

need_lab 2
counter_image pc1 pc2
run_counter pc1 app /log
cat >"$TMP/hook" <<HOOK
#!/bin/sh
[ "\$CRTOOLS_SCRIPT_ACTION" != post-dump ] || cp -a "$(upper_dir pc1 app)" "$TMP/frozen"
HOOK
chmod 755 "$TMP/hook"
conf pc1 dump.conf "${PLAIN_CONF[@]}" "action-script $TMP/hook"
conf pc2 restore.conf "${PLAIN_CONF[@]}"
ask pc1 >/dev/null
dump pc1 app cp || fail "the dump failed"
ask pc1 >/dev/null # it has run on since
cp -a "$(upper_dir pc1 app)" "$TMP/thawed"

answer=$(agrees good "$TMP/frozen") || fail "memory and layer disagree or no restore: $answer"
lab docker pc2 rm -f good >/dev/null
if agrees bad "$TMP/thawed" >/dev/null; then
	fail "a layer copied after the thaw went unnoticed: this probe proves nothing"
fi
pass "restored with $(field lines "$answer") lines or more in memory and as many on disk"
