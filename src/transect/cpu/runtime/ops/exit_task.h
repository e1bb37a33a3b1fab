/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The task goes. */
SEC("struct_ops/exit_task")
void ts_op_exit_task(u64 *ctx)
{
	struct task_struct *p = (struct task_struct *)ctx[0];
	struct policy_state *self = ts_state();
	struct policy_task *own = policy_own_exit_task(p);
	struct ts_call call = { 0 };
	if (!own)
		return;
	TS_BEGIN(leave, p->pid, 0, 0);
	policy_do_leave(self, own, &call, p);
	TS_END(0);
}
