/* SPDX-License-Identifier: Apache-2.0 */
#include "base/apart_filter.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/auto.h"

/*
 * The beginning of a frame is copied to the stack, where loads must be aligned: ethernet's header has 14 bytes, so it
 * begins 2 bytes after a multiple of 4.
 */
#define FRAME       (-50)
#define FRAME_SIZE  34 /* up to the end of IPv4's destination, or of ARP's sender */
#define PROGRAM_MAX 64

#define ETH_SOURCE  6
#define ETH_KIND    12
#define ARP_MAC     22
#define ARP_ADDRESS 28
#define IP_SOURCE   26
#define IP_TO       30
#define JUMPS_MAX   24

/** struct program - A program under construction; @drops: jumps to its end, which drops the frame */
struct program {
	struct bpf_insn *at;
	uint32_t count;
	uint32_t drops[JUMPS_MAX];
	uint32_t drops_count;
};

/** add() - Append an instruction. Return: its place */
static uint32_t add(struct program *p, uint8_t code, uint8_t to, uint8_t from, int16_t off,
		    int32_t imm)
{
	assert(p->count < PROGRAM_MAX);
	p->at[p->count] = (struct bpf_insn){
		.code = code, .dst_reg = to & 15u, .src_reg = from & 15u, .off = off, .imm = imm
	};
	return p->count++;
}

/** drop_if() - Drop the frame if register 0 compares so, by BPF_JEQ or BPF_JNE, with a value */
static void drop_if(struct program *p, uint8_t test, uint32_t value)
{
	assert(p->drops_count < JUMPS_MAX);
	p->drops[p->drops_count++] =
		add(p, BPF_JMP32 | test | BPF_K, BPF_REG_0, 0, 0, (int32_t)value);
}

/** jump_if() - Jump if register 0 is @value. Return: the jump, for land() */
static uint32_t jump_if(struct program *p, uint32_t value)
{
	return add(p, BPF_JMP32 | BPF_JEQ | BPF_K, BPF_REG_0, 0, 0, (int32_t)value);
}

/** land() - Have a jump lead here */
static void land(struct program *p, uint32_t jump)
{
	p->at[jump].off = (int16_t)(p->count - jump - 1);
}

/** load() - Load a part of the frame into register 0, bytes as they come */
static void load(struct program *p, uint8_t size, int offset)
{
	(void)add(p, BPF_LDX | BPF_MEM | size, BPF_REG_0, BPF_REG_10, (int16_t)(FRAME + offset), 0);
}

/** half() - Two bytes as the program loads them */
static uint32_t half(const void *bytes)
{
	uint16_t value;

	memcpy(&value, bytes, sizeof(value));
	return value;
}

/** bytes_must_be() - Drop the frame unless it has these bytes, an even number of them */
static void bytes_must_be(struct program *p, int offset, const void *bytes, int len)
{
	for (int i = 0; i < len; i += 2) {
		load(p, BPF_H, offset + i);
		drop_if(p, BPF_JNE, half((const char *)bytes + i));
	}
}

/** end() - Append the end of the program: let the next filter decide, or drop */
static void end(struct program *p, int verdict)
{
	(void)add(p, BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, verdict);
	(void)add(p, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

/** frame_take() - Copy the beginning of the frame to the stack; drop one that is shorter or has a VLAN's tag */
static void frame_take(struct program *p)
{
	(void)add(p, BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_6, BPF_REG_1, 0, 0);
	(void)add(p, BPF_LDX | BPF_MEM | BPF_W, BPF_REG_0, BPF_REG_6,
		  offsetof(struct __sk_buff, vlan_present), 0);
	drop_if(p, BPF_JNE, 0);
	(void)add(p, BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_2, 0, 0, 0);
	(void)add(p, BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_3, BPF_REG_10, 0, 0);
	(void)add(p, BPF_ALU64 | BPF_ADD, BPF_REG_3, 0, 0, FRAME); /* a constant: BPF_K is 0 */
	(void)add(p, BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_4, 0, 0, FRAME_SIZE);
	(void)add(p, BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_skb_load_bytes);
	drop_if(p, BPF_JNE, 0);
}

/** destination_judge() - Drop IPv4 to others in the network */
static void destination_judge(struct program *p, const struct apart_sender *sender)
{
	uint32_t mask = sender->mask.s_addr;

	load(p, BPF_W, IP_TO);
	uint32_t passes = jump_if(p, sender->gateway.s_addr);
	(void)add(p, BPF_ALU | BPF_AND | BPF_K, BPF_REG_0, 0, 0, (int32_t)mask);
	drop_if(p, BPF_JEQ, sender->address.s_addr & mask);
	land(p, passes);
}

/** program_make() - Write the program. Return: number of instructions */
static uint32_t program_make(struct bpf_insn to[PROGRAM_MAX], const struct apart_sender *sender)
{
	const uint16_t arp_kind = htons(ETH_P_ARP);
	const uint16_t ip_kind = htons(ETH_P_IP);
	struct program p = { .at = to };

	frame_take(&p);
	bytes_must_be(&p, ETH_SOURCE, sender->mac, ETH_ALEN);
	load(&p, BPF_H, ETH_KIND);
	uint32_t arp = jump_if(&p, arp_kind);
	drop_if(&p, BPF_JNE, ip_kind);
	load(&p, BPF_W, IP_SOURCE);
	drop_if(&p, BPF_JNE, sender->address.s_addr);
	destination_judge(&p, sender);
	end(&p, TC_ACT_UNSPEC);
	land(&p, arp);
	bytes_must_be(&p, ARP_MAC, sender->mac, ETH_ALEN);
	bytes_must_be(&p, ARP_ADDRESS, &sender->address, sizeof(sender->address));
	end(&p, TC_ACT_UNSPEC);
	for (uint32_t i = 0; i < p.drops_count; i++)
		land(&p, p.drops[i]);
	end(&p, TC_ACT_SHOT);
	return p.count;
}

int apart_filter_load(const struct apart_sender *sender)
{
	struct bpf_insn program[PROGRAM_MAX];
	union bpf_attr attr = { 0 };

	attr.prog_type = BPF_PROG_TYPE_SCHED_CLS;
	attr.insn_cnt = program_make(program, sender);
	attr.insns = (uint64_t)(uintptr_t)program;
	attr.license = (uint64_t)(uintptr_t) "Apache-2.0";
	(void)snprintf(attr.prog_name, sizeof(attr.prog_name), "baton_apart");
	int fd = (int)syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr));
	return fd < 0 ? -errno : fd; /* the kernel sets FD_CLOEXEC */
}
