/* WeightedFair, emitted by transect from weighted_fair.py
 * source sha256 3874b09e05bdb08b347de42de425e3ea1dc9e1bd0ed3297098dfb445cf18db91 */
#include "scx.h"
TS_COUNTERS(2)

struct policy_state {
    s64 ready;
    s64 level[1024];
};

struct policy_task {
    s64 met;
    s64 ran;
    s64 home;
};

TS_STATE(policy)

TS_HANDLER s64 policy_do_settled(struct policy_state *self, struct policy_task *own, struct ts_call *call, struct task_struct *task, s64 used) {
    s64 time = 0;
    s64 lead = 0;
    s64 t1 = 0;
    t1 = ts_time(task);
    time = t1 + ts_floordiv(used * 100ll, (s64)task->scx.weight);
    lead = TS_READ(own->home) >= 0ll ? ts_max(time - TS_READ(self->level[TS_READ(own->home) & 1023ll]), -20000000ll) : 0ll;
    TS_WRITE(own->home, ts_cpu(task));
    return TS_READ(self->level[ts_cpu(task) & 1023ll]) + lead;
    return 0;
}

TS_HANDLER void policy_do_stand(struct policy_state *self, struct policy_task *own, struct ts_call *call, struct task_struct *task, s64 cpu, s64 used) {
    s64 low = 0;
    s64 t1 = 0;
    s64 t2 = 0;
    s64 t3 = 0;
    s64 t4 = 0;
    s64 t5 = 0;
    s64 t6 = 0;
    t1 = policy_do_settled(self, own, call, task, used);
    ts_set_time(task, t1);
    if (used > 0ll) {
        t2 = ts_time(task);
        t3 = ts_time(task);
        t4 = ts_first(ts_on(TS_QUEUE(680887727u, 0), cpu, &ts_counters[0]), t3);
        t6 = ts_min(t2, t4);
    } else {
        t5 = ts_time(task);
        t6 = t5;
    }
    low = t6;
    {
        u64 n1 = cpu & 1023ll;
        ts_raise(&self->level[n1], low);
    }
}

TS_HANDLER void policy_do_enter(struct policy_state *self, struct policy_task *own, struct ts_call *call, struct task_struct *task) {
}

TS_HANDLER s64 policy_do_select(struct policy_state *self, struct policy_task *own, struct ts_call *call, struct task_struct *task, s64 cpu) {
    ts_option idle = (ts_option){false, 0};
    idle = ts_idle_cpu(call, task, cpu);
    if (!idle.some) {
        return cpu;
    }
    ts_start(call, task);
    return (s64)idle.value;
    return 0;
}

TS_HANDLER void policy_do_enqueue(struct policy_state *self, struct policy_task *own, struct ts_call *call, struct task_struct *task) {
    s64 t1 = 0;
    s64 t2 = 0;
    s64 t3 = 0;
    t1 = ts_used(&own->ran, task);
    t2 = policy_do_settled(self, own, call, task, t1);
    ts_put_at(call, ts_at(TS_QUEUE(680887727u, 0), ts_cpu(task)), task, t2);
    t3 = ts_time(task);
    if (t3 + 20000000ll <= TS_READ(self->level[ts_cpu(task) & 1023ll])) {
        ts_preempt(ts_cpu(task));
    }
}

TS_HANDLER bool policy_do_keep(struct policy_state *self, struct policy_task *own, struct ts_call *call, struct task_struct *task, s64 cpu) {
    s64 t1 = 0;
    s64 t2 = 0;
    s64 t3 = 0;
    s64 t4 = 0;
    t1 = ts_used(&own->ran, task);
    policy_do_stand(self, own, call, task, cpu, t1);
    t2 = ts_time(task);
    t3 = ts_time(task);
    t4 = ts_first(ts_at(TS_QUEUE(680887727u, 0), cpu), t3 + 1ll);
    return t2 < t4;
    return 0;
}

TS_HANDLER void policy_do_dispatch(struct policy_state *self, struct policy_task *own, struct ts_call *call, s64 cpu) {
    bool t1 = 0;
    t1 = ts_take(ts_at(TS_QUEUE(680887727u, 0), cpu));
    if (!t1) {
        (void)ts_steal(TS_QUEUE(680887727u, 0), cpu, &ts_counters[1]);
    }
}

TS_HANDLER void policy_do_running(struct policy_state *self, struct policy_task *own, struct ts_call *call, struct task_struct *task) {
    s64 t1 = 0;
    t1 = ts_used(&own->ran, task);
    policy_do_stand(self, own, call, task, ts_cpu(task), t1);
}

TS_INLINE void policy_first(struct policy_task *own) {
    own->home = -1ll;
}

TS_MEET(policy)

TS_INLINE s32 policy_queues(void) {
    s32 failed = 0;
    if (!failed) {
        failed = ts_create(TS_QUEUE(680887727u, 0), 1);
    }
    return failed;
}

TS_INLINE s64 policy_longest_wait(void) {
    s64 longest = 0;
    {
        s64 waited = ts_longest(TS_QUEUE(680887727u, 0), 1);
        if (waited > longest) {
            longest = waited;
        }
    }
    return longest;
}

TS_INLINE struct policy_task *policy_own_select_cpu(struct task_struct *task) {
    return &ts_nobody;
}

TS_INLINE struct policy_task *policy_own_enqueue(struct task_struct *task) {
    return ts_own(task);
}

TS_INLINE struct policy_task *policy_own_dispatch(struct task_struct *task) {
    return ts_known(task);
}

TS_INLINE struct policy_task *policy_own_running(struct task_struct *task) {
    return ts_own(task);
}

TS_INLINE struct policy_task *policy_own_init_task(struct task_struct *task) {
    return ts_own(task);
}

TS_INLINE s64 policy_chosen(s64 cpu, s64 before) {
    return cpu;
}

#include "keep.h"
#include "ops/select_cpu.h"
#include "ops/enqueue.h"
#include "ops/dispatch.h"
#include "ops/running.h"
#include "ops/init_task.h"
#include "ops/enable.h"
#include "ops/init.h"
TS_SCHEDULER("transect_WeightedFair", TS_OP(select_cpu), TS_OP(enqueue), TS_OP(dispatch), TS_OP(running), TS_OP(init_task), TS_OP(enable), TS_OP(init))
