#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# check-layers.sh - which folder may include which, who may open the door to which library, and which
# files of src/es may go from a name to a file
#
#   tools/check-layers.sh [DIR]     DIR holds the folders of src/ (default: src of this tree)
#
# The tables below are the rule (ARCHITECTURE.md, "Layers and directions"). Exit status 1 and one line for each
# line that breaks it.

set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
SRC=${1:-$HERE/src}

# folder -> folders it may include, besides itself; report speaks to LogRepo, so it stands on net
PROGRAM="base wire codec core net conf report daemon"
declare -A MAY=(
	[base]=""
	[wire]="base"
	[codec]="base wire"
	[core]="base wire"
	[net]="base wire"
	[conf]="base wire"
	[report]="base wire net"
	[daemon]="base wire net conf report"
	[ap]=$PROGRAM
	[es]=$PROGRAM
	[mud]=$PROGRAM
	[logrepo]=$PROGRAM
	[cli]=$PROGRAM
	[runtime]=$PROGRAM
)

# The same for the rooms of a folder: room -> rooms of the same folder it may include, from the lowest up. Files
# of the folder itself, in no room, may include all of them; no room may include one of those.
BELOW_MIGRATION="es/system es/files es/criu es/worker es/engine es/image es/container es/checkpoint es/protection"
declare -A ROOM=(
	[es/system]=""
	[es/files]="es/system"
	[es/criu]="es/files"
	[es/worker]="es/system es/files es/criu"
	[es/engine]="es/system es/files"
	[es/image]="es/system es/files es/worker es/engine"
	[es/container]="es/system es/files es/criu es/engine"
	[es/protection]="es/system es/worker"
	[es/checkpoint]="es/system es/files es/criu es/container"
	[es/migration/common]="$BELOW_MIGRATION"
	[es/migration/source]="$BELOW_MIGRATION es/migration/common"
	[es/migration/destination]="$BELOW_MIGRATION es/migration/common"
	[es/migration]="$BELOW_MIGRATION es/migration/common es/migration/source es/migration/destination"
	[es/gateway]="es/system es/container"
	[es/journal]="es/system es/container es/protection"
	[core/common]=""
	[core/ap]="core/common"
	[core/es]="core/common"
	[core/mud]="core/common"
	[ap/links]=""
	[ap/stations]=""
	[ap/users]="ap/stations"
	[ap/clients]="ap/users"
	[ap/roaming]="ap/stations ap/users ap/clients"
	[ap/listeners]="ap/users ap/clients ap/roaming"
)

# header of an outside library (a regular expression) -> files that may include it
declare -A DOOR=(
	['openssl/']='net/(crypto|join_channel|pki|pki_crl|pki_request|tls)\.c|net/(tls_identity|pki_files)\.[ch]'
	['uv\.h']='(net|report|daemon|ap|es|mud)/[a-z_]+\.[ch]|ap/[a-z_]+/[a-z_]+\.[ch]|es/(container|gateway|image|journal|migration|migration/common|system)/[a-z_]+\.[ch]|logrepo/main\.c'
	['curl/']='es/engine/(containerd|docker_stream|registry)\.c|es/engine/docker_call\.[ch]'
	['archive(_entry)?\.h']='es/(files/archive_(extract|stream|writer)|image/(archive|layer|pack))\.c|es/files/archive_stream\.h'
	['zlib\.h']='runtime/store\.c'
	['zstd']='es/(migration/common/transfer|files/inflate)\.c'
	['cap-ng\.h']='es/(worker/sandbox|container/grant_tasks)\.c'
	['seccomp\.h']='es/(worker/sandbox|criu/seccomp_filter)\.c'
	['xxhash']='es/(system/entry|criu/memory_delta)\.c'
	['llhttp']='codec/http\.c|report/monitor\.c'
	['confuse\.h']='conf/conf_reader\.h'
	['protobuf-c/|.*baton\.pb-c\.h']='wire/envelope\.c'
	['criu_images\.pb-c\.h']='es/criu/(mend|mounts|tasks)\.c'
	['jansson\.h']='(ap|es)/[a-z_]+\.[ch]|ap/users/store\.c|es/(container|engine|image|migration|migration/[a-z]+|protection)/[a-z_]+\.[ch]|cli/(check|drain|migrate|nodes|rounds|setup_join|views)\.[ch]|(cli|ap|es)/inquiry\.[ch]|logrepo/(event_json\.[ch]|main\.c)|runtime/(baton_runtime|bundle)\.c|runtime/shared_pins\.[ch]|mud/answer_checker\.c'
)

