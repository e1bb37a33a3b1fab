/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The task leaves its queue. */
SEC("struct_ops/dequeue")
void ts_op_dequeue(u64 *ctx)
{
	struct task_struct *p = (struct task_struct *)ctx[0];
	struct policy_state *self = ts_state();
	struct policy_task *own = policy_own_dequeue(p);
	struct ts_call call = { 0 };
	if (!own)
		return;
	TS_BEGIN(dequeue, p->pid, 0, 0);
	policy_do_dequeue(self, own, &call, p);
	TS_END(0);
}
