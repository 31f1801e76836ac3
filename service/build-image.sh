#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# build-image.sh - build the image of the offloaded service; print the path of its tar
#
#   service/build-image.sh [--base small]
#
# Two layers as in the paper's Figure 4: a base with Python, made of Debian packages, and on top of
# it our application. The result is a tar for `docker load`, written by hand and not exported from
# an engine: the same inputs give the same image ID on every edge server, which is how the
# destination of a migration knows that it has the image already.
#
#   --base small  Debian's essential packages and python3, without docs and locales (the default)
#
# Environment:
#   BATON_CACHE   where base and image are kept (default ${XDG_CACHE_HOME:-/var/cache}/baton);
#                 the name of each file has a hash of what it was made from
#   BATON_SUITE   Debian suite of the base (default: that of this machine)
#
# The image is called baton/offload:<base>. Progress goes to stderr.

set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
CACHE=${BATON_CACHE:-${XDG_CACHE_HOME:-/var/cache}/baton}
# Everything in the layers gets this time, or two builds would differ.
EPOCH=1700000000

say() { printf 'image: %s\n' "$*" >&2; }
die() {
	say "error: $*"
	exit 1
}

hash_of() { sha256sum | cut -c1-16; }

# base_packages BASE - print what the base holds beside Debian's minimal set
base_packages() {
	case $1 in
	small) printf 'python3' ;;
	*) die "unknown base '$1' (known: small)" ;;
	esac
}

default_suite() {
	# shellcheck source=/dev/null
	(. /etc/os-release && printf '%s' "${VERSION_CODENAME:-}")
}

