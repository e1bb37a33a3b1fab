/* Locality, emitted by transect from locality.py
 * source sha256 06cd86210ce05c8e65d70acf020295843fc1935f07cc3e1058cebecc973a4e6c */
#include "scx.h"
TS_COUNTERS(1)

struct policy_state {
    s64 ready;
    s64 runs[1024];
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
    idle = ts_idle_cpu(call, task, ts_cpu_or(cpu, ts_cpu(task)));
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
    s64 near = 0;
    s64 subject = 0;
    s64 t1 = 0;
    bool t2 = 0;
    bool t3 = 0;
    s64 t4 = 0;
    s64 t5 = 0;
    s64 t6 = 0;
    bool t7 = 0;
    s64 t8 = 0;
    t1 = bpf_get_smp_processor_id();
    t3 = t1 == TS_READ(own->home);
    if (t3) {
        t2 = ts_may_run(task, TS_READ(own->home));
        t3 = t2;
    }
    if (t3) {
        return TS_READ(own->home);
    }
    t4 = bpf_get_smp_processor_id();
    subject = TS_READ(self->runs[t4 & 1023ll]);
    if (subject == 0ll || subject == TS_READ(own->home) + 1ll) {
        t6 = TS_READ(own->home);
    } else {
        t5 = bpf_get_smp_processor_id();
        t6 = t5;
    }
    near = t6;
    t7 = ts_may_run(task, TS_READ(own->home));
    t8 = policy_do_Scheduler_2e_select(self, own, call, task, t7 ? near : cpu);
    return t8;
    return 0;
}

TS_HANDLER void policy_do_enqueue(struct policy_state *self, struct policy_task *own, struct ts_call *call, struct task_struct *task) {
    ts_put(call, ts_cpu(task) == TS_READ(own->home) ? ts_at(TS_QUEUE(2645347283u, 0), ts_cpu(task)) : TS_QUEUE(1433039014u, 0), task);
    ts_wake_cpu(ts_cpu(task));
}

TS_HANDLER void policy_do_dispatch(struct policy_state *self, struct policy_task *own, struct ts_call *call, s64 cpu) {
    bool t1 = 0;
    bool t2 = 0;
    bool t3 = 0;
    t1 = ts_take(ts_at(TS_QUEUE(2645347283u, 0), cpu));
    t3 = t1;
    if (!t3) {
        t2 = ts_take(TS_QUEUE(1433039014u, 0));
        t3 = t2;
    }
    if (!t3) {
        {
            u64 n1 = cpu & 1023ll;
            TS_WRITE(self->runs[n1], 0ll);
        }
    }
}

TS_HANDLER void policy_do_running(struct policy_state *self, struct policy_task *own, struct ts_call *call, struct task_struct *task) {
    {
        u64 n1 = ts_cpu(task) & 1023ll;
        TS_WRITE(self->runs[n1], TS_READ(own->home) + 1ll);
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

TS_INLINE struct policy_task *policy_own_running(struct task_struct *task) {
    return ts_own(task);
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
#include "ops/running.h"
#include "ops/tick.h"
#include "ops/init_task.h"
#include "ops/init.h"
TS_SCHEDULER("transect_Locality", TS_OP(select_cpu), TS_OP(enqueue), TS_OP(dispatch), TS_OP(running), TS_OP(tick), TS_OP(init_task), TS_OP(init))
