/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* What a scheduler's program stands on: our own declarations of the kernel's types and functions, and the functions of
 * `hooks.py` in terms of them. */
#pragma once

#include "transect_bpf.h"
#include <bpf/bpf_core_read.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct cpumask {
	unsigned long bits[1];
};

struct sched_ext_entity {
	u32 flags;
	u32 weight;
	unsigned long runnable_at;
	u64 slice;
	u64 dsq_vtime;
};

struct sched_entity {
	u64 sum_exec_runtime;
};

struct thread_info {
	u32 cpu;
};

struct task_struct {
	struct thread_info thread_info;
	int pid;
	int tgid;
	int nr_cpus_allowed;
	const struct cpumask *cpus_ptr;
	struct sched_entity se;
	struct sched_ext_entity scx;
};

struct scx_exit_info;
struct scx_init_task_args;
struct scx_exit_task_args;

struct sched_ext_ops {
	s32 (*select_cpu)(struct task_struct *, s32, u64);
	void (*enqueue)(struct task_struct *, u64);
	void (*dequeue)(struct task_struct *, u64);
	void (*dispatch)(s32, struct task_struct *);
	void (*tick)(struct task_struct *);
	void (*runnable)(struct task_struct *, u64);
	void (*running)(struct task_struct *);
	void (*stopping)(struct task_struct *, bool);
	void (*quiescent)(struct task_struct *, u64);
	void (*enable)(struct task_struct *);
	void (*set_weight)(struct task_struct *, u32);
	void (*set_cpumask)(struct task_struct *, const struct cpumask *);
	s32 (*init_task)(struct task_struct *, struct scx_init_task_args *);
	void (*exit_task)(struct task_struct *, struct scx_exit_task_args *);
	s32 (*init)(void);
	void (*exit)(struct scx_exit_info *);
	u64 flags;
	u32 timeout_ms;
	char name[128];
};

#pragma clang attribute pop

#define TS_KERNEL(returns, name, params) extern returns name params __ksym __weak

TS_KERNEL(s32, scx_bpf_create_dsq, (u64, s32));
TS_KERNEL(void, scx_bpf_dsq_insert, (struct task_struct *, u64, u64, u64));
TS_KERNEL(void, scx_bpf_dsq_insert_vtime, (struct task_struct *, u64, u64, u64, u64));
TS_KERNEL(bool, scx_bpf_dsq_move_to_local, (u64));
TS_KERNEL(s32, scx_bpf_dsq_nr_queued, (u64));
TS_KERNEL(struct task_struct *, scx_bpf_dsq_peek, (u64));
TS_KERNEL(void, scx_bpf_kick_cpu, (s32, u64));
TS_KERNEL(u32, scx_bpf_nr_cpu_ids, (void));
TS_KERNEL(u32, scx_bpf_nr_node_ids, (void));
TS_KERNEL(s32, scx_bpf_cpu_node, (s32));
TS_KERNEL(s32, scx_bpf_select_cpu_dfl, (struct task_struct *, s32, u64, bool *));
TS_KERNEL(u64, scx_bpf_now, (void));
TS_KERNEL(struct task_struct *, bpf_task_from_pid, (s32));
TS_KERNEL(void, bpf_task_release, (struct task_struct *));
TS_KERNEL(bool, bpf_cpumask_test_cpu, (u32, const struct cpumask *));
TS_KERNEL(void, bpf_rcu_read_lock, (void));
TS_KERNEL(void, bpf_rcu_read_unlock, (void));

/* Numbers of the kernel's interface. */
#define SCX_DSQ_FLAG_BUILTIN (1ull << 63)
#define SCX_DSQ_GLOBAL (SCX_DSQ_FLAG_BUILTIN | 1)
#define SCX_DSQ_LOCAL (SCX_DSQ_FLAG_BUILTIN | 2)
#define SCX_ENQ_HEAD (1ull << 4)
#define SCX_ENQ_PREEMPT (1ull << 32)
#define SCX_ENQ_LAST (1ull << 41)
#define SCX_OPS_ENQ_LAST (1ull << 1)
#define SCX_OPS_ALLOW_QUEUED_WAKEUP (1ull << 5)
#define SCX_KICK_IDLE 1
#define SCX_KICK_PREEMPT 2
#define SCX_TASK_QUEUED 1
#ifndef TS_FLAGS /* of the scheduler: `SWITCH_PARTIAL` in build.py */
#define TS_FLAGS 0
#endif
#define TS_LAST 0 /* SCX_OPS_ENQ_LAST where `ts_look_again` is called */

