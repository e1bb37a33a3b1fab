/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#undef TS_LAST
#define TS_LAST SCX_OPS_ENQ_LAST
/* A task without storage of its own came in a moment without memory: the kernel's global queue takes it. */
SEC("struct_ops/enqueue")
void ts_op_enqueue(u64 *ctx)
{
	struct task_struct *p = (struct task_struct *)ctx[0];
	struct policy_state *self = ts_state();
	struct policy_task *own = policy_own_enqueue(p);
	struct ts_call call = { .flags = ctx[1] };
	if (!own) {
		scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, TS_SLICE, ctx[1]);
		ts_look_again(ctx[1]);
		return;
	}
	TS_BEGIN(enqueue, p->pid, ctx[1], 0);
	policy_do_enqueue(self, own, &call, p);
	TS_END(0);
	ts_look_again(call.flags);
}
