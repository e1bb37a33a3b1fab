/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* First come, first served, as one writes it by hand: the other side of the comparison.  Declarations are those of the
 * runtime; nothing else of it is used. */
#include "scx.h"

#define SHARED 1

SEC("struct_ops/select_cpu") s32 ts_op_select_cpu(u64 *ctx)
{
	struct task_struct *p = (struct task_struct *)ctx[0];
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, ctx[1], ctx[2], &idle);
	if (idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, TS_SLICE, 0);
	return cpu;
}

SEC("struct_ops/enqueue") void ts_op_enqueue(u64 *ctx)
{
	scx_bpf_dsq_insert((struct task_struct *)ctx[0], SHARED, TS_SLICE, ctx[1]);
}

SEC("struct_ops/dispatch") void ts_op_dispatch(u64 *ctx) { scx_bpf_dsq_move_to_local(SHARED); }

SEC("struct_ops.s/init") s32 ts_op_init(u64 *ctx) { return scx_bpf_create_dsq(SHARED, -1); }

TS_SCHEDULER("hand_fifo", TS_OP(select_cpu), TS_OP(enqueue), TS_OP(dispatch), TS_OP(init))
