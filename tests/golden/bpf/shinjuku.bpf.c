/* Shinjuku, emitted by transect from shinjuku.py
 * source sha256 d21a0b54af1b148b41e6427a9ed8f7ffb994af63b58ac16d5d0aa144179bc2c0 */
#include "scx.h"

struct policy_state {
    s64 ready;
    s64 quantum;
    s64 due[1024];
};

struct policy_task {
    s64 met;
    s64 ran;
};

TS_STATE(policy)
#include "alarm.h"

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
    s64 at = 0;
    s64 n = 0;
    bool t1 = 0;
    bool t2 = 0;
    s64 t3 = 0;
    ts_option t4 = (ts_option){false, 0};
    s64 t5 = 0;
    if ((s64)task->scx.weight < 100ll) {
        ts_put(call, TS_QUEUE(4161491668u, 0), task);
    } else {
        ts_put_for(call, TS_QUEUE(680887727u, 0), task, 4ll * TS_READ(self->quantum));
        t3 = scx_bpf_nr_cpu_ids();
        t4 = (ts_option){false, 0};
        {
            s64 n2 = 0ll;
            s64 n3 = ts_min(t3, 999ll);
            s64 n4 = ts_rounds(n2, n3, 1ll);
            int n1;
            bpf_for(n1, 0, n4) {
                n = n2 + n1 * 1ll;
                t2 = TS_ELEMENT(self->due, n, 1024) == 1ll;
                if (t2) {
                    t1 = ts_may_run(task, n);
                    t2 = t1;
                }
                if (t2) {
                    t5 = n;
                    if (!t4.some || t5 < (s64)t4.value) {
                        t4 = ts_some(t5);
                    }
                }
            }
        }
        at = t4.some ? (s64)t4.value : -1ll;
        {
            u64 n5 = at & 1023ll;
            ts_lower(&self->due[n5], 0ll);
        }
        ts_preempt(at);
    }
}

TS_HANDLER void policy_do_dispatch(struct policy_state *self, struct policy_task *own, struct ts_call *call, s64 cpu) {
    bool t1 = 0;
    t1 = ts_take(TS_QUEUE(680887727u, 0));
    if (!t1) {
        (void)ts_take(TS_QUEUE(4161491668u, 0));
    }
}

TS_HANDLER void policy_do_running(struct policy_state *self, struct policy_task *own, struct ts_call *call, struct task_struct *task) {
    {
        u64 n1 = ts_cpu(task) & 1023ll;
        TS_WRITE(self->due[n1], (s64)task->scx.weight < 100ll ? 1ll : 0ll);
    }
    ts_set_alarm(TS_READ(self->quantum));
}

TS_HANDLER void policy_do_alarm(struct policy_state *self, struct policy_task *own, struct ts_call *call, s64 cpu) {
    s64 t1 = 0;
    {
        u64 n1 = cpu & 1023ll;
        TS_WRITE(self->due[n1], 1ll);
    }
    t1 = ts_length(TS_QUEUE(680887727u, 0));
    if (t1 > 0ll) {
        {
            u64 n2 = cpu & 1023ll;
            TS_WRITE(self->due[n2], 0ll);
        }
        ts_preempt(cpu);
    }
}

TS_INLINE void policy_first(struct policy_task *own) {
    (void)own;
}

TS_TASKLESS(policy)

TS_INLINE s32 policy_queues(void) {
    s32 failed = 0;
    if (!failed) {
        failed = ts_create(TS_QUEUE(680887727u, 0), 0);
    }
    if (!failed) {
        failed = ts_create(TS_QUEUE(4161491668u, 0), 0);
    }
    return failed;
}

TS_INLINE s64 policy_longest_wait(void) {
    s64 longest = 0;
    {
        s64 waited = ts_longest(TS_QUEUE(680887727u, 0), 0);
        if (waited > longest) {
            longest = waited;
        }
    }
    {
        s64 waited = ts_longest(TS_QUEUE(4161491668u, 0), 0);
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
    return &ts_nobody;
}

TS_INLINE struct policy_task *policy_own_dispatch(struct task_struct *task) {
    return &ts_nobody;
}

TS_INLINE struct policy_task *policy_own_running(struct task_struct *task) {
    return &ts_nobody;
}

TS_INLINE s64 policy_chosen(s64 cpu, s64 before) {
    return cpu;
}

#include "ops/alarm.h"
#include "ops/select_cpu.h"
#include "ops/enqueue.h"
#include "ops/dispatch.h"
#include "ops/running.h"
#include "ops/init.h"
TS_SCHEDULER("transect_Shinjuku", TS_OP(select_cpu), TS_OP(enqueue), TS_OP(dispatch), TS_OP(running), TS_OP(init))
