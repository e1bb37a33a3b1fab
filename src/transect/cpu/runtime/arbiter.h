/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* An arbiter as a scheduler: it says who is next and is charged for what tasks use; one queue holds those who wait. */

TS_INLINE void policy_first(struct policy_task *own) { (void)own; }
TS_INLINE s32 policy_queues(void) { return ts_create(policy_queue(), 0); }
TS_INLINE s64 policy_longest_wait(void) { return ts_longest(policy_queue(), 0); }

TS_INLINE void policy_do_enter(struct policy_state *self, struct policy_task *own, struct ts_call *call,
			       struct task_struct *task)
{
}

/* The CPU that is idle takes the first of the queue, be it this task or another: who wakes does not pass by. */
TS_INLINE s64 policy_do_select(struct policy_state *self, struct policy_task *own, struct ts_call *call,
			       struct task_struct *task, s64 cpu)
{
	ts_option idle = ts_idle_cpu(call, task, cpu);
	return idle.some ? idle.value : cpu;
}

TS_HANDLER void policy_do_enqueue(struct policy_state *self, struct policy_task *own, struct ts_call *call,
				  struct task_struct *task)
{
	policy_do_arrive(self, own, call, task);
	ts_put_at(call, policy_queue(), task, policy_key(own));
}

TS_INLINE void policy_do_dispatch(struct policy_state *self, struct policy_task *own, struct ts_call *call, s64 cpu)
{
	if (ts_length(policy_queue()) > 0)
		policy_do_pick(self, own, call);
	ts_take(policy_queue());
}

#define ts_charge(self, own, call, task) \
	policy_do_charge(self, own, call, task, ts_used(&(own)->ran, task) * 100 / (s64)((task)->scx.weight ?: 1))

/* A running task competes with those that wait. */
TS_HANDLER bool policy_do_keep(struct policy_state *self, struct policy_task *own, struct ts_call *call,
			       struct task_struct *task, s64 cpu)
{
	ts_charge(self, own, call, task);
	return policy_key(own) < ts_first(policy_queue(), policy_key(own) + 1);
}

TS_HANDLER void policy_do_stopping(struct policy_state *self, struct policy_task *own, struct ts_call *call,
				   struct task_struct *task, bool runnable)
{
	ts_charge(self, own, call, task);
}

TS_MEET(policy)

#define TS_KEEP
