#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# An overlay upper directory can be packed, sent and put under another overlay mount, and shows the
# same tree there: whiteouts, opaque directories, xattrs, hard links, modes, owners, times.

. "$(dirname "$0")/common.sh"

need_criu
cd "$TMP"
mkdir -p lower/{kept,replaced,gone-dir} upper work merged upper2 work2 merged2
echo one >lower/kept/file
echo two >lower/replaced/hidden
echo three >lower/gone
echo four >lower/gone-dir/file
mount_overlay() {
	mount -t overlay overlay -o "lowerdir=lower,upperdir=upper$1,workdir=work$1" "merged$1"
}
# listing DIR - everything about a tree that a migration must keep
listing() {
	(
		cd "$1"
		find . -printf '%P %y %m %U:%G %n %s %T@ %l\n' | sort
		find . -type f -exec sha256sum {} + | sort
		find . -exec python3 -c 'import os, sys
for path in sys.argv[1:]:
    print(path, [(n, os.getxattr(path, n, follow_symlinks=False))
                 for n in sorted(os.listxattr(path, follow_symlinks=False))])' {} + | sort
	) | grep -v '^ d ' # the root directory's own line
}
# All mounts are made in a namespace of our own: they cannot be left behind.
if [ "${IN_NAMESPACE:-}" = "" ]; then
	status=0
	IN_NAMESPACE=1 unshare -m --propagation private "$HERE/$PROBE.sh" || status=$?
	exit "$status"
fi
mount_overlay '' 2>/dev/null || skip "no overlay file system on top of $(stat -fc %T .)"
rm merged/gone
rm -r merged/gone-dir
rm -r merged/replaced && mkdir merged/replaced && echo new >merged/replaced/file
echo linked >merged/a && ln merged/a merged/b
ln -s nowhere merged/symlink
echo setuid >merged/setuid && chown 1234:5678 merged/setuid && chmod 4755 merged/setuid
mkfifo merged/fifo
setfattr_py='import os,sys; os.setxattr(sys.argv[1], sys.argv[2], sys.argv[3].encode())'
python3 -c "$setfattr_py" merged/kept/file user.note 'kept with its file' ||
	skip "no user xattrs on $(stat -fc %T .)"
touch -d '2001-02-03 04:05:06.789012345' merged/kept/file
truncate -s 1M merged/sparse
listing merged >before
umount merged

tar -C upper --xattrs --xattrs-include='*' --numeric-owner --sparse --format=posix -cf layer.tar .
tar -C upper2 --xattrs --xattrs-include='*' --numeric-owner --same-permissions -xf layer.tar
mount_overlay 2
listing merged2 >after
gone=$(ls -d merged2/gone merged2/replaced/hidden 2>/dev/null || true)
umount merged2
difference=$(diff before after) || fail "the trees differ: $(head -3 <<<"$difference" | tr '\n' ' ')"
[ -z "$gone" ] || fail "what was deleted came back: $gone"
pass "$(wc -l <before) facts about the tree are the same"