# Nothing of the system that does I/O or reads a clock may be known to the pure layers.
PURE='core wire codec'
IMPURE='sys/socket\.h|sys/epoll\.h|netinet/.*|arpa/inet\.h|unistd\.h|fcntl\.h|pthread\.h|time\.h|sys/time\.h|signal\.h|sys/stat\.h|uv\.h|base/(clock|log)\.h'

# Calls that go from a name to a file. In src/es, containers and peers make names, and such names go through
# es/files/beneath.h. Only the files below call anything else, each with its calls and with whose names they
# take. A line that nothing needs any more is refused, too. (src/runtime handles the engine's and our own.)
NAME_CALLS='open|openat2?|creat|fopen(64)?|freopen|opendir|scandir(at)?|n?ftw|fts_open|glob'
NAME_CALLS+='|l?stat|fstatat|statx|statv?fs|access|e(uid)?access|faccessat|realpath|canonicalize_file_name'
NAME_CALLS+='|readlink(at)?|mkdir(at)?|mkdtemp|mko?stemps?|mktemp|mknod(at)?|mkfifo(at)?|rename(at2?)?|remove'
NAME_CALLS+='|unlink(at)?|rmdir|(sym)?link(at)?|l?chmod|fchmodat|l?chown|fchownat|truncate|l?utimes?|utimensat'
NAME_CALLS+='|l?(get|set|list|remove)xattr|chdir|chroot|u?mount2?|pivot_root|open_tree|move_mount|mount_setattr'
NAME_CALLS+='|name_to_handle_at|inotify_add_watch|fanotify_mark|atomic_file_(write|create)|json_(load|dump)_file'
NAME_CALLS+='|archive_(read|write)_(open_file(name)?|disk_[a-z_]+)|uv_fs_[a-z_]+'
NAME_CALLS="(^|[^a-zA-Z0-9_.>])(($NAME_CALLS)[[:space:]]*[(]([^)0-9]|$)|SYS_[a-z0-9_]+)"
declare -A NAME_MAY
while IFS='|' read -r file calls _; do
	NAME_MAY[$file]=" $calls "
