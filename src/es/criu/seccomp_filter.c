/* SPDX-License-Identifier: Apache-2.0 */
#include "es/criu/seccomp_filter.h"

#include <assert.h>
#include <linux/audit.h>
#include <linux/bpf_common.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <stdbool.h>
#include <string.h>

#include "base/auto.h"

/*
 * denied - System calls that Docker's and containerd's default profiles deny without a capability
 *
 * The list has the calls that lead out of a container, or change the host, and are denied with any
 * arguments. clone() is in it for a flag that makes a namespace. The profiles deny other calls,
 * too; these are not checked. A filter that stops all calls in this list is taken for the engine's.
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
	"vhangup",       "clone3",
};

/* flags - Of clone(), in its first argument: those that an engine's default profile denies */
static const uint32_t flags[] = {
	CLONE_NEWNS,   CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC,
	CLONE_NEWUSER, CLONE_NEWPID,    CLONE_NEWNET,
};

#define STEPS_MAX 65536
#define DEPTH_MAX 64

/**
 * struct value - Knowledge about a word
 * @kind:	KNOWN: it is @word; FLAGS: the lower half of the call's first argument, but only the
 *		bits in @word, the others are 0; ANYTHING: nothing
 */
struct value {
	enum { KNOWN, FLAGS, ANYTHING } kind;
	uint32_t word;
};

/** struct machine - A program under way */
struct machine {
	size_t at;
	struct value a;
	struct value x;
	struct value memory[BPF_MEMWORDS];
};

/**
 * enum verdict - On a call: denied with any arguments, or not, or the kernel would refuse the
 * program
 */
enum verdict {
	STOPPED,
	PASSED,
	NO_PROGRAM,
};

/**
 * struct walk - All ways through a program for one call
 * @nr:		Number of the call
 * @arch:	Of the call
 * @flag:	Its first argument has this bit; 0: nothing is known about it
 * @steps:	Instructions until now
 */
struct walk {
	const struct sock_filter *program;
	size_t count;
	uint32_t nr;
	uint32_t arch;
	uint32_t flag;
	size_t steps;
};

/** described() - A word of the description of the call */
static struct value described(const struct walk *w, uint32_t offset)
{
	switch (offset) {
	case offsetof(struct seccomp_data, nr):
		return (struct value){ KNOWN, w->nr };
	case offsetof(struct seccomp_data, arch):
		return (struct value){ KNOWN, w->arch };
	case offsetof(struct seccomp_data, args):
		return (struct value){ w->flag ? FLAGS : ANYTHING, UINT32_MAX };
	default:
		return (struct value){ ANYTHING, 0 };
	}
}

/** load() - Value of a load instruction. Return: whether the kernel would take it */
static bool load(const struct walk *w, const struct machine *m, const struct sock_filter *i,
		 struct value *to)
{
	switch (BPF_MODE(i->code)) {
	case BPF_ABS: /* of the description of the call, whole words only */
		if (BPF_SIZE(i->code) != BPF_W || i->k % 4 ||
		    i->k > sizeof(struct seccomp_data) - 4)
			return false;
		*to = described(w, i->k);
		return true;
	case BPF_IMM:
		*to = (struct value){ KNOWN, i->k };
		return true;
	case BPF_MEM:
		if (i->k >= BPF_MEMWORDS)
			return false;
		*to = m->memory[i->k];
		return true;
	case BPF_LEN:
		*to = (struct value){ KNOWN, sizeof(struct seccomp_data) };
		return true;
	default:
		return false;
	}
}

static struct value operand(const struct machine *m, const struct sock_filter *i)
{
	return BPF_SRC(i->code) == BPF_X ? m->x : (struct value){ KNOWN, i->k };
}

/** arithmetic() - Of two words. Return: whether the kernel would take it */
static bool arithmetic(uint16_t code, uint32_t *a, uint32_t with)
{
	switch (BPF_OP(code)) {
	case BPF_ADD:
		*a += with;
		return true;
	case BPF_SUB:
		*a -= with;
		return true;
	case BPF_MUL:
		*a *= with;
		return true;
	case BPF_DIV:
		*a = with ? *a / with : 0;
		return true;
	case BPF_AND:
		*a &= with;
		return true;
	case BPF_OR:
		*a |= with;
		return true;
	case BPF_XOR:
		*a ^= with;
		return true;
	case BPF_LSH:
		*a = with < 32 ? *a << with : 0;
		return true;
	case BPF_RSH:
		*a = with < 32 ? *a >> with : 0;
		return true;
	case BPF_NEG:
		*a = -*a;
		return true;
	default:
		return false;
	}
}

/** compute() - Arithmetic on the accumulator. Return: whether the kernel would take it */
static bool compute(struct machine *m, const struct sock_filter *i)
{
	struct value with = operand(m, i);
	bool mask = BPF_OP(i->code) == BPF_AND && m->a.kind == FLAGS && with.kind == KNOWN;
	bool known = m->a.kind == KNOWN && (with.kind == KNOWN || BPF_OP(i->code) == BPF_NEG);

	if (!known && !mask)
		m->a.kind = ANYTHING;
	return arithmetic(i->code, &m->a.word, with.word);
}

/** enum branch - Outcome of a jump's condition */
enum branch {
	BRANCH_NO,
	BRANCH_YES,
	BRANCH_EITHER,
	BRANCH_BAD, /* the kernel would not take it */
};

