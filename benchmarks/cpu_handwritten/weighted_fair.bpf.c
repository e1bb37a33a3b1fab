/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Weighted fair sharing with a queue for each CPU and stealing, the running task competing, as one writes it by hand. */
#include "scx.h"

TS_KERNEL(s32, scx_bpf_task_cpu, (const struct task_struct *));

#define CPUS 1024

static u64 level[CPUS]; /* of each CPU: the virtual time of the task there that is furthest behind */

struct ran {
	u64 mark;
	s64 home; /* the CPU whose level the task's time goes by; -1: it is new */
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct ran);
} tasks SEC(".maps");

/* What it has used since this was last asked. */
static __attribute__((always_inline)) inline u64 used(struct task_struct *p, struct ran *ran)
{
	u64 now = p->se.sum_exec_runtime, used = now - ran->mark;
	ran->mark = now;
	return used;
}

/* Light tasks have shorter slices: one of 20 ms would set them back for seconds. */
static __attribute__((always_inline)) inline u64 slice(struct task_struct *p)
{
	u32 weight = p->scx.weight;
	return TS_SLICE / 100 * (weight < 100 ? weight : 100);
}

/* Times of another CPU keep their distance from its level; who slept is one slice behind at most. */
static __attribute__((always_inline)) inline void settle(struct task_struct *p, struct ran *ran, u64 used, u32 cpu)
{
	s64 lead = 0;
	if (ran->home >= 0) {
		lead = p->scx.dsq_vtime + used * 100 / p->scx.weight - level[ran->home & (CPUS - 1)];
		if (lead < -(s64)TS_SLICE)
			lead = -(s64)TS_SLICE;
	}
	p->scx.dsq_vtime = level[cpu & (CPUS - 1)] + lead;
	ran->home = cpu;
}

static __attribute__((always_inline)) inline u64 first_or(s32 cpu, u64 absent)
{
	struct task_struct *first = scx_bpf_dsq_peek(cpu);
	return first ? first->scx.dsq_vtime : absent;
}

/* The level is the time of the task furthest behind: this one, or the first that waits; a task that has used nothing
 * since was the first itself. */
static __attribute__((always_inline)) inline void stand(struct task_struct *p, struct ran *ran, u32 cpu)
{
	u64 since = used(p, ran);
	settle(p, ran, since, cpu);
	u64 low = p->scx.dsq_vtime;
	if (since) {
		u64 first = first_or(cpu, low);
		if ((s64)(first - low) < 0)
			low = first;
	}
	if ((s64)(low - level[cpu & (CPUS - 1)]) > 0)
		level[cpu & (CPUS - 1)] = low;
}

SEC("struct_ops/select_cpu") s32 ts_op_select_cpu(u64 *ctx)
{
	struct task_struct *p = (struct task_struct *)ctx[0];
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, ctx[1], ctx[2], &idle);
	if (idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, TS_SLICE, 0);
	return cpu;
}

SEC("struct_ops/enqueue") void ts_op_enqueue(u64 *ctx)
{
	struct task_struct *p = (struct task_struct *)ctx[0];
	struct ran *ran = bpf_task_storage_get(&tasks, p, 0, 0);
	u32 cpu = scx_bpf_task_cpu(p);
	if (ran)
		settle(p, ran, used(p, ran), cpu);
	scx_bpf_dsq_insert_vtime(p, cpu, slice(p), p->scx.dsq_vtime, ctx[1]);
	if ((s64)(p->scx.dsq_vtime + TS_SLICE - level[cpu & (CPUS - 1)]) <= 0) /* a whole slice behind: at once */
		scx_bpf_kick_cpu(cpu, SCX_KICK_PREEMPT);
}

SEC("struct_ops/dispatch") void ts_op_dispatch(u64 *ctx)
{
	s32 cpu = ctx[0], n, cpus = scx_bpf_nr_cpu_ids();
	struct task_struct *before = (struct task_struct *)ctx[1];
	if (before && (before->scx.flags & SCX_TASK_QUEUED)) {
		struct ran *ran = bpf_task_storage_get(&tasks, before, 0, 0);
		if (ran)
			stand(before, ran, cpu);
		u64 time = before->scx.dsq_vtime;
		if ((s64)(time - first_or(cpu, time + 1)) < 0) {
			before->scx.slice = slice(before);
			return;
		}
	}
	if (scx_bpf_dsq_move_to_local(cpu))
		return;
	bpf_for(n, 1, cpus)
		if (scx_bpf_dsq_move_to_local((cpu + n) % cpus))
			return;
}

SEC("struct_ops/running") void ts_op_running(u64 *ctx)
{
	struct task_struct *p = (struct task_struct *)ctx[0];
	struct ran *ran = bpf_task_storage_get(&tasks, p, 0, 0);
	if (ran)
		stand(p, ran, scx_bpf_task_cpu(p));
}

/* It comes under the scheduler, or back from another class. */
SEC("struct_ops/enable") void ts_op_enable(u64 *ctx)
{
	struct task_struct *p = (struct task_struct *)ctx[0];
	struct ran *ran = bpf_task_storage_get(&tasks, p, 0, 0);
	if (ran)
		ran->mark = p->se.sum_exec_runtime;
}

SEC("struct_ops/init_task") s32 ts_op_init_task(u64 *ctx)
{
	struct task_struct *p = (struct task_struct *)ctx[0];
	struct ran *ran = bpf_task_storage_get(&tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!ran)
		return -12; /* ENOMEM */
	ran->home = -1;
	return 0;
}

SEC("struct_ops.s/init") s32 ts_op_init(u64 *ctx)
{
	int cpu, cpus = scx_bpf_nr_cpu_ids();
	s32 failed = 0;
	bpf_for(cpu, 0, cpus) {
		failed = scx_bpf_create_dsq(cpu, -1);
		if (failed)
			break;
	}
	return failed;
}

TS_SCHEDULER("hand_weighted_fair", TS_OP(select_cpu), TS_OP(enqueue), TS_OP(dispatch), TS_OP(running),
	     TS_OP(enable), TS_OP(init_task), TS_OP(init))
