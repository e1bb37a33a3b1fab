/* Locality, emitted by transect from locality.py
 * source sha256 2bc6ee5f8a6171802e75d4bd4e37d632cd2100ff5b195e580c741b4cde4b3bb2 */
#include "scx.h"

struct policy_state {
    s64 ready;
};

struct policy_task {
    s64 met;
    s64 ran;
};

TS_STATELESS(policy)

TS_HANDLER s64 policy_do_home(struct policy_state *self, struct policy_task *own, struct ts_call *call, struct task_struct *task) {
    s64 home = 0;
    s64 t1 = 0;
    bool t2 = 0;
    bool t3 = 0;
    t1 = scx_bpf_nr_cpu_ids();
    home = ts_mod(ts_hinted(task), t1);
    t3 = ts_hinted(task) > 0ll;
    if (t3) {
        t2 = ts_may_run(task, home);
        t3 = t2;
    }
    return t3 ? home : -1ll;
    return 0;
}

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
    s64 home = 0;
    s64 t1 = 0;
    s64 t2 = 0;
    home = policy_do_home(self, own, call, task);
    if (home >= 0ll) {
        t2 = home;
    } else {
        t1 = policy_do_Scheduler_2e_select(self, own, call, task, cpu);
        t2 = t1;
    }
    return t2;
    return 0;
}

TS_HANDLER void policy_do_enqueue(struct policy_state *self, struct policy_task *own, struct ts_call *call, struct task_struct *task) {
    s64 home = 0;
    home = policy_do_home(self, own, call, task);
    if (home >= 0ll) {
        ts_put(call, ts_on(TS_QUEUE(2645347283u, 0), home), task);
        ts_wake_cpu(home);
    } else {
        ts_put(call, TS_QUEUE(1433039014u, 0), task);
    }
}

TS_HANDLER void policy_do_dispatch(struct policy_state *self, struct policy_task *own, struct ts_call *call, s64 cpu) {
    bool t1 = 0;
    t1 = ts_take(ts_on(TS_QUEUE(2645347283u, 0), cpu));
    if (!t1) {
        (void)ts_take(TS_QUEUE(1433039014u, 0));
    }
}

TS_HANDLER void policy_do_running(struct policy_state *self, struct policy_task *own, struct ts_call *call, struct task_struct *task) {
}

TS_INLINE void policy_first(struct policy_task *own) {
    (void)own;
}

TS_TASKLESS(policy)

TS_INLINE s32 policy_queues(void) {
    s32 failed = 0;
    if (!failed) {
        failed = ts_create(TS_QUEUE(2645347283u, 0), true);
    }
    if (!failed) {
        failed = ts_create(TS_QUEUE(1433039014u, 0), false);
    }
    return failed;
}

TS_INLINE s64 policy_longest_wait(void) {
    s64 longest = 0;
    {
        s64 waited = ts_longest(TS_QUEUE(2645347283u, 0), true);
        if (waited > longest) {
            longest = waited;
        }
    }
    {
        s64 waited = ts_longest(TS_QUEUE(1433039014u, 0), false);
        if (waited > longest) {
            longest = waited;
        }
    }
    return longest;
}

#include "ops/select_cpu.h"
#include "ops/enqueue.h"
#include "ops/dispatch.h"
#include "ops/init.h"
TS_SCHEDULER("transect_Locality", TS_OP(select_cpu), TS_OP(enqueue), TS_OP(dispatch), TS_OP(init))