#define TS_SLICE (20 * 1000 * 1000ull) /* ns, of those that name none */
#define TS_PATIENCE 30000 /* ms that a task may wait before the kernel ends the scheduler; it allows no more */
#define TS_CPUS 1024
#define TS_LANES 64

/* What belongs to one call of a hook. */
struct ts_call {
	u64 flags; /* of the kernel's, for what the call inserts */
	u64 wake;  /* likewise, for choosing a CPU: how the task wakes */
	u64 now;   /* 0: not asked yet */
#ifdef TS_TAPE
	struct ts_event *event; /* where it is recorded; NULL: nowhere */
	struct ts_ring *ring;	/* of this CPU */
	u64 at;			/* the event's place in it */
#endif
};

#ifdef TS_TAPE /* words that an event has room for: the object records */
#include "record.h"
#else
#define TS_BEGIN(...) ((void)0)
#define TS_END(...) ((void)0)
#endif

/* ---------------------------------------------------------------- queues, by their numbers */

#define TS_QUEUE(hash, cpu) ((1ull << 48) | ((u64)(hash) << 12) | (u64)((cpu) & 0xfff))

/* Of a number that is a CPU's, or a node's; `ts_on`, `ts_on_node`: of any.  What does not exist is counted. */
TS_INLINE u64 ts_at(u64 queue, s64 cpu) { return queue | (u64)cpu; }

TS_INLINE u64 ts_at_or_first(u64 queue, s64 number, s64 many, s64 *counter)
{
	if (number >= 0 && number < many)
		return ts_at(queue, number);
	ts_add(counter, 1);
	return queue;
}

TS_INLINE s64 ts_cpu_or(s64 cpu, s64 other) { return cpu >= 0 && cpu < scx_bpf_nr_cpu_ids() ? cpu : other; }

#define ts_on(queues, cpu, counter) ts_at_or_first(queues, cpu, scx_bpf_nr_cpu_ids(), counter)
#define ts_lane(lanes, number) ts_at(lanes, (number) & (TS_LANES - 1))
#define ts_on_node(queues, node, counter) ts_at_or_first(queues, node, scx_bpf_nr_node_ids(), counter)

/* At least 1 ns, without a branch: it would double what the verifier goes through. */
TS_INLINE u64 ts_slice(s64 slice)
{
	s64 negative = slice >> 63;
	barrier_var(negative);
	return (slice & ~negative) | 1;
}

TS_INLINE void ts_put_for(struct ts_call *call, u64 queue, struct task_struct *p, s64 slice)
{
	scx_bpf_dsq_insert(p, queue, ts_slice(slice), call->flags);
}

TS_INLINE void ts_put(struct ts_call *call, u64 queue, struct task_struct *p)
{
	scx_bpf_dsq_insert(p, queue, TS_SLICE, call->flags);
}

TS_INLINE void ts_put_at_for(struct ts_call *call, u64 queue, struct task_struct *p, s64 time, s64 slice)
{
	scx_bpf_dsq_insert_vtime(p, queue, ts_slice(slice), time, call->flags);
}

/* Where virtual time counts, a slice is 20 ms, or less by as much as the weight is below 100: one of 20 ms would set a
 * light task back for seconds.  No branch: see `ts_slice`. */
#define ts_light(p) \
	({ \
		s64 ts_above = (s64)(p)->scx.weight - 100, ts_below = ts_above >> 63; \
		barrier_var(ts_below); \
		(s64)TS_SLICE + (s64)(TS_SLICE / 100) * (ts_above & ts_below); \
	})
#define ts_put_at(call, queue, p, time) scx_bpf_dsq_insert_vtime(p, queue, ts_light(p), time, (call)->flags)

TS_INLINE bool ts_take(u64 queue) { return scx_bpf_dsq_move_to_local(queue); }
TS_INLINE s64 ts_length(u64 queue) { return scx_bpf_dsq_nr_queued(queue); }

TS_INLINE s64 ts_node_of(s64 cpu) { return cpu >= 0 && cpu < scx_bpf_nr_cpu_ids() ? scx_bpf_cpu_node(cpu) : 0; }

/* From another of so many queues, the one after `at` first; `own` is 1: in the end also from `at`.  One way out, and no
 * branch for the wrap: each would multiply what the verifier goes through. */
