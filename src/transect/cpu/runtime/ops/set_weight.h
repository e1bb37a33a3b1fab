/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Its weight has changed. */
SEC("struct_ops/set_weight")
void ts_op_set_weight(u64 *ctx)
{
	struct task_struct *p = (struct task_struct *)ctx[0];
	struct policy_state *self = ts_state();
	struct policy_task *own = policy_own_set_weight(p);
	struct ts_call call = { 0 };
	if (!own)
		return;
	TS_BEGIN(weight, p->pid, 0, 0);
	policy_do_weight(self, own, &call, p);
	TS_END(0);
}
