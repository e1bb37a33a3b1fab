/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A tick of the clock while the task runs. */
SEC("struct_ops/tick")
void ts_op_tick(u64 *ctx)
{
	struct task_struct *p = (struct task_struct *)ctx[0];
	struct policy_state *self = ts_state();
	struct policy_task *own = policy_own_tick(p);
	struct ts_call call = { 0 };
#ifdef TS_LISTEN
	TS_LISTEN;
#endif
	if (!own)
		return;
	TS_BEGIN(tick, p->pid, 0, 0);
	policy_do_tick(self, own, &call, p);
	TS_END(0);
}