TS_INLINE bool ts_steal_of(u64 queues, s64 at, int count, int own, s64 *counter)
{
	bool moved = false;
	int n;
	bpf_for(n, 1, count + own) {
		u32 other = (u32)(at + n) % (u32)count;
		moved = scx_bpf_dsq_move_to_local(ts_at(queues, other));
		if (moved)
			break;
	}
	if (moved)
		ts_add(counter, 1);
	return moved;
}

#define ts_steal(queues, cpu, counter) ts_steal_of(queues, cpu, scx_bpf_nr_cpu_ids(), 0, counter)
#define ts_steal_lane(lanes, number, counter) ts_steal_of(lanes, number, TS_LANES, 1, counter)
#define ts_steal_node(queues, node, counter) ts_steal_of(queues, node, scx_bpf_nr_node_ids(), 0, counter)

/* Operations do not sleep, which is as good as a lock of RCU's. */
TS_HANDLER s64 ts_first(u64 queue, s64 absent)
{
	struct task_struct *first = scx_bpf_dsq_peek(queue);
	return first ? (s64)first->scx.dsq_vtime : absent;
}

/* ---------------------------------------------------------------- tasks */

/* Macros where a field of the kernel is read: clang finds it by name only where lines are kept. */
#define ts_time(p) ((s64)(p)->scx.dsq_vtime)
#define ts_set_time(p, time) ((void)((p)->scx.dsq_vtime = (time)))
#define ts_cpu(p) ((s64)(p)->thread_info.cpu)
#define ts_movable(p) ((s64)(p)->nr_cpus_allowed)
#define ts_may_run(p, cpu) \
	({ \
		s64 ts_number = (cpu); \
		ts_number >= 0 && ts_number < scx_bpf_nr_cpu_ids() && bpf_cpumask_test_cpu(ts_number, (p)->cpus_ptr); \
	})

/* ---------------------------------------------------------------- counters by the policy's lines: `counted.py` */

#define TS_COUNTERS(count) s64 ts_counters[count] SEC(".data.counts");

/* Put into a CPU's queue: may it run there? */
#define TS_PLACED(counter, put, call, queue, p, ...) \
	({ \
		u64 ts_its = (queue); \
		if ((p)->nr_cpus_allowed < scx_bpf_nr_cpu_ids() && !bpf_cpumask_test_cpu(ts_its & 0xfff, (p)->cpus_ptr)) \
			ts_add(counter, 1); \
		put(call, ts_its, p, ##__VA_ARGS__); \
	})

TS_INLINE s64 ts_moved(s64 *counter, s64 cpu, s64 before)
{
	if (cpu != before)
		ts_add(counter, 1);
	return cpu;
}

/* Since `mark`, which moves on. */
#define ts_used(mark, p) \
	({ \
		s64 ts_ran = (p)->se.sum_exec_runtime; \
		s64 ts_since = ts_ran - *(mark); \
		*(mark) = ts_ran; \
		ts_since; \
	})

TS_INLINE void ts_start(struct ts_call *call, struct task_struct *p)
{
	scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, TS_SLICE, call->flags);
}

TS_INLINE void ts_start_first(struct ts_call *call, struct task_struct *p)
{
	scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, TS_SLICE, call->flags | SCX_ENQ_HEAD | SCX_ENQ_PREEMPT);
}

TS_INLINE ts_option ts_idle_cpu(struct ts_call *call, struct task_struct *p, s64 cpu)
{
	bool idle = false;
	s32 found = scx_bpf_select_cpu_dfl(p, cpu, call->wake, &idle);
	return (ts_option){ idle, found };
}

/* The CPU's own clock, which it has read already; a policy that hears of applications has theirs: `hints.h`. */
#define TS_CLOCK() scx_bpf_now()
#define ts_now(call) \
	({ \
		if (!(call)->now) \
			(call)->now = TS_CLOCK(); \
		(s64)(call)->now; \
	})

TS_INLINE void ts_preempt(s64 cpu)
{
	if (cpu >= 0 && cpu < scx_bpf_nr_cpu_ids())
		scx_bpf_kick_cpu(cpu, SCX_KICK_PREEMPT);
}

/* Whose slice has ended is queued as any other, also when nobody else is there: this CPU, which would idle, looks again. */
TS_INLINE void ts_look_again(u64 flags)
{
	if (flags & SCX_ENQ_LAST)
		scx_bpf_kick_cpu(bpf_get_smp_processor_id(), 0);
}