static enum branch branch(const struct walk *w, const struct machine *m,
			  const struct sock_filter *i)
{
	struct value with = operand(m, i);
	bool known = m->a.kind == KNOWN && with.kind == KNOWN;
	bool set = m->a.kind == FLAGS && with.kind == KNOWN && (m->a.word & w->flag);
	uint32_t a = m->a.word;

	switch (BPF_OP(i->code)) {
	case BPF_JEQ:
		if (set && !(with.word & w->flag))
			return BRANCH_NO;
		return known ? a == with.word : BRANCH_EITHER;
	case BPF_JSET:
		if (set && (with.word & w->flag))
			return BRANCH_YES;
		return known ? (a & with.word) != 0 : BRANCH_EITHER;
	case BPF_JGT:
		return known ? a > with.word : BRANCH_EITHER;
	case BPF_JGE:
		return known ? a >= with.word : BRANCH_EITHER;
	default:
		return BRANCH_BAD;
	}
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
	default: /* allowed, logged, or left to a supervisor */
		return false;
	}
}

static enum verdict returned(const struct machine *m, const struct sock_filter *i)
{
	if (BPF_RVAL(i->code) != BPF_A)
		return stops(i->k) ? STOPPED : PASSED;
	return m->a.kind == KNOWN && stops(m->a.word) ? STOPPED : PASSED;
}

/**
 * step() - Execute an instruction that is neither a jump nor a return
 *
 * Return: whether the kernel would take it
 */
static bool step(const struct walk *w, struct machine *m, const struct sock_filter *i)
{
	switch (BPF_CLASS(i->code)) {
	case BPF_LD:
		return load(w, m, i, &m->a);
	case BPF_LDX:
		return load(w, m, i, &m->x);
	case BPF_ST:
	case BPF_STX:
		if (i->k >= BPF_MEMWORDS)
			return false;
		m->memory[i->k] = BPF_CLASS(i->code) == BPF_ST ? m->a : m->x;
		return true;
	case BPF_ALU:
		return compute(m, i);
	case BPF_MISC:
		if (i->code == (BPF_MISC | BPF_TAX))
			m->x = m->a;
		else if (i->code == (BPF_MISC | BPF_TXA))
			m->a = m->x;
		else
			return false;
		return true;
	default:
		return false;
	}
}

/**
 * run() - Run a program, and take both branches of a jump with an unknown condition
 *
 * It only jumps forward, so it ends. A program with very many branches is rejected: an engine's has
 * few.
 */
static enum verdict run(struct walk *w, struct machine m, unsigned int depth)
{
	for (; m.at < w->count && w->steps++ < STEPS_MAX; m.at++) {
		const struct sock_filter *i = &w->program[m.at];
		enum branch to;

		if (BPF_CLASS(i->code) == BPF_RET)
			return returned(&m, i);
		if (BPF_CLASS(i->code) != BPF_JMP) {
			if (!step(w, &m, i))
				return NO_PROGRAM;
			continue;
		}
		if (BPF_OP(i->code) == BPF_JA) {
			if (i->k >= w->count)
				return NO_PROGRAM;
			m.at += i->k;
			continue;
		}
		to = branch(w, &m, i);
		if (to == BRANCH_BAD || (to == BRANCH_EITHER && depth == DEPTH_MAX))
			return NO_PROGRAM;
		if (to == BRANCH_EITHER) {
			struct machine other = m;
			enum verdict verdict;

			other.at += i->jf + 1u;
			verdict = run(w, other, depth + 1);
			if (verdict != STOPPED)
				return verdict;
		}
		m.at += to == BRANCH_NO ? i->jf : i->jt;
	}
	return NO_PROGRAM; /* it must end with a return */
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
#endif
};

static_assert(ARRAY_SIZE(architectures) > 0, "which system calls does this machine have?");

/**
 * tried() - Whether a call is stopped, of one architecture. STOPPED for a call that it does not
 * have
 */
static enum verdict tried(const struct sock_filter *program, size_t count,
			  const struct architecture *of, const char *call, uint32_t flag)
{
	int number = seccomp_syscall_resolve_name_arch(of->seccomp, call);
	struct walk w = { .program = program,
			  .count = count,
			  .nr = (uint32_t)number,
			  .arch = of->audit,
			  .flag = flag };

	return number < 0 ? STOPPED : run(&w, (struct machine){ 0 }, 0);
}

/** passes() - The first call of an architecture that is not stopped; as seccomp_filter_passes() */
static const char *passes(const struct sock_filter *program, size_t count,
			  const struct architecture *of)
{
	enum verdict verdict;

	for (size_t i = 0; i < ARRAY_SIZE(denied); i++) {
		verdict = tried(program, count, of, denied[i], 0);
		if (verdict != STOPPED)
			return verdict == PASSED ? denied[i] : "";
	}
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		verdict = tried(program, count, of, "clone", flags[i]);
		if (verdict != STOPPED)
			return verdict == PASSED ? "clone" : "";
	}
	return NULL;
}

const char *seccomp_filter_passes(const struct sock_filter *program, size_t count)
{
	const char *call = NULL;

	if (!count || count > BPF_MAXINSNS)
		return "";
	for (size_t i = 0; !call && i < ARRAY_SIZE(architectures); i++)
		call = passes(program, count, &architectures[i]);
	return call;
}
