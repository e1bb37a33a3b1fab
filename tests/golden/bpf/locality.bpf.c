/* Locality, emitted by transect from locality.py
 * source sha256 148a2d84bf173701948a11ad7adb7c8a398a3e611152a33d0d1f16bfbdbab7a2 */
#include "scx.h"
TS_COUNTERS(1)

struct policy_state {
    s64 ready;
};

struct policy_task {
    s64 met;
    s64 ran;
    s64 home;
};

TS_STATE(policy)
#include "hints.h"

TS_HANDLER s64 policy_do_Scheduler_2e_select(struct policy_state *self, struct policy_task *own, struct ts_call *call, struct task_struct *task, s64 cpu) {
    ts_option idle = (ts_option){false, 0};
    idle = ts_idle_cpu(call, task, cpu);
    if (!idle.some) {
        return cpu;
    }
    ts_start(call, task);
    return (s64)idle.value;
    return 0;
}

TS_HANDLER void policy_do_enter(struct policy_state *self, struct policy_task *own, struct ts_call *call, struct task_struct *task) {
}

TS_HANDLER s64 policy_do_select(struct policy_state *self, struct policy_task *own, struct ts_call *call, struct task_struct *task, s64 cpu) {
    s64 t1 = 0;
    bool t2 = 0;
    bool t3 = 0;
    bool t4 = 0;
    s64 t5 = 0;
    t1 = bpf_get_smp_processor_id();
    t3 = t1 == TS_READ(own->home);
    if (t3) {
        t2 = ts_may_run(task, TS_READ(own->home));
        t3 = t2;
    }
    if (t3) {
        return TS_READ(own->home);
    }
    t4 = ts_may_run(task, TS_READ(own->home));
    t5 = policy_do_Scheduler_2e_select(self, own, call, task, t4 ? TS_READ(own->home) : cpu);
    return t5;
    return 0;
}

TS_HANDLER void policy_do_enqueue(struct policy_state *self, struct policy_task *own, struct ts_call *call, struct task_struct *task) {
    bool t1 = 0;
    t1 = ts_may_run(task, TS_READ(own->home));
    if (t1) {
        ts_put(call, ts_at(TS_QUEUE(2645347283u, 0), ts_cpu(task)), task);
        ts_wake_cpu(ts_cpu(task));
    } else {
        ts_put(call, TS_QUEUE(1433039014u, 0), task);
    }
}

TS_HANDLER void policy_do_dispatch(struct policy_state *self, struct policy_task *own, struct ts_call *call, s64 cpu) {
    bool t1 = 0;
    t1 = ts_take(ts_at(TS_QUEUE(2645347283u, 0), cpu));
    if (!t1) {
        (void)ts_take(TS_QUEUE(1433039014u, 0));
    }
}

TS_HANDLER void policy_do_tick(struct policy_state *self, struct policy_task *own, struct ts_call *call, struct task_struct *task) {
}

TS_HANDLER void policy_do_hint(struct policy_state *self, struct policy_task *own, struct ts_call *call, struct task_struct *task, s64 *said) {
    s64 t1 = 0;
    t1 = scx_bpf_nr_cpu_ids();
    TS_WRITE(own->home, ts_mod(said[0], t1));
}

TS_HANDLER void policy_do_detach(struct policy_state *self, struct policy_task *own, struct ts_call *call, s64 process) {
}

TS_INLINE void policy_first(struct policy_task *own) {
    own->home = -1ll;
}

TS_MEET(policy)

TS_INLINE s32 policy_queues(void) {
    s32 failed = 0;
    if (!failed) {
        failed = ts_create(TS_QUEUE(2645347283u, 0), 1);
    }
    if (!failed) {
        failed = ts_create(TS_QUEUE(1433039014u, 0), 0);
    }
    return failed;
}

TS_INLINE s64 policy_longest_wait(void) {
    s64 longest = 0;
    {
        s64 waited = ts_longest(TS_QUEUE(2645347283u, 0), 1);
        if (waited > longest) {
            longest = waited;
        }
    }
    {
        s64 waited = ts_longest(TS_QUEUE(1433039014u, 0), 0);
        if (waited > longest) {
            longest = waited;
        }
    }
    return longest;
}

TS_INLINE struct policy_task *policy_own_select_cpu(struct task_struct *task) {
    return ts_own(task);
}

TS_INLINE struct policy_task *policy_own_enqueue(struct task_struct *task) {
    return ts_own(task);
}

TS_INLINE struct policy_task *policy_own_dispatch(struct task_struct *task) {
    return &ts_nobody;
}

TS_INLINE struct policy_task *policy_own_tick(struct task_struct *task) {
    return &ts_nobody;
}

TS_INLINE struct policy_task *policy_own_init_task(struct task_struct *task) {
    return ts_own(task);
}

TS_INLINE s64 policy_chosen(s64 cpu, s64 before) {
    return ts_moved(&ts_counters[0], ts_cpu_or(cpu, before), before);
}

TS_INLINE u32 policy_heard(void) {
    return 1875637603u;
}

#include "listen.h"
#include "ops/select_cpu.h"
#include "ops/enqueue.h"
#include "ops/dispatch.h"
#include "ops/tick.h"
#include "ops/init_task.h"
#include "ops/init.h"
TS_SCHEDULER("transect_Locality", TS_OP(select_cpu), TS_OP(enqueue), TS_OP(dispatch), TS_OP(tick), TS_OP(init_task), TS_OP(init))