TS_INLINE void ts_wake_cpu(s64 cpu)
{
	if (cpu >= 0 && cpu < scx_bpf_nr_cpu_ids())
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

/* ---------------------------------------------------------------- maps, and the scheduler itself */

/* The state is one piece of memory, a map of its own, which the loader knows by its section; each object has it, and the
 * storage of tasks.  `ts_nobody`: for a hook that uses nothing of its task's. */
#define TS_STATE(policy) \
	struct policy##_state policy##_memory SEC(".data.policy"); \
	TS_INLINE struct policy##_state *ts_state(void) { return &policy##_memory; } \
	static struct policy##_task ts_nobody; \
	struct { \
		__uint(type, BPF_MAP_TYPE_TASK_STORAGE); \
		__uint(map_flags, BPF_F_NO_PREALLOC); \
		__type(key, int); \
		__type(value, struct policy##_task); \
	} policy##_tasks SEC(".maps");

#define TS_TASKLESS(policy) \
	TS_INLINE struct policy##_task *ts_known(struct task_struct *p) { return &ts_nobody; } \
	TS_INLINE struct policy##_task *ts_own(struct task_struct *p) { return &ts_nobody; }

/* A task that this version has not met enters now: it may have come while another one was in force. */
#define TS_MEET(policy) \
	TS_INLINE struct policy##_task *ts_known(struct task_struct *p) \
	{ \
		return bpf_task_storage_get(&policy##_tasks, p, 0, 0); \
	} \
	static __attribute__((noinline)) struct policy##_task *ts_meet(struct task_struct *p) \
	{ \
		struct policy##_task *own = \
			bpf_task_storage_get(&policy##_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE); \
		struct policy##_state *self = ts_state(); \
		struct ts_call call = { 0 }; \
		if (!own) \
			return NULL; \
		own->met = 1; \
		own->ran = p->se.sum_exec_runtime; \
		policy##_first(own); \
		TS_BEGIN(enter, p->pid, p->scx.weight, 0); \
		policy##_do_enter(self, own, &call, p); \
		TS_END(0); \
		return own; \
	} \
	TS_INLINE struct policy##_task *ts_own(struct task_struct *p) \
	{ \
		struct policy##_task *own = ts_known(p); \
		return own ? own : ts_meet(p); \
	}

/* For how long the first of a queue has been able to run, in ticks of 1/HZ s. */
TS_HANDLER s64 ts_wait(u64 queue)
{
	s64 waited = 0;
	bpf_rcu_read_lock();
	struct task_struct *first = scx_bpf_dsq_peek(queue);
	if (first)
		waited = (s64)(bpf_jiffies64() - first->scx.runnable_at);
	bpf_rcu_read_unlock();
	return waited > 0 ? waited : 0;
}

/* How many queues a field is: one, one for each CPU, one for each node, one for each lane. */
TS_INLINE int ts_many(int scope)
{
	return scope == 0 ? 1 : scope == 1 ? scx_bpf_nr_cpu_ids() : scope == 2 ? scx_bpf_nr_node_ids() : TS_LANES;
}

TS_INLINE s64 ts_longest(u64 queue, int scope)
{
	int n, many = ts_many(scope);
	s64 longest = 0;
	bpf_for(n, 0, many) {
		s64 waited = ts_wait(queue | (u64)n);
		if (waited > longest)
			longest = waited;
	}
	return longest;
}

TS_INLINE s32 ts_create(u64 queue, int scope)
{
	int n, many = ts_many(scope);
	s32 failed = 0;
	bpf_for(n, 0, many) {
		failed = scx_bpf_create_dsq(queue | (u64)n, scope == 2 ? n : -1);
		if (failed && failed != -17) /* EEXIST: an earlier version's, and ours from now on */
			break;
		failed = 0;
	}
	return failed;
}

#define TS_OP(op) .op = (void *)ts_op_##op

/* In two forms.  Where the kernel can, a wake-up is handed over to the CPU where the task will run, which puts it into a
 * queue itself; else whoever wakes waits for that CPU's lock. */
#define TS_FORM(form, more, title, ...) \
	SEC(".struct_ops.link") \
	struct sched_ext_ops form = { \
		__VA_ARGS__, .flags = TS_FLAGS | TS_LAST | (more), .timeout_ms = TS_PATIENCE, .name = title \
	};
#define TS_SCHEDULER(title, ...) \
	TS_FORM(policy, 0, title, __VA_ARGS__) \
	TS_FORM(policy_queued, SCX_OPS_ALLOW_QUEUED_WAKEUP, title, __VA_ARGS__)

char _license[] SEC("license") = "Dual MIT/GPL";
