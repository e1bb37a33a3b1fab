/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The task ends to run. */
SEC("struct_ops/stopping")
void ts_op_stopping(u64 *ctx)
{
	struct task_struct *p = (struct task_struct *)ctx[0];
	struct policy_state *self = ts_state();
	struct policy_task *own = policy_own_stopping(p);
	struct ts_call call = { 0 };
	if (!own)
		return;
	TS_BEGIN(stopping, p->pid, (bool)ctx[1], 0);
	policy_do_stopping(self, own, &call, p, ctx[1]);
	TS_END(0);
}