# machine_sources SUITE - print the machine's own apt sources, for SUITE and "main" only
machine_sources() {
	local file
	shopt -s nullglob
	for file in /etc/apt/sources.list.d/*.sources; do
		awk -v RS= -v suite="$1" '/(^|\n)Suites:/ && $0 ~ ("[ \t]" suite "([ \t\n]|$)") {
			print $0 "\n" }' "$file"
	done
	for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
		[ -r "$file" ] || continue
		awk -v suite="$1" '$1 == "deb" && $0 ~ ("[ \t]" suite "[ \t]")' "$file"
	done
}

# build_base PACKAGES SUITE TAR - make the base's root file system
build_base() {
	local packages=$1 suite=$2 tar=$3 sources
	command -v mmdebstrap >/dev/null || die "mmdebstrap is missing: run tools/setup.sh"
	sources=$(machine_sources "$suite")
	[ -n "$sources" ] || die "this machine's apt configuration has no source for '$suite'"
	say "making the base from packages of $suite (once)"
	# What a container never looks at: docs, locales, package lists, caches, logs.
	# And Perl, brought by a package that runs once at installation, with the character sets.
	# shellcheck disable=SC2016 # mmdebstrap's shell expands the hooks
	printf '%s\n' "$sources" | SOURCE_DATE_EPOCH=$EPOCH mmdebstrap --quiet --mode=root \
		--variant=essential --include="$packages" \
		--aptopt='Acquire::Retries "3"' --aptopt='APT::Install-Recommends "false"' \
		--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
		--dpkgopt='path-exclude=/usr/share/locale/*' \
		--dpkgopt='path-exclude=/usr/share/info/*' \
		--customize-hook='rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/* "$1"/var/log/*' \
		--customize-hook='cd "$1"/usr && rm -rf share/perl* lib/*/perl* lib/*/libperl* lib/*/gconv' \
		--customize-hook='find "$1"/usr/lib -name __pycache__ -prune -exec rm -rf {} +' \
		--customize-hook='rm -f "$1"/etc/apt/sources.list "$1"/etc/apt/sources.list.d/*' \
		"$suite" "$WORK/base.tar" - >&2 ||
		die "the base cannot be made: is there a network and a Debian mirror?"
	mv "$WORK/base.tar" "$tar.new"
	mv "$tar.new" "$tar"
}

# build_app TAR - make the layer with the application
build_app() {
	mkdir -p "$WORK/files/app" "$WORK/files/data"
	install -m 755 "$HERE/offload.py" "$WORK/files/app/offload.py"
	tar -C "$WORK/files" --sort=name --mtime="@$EPOCH" --owner=0 --group=0 --numeric-owner \
		--format=gnu -cf "$1" app data
}

# config BASE_SHA256 APP_SHA256 - print the image's configuration
config() {
	local arch
	arch=$(dpkg --print-architecture)
	jq -cn --arg arch "$arch" --arg base "sha256:$1" --arg app "sha256:$2" \
		--arg created "$(date -u -d "@$EPOCH" +%Y-%m-%dT%H:%M:%SZ)" '{
		architecture: $arch, os: "linux", created: $created,
		config: {
			Env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
				"PYTHONDONTWRITEBYTECODE=1", "PYTHONHASHSEED=0", "LANG=C.UTF-8"],
			Cmd: ["/usr/bin/python3", "/app/offload.py"],
			WorkingDir: "/", ExposedPorts: {"7000/tcp": {}}
		},
		rootfs: {type: "layers", diff_ids: [$base, $app]},
		history: [{created: $created, created_by: "base with Python"},
			{created: $created, created_by: "offloaded service"}]}'
}

# assemble BASE_TAR BASE TAR - put the layers and their description together for docker load
assemble() {
	local base_tar=$1 base=$2 tar=$3 work=$WORK/image base_sum app_sum id
	mkdir -p "$work/base" "$work/app"
	ln "$base_tar" "$work/base/layer.tar" 2>/dev/null || cp "$base_tar" "$work/base/layer.tar"
	build_app "$work/app/layer.tar"
	base_sum=$(sha256sum "$work/base/layer.tar" | cut -d' ' -f1)
	app_sum=$(sha256sum "$work/app/layer.tar" | cut -d' ' -f1)
	config "$base_sum" "$app_sum" | tr -d '\n' >"$work/config"
	id=$(sha256sum "$work/config" | cut -d' ' -f1)
	mv "$work/config" "$work/$id.json"
	jq -cn --arg config "$id.json" --arg name "baton/offload:$base" '[{Config: $config,
		RepoTags: [$name], Layers: ["base/layer.tar", "app/layer.tar"]}]' >"$work/manifest.json"
	tar -C "$work" --owner=0 --group=0 -cf "$tar.new" manifest.json "$id.json" base app
	mv "$tar.new" "$tar"
}

main() {
	local base=small suite packages key base_tar image
	while [ $# -gt 0 ]; do
		case $1 in
		--base) base=${2:?--base wants a name} && shift 2 ;;
		-h | --help)
			sed -n '4,23s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
			exit 0
			;;
		*) die "unknown argument '$1' (try --help)" ;;
		esac
	done
	packages=$(base_packages "$base")
	suite=${BATON_SUITE:-$(default_suite)}
	mkdir -p "$CACHE" || die "cannot write to $CACHE, set BATON_CACHE"
	# This script is an input too: it says what the base and the image hold.
	key=$({
		printf '%s\n' "$base" "$suite" "$packages"
		sed -n '/^build_base/,/^}/p' "${BASH_SOURCE[0]}"
	} | hash_of)
	base_tar=$CACHE/base-$base-$key.tar
	image=$CACHE/offload-$base-$(cat "${BASH_SOURCE[0]}" "$HERE/offload.py" - <<<"$key" | hash_of).tar

	# Two builds at once would do the work twice; the second waits and finds it done.
	exec 9>"$CACHE/lock"
	flock 9
	if [ ! -s "$image" ]; then
		[ "$(id -u)" -eq 0 ] || die "must run as root: it makes a Debian root file system"
		WORK=$(mktemp -d)
		trap 'rm -rf "$WORK"' EXIT
		[ -s "$base_tar" ] || build_base "$packages" "$suite" "$base_tar"
		say "assembling the image"
		assemble "$base_tar" "$base" "$image"
		# Images of older versions of the application are of no use to anyone.
		find "$CACHE" -maxdepth 1 -name "offload-$base-*.tar" ! -path "$image" -delete
	fi
	say "baton/offload:$base, $(du -h "$image" | cut -f1)"
	printf '%s\n' "$image"
}

main "$@"
