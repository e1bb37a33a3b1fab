/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Our own declarations of what BPF programs use of the kernel, so that nothing of it has to be installed.  What a
 * struct does not name is found by name in the running kernel (CO-RE); the loader checks that it is there. */
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef signed char s8;
typedef short s16;
typedef int s32;
typedef long long s64;
typedef _Bool bool;
typedef u8 __u8;
typedef u16 __u16;
typedef u32 __u32;
typedef u64 __u64;
typedef s32 __s32;
typedef s64 __s64;
typedef u16 __be16;
typedef u32 __be32;
typedef u32 __wsum;

#define true 1
#define false 0
#define NULL ((void *)0)

enum bpf_map_type {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PROG_ARRAY = 3,
	BPF_MAP_TYPE_ARRAY_OF_MAPS = 12,
	BPF_MAP_TYPE_RINGBUF = 27,
	BPF_MAP_TYPE_TASK_STORAGE = 29,
	BPF_MAP_TYPE_USER_RINGBUF = 31,
};

enum { BPF_ANY = 0, BPF_NOEXIST = 1, BPF_EXIST = 2 };
enum { BPF_F_NO_PREALLOC = 1, BPF_F_MMAPABLE = 1 << 10 };
enum { BPF_LOCAL_STORAGE_GET_F_CREATE = 1 };
enum { BPF_RB_NO_WAKEUP = 1 };

struct bpf_dynptr {
	u64 opaque[2];
} __attribute__((aligned(8)));

struct bpf_iter_num {
	u64 opaque[1];
} __attribute__((aligned(8)));

struct bpf_timer {
	u64 opaque[2];
} __attribute__((aligned(8)));

#include <bpf/bpf_helpers.h>

/* A place where the verifier may stop a loop that it cannot bound: eight million rounds. */
#ifndef can_loop
#define can_loop \
	({ \
		__label__ stop, on; \
		bool more = true; \
		asm volatile goto("1:.byte 0xe5;.byte 0;.long ((%l[stop] - 1b - 8) / 8) & 0xffff;.short 0" : : : : stop); \
		goto on; \
stop: \
		more = false; \
on:; \
		more; \
	})
#endif
