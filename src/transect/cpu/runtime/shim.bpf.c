/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The scheduler that stays attached while policies come and go.
 *
 * Each operation reads one word, which version is active, and goes on in that version's program: a tail call into a
 * table for each operation.  Putting another version in force is one store to that word.  Queues belong to this
 * scheduler, so that who waits goes on waiting.  Where no version has a program for an operation, what follows the tail
 * call is done: a safe default, in which every task runs.
 *
 * The place in the table is a constant of the call, so that the kernel makes a jump of it, or nothing where the place is
 * empty (docs/design/handing-on.md).
 */
#include "scx.h"
#include "hints.h" /* its maps stay, too */

#define TS_VERSIONS 5 /* `VERSIONS` in force.py: 1 to 4 */

/* Which version is in force; 0: none.  A map of its own, which programs reach without looking it up. */
volatile u64 ts_active SEC(".data.active");

/* Shared with the loader; `SHIM` in force.py has the same layout. */
struct ts_shim {
	u64 ended;    /* how the kernel ended the scheduler; 0: it has not */
	s64 code;
	char reason[128];
	char message[1024];
	char dump[32768];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, u32);
	__type(value, struct ts_shim);
} ts_shims SEC(".maps");

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
enum scx_exit_kind { TS_NOT_ENDED };
struct scx_exit_info {
	enum scx_exit_kind kind;
	s64 exit_code;
	const char *reason;
	char *msg;
	char *dump;
};
#pragma clang attribute pop

TS_INLINE struct ts_shim *ts_shared(void)
{
	u32 zero = 0;
	return bpf_map_lookup_elem(&ts_shims, &zero);
}

#define TS_FORWARD(op) \
	struct { \
		__uint(type, BPF_MAP_TYPE_PROG_ARRAY); \
		__uint(max_entries, TS_VERSIONS); \
		__type(key, u32); \
		__type(value, u32); \
	} ts_to_##op SEC(".maps"); \
	SEC("struct_ops/" #op)

#define TS_GO(op) \
	do { \
		u64 active = ts_active; \
		if (active == 1) \
			bpf_tail_call_static(ctx, &ts_to_##op, 1); \
		else if (active == 2) \
			bpf_tail_call_static(ctx, &ts_to_##op, 2); \
		else if (active == 3) \
			bpf_tail_call_static(ctx, &ts_to_##op, 3); \
		else if (active == 4) \
			bpf_tail_call_static(ctx, &ts_to_##op, 4); \
	} while (0)

TS_FORWARD(select_cpu) s32 ts_op_select_cpu(u64 *ctx)
{
	TS_GO(select_cpu);
	bool idle = false;
	return scx_bpf_select_cpu_dfl((struct task_struct *)ctx[0], (s32)ctx[1], ctx[2], &idle);
}

TS_FORWARD(enqueue) void ts_op_enqueue(u64 *ctx)
{
	TS_GO(enqueue);
	scx_bpf_dsq_insert((struct task_struct *)ctx[0], SCX_DSQ_GLOBAL, TS_SLICE, ctx[1]);
	ts_look_again(ctx[1]);
}

TS_FORWARD(dispatch) void ts_op_dispatch(u64 *ctx) { TS_GO(dispatch); }
TS_FORWARD(tick) void ts_op_tick(u64 *ctx) { TS_GO(tick); }
TS_FORWARD(running) void ts_op_running(u64 *ctx) { TS_GO(running); }
TS_FORWARD(stopping) void ts_op_stopping(u64 *ctx) { TS_GO(stopping); }
TS_FORWARD(enable) void ts_op_enable(u64 *ctx) { TS_GO(enable); }
TS_FORWARD(set_weight) void ts_op_set_weight(u64 *ctx) { TS_GO(set_weight); }
TS_FORWARD(set_cpumask) void ts_op_set_cpumask(u64 *ctx) { TS_GO(set_cpumask); }
TS_FORWARD(exit_task) void ts_op_exit_task(u64 *ctx) { TS_GO(exit_task); }

#ifdef TS_ALL /* for a policy that hears of these: three calls more for each time that a task wakes up */
TS_FORWARD(dequeue) void ts_op_dequeue(u64 *ctx) { TS_GO(dequeue); }
TS_FORWARD(runnable) void ts_op_runnable(u64 *ctx) { TS_GO(runnable); }
TS_FORWARD(quiescent) void ts_op_quiescent(u64 *ctx) { TS_GO(quiescent); }
#define TS_MORE TS_OP(dequeue), TS_OP(runnable), TS_OP(quiescent),
#else
#define TS_MORE
#endif

TS_FORWARD(init_task) s32 ts_op_init_task(u64 *ctx)
{
	TS_GO(init_task);
	return 0; /* a version meets the task when it first handles it */
}

/* What the kernel says at the end, for the loader. */
SEC("struct_ops/exit") void ts_op_exit(u64 *ctx)
{
	struct scx_exit_info *info = (struct scx_exit_info *)ctx[0];
	struct ts_shim *shared = ts_shared();
	if (!shared)
		return;
	bpf_probe_read_kernel_str(shared->reason, sizeof(shared->reason), info->reason);
	bpf_probe_read_kernel_str(shared->message, sizeof(shared->message), info->msg);
	bpf_probe_read_kernel_str(shared->dump, sizeof(shared->dump), info->dump);
	shared->code = info->exit_code;
	shared->ended = info->kind;
}

#undef TS_LAST
#define TS_LAST SCX_OPS_ENQ_LAST
TS_SCHEDULER("transect", TS_OP(select_cpu), TS_OP(enqueue), TS_OP(dispatch), TS_OP(tick), TS_OP(running),
	     TS_OP(stopping), TS_OP(enable), TS_OP(set_weight), TS_OP(set_cpumask), TS_OP(init_task), TS_OP(exit_task),
	     TS_MORE TS_OP(exit))
