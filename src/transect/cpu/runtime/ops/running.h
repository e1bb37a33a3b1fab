/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The task begins to run. */
SEC("struct_ops/running")
void ts_op_running(u64 *ctx)
{
	struct task_struct *p = (struct task_struct *)ctx[0];
	struct policy_state *self = ts_state();
	struct policy_task *own = policy_own_running(p);
	struct ts_call call = { 0 };
	if (!own)
		return;
	TS_BEGIN(running, p->pid, p->scx.weight, p->cpus_ptr->bits[0]);
	policy_do_running(self, own, &call, p);
	TS_END(0);
}
