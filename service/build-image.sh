#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# build-image.sh - build the image of the offloaded service; print the path of its tar
#
#   service/build-image.sh [--base small|paper]
#
# A base with Python, made of Debian packages, and on top of it our application, as in the paper's
# Figure 4. The result is a tar for `docker load`, written by hand and not exported from an engine:
# the same inputs give the same image ID on every edge server, which is how the destination of a
# migration knows that it has the image already.
#
#   --base small  Debian's essential packages and python3, without docs and locales (the default);
#                 one layer, 73 MB
#   --base paper  what the paper's base, python:3.8, is made of, in layers like those of that image:
#                 Debian, fetching tools, source control, compilers and development packages, ...;
#                 909 MB. Takes some minutes, once; later builds 3 s
#
#   --base-only   print the directory of the base's layers instead, <number>-<name>.tar each
#
# Environment:
#   BATON_CACHE   where bases and images are kept (default ${XDG_CACHE_HOME:-/var/cache}/baton);
#                 the name of each has a hash of what it was made from
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

# paper_layers - print the layers above plain Debian: name and packages
#
# The order and contents are those of python:3.8 (Debian, three layers of buildpack-deps, the
# libraries and headers Python is built with, Python, pip).
paper_layers() {
	cat <<-'END'
		fetch ca-certificates curl gnupg netbase tzdata wget
		source-control git mercurial openssh-client procps subversion
		compilers autoconf automake bzip2 default-libmysqlclient-dev dpkg-dev file g++ gcc imagemagick libbz2-dev libc6-dev libcurl4-openssl-dev libdb-dev libevent-dev libffi-dev libgdbm-dev libglib2.0-dev libgmp-dev libjpeg-dev libkrb5-dev liblzma-dev libmagickcore-dev libmagickwand-dev libmaxminddb-dev libncurses-dev libpng-dev libpq-dev libreadline-dev libsqlite3-dev libssl-dev libtool libwebp-dev libxml2-dev libxslt1-dev libyaml-dev make patch unzip xz-utils zlib1g-dev
		libraries libbluetooth-dev tk-dev uuid-dev
		python python3-dev python3-venv
		pip python3-pip
	END
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

# bootstrap SUITE ARGS... - run mmdebstrap on the machine's own sources
bootstrap() {
	local suite=$1 sources
	shift
	command -v mmdebstrap >/dev/null || die "mmdebstrap is missing: run tools/setup.sh"
	sources=$(machine_sources "$suite")
	[ -n "$sources" ] || die "this machine's apt configuration has no source for '$suite'"
	# How this machine fetches packages (a proxy, a mirror that lags); mmdebstrap does not look.
	apt-config dump Acquire >"$WORK/acquire.conf"
	# Descriptor 3 is for the progress of grow_root; all else is of interest only if it fails. The lock's
	# descriptor stays here: mmdebstrap gives hooks the next free one, and dash knows those of one digit only.
	printf '%s\n' "$sources" | SOURCE_DATE_EPOCH=$EPOCH mmdebstrap --mode=root \
		--aptopt="$WORK/acquire.conf" --aptopt='Acquire::Retries "3"' \
		--aptopt='APT::Install-Recommends "false"' "$@" \
		3>&2 9>&- >"$WORK/log" 2>&1 && return
	die "the base cannot be made ($(grep -m 1 '^[EW]: ' "$WORK/log" || tail -n 1 "$WORK/log"))." \
		"Is there a network and a Debian mirror?"
}

# build_small SUITE DIR - make the layer of the small base
#
# It leaves out what a container never looks at: docs, locales, package lists, caches, logs. And
# Perl, brought by a package that runs once at installation, with the character sets.
build_small() {
	# shellcheck disable=SC2016 # mmdebstrap's shell expands the hooks
	bootstrap "$1" --variant=essential --include=python3 \
		--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
		--dpkgopt='path-exclude=/usr/share/locale/*' \
		--dpkgopt='path-exclude=/usr/share/info/*' \
		--customize-hook='rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/* "$1"/var/log/*' \
		--customize-hook='cd "$1"/usr && rm -rf share/perl* lib/*/perl* lib/*/libperl* lib/*/gconv' \
		--customize-hook='find "$1"/usr/lib -name __pycache__ -prune -exec rm -rf {} +' \
		--customize-hook='rm -f "$1"/etc/apt/sources.list "$1"/etc/apt/sources.list.d/*' \
		--customize-hook='rm -f "$1"/etc/apt/apt.conf.d/99mmdebstrap' \
		"$1" "$2/1-base.tar" -
}

# build_paper SUITE DIR - make the layers of the paper's base
#
# One root file system grows layer by layer, inside mmdebstrap, which has mounts and all ready. It
# leaves out documentation, though not the licences: so it has the paper's size.
build_paper() {
	bootstrap "$1" --variant=minbase --skip=chroot/start-stop-daemon --format=null \
		--dpkgopt='path-exclude=/usr/share/doc/*' \
		--dpkgopt='path-include=/usr/share/doc/*/copyright' \
		--customize-hook="'${BASH_SOURCE[0]}' --grow \"\$1\" '$2'" "$1" - -
}

# in_layers ROOT [FIND_ARGS...] - list what of a root file system belongs into layers
#
# Left out: what was there for the installation only, differs from machine to machine, or is made
# again when it is missing.
in_layers() {
	local root=$1
	shift
	(cd "$root" && LC_ALL=C find . -xdev \( \
		-path './var/lib/apt/lists/*' -o -path './var/cache/*' -o -path './var/log/*' -o \
		-path './tmp/*' -o -path './run/*' -o -path './dev/*' -o -path './proc/*' -o \
		-path './sys/*' -o -path './etc/apt/sources.list*' -o -path './etc/resolv.conf' -o \
		-path './etc/hostname' -o -path './etc/machine-id' -o \
		-path './var/lib/dbus/machine-id' -o -path './etc/apt/apt.conf.d/99mmdebstrap' -o \
		-path './usr/sbin/policy-rc.d' -o -path './var/lib/dpkg/*-old' -o \
		-path './var/lib/dpkg/lock*' -o -path './var/lib/systemd/catalog/*' -o \
		-path './etc/*-' -o -name __pycache__ \) -prune -o "$@" -print | LC_ALL=C sort)
}

# write_layer ROOT FILE_LIST TAR - put the listed files of a root into a layer
write_layer() {
	tar -C "$1" --no-recursion --mtime="@$EPOCH" --clamp-mtime --numeric-owner --format=gnu \
		-cf "$3" --verbatim-files-from -T "$2"
}

# write_whiteouts GONE_LIST TAR - add the marks for files that lower layers have and this has not
write_whiteouts() {
	local path dir
	dir=$(mktemp -d)
	while read -r path; do
		mkdir -p "$dir/${path%/*}"
		: >"$dir/${path%/*}/.wh.${path##*/}"
	done <"$1"
	(cd "$dir" && find . -type f | LC_ALL=C sort) >"$dir.list"
	tar -C "$dir" --mtime="@$EPOCH" --owner=0 --group=0 --numeric-owner --format=gnu \
		-rf "$2" --verbatim-files-from -T "$dir.list"
	rm -rf "$dir" "$dir.list"
}

# grow_root ROOT DIR - install step after step; write what each one has changed as a layer
grow_root() {
	local root=$1 dir=$2 name packages n=1 mark=$2/mark
	in_layers "$root" >"$dir/have"
	write_layer "$root" "$dir/have" "$dir/1-debian.tar"
	while read -r name packages; do
		n=$((n + 1))
		say "layer $n: $name" 2>&3
		# What changes from here on is told by ctime, which no installer can set.
		: >"$mark"
		# shellcheck disable=SC2086 # a list of packages
		APT_CONFIG=$MMDEBSTRAP_APT_CONFIG DEBIAN_FRONTEND=noninteractive apt-get -qq --yes \
			-o Dir::Bin::dpkg=env -o DPkg::Options::=--unset=TMPDIR \
			-o DPkg::Options::=dpkg -o "DPkg::Chroot-Directory=$root" install $packages
		in_layers "$root" >"$dir/now"
		in_layers "$root" -cnewer "$mark" >"$dir/changed"
		write_layer "$root" "$dir/changed" "$dir/$n-$name.tar"
		LC_ALL=C comm -23 "$dir/have" "$dir/now" >"$dir/gone"
		[ ! -s "$dir/gone" ] || write_whiteouts "$dir/gone" "$dir/$n-$name.tar"
		mv "$dir/now" "$dir/have"
	done < <(paper_layers)
	dpkg-query --admindir="$root/var/lib/dpkg" -W >"$dir/packages"
	rm -f "$dir/have" "$dir/changed" "$dir/gone" "$mark"
}

# build_app TAR - make the layer with the application
build_app() {
	mkdir -p "$WORK/files/app" "$WORK/files/data"
	install -m 755 "$HERE/offload.py" "$WORK/files/app/offload.py"
	tar -C "$WORK/files" --sort=name --mtime="@$EPOCH" --owner=0 --group=0 --numeric-owner \
		--format=gnu -cf "$1" app data
}

# config DIFF_ID... - print the image's configuration; layers from the lowest up
config() {
	jq -cn --arg arch "$(dpkg --print-architecture)" \
		--arg created "$(date -u -d "@$EPOCH" +%Y-%m-%dT%H:%M:%SZ)" '{
		architecture: $arch, os: "linux", created: $created,
		config: {
			Env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
				"PYTHONDONTWRITEBYTECODE=1", "PYTHONHASHSEED=0", "LANG=C.UTF-8"],
			Cmd: ["/usr/bin/python3", "/app/offload.py"],
			WorkingDir: "/", ExposedPorts: {"7000/tcp": {}}
		},
		rootfs: {type: "layers", diff_ids: $ARGS.positional},
		history: [$ARGS.positional[] | {created: $created, created_by: "build-image.sh"}]}' \
		--args "$@"
}

