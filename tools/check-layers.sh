#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# check-layers.sh - which folder may include which, who may open the door to which library, and which
# files of src/es may go from a name to a file
#
#   tools/check-layers.sh [DIR]     DIR holds the folders of src/ (default: src of this tree)
#
# The tables below are the rule (ARCHITECTURE.md, "Directions"). Exit status 1 and one line for each
# line that breaks it.

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
	['openssl/']='net/(crypto|join_channel|pki|pki_crl|pki_request|tls)\.c|net/(tls_identity|pki_files)\.[ch]'
	['uv\.h']='(net|report|ap|es|mud)/[a-z_]+\.[ch]|logrepo/main\.c'
	['curl/']='es/(containerd|docker_engine|registry)\.c'
	['archive(_entry)?\.h']='es/((layer|image)_archive|image_(layer|pack))\.c'
	['zstd']='es/(transfer|files/inflate)\.c'
	['cap-ng\.h']='es/(files/sandbox|container_grant)\.c'
	['seccomp\.h']='es/files/(sandbox|seccomp_filter)\.c'
	['xxhash']='es/(session_store|memory_delta)\.c'
	['llhttp']='codec/http\.c|report/monitor\.c'
	['confuse\.h']='conf/conf_reader\.h'
	['protobuf-c/|.*baton\.pb-c\.h']='wire/envelope\.c'
	['criu_images\.pb-c\.h']='es/files/checkpoint_(images|mend)\.c'
	['jansson\.h']='(ap|es)/[a-z_]+\.[ch]|es/files/worker_main\.c|cli/(check|drain|migrate|nodes|rounds|setup_join|views)\.[ch]|(cli|ap|es)/inquiry\.[ch]|logrepo/(event_json\.[ch]|main\.c)|runtime/(bundle\.c|shared_pins\.[ch])|mud/answer_checker\.c'
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
es/containerd.c|access|the sockets of containerd
es/container_files.c|fopen fstatat open statfs|of processes in /proc
es/forgotten.c|open fopen|of processes in /proc, of our machine in /sys
es/forgotten_note.c|opendir fopen|of processes in /proc
es/forgotten_back.c|opendir SYS_pidfd_open SYS_pidfd_getfd|of processes in /proc
es/migration_carry.c|open openat stat|our own directories and names
es/container_sockets.c|fopen opendir fstatat SYS_pidfd_open SYS_pidfd_getfd|descriptors of processes in /proc
es/files/checkpoint_mend.c|openat renameat unlinkat|our own names, in a directory of our own
es/files/beneath.c|SYS_openat2 open openat fstatat statx readlinkat mkdirat symlinkat mknodat linkat renameat unlinkat fchownat chmod utimensat|the door itself
es/files/file_worker.c|SYS_clone3 SYS_open_tree SYS_mount_setattr open access lstat unlink rmdir|roots of trees, and our own program
es/files/sandbox.c|SYS_pivot_root mount umount2 chdir mkdir|before a name of anybody else is there
es/layer_node.c|llistxattr lgetxattr lsetxattr lremovexattr open|paths of beneath_name(); the directory above a tree
es/layer.c|open|the root of a tree
es/cgroup.c|fopen open|/proc, control groups that the engine made
es/container_check.c|fopen open opendir readlinkat stat|/proc
es/container_config.c|fopen|/proc
es/container_seen.c|SYS_bpf fopen open opendir stat|/proc, control groups that the engine made
es/container_sqlite.c|opendir fstatat readlink|/proc/PID/fd; opened by beneath_opened()
es/process_family.c|opendir openat fstatat readlinkat stat|/proc
es/task_state.c|opendir openat|/proc
es/container_grant.c|access|names of the engine: whether this kernel has a path to mask
es/container_mounts.c|realpath|below directories that the operator shares: compared, opens nothing
es/main.c|readlink access|our own programs
es/process.c|SYS_pidfd_open open|/dev/null, and a file in our work directory
es/registry.c|access|an authority's file that the operator names
es/migration_plan.c|fopen mkostemp unlink|/proc/cpuinfo, a file of ours
es/checkpoint.c|open fopen opendir fstatat fchmodat mkdir symlink|our work directory, in which CRIU and we make names
es/session_store.c|open openat unlinkat scandir atomic_file_write|our state directory
es/started_notes.c|open openat unlinkat atomic_file_write|our state directory
es/image_arrival.c|mkdir open opendir|below image_dir: ours
es/image_expiry.c|mkdir opendir|image_dir, and names of ours below the engine's directory
es/engine_files.c|open|a directory of the engine
es/migration_controller.c|fopen access opendir|/proc, the work directories
es/migration_destination.c|mkdir mkdtemp rmdir access statvfs|our work directory, the engine's directory
es/migration_image.c|mkdir open stat|below image_dir; the engine's directory
es/migration_memory.c|mkdir open|directories of our work directory
es/migration_paper.c|mkdir open opendir rename|directories of our work directory, and of the engine
es/migration_source.c|mkdir access|our work directory; runc's, by the container's id
es/migration_trees.c|fopen mkdir rename|/proc; beside a tree, where the engine makes the names
LIST

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
