/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The task comes under the scheduler, or back from another class: what it ran there is not counted. */
SEC("struct_ops/enable")
void ts_op_enable(u64 *ctx)
{
	struct task_struct *p = (struct task_struct *)ctx[0];
	struct policy_task *own = ts_known(p);
	if (own)
		own->ran = p->se.sum_exec_runtime;
}
