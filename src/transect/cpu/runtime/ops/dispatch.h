/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The task that ran is asked about first: it competes with those that wait. */
SEC("struct_ops/dispatch")
void ts_op_dispatch(u64 *ctx)
{
	s32 cpu = (s32)ctx[0];
	struct policy_state *self = ts_state();
	struct ts_call call = { 0 };
#ifdef TS_LISTEN
	TS_LISTEN;
#endif
#ifdef TS_KEEP
	struct task_struct *before = (struct task_struct *)ctx[1];
	if (before && (before->scx.flags & SCX_TASK_QUEUED)) {
		struct policy_task *own = policy_own_dispatch(before);
		bool keeps = false;
		if (own) {
			TS_BEGIN(keep, before->pid, cpu, 0);
			keeps = policy_do_keep(self, own, &call, before, cpu);
			TS_END(keeps);
		}
		if (keeps) {
			before->scx.slice = ts_light(before);
			return;
		}
	}
#endif
	TS_BEGIN(dispatch, 0, cpu, 0);
	policy_do_dispatch(self, NULL, &call, cpu);
	TS_END(0);
}
