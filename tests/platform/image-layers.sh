#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# `docker load` takes an archive without the files of layers that the engine has already, from
# another image; computes the digests itself, so that damaged bytes are refused; and makes nothing of
# an archive that lacks a layer the engine does not have. `docker save` of an id carries no name.

. "$(dirname "$0")/common.sh"

# without ARCHIVE NAME... - copy an archive but for some files to stdout
without() {
	python3 - "$@" <<'PY'
import sys, tarfile
with tarfile.open(sys.argv[1]) as old, tarfile.open(fileobj=sys.stdout.buffer, mode="w|") as new:
    for entry in old:
        if entry.name not in sys.argv[2:] and entry.isfile():
            new.addfile(entry, old.extractfile(entry))
PY
}

images() { lab docker pc2 images -aq --no-trunc | sort -u | wc -l; }

need_lab 2
counter_image pc1
lab docker pc1 save counter >"$TMP/lower.tar"
made=$(lab docker pc1 create counter /counter)
head -c 300000 /dev/urandom >"$TMP/extra"
lab docker pc1 cp "$TMP/extra" "$made:/extra"
id=$(lab docker pc1 commit "$made" counter:two)
lab docker pc1 save "$id" >"$TMP/upper.tar"
mapfile -t layers < <(tar -xOf "$TMP/upper.tar" manifest.json | jq -r '.[0].Layers[]')
[ "${#layers[@]}" -eq 2 ] || fail "${#layers[@]} layers, not 2"
[ "$(tar -xOf "$TMP/upper.tar" manifest.json | jq -c '.[0].RepoTags // []')" = "[]" ] ||
	fail "an image saved by its id carries a name"
without "$TMP/upper.tar" "${layers[0]}" >"$TMP/less.tar"

if lab docker pc2 load -q <"$TMP/less.tar" 2>/dev/null; then
	fail "loaded without its lower layer, which was nowhere"
fi
[ "$(images)" -eq 0 ] || fail "a failed load leaves an image"
lab docker pc2 load -q <"$TMP/lower.tar" >/dev/null
python3 - "$TMP/less.tar" "$TMP/extra" >"$TMP/bad.tar" <<'PY'
import sys
archive, extra = (open(path, "rb").read() for path in sys.argv[1:])
at = archive.index(extra[:100]) + 1000
sys.stdout.buffer.write(archive[:at] + bytes([archive[at] ^ 1]) + archive[at + 1:])
PY
if lab docker pc2 load -q <"$TMP/bad.tar" 2>/dev/null; then fail "a damaged layer is loaded"; fi
[ "$(images)" -eq 1 ] || fail "a damaged layer leaves an image"
lab docker pc2 load -q <"$TMP/less.tar" >/dev/null || fail "not loaded without a layer that is there"
[ "$(lab docker pc2 inspect -f '{{.Id}}{{.RepoTags}}' "$id")" = "${id}[]" ] ||
	fail "what was loaded is not the image"
lab docker pc2 create "$id" /counter >/dev/null || fail "no container from it"
pass "$(stat -c %s "$TMP/less.tar") bytes instead of $(stat -c %s "$TMP/upper.tar") made the same image"
