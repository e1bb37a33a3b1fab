/* Arachne, emitted by transect from arachne.py
 * source sha256 f04ab5bc199af55dfceca8073ba63fff3f9c33dd266b158bffd159eed0e0d1ea */
#include "scx.h"
TS_COUNTERS(5)

struct policy_state {
    s64 ready;
    s64 owner[64];
    s64 rank[64];
    s64 has_overflow;
};

struct policy_task {
    s64 met;
    s64 ran;
};

TS_STATE(policy)
TS_TABLE(policy_table_has, 1024)
#include "hints.h"

TS_HANDLER s64 policy_do_core(struct policy_state *self, struct policy_task *own, struct ts_call *call, struct task_struct *task, s64 cpu) {
    s64 best = 0;
    s64 core = 0;
    bool own_2 = 0;
    bool t1 = 0;
    s64 t2 = 0;
    bool t3 = 0;
    bool t4 = 0;
    t1 = ts_may_run(task, 0ll);
    best = t1 ? 0ll : cpu;
    t2 = scx_bpf_nr_cpu_ids();
    {
        s64 n2 = 1ll;
        s64 n3 = ts_min(t2, 64ll);
        s64 n4 = ts_rounds(n2, n3, 1ll);
        int n1;
        bpf_for(n1, 0, n4) {
            core = n2 + n1 * 1ll;
            t4 = TS_ELEMENT(self->owner, core, 64) == (s64)task->tgid;
            if (t4) {
                t3 = ts_may_run(task, core);
                t4 = t3;
            }
            own_2 = t4;
            best = own_2 && (best == 0ll || core == cpu) ? core : best;
        }
    }
    return best;
    return 0;
}

TS_HANDLER void policy_do_grant(struct policy_state *self, struct policy_task *own, struct ts_call *call, s64 process, s64 count, s64 rank) {
    s64 core = 0;
    bool own_2 = 0;
    s64 t1 = 0;
    t1 = scx_bpf_nr_cpu_ids();
    {
        s64 n2 = 1ll;
        s64 n3 = ts_min(t1, 64ll);
        s64 n4 = ts_rounds(n2, n3, 1ll);
        int n1;
        bpf_for(n1, 0, n4) {
            core = n2 + n1 * 1ll;
            own_2 = TS_ELEMENT(self->owner, core, 64) == process;
            if (own_2 ? ts_table_get_or(&policy_table_has, process, 0) > count : ts_table_get_or(&policy_table_has, process, 0) < count && TS_ELEMENT(self->rank, core, 64) < rank) {
                TS_TELL(TS_ELEMENT(self->owner, core, 64), 2138800154u, core);
                {
                    s64 *n5 = ts_table_word(&policy_table_has, TS_ELEMENT(self->owner, core, 64), 0, &self->has_overflow);
                    if (n5) {
                        ts_add(n5, -1ll);
                    }
                }
                {
                    u64 n6 = core;
                    barrier_var(n6);
                    if (n6 < 64) {
                        TS_WRITE(self->owner[n6], own_2 ? 0ll : process);
                    }
                }
                {
                    u64 n7 = core;
                    barrier_var(n7);
                    if (n7 < 64) {
                        TS_WRITE(self->rank[n7], own_2 ? 0ll : rank);
                    }
                }
                {
                    s64 *n8 = ts_table_word(&policy_table_has, TS_ELEMENT(self->owner, core, 64), 0, &self->has_overflow);
                    if (n8) {
                        ts_add(n8, 1ll);
                    }
                }
                TS_TELL(TS_ELEMENT(self->owner, core, 64), 4213799431u, core);
                ts_preempt(core);
            }
        }
    }
}

TS_HANDLER s64 policy_do_select(struct policy_state *self, struct policy_task *own, struct ts_call *call, struct task_struct *task, s64 cpu) {
    s64 core = 0;
    ts_option idle = (ts_option){false, 0};
    s64 t1 = 0;
    bool t2 = 0;
    core = policy_do_core(self, own, call, task, cpu);
    idle = ts_idle_cpu(call, task, ts_cpu_or(core == 0ll ? cpu : core, ts_cpu(task)));
    core = idle.some && TS_ELEMENT(self->owner, ts_mod((s64)idle.value, 64ll), 64) == TS_ELEMENT(self->owner, ts_mod(core, 64ll), 64) ? (s64)idle.value : core;
    t2 = core > 0ll;
    if (t2) {
        t1 = ts_length(ts_on(TS_QUEUE(680887727u, 0), core, &ts_counters[1]));
        t2 = t1 == 0ll;
    }
    if (t2) {
        ts_start(call, task);
    }
    return core;
    return 0;
}

TS_HANDLER void policy_do_enqueue(struct policy_state *self, struct policy_task *own, struct ts_call *call, struct task_struct *task) {
    s64 core = 0;
    core = policy_do_core(self, own, call, task, ts_cpu(task));
    TS_PLACED(&ts_counters[0], ts_put, call, ts_on(TS_QUEUE(680887727u, 0), core, &ts_counters[2]), task);
    ts_wake_cpu(core);
}

TS_HANDLER void policy_do_dispatch(struct policy_state *self, struct policy_task *own, struct ts_call *call, s64 cpu) {
    bool t1 = 0;
    bool t2 = 0;
    bool t3 = 0;
    t1 = ts_take(ts_at(TS_QUEUE(680887727u, 0), cpu));
    t3 = !t1 && TS_ELEMENT(self->owner, ts_mod(cpu, 64ll), 64) == 0ll;
    if (t3) {
        t2 = ts_take(ts_at(TS_QUEUE(680887727u, 0), 0ll));
        t3 = !t2;
    }
    if (t3) {
        (void)ts_steal(TS_QUEUE(680887727u, 0), cpu, &ts_counters[4]);
    }
}

TS_HANDLER void policy_do_tick(struct policy_state *self, struct policy_task *own, struct ts_call *call, struct task_struct *task) {
}

TS_HANDLER void policy_do_hint(struct policy_state *self, struct policy_task *own, struct ts_call *call, struct task_struct *task, s64 *ask) {
    policy_do_grant(self, own, call, (s64)task->tgid, ask[0], ask[1]);
}

TS_HANDLER void policy_do_detach(struct policy_state *self, struct policy_task *own, struct ts_call *call, s64 process) {
    policy_do_grant(self, own, call, process, 0ll, 0ll);
}

TS_INLINE void policy_first(struct policy_task *own) {
    (void)own;
}

TS_TASKLESS(policy)

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
    return &ts_nobody;
}

TS_INLINE struct policy_task *policy_own_dispatch(struct task_struct *task) {
    return &ts_nobody;
}

TS_INLINE struct policy_task *policy_own_tick(struct task_struct *task) {
    return &ts_nobody;
}

TS_INLINE s64 policy_chosen(s64 cpu, s64 before) {
    return ts_moved(&ts_counters[3], ts_cpu_or(cpu, before), before);
}

TS_INLINE u32 policy_heard(void) {
    return 1691661922u;
}

#include "listen.h"
#include "ops/select_cpu.h"
#include "ops/enqueue.h"
#include "ops/dispatch.h"
#include "ops/tick.h"
#include "ops/init.h"
TS_SCHEDULER("transect_Arachne", TS_OP(select_cpu), TS_OP(enqueue), TS_OP(dispatch), TS_OP(tick), TS_OP(init))
