#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# private-criu.sh - a newer CRIU beside the system, not in it
#
#   BATON_PREFIX=/opt/baton BATON_CRIU_SUITE=forky tools/private-criu.sh
#
# Fetches CRIU and every library it needs (its own libc too) from a newer Debian suite, unpacks
# them under $BATON_PREFIX/criu, and writes one launcher, $BATON_PREFIX/bin/criu. Nothing outside
# the prefix is written and no package is installed, so the system's CRIU, libc and apt state stay
# as they are. The mirror, its key and any proxy are those of the machine's own apt configuration;
# only the suite's name is exchanged.
#
# A complete prefix carries a file "origin" naming what it was made from, so that a second run has
# nothing to do and a broken or half-made one is made again.

set -euo pipefail

PREFIX=${BATON_PREFIX:-/opt/baton}
SUITE=${BATON_CRIU_SUITE:-forky}
ROOT=$PREFIX/criu
LAUNCHER=$PREFIX/bin/criu
# Older ones cannot dump sockets, or crash in the vDSO, on the kernels of today.
AT_LEAST=4.2

say() { printf 'criu: %s\n' "$*"; }
die() {
	printf 'criu: error: %s\n' "$*" >&2
	exit 1
}

# deb822_source FILE CODENAME - the first stanza for CODENAME (or any, when empty), for $SUITE
deb822_source() {
	awk -v RS= -v code="$2" -v suite="$SUITE" '
	/(^|\n)Enabled:[ \t]*no/ { next }
	!/(^|\n)Types:[^\n]*deb([ \t\n]|$)/ { next }
	code != "" && $0 !~ ("(^|\n)Suites:([^\n]*[ \t])?" code "([ \t\n]|$)") { next }
	{
		n = split($0, line, "\n")
		for (i = 1; i <= n; i++) {
			if (line[i] ~ /^#/) continue
			sub(/^Types:.*/, "Types: deb", line[i])
			sub(/^Suites:.*/, "Suites: " suite, line[i])
			sub(/^Components:.*/, "Components: main", line[i])
			print line[i]
		}
		exit
	}' "$1"
}

# classic_source FILE CODENAME - the same for a one-line-style file
classic_source() {
	awk -v code="$2" -v suite="$SUITE" '
	$1 != "deb" { next }
	{
		i = 2
		opts = ""
		if ($i ~ /^\[/) {
			while ($i !~ /\]$/ && i < NF) opts = opts $(i++) " "
			opts = opts $(i++) " "
		}
		if (code != "" && $(i + 1) != code) next
		print "deb " opts $i " " suite " main"
		exit
	}' "$1"
}

# apt_source DIR - write the machine's Debian source, turned to $SUITE, into DIR
apt_source() {
	local code file
	# shellcheck source=/dev/null
	code=$(. /etc/os-release && printf '%s' "${VERSION_CODENAME:-}")
	shopt -s nullglob
	for file in /etc/apt/sources.list.d/*.sources; do
		deb822_source "$file" "$code" >"$1/newer.sources"
		[ ! -s "$1/newer.sources" ] || return 0
	done
	rm -f "$1/newer.sources"
	for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
		[ -r "$file" ] || continue
		classic_source "$file" "$code" >"$1/newer.list"
		[ ! -s "$1/newer.list" ] || return 0
	done
	die "found no Debian source for '$code' in the machine's apt configuration"
}

# fetch DIR - download CRIU and all it depends on into DIR/archives
fetch() {
	local w=$1
	mkdir -p "$w/sources" "$w/lists/partial" "$w/archives/partial" "$w/none"
	: >"$w/status" # an empty package database: every dependency counts as missing
	apt_source "$w/sources"
	local -a opt=(
		-qq -y
		-o "Dir::Etc::SourceList=$w/none/list" -o "Dir::Etc::SourceParts=$w/sources"
		-o "Dir::Etc::Preferences=$w/none/pref" -o "Dir::Etc::PreferencesParts=$w/none"
		-o "Dir::State::lists=$w/lists" -o "Dir::State::status=$w/status"
		-o "Dir::State::extended_states=$w/extended"
		-o "Dir::Cache::archives=$w/archives" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache=
		-o Dir::Log=/dev/null -o Acquire::Languages=none -o APT::Sandbox::User=root
		-o APT::Install-Recommends=false
	)
	say "reading the package list of $SUITE"
	apt-get "${opt[@]}" --error-on=any update || die "cannot read the package list of $SUITE: network, mirror?"
	say "fetching criu and its libraries from $SUITE"
	apt-get "${opt[@]}" --download-only install criu >/dev/null ||
		die "cannot fetch criu from $SUITE"
}

# launcher ROOT - print the script that starts the CRIU under ROOT with the libc under ROOT
#
# --library-path rather than an environment variable: what CRIU itself starts (tar, iptables) must
# see the system's libraries.
launcher() {
	local lib ld
	ld=$(find "$1/usr/lib" -maxdepth 2 -name 'ld-linux*.so.*' -print -quit)
	[ -n "$ld" ] || die "the packages of $SUITE carry no dynamic loader"
	lib=${ld%/*}
	printf '#!/bin/sh\n# written by private-criu.sh\nexec %s --library-path %s %s "$@"\n' \
		"${ld/#"$1"/$ROOT}" "${lib/#"$1"/$ROOT}" "$ROOT/usr/sbin/criu"
}

version() { "$LAUNCHER" --version 2>/dev/null | sed -n 's/^Version: //p'; }

# complete - is what is there whole, and of the wanted suite?
complete() {
	[ -x "$LAUNCHER" ] && [ "$(sed -n 's/^suite //p' "$ROOT/origin" 2>/dev/null)" = "$SUITE" ] &&
		[ -n "$(version)" ]
}

main() {
	[[ $PREFIX == /* ]] || die "BATON_PREFIX must be an absolute path, not '$PREFIX'"
	if complete; then
		say "$(version) from $SUITE is in $ROOT already"
		return
	fi
	mkdir -p "$PREFIX/bin" 2>/dev/null || die "cannot write to $PREFIX (not root?)"
	local work new
	work=$(mktemp -d)
	new=$(mktemp -d "$PREFIX/.criu.XXXXXX")
	# shellcheck disable=SC2064 # the names are fixed now, on purpose
	trap "rm -rf '$work' '$new'" EXIT
	fetch "$work"

	local deb
	for deb in "$work"/archives/*.deb; do
		dpkg-deb -x "$deb" "$new"
	done
	# Docs, locales and Python bindings are half the size and of no use here.
	rm -rf "${new:?}"/{usr/share,usr/lib/python3,etc,var}
	launcher "$new" >"$work/launcher"
	{
		printf 'suite %s\n' "$SUITE"
		find "$work/archives" -name '*.deb' -printf '%f\n' | sort
	} >"$new/origin"
	chmod 755 "$new"

	# From here on only renames: a reader sees the old one or the new one.
	rm -rf "$ROOT"
	mv "$new" "$ROOT"
	install -m 755 "$work/launcher" "$LAUNCHER.new"
	mv "$LAUNCHER.new" "$LAUNCHER"

	local have
	have=$(version)
	[ -n "$have" ] || die "the CRIU of $SUITE does not start on this machine"
	dpkg --compare-versions "$have" ge "$AT_LEAST" ||
		die "$SUITE has CRIU $have, Baton wants $AT_LEAST or newer (BATON_CRIU_SUITE)"
	say "$have from $SUITE is in $ROOT ($(du -sh "$ROOT" | cut -f1))"
}

main "$@"
