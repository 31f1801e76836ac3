/* SPDX-License-Identifier: Apache-2.0 */
#include "es/files/seccomp_filter.h"

#include <linux/audit.h>
#include <linux/bpf_common.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdbool.h>
#include <string.h>

#include "base/auto.h"

/*
 * denied - What Docker's and containerd's default profiles deny unless a capability is added
 *
 * Those of them that lead out of a container, or change the host, and are denied whatever their arguments
 * are. The profiles deny others, too, and some by their arguments (clone() with namespaces): these are not
 * looked for. A filter that stops all in this list is taken for the engine's.
 */
static const char *const denied[] = {
	"mount",         "umount2",
	"pivot_root",    "move_mount",
	"open_tree",     "fsopen",
	"fsmount",       "fsconfig",
	"mount_setattr", "setns",
	"unshare",       "init_module",
	"finit_module",  "delete_module",
	"kexec_load",    "kexec_file_load",
	"bpf",           "perf_event_open",
	"swapon",        "swapoff",
	"reboot",        "iopl",
	"ioperm",        "quotactl",
	"acct",          "settimeofday",
	"clock_settime", "open_by_handle_at",
	"userfaultfd",   "add_key",
	"keyctl",        "request_key",
	"sethostname",   "setdomainname",
	"vhangup",
};

/** struct machine - A program under way; @looked: at more than which call it is, and of what machine */
struct machine {
	const struct seccomp_data *data;
	bool looked;
	uint32_t a;
	uint32_t x;
	uint32_t memory[BPF_MEMWORDS];
};

/** load() - Value of a load instruction. Return: whether the kernel would take it */
static bool load(struct machine *m, const struct sock_filter *i, uint32_t *to)
{
	switch (BPF_MODE(i->code)) {
	case BPF_ABS: /* of the description of the call, whole words only */
		if (BPF_SIZE(i->code) != BPF_W || i->k % 4 || i->k > sizeof(*m->data) - 4)
			return false;
		memcpy(to, (const char *)m->data + i->k, sizeof(*to));
		m->looked = m->looked || i->k >= offsetof(struct seccomp_data, instruction_pointer);
		return true;
	case BPF_IMM:
		*to = i->k;
		return true;
	case BPF_MEM:
		if (i->k >= BPF_MEMWORDS)
			return false;
		*to = m->memory[i->k];
		return true;
	case BPF_LEN:
		*to = sizeof(*m->data);
		return true;
	default:
		return false;
	}
}

/** compute() - Arithmetic on the accumulator. Return: whether the kernel would take it */
static bool compute(struct machine *m, const struct sock_filter *i)
{
	uint32_t with = BPF_SRC(i->code) == BPF_X ? m->x : i->k;

	switch (BPF_OP(i->code)) {
	case BPF_ADD:
		m->a += with;
		return true;
	case BPF_SUB:
		m->a -= with;
		return true;
	case BPF_MUL:
		m->a *= with;
		return true;
	case BPF_DIV:
		m->a = with ? m->a / with : 0;
		return true;
	case BPF_AND:
		m->a &= with;
		return true;
	case BPF_OR:
		m->a |= with;
		return true;
	case BPF_XOR:
		m->a ^= with;
		return true;
	case BPF_LSH:
		m->a = with < 32 ? m->a << with : 0;
		return true;
	case BPF_RSH:
		m->a = with < 32 ? m->a >> with : 0;
		return true;
	case BPF_NEG:
		m->a = -m->a;
		return true;
	default:
		return false;
	}
}

/** jump() - How many instructions to pass over. Return: whether the kernel would take it */
static bool jump(const struct machine *m, const struct sock_filter *i, size_t *over)
{
	uint32_t with = BPF_SRC(i->code) == BPF_X ? m->x : i->k;
	bool yes;

	switch (BPF_OP(i->code)) {
	case BPF_JA:
		*over = i->k;
		return true;
	case BPF_JEQ:
		yes = m->a == with;
		break;
	case BPF_JGT:
		yes = m->a > with;
		break;
	case BPF_JGE:
		yes = m->a >= with;
		break;
	case BPF_JSET:
		yes = (m->a & with) != 0;
		break;
	default:
		return false;
	}
	*over = yes ? i->jt : i->jf;
	return true;
}