# assemble BASE_DIR BASE TAR - put the layers and their description together for docker load
assemble() {
	local base=$2 tar=$3 work=$WORK/image layer name sums=() names=() id
	mkdir -p "$work"
	build_app "$WORK/app.tar"
	# The base's layers in the order of their numbers, of which there are fewer than ten.
	for layer in "$1"/*.tar "$WORK/app.tar"; do
		name=${layer##*/}
		name=${name%.tar}
		mkdir "$work/$name"
		ln "$layer" "$work/$name/layer.tar" 2>/dev/null || cp "$layer" "$work/$name/layer.tar"
		sums+=("sha256:$(sha256sum "$layer" | cut -d' ' -f1)")
		names+=("$name/layer.tar")
	done
	config "${sums[@]}" | tr -d '\n' >"$work/config"
	id=$(sha256sum "$work/config" | cut -d' ' -f1)
	mv "$work/config" "$work/$id.json"
	jq -cn --arg config "$id.json" --arg name "baton/offload:$base" '[{Config: $config,
		RepoTags: [$name], Layers: $ARGS.positional}]' --args "${names[@]}" \
		>"$work/manifest.json"
	tar -C "$work" --owner=0 --group=0 -cf "$tar.new" manifest.json "$id.json" \
		"${names[@]%/layer.tar}"
	mv "$tar.new" "$tar"
}

