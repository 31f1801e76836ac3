#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# check-layers.sh - which folder may include which, and who may open the door to which library
#
#   tools/check-layers.sh [DIR]     DIR holds the folders of src/ (default: src of this tree)
#
# The tables below are the rule (ARCHITECTURE.md, "Directions"). Exit status 1 and one line for each
# include that breaks it.

set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
SRC=${1:-$HERE/src}

# folder -> folders it may include, besides itself; report speaks to LogRepo, so it stands on net
PROGRAM="base wire codec core net conf report"
declare -A MAY=(
	[base]=""
	[wire]="base"
	[codec]="base wire"
	[core]="base wire"
	[net]="base wire"
	[conf]="base wire"
	[report]="base wire net"
	[ap]=$PROGRAM
	[es]=$PROGRAM
	[mud]=$PROGRAM
	[logrepo]=$PROGRAM
	[cli]=$PROGRAM
	[runtime]=$PROGRAM
)

# header of an outside library (a regular expression) -> files that may include it
declare -A DOOR=(
	['openssl/']='net/(crypto|pki|pki_crl|tls)\.c|net/(tls_identity|pki_files)\.[ch]'
	['uv\.h']='(net|report|ap|es|mud)/[a-z_]+\.[ch]|logrepo/main\.c'
	['curl/']='es/(docker_engine|registry)\.c'
	['archive(_entry)?\.h']='es/(layer|image)_archive\.c'
	['zstd']='es/(transfer|files/inflate)\.c'
	['cap-ng\.h']='es/(files/sandbox|container_grant)\.c'
	['seccomp\.h']='es/files/(sandbox|seccomp_filter)\.c'
	['xxhash']='es/(session_store|memory_delta)\.c'
	['llhttp']='codec/http\.c'
	['confuse\.h']='conf/conf_reader\.h'
	['protobuf-c/|.*baton\.pb-c\.h']='wire/envelope\.c'
	['criu_images\.pb-c\.h']='es/files/checkpoint_images\.c'
	['jansson\.h']='(ap|es)/[a-z_]+\.[ch]|es/files/worker_main\.c|cli/(check|nodes)\.[ch]|(cli|ap|es)/inquiry\.[ch]|logrepo/(event_json\.[ch]|main\.c)|runtime/bundle\.c|mud/answer_checker\.c'
)

# Nothing of the system that does I/O or reads a clock may be known to the pure layers.
PURE='core wire codec'
IMPURE='sys/socket\.h|sys/epoll\.h|netinet/.*|arpa/inet\.h|unistd\.h|fcntl\.h|pthread\.h|time\.h|sys/time\.h|signal\.h|sys/stat\.h|uv\.h|base/log\.h'

# Calls that go from a name to a file. In src/es names are written by containers and peers, so one file has
# them, and the rest goes through it (es/files/beneath.h). The others named here read /proc, or a
# directory in which only the edge server itself makes names.
FROM_NAME="(^|[^a-z_])(openat2?|fstatat|statx|faccessat|fchmodat|fchownat|unlinkat|mkdirat|mknodat|renameat2?|linkat|symlinkat|readlinkat|utimensat)[[:space:]]*[(]|SYS_openat"
FROM_NAME_MAY='es/(files/beneath|session_store|started_notes|container_check|container_sqlite|checkpoint|process_family|task_state)\.c'

status=0
breach() {
	printf '%s:%s: %s\n' "$1" "$2" "$3"
	status=1
}

# check FILE LINE HEADER
check() {
	local file=$1 line=$2 header=$3 name=${1#"$SRC"/} from to door
	from=${name%%/*}
	to=${header%%/*}
	if [ -n "${MAY[$to]+known}" ] && [[ $header == */* ]]; then
		[ "$from" = "$to" ] || [[ " ${MAY[$from]:-} " == *" $to "* ]] ||
			breach "$file" "$line" "$from may not include $to (\"$header\")"
	fi
	for door in "${!DOOR[@]}"; do
		[[ $header =~ ^($door) ]] || continue
		[[ $name =~ ^(${DOOR[$door]})$ ]] ||
			breach "$file" "$line" "<$header> has its one door elsewhere"
	done
	[[ " $PURE " != *" $from "* ]] || [[ ! $header =~ ^($IMPURE)$ ]] ||
		breach "$file" "$line" "$from is pure: no \"$header\""
}

for dir in "$SRC"/*/; do
	dir=${dir%/}
	[ -n "${MAY[${dir##*/}]+known}" ] || breach "$dir" 0 "a folder that the table does not know"
done
while IFS=: read -r file line text; do
	header=${text#*[\"<]}
	check "$file" "$line" "${header%%[\">]*}"
done < <(grep -rnE --include='*.[ch]' '^[[:space:]]*#[[:space:]]*include[[:space:]]*["<]' "$SRC")
while IFS=: read -r file line text; do
	[[ ${file#"$SRC"/} =~ ^($FROM_NAME_MAY)$ ]] ||
		breach "$file" "$line" "names below a tree go through es/files/beneath.h:${text%%(*}"
done < <(grep -rnE --include='*.[ch]' "$FROM_NAME" "$SRC/es" 2>/dev/null || true)
exit $status
