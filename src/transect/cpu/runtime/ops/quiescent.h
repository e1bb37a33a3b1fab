/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The task cannot run any more. */
SEC("struct_ops/quiescent")
void ts_op_quiescent(u64 *ctx)
{
	struct task_struct *p = (struct task_struct *)ctx[0];
	struct policy_state *self = ts_state();
	struct policy_task *own = policy_own_quiescent(p);
	struct ts_call call = { 0 };
	if (!own)
		return;
	TS_BEGIN(sleep, p->pid, 0, 0);
	policy_do_sleep(self, own, &call, p);
	TS_END(0);
}