# build_base BASE SUITE DIR - make the layers of a base; all of them or nothing
build_base() {
	say "making the base from packages of $2 (once)"
	rm -rf "$3.new"
	mkdir "$3.new"
	"build_$1" "$2" "$3.new"
	mv "$3.new" "$3"
}

main() {
	local base=small suite key image base_only=
	while [ $# -gt 0 ]; do
		case $1 in
		--base) base=${2:?--base wants a name} && shift 2 ;;
		--base-only) base_only=1 && shift ;;
		--grow) # called by mmdebstrap, see build_paper
			grow_root "$2" "$3"
			exit 0
			;;
		-h | --help)
			sed -n '4,26s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
			exit 0
			;;
		*) die "unknown argument '$1' (try --help)" ;;
		esac
	done
	[[ $base == @(small|paper) ]] || die "unknown base '$base' (known: small, paper)"
	suite=${BATON_SUITE:-$(default_suite)}
	mkdir -p "$CACHE" || die "cannot write to $CACHE, set BATON_CACHE"
	# This script is an input too: it says what the base and the image hold.
	key=$({
		printf '%s\n' "$base" "$suite"
		declare -f bootstrap "build_$base"
		[ "$base" != paper ] || declare -f paper_layers in_layers write_layer write_whiteouts grow_root
	} | hash_of)
	base_dir=$CACHE/base-$base-$key
	image=$CACHE/offload-$base-$(cat "${BASH_SOURCE[0]}" "$HERE/offload.py" - <<<"$key" | hash_of).tar

	# Two builds at once would do the work twice; the second waits and finds it done.
	exec 9>"$CACHE/lock"
	flock 9
	if [ -n "$base_only" ]; then
		WORK=$(mktemp -d)
		trap 'rm -rf "$WORK" "$base_dir.new"' EXIT
		[ -d "$base_dir" ] || build_base "$base" "$suite" "$base_dir"
		printf '%s\n' "$base_dir"
		return
	fi
	if [ ! -s "$image" ]; then
		[ "$(id -u)" -eq 0 ] || die "must run as root: it makes a Debian root file system"
		WORK=$(mktemp -d)
		trap 'rm -rf "$WORK" "$base_dir.new"' EXIT
		[ -d "$base_dir" ] || build_base "$base" "$suite" "$base_dir"
		say "assembling the image"
		assemble "$base_dir" "$base" "$image"
		# Images of older versions of the application go after a day: until then, another tree may be using its own.
		find "$CACHE" -maxdepth 1 -name "offload-$base-*.tar" ! -path "$image" -mmin +1440 -delete
	fi
	say "baton/offload:$base, $(du -h "$image" | cut -f1)"
	printf '%s\n' "$image"
}

main "$@"
