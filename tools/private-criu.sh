#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# private-criu.sh - a CRIU that is new enough, without a change of the system
#
#   BATON_PREFIX=/opt/baton BATON_CRIU_SUITE="forky sid" tools/private-criu.sh
#
# A CRIU that is installed is used if it is new enough. Otherwise CRIU and every library it needs (its own
# libc too) come from the first suite in the list that has a new enough one, and are unpacked under
# $BATON_PREFIX/criu. Either way one launcher is written, $BATON_PREFIX/bin/criu. Nothing outside
# the prefix is written and no package is installed, so the system's CRIU, libc and apt state stay
# as they are. The mirror, its key and any proxy are those of the machine's own apt configuration;
# only the suite's name is exchanged. docs/platforms.md names the CRIU that Baton is tested with.
#
# A complete prefix carries a file "origin" naming what it was made from, so that a second run has
# nothing to do and a broken or half-made one is made again.

set -euo pipefail

PREFIX=${BATON_PREFIX:-/opt/baton}
read -ra SUITES <<<"${BATON_CRIU_SUITE:-forky sid}"
SUITE=${SUITES[0]}
ROOT=$PREFIX/criu
LAUNCHER=$PREFIX/bin/criu
# Older ones cannot dump sockets, or crash in the vDSO, on the kernels of today.
AT_LEAST=4.2
# The installed one, which the launcher of an earlier run must not hide.
INSTALLED=$(PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin command -v criu || true)

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

# new_enough VERSION
new_enough() { dpkg --compare-versions "$1" ge "$AT_LEAST"; }

# stale FILE - when apt complains in FILE that a list is too old, say what helps
stale() {
	grep -qiE 'expired|not valid yet' "$1" || return 0
	say "the mirror's list of $SUITE is out of date, or this machine's clock is wrong ($(date -u +%F))"
	say "set the clock, wait for the mirror, or name another suite in BATON_CRIU_SUITE; if you trust this" \
		"mirror: Acquire::Check-Valid-Until \"false\"; in a file in /etc/apt/apt.conf.d"
}

# fetch DIR - download CRIU of $SUITE and all it depends on into DIR/archives; fails if there is none
fetch() {
	local w=$1 have
	rm -rf "${w:?}"/*
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
	if ! LC_ALL=C apt-get "${opt[@]}" --error-on=any update 2>"$w/complaints"; then
		cat "$w/complaints" >&2
		stale "$w/complaints"
		say "cannot read the package list of $SUITE"
		return 1
	fi
	have=$(apt-cache "${opt[@]:2}" show criu 2>/dev/null | sed -n 's/^Version: //p;' | sort -V | tail -n 1)
	if ! new_enough "${have:-0}"; then
		say "$SUITE has CRIU ${have:-not at all}, Baton wants $AT_LEAST or newer"
		return 1
	fi
	say "fetching criu $have and its libraries from $SUITE"
	if ! apt-get "${opt[@]}" --download-only install criu >/dev/null; then
		say "cannot fetch criu from $SUITE"
		return 1
	fi
}

# fetch_first DIR - the same, from the first suite that has it; SUITE is that one then
fetch_first() {
	for SUITE in "${SUITES[@]}"; do
		! fetch "$1" || return 0
	done
	die "no CRIU of $AT_LEAST or newer to be had from: ${SUITES[*]} (BATON_CRIU_SUITE); is there a network," \
		"and a mirror that has one of them?"
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

# version CRIU - the version of a program, or nothing if it does not run
version() { "$1" --version 2>/dev/null | sed -n 's/^Version: //p'; }

# complete - is what is there whole, and of one of the wanted suites?
complete() {
	[ -x "$LAUNCHER" ] || return 1
	SUITE=$(sed -n 's/^suite //p' "$ROOT/origin" 2>/dev/null)
	[ -n "$SUITE" ] && [[ " ${SUITES[*]} " == *" $SUITE "* ]] && new_enough "$(version "$LAUNCHER" || echo 0)"
}

# use_installed - start the CRIU of the system, if it is new enough
use_installed() {
	local have
	[ -n "$INSTALLED" ] && have=$(version "$INSTALLED") && new_enough "${have:-0}" || return 1
	printf '#!/bin/sh\n# written by private-criu.sh\nexec %s "$@"\n' "$INSTALLED" >"$LAUNCHER.new"
	chmod 755 "$LAUNCHER.new"
	mv "$LAUNCHER.new" "$LAUNCHER"
	say "$have is installed ($INSTALLED) and new enough"
}

main() {
	[[ $PREFIX == /* ]] || die "BATON_PREFIX must be an absolute path, not '$PREFIX'"
	[ ${#SUITES[@]} -gt 0 ] || die "BATON_CRIU_SUITE names no suite"
	mkdir -p "$PREFIX/bin" 2>/dev/null || die "cannot write to $PREFIX (not root?)"
	if [ -z "${BATON_CRIU_SUITE:-}" ] && use_installed; then
		return
	fi
	if complete; then
		say "$(version "$LAUNCHER") from $SUITE is in $ROOT already"
		return
	fi
	local work new
	work=$(mktemp -d)
	new=$(mktemp -d "$PREFIX/.criu.XXXXXX")
	# shellcheck disable=SC2064 # the names are fixed now, on purpose
	trap "rm -rf '$work' '$new'" EXIT
	fetch_first "$work"

	local deb
	for deb in "$work"/archives/*.deb; do
		dpkg-deb -x "$deb" "$new"
	done
	local doc
	mkdir "$new/copyright"
	for doc in "$new"/usr/share/doc/*/copyright; do
		cp "$doc" "$new/copyright/$(basename "${doc%/copyright}")"
	done
	# Docs, locales and Python bindings are half the size and of no use here.
	rm -rf "${new:?}"/{usr/share,usr/lib/python3,etc,var}
	launcher "$new" >"$work/launcher"
	{
		printf 'suite %s\n' "$SUITE"
		(cd "$work/archives" && sha256sum -- *.deb)
	} >"$new/origin"
	chmod 755 "$new"

	# From here on only renames: a reader sees the old one or the new one.
	rm -rf "$ROOT"
	mv "$new" "$ROOT"
	install -m 755 "$work/launcher" "$LAUNCHER.new"
	mv "$LAUNCHER.new" "$LAUNCHER"

	local have
	have=$(version "$LAUNCHER")
	[ -n "$have" ] || die "the CRIU of $SUITE does not start on this machine"
	say "$have from $SUITE is in $ROOT ($(du -sh "$ROOT" | cut -f1))"
}

main "$@"