done <<'LIST'
es/engine/containerd.c|access|the sockets of containerd
es/container/open_files.c|fopen fstatat open statfs|of processes in /proc
es/checkpoint/forgotten.c|open fopen|of processes in /proc, of our machine in /sys
es/checkpoint/forgotten_note.c|opendir fopen|of processes in /proc
es/checkpoint/forgotten_back.c|opendir SYS_pidfd_open SYS_pidfd_getfd|of processes in /proc
es/container/sockets.c|fopen opendir fstatat SYS_pidfd_open SYS_pidfd_getfd|descriptors of processes in /proc
es/criu/mend.c|openat renameat unlinkat|our own names, in a directory of our own
es/files/beneath.c|SYS_openat2 open openat fstatat statx readlinkat mkdirat symlinkat mknodat linkat renameat unlinkat fchownat chmod utimensat|the door itself
es/worker/file_worker.c|SYS_clone3 open access|our own program, /dev/null
es/worker/operations.c|SYS_open_tree SYS_mount_setattr open lstat unlink rmdir|roots of trees
es/worker/sandbox.c|SYS_pivot_root mount umount2 chdir mkdir|before a name of anybody else is there
es/files/layer_node.c|llistxattr lgetxattr lsetxattr lremovexattr open|paths of beneath_name(); the directory above a tree
es/files/layer.c|open|the root of a tree
es/system/cgroup.c|fopen open|/proc, control groups that the engine made
es/container/check.c|fopen open opendir readlinkat stat|/proc
es/container/config.c|fopen|/proc
es/container/seen.c|SYS_bpf fopen open opendir stat|/proc, control groups that the engine made
es/container/sqlite.c|opendir fstatat readlink|/proc/PID/fd; opened by beneath_opened()
es/system/process_family.c|opendir openat fstatat readlinkat stat|/proc
es/system/task_state.c|open opendir openat|/proc
es/container/grant_tasks.c|access|names of the engine: whether this kernel has a path to mask
es/container/mounts.c|realpath|below directories that the operator shares: compared, opens nothing
es/main.c|readlink access|our own programs
es/system/process.c|SYS_pidfd_open open|/dev/null, and a file in our work directory
es/engine/registry.c|access|an authority's file that the operator names
es/migration/common/plan.c|fopen mkostemp unlink|/proc/cpuinfo, a file of ours
es/checkpoint/checkpoint.c|open fopen opendir fstatat fchmodat mkdir symlink|our work directory, in which CRIU and we make names
es/protection/kept_cuts.c|open openat mkdir lstat scandir renameat faccessat json_load_file atomic_file_write|protect_dir: names of ours
es/protection/request_log.c|open openat unlinkat scandirat atomic_file_write|protect_dir: names of ours
es/migration/source/protect.c|mkdir|the directory of a cut: ours
es/journal/session_store.c|open openat unlinkat scandir atomic_file_write|our state directory
es/journal/edge_notes.c|open openat unlinkat atomic_file_write|our state directory, /proc
es/journal/journal_reserve.c|openat unlinkat fstatat renameat|our state directory
es/journal/started_notes.c|open openat unlinkat atomic_file_write|our state directory
es/image/arrival.c|mkdir open opendir|below image_dir: ours
es/image/expiry.c|mkdir opendir|image_dir, and names of ours below the engine's directory
es/engine/engine_files.c|open|a directory of the engine
es/engine/upper_dir.c|fopen|/proc
es/migration/common/work.c|access statvfs|our work directories, the engine's directory
es/migration/controller.c|opendir|the work directories
es/migration/destination/container.c|mkdir access|our work directory
es/migration/destination/destination.c|mkdtemp open rmdir|our work directory, the engine's directory
es/migration/destination/image.c|stat|below image_dir; the engine's directory
es/migration/destination/memory.c|mkdir|a directory of our work directory
es/migration/source/carry.c|open openat|our own directories and names
es/migration/source/container.c|mkdir access|our work directory; runc's, by the container's id
es/migration/source/image.c|mkdir open|below image_dir
es/migration/source/memory.c|mkdir open|directories of our work directory
es/migration/paper.c|mkdir open opendir rename|directories of our work directory, and of the engine
es/migration/common/file_sets.c|fopen mkdir rename|/proc; beside a tree, where the engine makes the names
LIST

status=0
breach() {
	printf '%s:%s: %s\n' "$1" "$2" "$3"
	status=1
}

# check FILE LINE HEADER
check() {
	local file=$1 line=$2 header=$3 name=${1#"$SRC"/} from to door
	from=${name%/*}
	to=${header%/*}
	if [ -n "${ROOM[$from]+known}" ] && [[ $header == "${from%%/*}"/* ]] && [ "$from" != "$to" ]; then
		[[ " ${ROOM[$from]} " == *" $to "* ]] ||
			breach "$file" "$line" "$from may not include $to (\"$header\")"
	fi
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
for dir in "$SRC"/*/*/ "$SRC"/*/*/*/; do
	[ -d "$dir" ] || continue
	room=${dir#"$SRC"/}
	[ -n "${ROOM[${room%/}]+known}" ] || breach "$dir" 0 "a room that the table does not know"
done
while IFS=: read -r file line text; do
	header=${text#*[\"<]}
	check "$file" "$line" "${header%%[\">]*}"
done < <(grep -rnE --include='*.[ch]' '^[[:space:]]*#[[:space:]]*include[[:space:]]*["<]' "$SRC")
declare -A needed
while IFS=: read -r file line text; do
	name=${file#"$SRC"/}
	call=$(grep -oE '[A-Za-z_0-9]+' <<<"$text" | head -1)
	needed[$name]+=" $call "
	[[ ${NAME_MAY[$name]:-} == *" $call "* ]] ||
		breach "$file" "$line" "names below a tree go through es/files/beneath.h: $call()"
done < <(grep -rnoE --include='*.[ch]' "$NAME_CALLS" "$SRC/es" 2>/dev/null || true)
for name in "${!NAME_MAY[@]}"; do
	[ -f "$SRC/$name" ] || continue
	for call in ${NAME_MAY[$name]}; do
		[[ ${needed[$name]:-} == *" $call "* ]] ||
			breach "$SRC/$name" 0 "need not be allowed to call $call() any more"
	done
done
exit $status
