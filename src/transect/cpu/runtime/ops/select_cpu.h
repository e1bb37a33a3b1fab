/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A CPU that does not exist is never answered: the kernel would end the scheduler. */
SEC("struct_ops/select_cpu")
s32 ts_op_select_cpu(u64 *ctx)
{
	struct task_struct *p = (struct task_struct *)ctx[0];
	struct policy_state *self = ts_state();
	struct policy_task *own = policy_own_select_cpu(p);
	struct ts_call call = { .wake = ctx[2] };
	s32 before = (s32)ctx[1];
	if (!own)
		return before;
	TS_BEGIN(select, p->pid, before, ctx[2]);
	s64 cpu = policy_do_select(self, own, &call, p, before);
	TS_END(cpu);
	return policy_chosen(cpu, before);
}
