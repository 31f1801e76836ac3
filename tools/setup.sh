#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# setup.sh - everything Baton needs to be built and run, from Debian packages
#
#   tools/setup.sh [--build-only | --package | --experiment]
#
# Installs only what is missing, removes nothing, and starts nothing: the Docker engine is installed but its daemon
# stays off, the lab starts its own ones. Where the installed CRIU is too old, or there is none, it comes from a newer
# Debian suite into a private prefix (tools/private-criu.sh); the system's own libraries are not touched.
#
#   --build-only      what a compile-only machine needs: no Docker, no CRIU
#   --package         what `make deb` needs
#   --experiment      also what Baton is compared with: Podman, an SSH server
#   BATON_PREFIX      where private programs go (default /opt/baton); put $BATON_PREFIX/bin first in
#                     PATH to use them
#   BATON_CRIU_SUITE  Debian suites to take CRIU from, the first that has a new enough one; when it is not set, an
#                     installed CRIU is used if it is new enough, else "forky sid"

set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export BATON_PREFIX=${BATON_PREFIX:-/opt/baton}
POLICY=/usr/sbin/policy-rc.d

# libclang-rt-dev carries the sanitizers for clang; the unversioned name follows the release.
BUILD_PACKAGES=(
	ca-certificates clang clang-format clang-tidy codespell cppcheck gcc git jq libarchive-dev
	libc6-dev libcap-ng-dev libclang-rt-dev libcmocka-dev libconfuse-dev libcurl4-openssl-dev
	libhiredis-dev libjansson-dev libprotobuf-c-dev libseccomp-dev libssl-dev libuv1-dev libxxhash-dev
	libzstd-dev zlib1g-dev make
	meson ninja-build pkg-config protobuf-c-compiler python3 shellcheck xz-utils zstd
)
# gpg verifies the packages of the image's base; mmdebstrap only recommends it.
RUN_PACKAGES=(
	curl docker-registry gnuplot-nox gpg hostapd iproute2 iptables mmdebstrap netcat-openbsd procps
	redis-tools tini wpasupplicant
)
# Debian's engine would push out another one that is installed, its containers with it.
command -v dockerd >/dev/null || RUN_PACKAGES+=(docker.io)

PACKAGE_PACKAGES=(
	build-essential debhelper dpkg-dev gcc jq libarchive-dev libc6-dev libcap-ng-dev libconfuse-dev libcurl4-openssl-dev
	libjansson-dev libprotobuf-c-dev libseccomp-dev libssl-dev libuv1-dev libxxhash-dev libzstd-dev zlib1g-dev
	lintian make meson ninja-build pkg-config protobuf-c-compiler python3
)

# With these the ways of moving a container that Baton is compared with are run (lab/peer).
EXPERIMENT_PACKAGES=(openssh-client openssh-server podman)

say() { printf 'setup: %s\n' "$*"; }
die() {
	printf 'setup: error: %s\n' "$*" >&2
	exit 1
}

# missing PACKAGE... - print those that are not installed
missing() {
	local -A have=()
	local name status
	while read -r name status; do
		[ "$status" != installed ] || have[$name]=1
	done < <(dpkg-query -W -f='${Package} ${db:Status-Status}\n' "$@" 2>/dev/null || true)
	for name in "$@"; do
		[ -n "${have[$name]:-}" ] || printf '%s\n' "$name"
	done
}

# hold_services - keep package scripts from starting daemons; a policy that exists stays in force
hold_services() {
	[ ! -e "$POLICY" ] || return 0
	trap 'rm -f "$POLICY"' EXIT
	printf '#!/bin/sh\nexit 101\n' >"$POLICY"
	chmod 755 "$POLICY"
}

release_services() {
	[ "$(trap -p EXIT)" = "" ] || rm -f "$POLICY"
	trap - EXIT
}

install_packages() {
	local -a want
	mapfile -t want < <(missing "$@")
	if [ "${#want[@]}" -eq 0 ]; then
		say "packages: all $# installed"
		return
	fi
	say "packages: reading the package lists"
	apt-get -qq update || die "apt-get update failed: is there a network and a Debian mirror?"
	# From Debian 13 on the docker command is a package of its own.
	if [[ " ${want[*]} " == *" docker.io "* ]] && apt-cache show docker-cli >/dev/null 2>&1; then
		want+=(docker-cli)
	fi
	say "packages: installing ${want[*]}"
	hold_services
	DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends --no-remove install \
		"${want[@]}" >/dev/null ||
		die "the installation of packages failed, see above; what would remove packages of this" \
			"machine is not done"
	release_services
}

# llhttp - the HTTP parser: a library of its own from Debian 13 on; in Debian 12 it is C sources in a
# package of JavaScript, of which only they are wanted, not Node.js
llhttp() {
	local dir=$BATON_PREFIX/llhttp package=node-llhttp work
	if pkg-config --exists libllhttp || [ -f "$dir/llhttp.c" ]; then
		say "llhttp: there already"
		return
	fi
	apt-get -qq update || die "apt-get update failed: is there a network and a Debian mirror?"
	if apt-cache show libllhttp-dev >/dev/null 2>&1; then
		install_packages libllhttp-dev
		return
	fi
	say "llhttp: unpacking its sources from $package"
	work=$(mktemp -d)
	(cd "$work" && apt-get -qq -o APT::Sandbox::User=root download "$package" >/dev/null &&
		dpkg-deb -x "$package"_*.deb .) ||
		die "cannot fetch $package, which carries the HTTP parser llhttp"
	rm -rf "$dir.new"
	mkdir -p "$dir.new"
	cp "$work"/usr/share/llhttp/*.c "$work/usr/share/include/llhttp/llhttp.h" \
		"$work/usr/share/doc/$package/copyright" "$dir.new" ||
		die "$package does not carry the sources of llhttp any more"
	rm -rf "$work"
	rm -rf "$dir"
	mv "$dir.new" "$dir"
}

# check_criu - is this kernel one that our CRIU can work with?
check_criu() {
	local out
	if out=$("$BATON_PREFIX/bin/criu" check 2>&1); then
		say "criu check: good on kernel $(uname -r)"
		return
	fi
	printf '%s\n' "$out" >&2
	die "CRIU $("$BATON_PREFIX/bin/criu" --version | sed -n 's/^Version: //p') and kernel" \
		"$(uname -r) do not fit (see above): containers cannot be migrated on this" \
		"machine. It wants a kernel with CONFIG_CHECKPOINT_RESTORE, a root with" \
		"CAP_SYS_ADMIN, or another CRIU (BATON_CRIU_SUITE)."
}

main() {
	local only=() more=()
	case "${1:-}" in
	'') ;;
	--build-only) only=("${BUILD_PACKAGES[@]}") ;;
	--package) only=("${PACKAGE_PACKAGES[@]}") ;;
	--experiment) more=("${EXPERIMENT_PACKAGES[@]}") ;;
	-h | --help)
		sed -n '4,20s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
		exit 0
		;;
	*) die "unknown argument '$1' (try --help)" ;;
	esac
	[ "$(id -u)" -eq 0 ] || die "must run as root: it installs packages"
	command -v apt-get >/dev/null || die "this is no Debian system (no apt-get)"

	if [ "${#only[@]}" -gt 0 ]; then
		install_packages "${only[@]}"
		llhttp
		say "done (${1#--})"
		return
	fi
	install_packages "${BUILD_PACKAGES[@]}" "${RUN_PACKAGES[@]}" "${more[@]}"
	llhttp
	"$HERE/private-criu.sh"
	check_criu
	say "done; private programs are in $BATON_PREFIX/bin"
}

main "$@"
