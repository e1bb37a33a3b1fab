/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The task can run. */
SEC("struct_ops/runnable")
void ts_op_runnable(u64 *ctx)
{
	struct task_struct *p = (struct task_struct *)ctx[0];
	struct policy_state *self = ts_state();
	struct policy_task *own = policy_own_runnable(p);
	struct ts_call call = { 0 };
	if (!own)
		return;
	TS_BEGIN(wake, p->pid, 0, 0);
	policy_do_wake(self, own, &call, p);
	TS_END(0);
}