/**
 * run() - Run a program, which only jumps forward, so it ends
 * @action:	Set to what it says; SECCOMP_RET_ALLOW if that depends on arguments, or on whence the call
 *		comes: for others than we try it may say something else
 *
 * Return: whether the kernel would take what it met
 */
static bool run(const struct sock_filter *program, size_t count, const struct seccomp_data *data,
		uint32_t *action)
{
	struct machine m = { .data = data };

	for (size_t at = 0; at < count; at++) {
		const struct sock_filter *i = &program[at];
		size_t over = 0;

		switch (BPF_CLASS(i->code)) {
		case BPF_LD:
			if (!load(&m, i, &m.a))
				return false;
			break;
		case BPF_LDX:
			if (!load(&m, i, &m.x))
				return false;
			break;
		case BPF_ST:
		case BPF_STX:
			if (i->k >= BPF_MEMWORDS)
				return false;
			m.memory[i->k] = BPF_CLASS(i->code) == BPF_ST ? m.a : m.x;
			break;
		case BPF_ALU:
			if (!compute(&m, i))
				return false;
			break;
		case BPF_JMP:
			if (!jump(&m, i, &over) || over >= count - at)
				return false;
			at += over;
			break;
		case BPF_RET:
			*action = m.looked                     ? SECCOMP_RET_ALLOW
				  : BPF_RVAL(i->code) == BPF_A ? m.a
							       : i->k;
			return true;
		case BPF_MISC:
			if (i->code == (BPF_MISC | BPF_TAX))
				m.x = m.a;
			else if (i->code == (BPF_MISC | BPF_TXA))
				m.a = m.x;
			else
				return false;
			break;
		default:
			return false;
		}
	}
	return false; /* it must end with a return */
}

/** stops() - Whether an action keeps the call from being made */
static bool stops(uint32_t action)
{
	switch (action & SECCOMP_RET_ACTION_FULL) {
	case SECCOMP_RET_KILL_PROCESS:
	case SECCOMP_RET_KILL_THREAD:
	case SECCOMP_RET_TRAP:
	case SECCOMP_RET_ERRNO:
		return true;
	default: /* allowed, logged, or left to somebody who watches */
		return false;
	}
}

/** struct architecture - A way to make system calls on this machine */
struct architecture {
	uint32_t audit;
	uint32_t seccomp;
};

static const struct architecture architectures[] = {
#if defined(__x86_64__)
	{ AUDIT_ARCH_X86_64, SCMP_ARCH_X86_64 },
	{ AUDIT_ARCH_X86_64, SCMP_ARCH_X32 },
	{ AUDIT_ARCH_I386, SCMP_ARCH_X86 },
#elif defined(__aarch64__)
	{ AUDIT_ARCH_AARCH64, SCMP_ARCH_AARCH64 },
	{ AUDIT_ARCH_ARM, SCMP_ARCH_ARM },
#else
#error "which system calls does this machine have?"
#endif
};

const char *seccomp_filter_passes(const struct sock_filter *program, size_t count)
{
	if (!count || count > BPF_MAXINSNS)
		return "";
	for (size_t a = 0; a < ARRAY_SIZE(architectures); a++) {
		for (size_t i = 0; i < ARRAY_SIZE(denied); i++) {
			int number = seccomp_syscall_resolve_name_arch(architectures[a].seccomp,
								       denied[i]);

			const struct seccomp_data data = { .nr = number,
							   .arch = architectures[a].audit };
			uint32_t action = 0;

			if (number < 0) /* this machine has no such call */
				continue;
			if (!run(program, count, &data, &action))
				return "";
			if (!stops(action))
				return denied[i];
		}
	}
	return NULL;
}
