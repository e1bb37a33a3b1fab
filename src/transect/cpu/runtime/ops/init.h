/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Queues are made where a program may sleep: when the scheduler is attached by itself, or, by the loader, when it is a
 * version of the one that is. */
SEC("struct_ops.s/init")
s32 ts_op_init(u64 *ctx)
{
	return policy_queues();
}

SEC("syscall")
s32 ts_make_queues(void *ctx)
{
	return policy_queues();
}

/* For how long the first task of any queue has been waiting, in jiffies: what the loader watches. */
SEC("syscall")
s32 ts_longest_wait(void *ctx)
{
	return policy_longest_wait();
}
