/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A task comes under the policy: here it gets storage of its own. */
SEC("struct_ops/init_task")
s32 ts_op_init_task(u64 *ctx)
{
	return ts_own((struct task_struct *)ctx[0]) ? 0 : -12; /* ENOMEM */
}
