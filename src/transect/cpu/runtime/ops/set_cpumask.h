/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The CPUs it may run on have changed. */
SEC("struct_ops/set_cpumask")
void ts_op_set_cpumask(u64 *ctx)
{
	struct task_struct *p = (struct task_struct *)ctx[0];
	struct policy_state *self = ts_state();
	struct policy_task *own = policy_own_set_cpumask(p);
	struct ts_call call = { 0 };
	if (!own)
		return;
	TS_BEGIN(affinity, p->pid, 0, 0);
	policy_do_affinity(self, own, &call, p);
	TS_END(0);
}
