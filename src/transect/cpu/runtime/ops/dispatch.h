/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The task that ran is asked about first: it competes with those that wait. */
SEC("struct_ops/dispatch")
void ts_op_dispatch(u64 *ctx)
{
	s32 cpu = (s32)ctx[0];
	struct policy_state *self = ts_state();
	struct ts_call call = { 0 };
	if (!self)
		return;
#ifdef TS_KEEP
	struct task_struct *before = (struct task_struct *)ctx[1];
	if (before && (before->scx.flags & SCX_TASK_QUEUED)) {
		struct policy_task *own = ts_own(before);
		if (own && policy_do_keep(self, own, &call, before, cpu)) {
			before->scx.slice = TS_SLICE;
			return;
		}
	}
#endif
	policy_do_dispatch(self, NULL, &call, cpu);
}
