/* ByTenant, emitted by transect from by_tenant.py
 * source sha256 8d69061a40aa5bf0858d9a7aa802da7ae5fe13c5152915877b250169452f0afa */
#include "scx.h"
TS_COUNTERS(1)

struct policy_state {
    s64 ready;
    s64 tenants[64];
    s64 weights[64];
    s64 time[64];
    s64 level;
};

struct policy_task {
    s64 met;
    s64 ran;
    s64 lane;
    s64 until;
    s64 unpaid;
    s64 stopped;
};

TS_STATE(policy)
#include "hints.h"

TS_HANDLER s64 policy_do_due(struct policy_state *self, struct policy_task *own, struct ts_call *call) {
    s64 later = 0;
    s64 middle = 0;
    s64 first = 0;
    s64 t1 = 0;
    s64 t2 = 0;
    t1 = ts_now(call);
    later = (s64)t1 + 1000000000ll;
    t2 = ts_now(call);
    first = (s64)t2;
    middle = TS_READ(own->until);
    return first < middle && middle < later ? TS_READ(own->until) : later;
    return 0;
}

TS_HANDLER void policy_do_pay(struct policy_state *self, struct policy_task *own, struct ts_call *call, struct task_struct *task, s64 keep) {
    s64 ran = 0;
    s64 t1 = 0;
    t1 = ts_used(&own->ran, task);
    ran = TS_READ(own->unpaid) + t1;
    TS_WRITE(own->unpaid, ts_min(ran, ts_max(keep, 0ll)));
    {
        u64 n1 = TS_READ(own->lane) & 63ll;
        ts_add(&self->time[n1], ts_floordiv((ran - TS_READ(own->unpaid)) * 100ll, ts_max(TS_READ(self->weights[TS_READ(own->lane) & 63ll]), 1ll)));
    }
}

TS_HANDLER s64 policy_do_next(struct policy_state *self, struct policy_task *own, struct ts_call *call, s64 first) {
    s64 best = 0;
    s64 n = 0;
    bool behind = 0;
    s64 t1 = 0;
    bool t2 = 0;
    best = first;
    {
        s64 n2 = 0ll;
        s64 n3 = 64ll;
        s64 n4 = ts_rounds(n2, n3, 1ll);
        int n1;
        bpf_for(n1, 0, n4) {
            n = n2 + n1 * 1ll;
            behind = TS_ELEMENT(self->weights, n, 64) > 0ll && (best < 0ll || TS_ELEMENT(self->time, n, 64) < TS_READ(self->time[best & 63ll]));
            t2 = behind;
            if (t2) {
                t1 = ts_length(ts_lane(TS_QUEUE(680887727u, 0), n));
                t2 = t1 > 0ll;
            }
            if (t2) {
                best = n;
            }
        }
    }
    ts_raise(&self->level, TS_READ(self->time[best & 63ll]));
    return best;
    return 0;
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
    s64 others = 0;
    s64 t1 = 0;
    {
        u64 n1 = TS_READ(own->lane) & 63ll;
        ts_raise(&self->time[n1], TS_READ(self->level) - 20000000ll);
    }
    others = ts_length(ts_lane(TS_QUEUE(680887727u, 0), TS_READ(own->lane)));
    t1 = policy_do_due(self, own, call);
    ts_put_at_for(call, ts_lane(TS_QUEUE(680887727u, 0), TS_READ(own->lane)), task, t1, (s64)(ts_floordiv(20000ll, 1ll + ts_floordiv(others, 8ll)) * 1000ll));
    if (TS_READ(self->time[TS_READ(own->lane) & 63ll]) < TS_READ(self->level)) {
        ts_preempt(ts_cpu(task));
    }
}

TS_HANDLER bool policy_do_keep(struct policy_state *self, struct policy_task *own, struct ts_call *call, struct task_struct *task, s64 cpu) {
    s64 due = 0;
    s64 t1 = 0;
    s64 t2 = 0;
    bool t3 = 0;
    policy_do_pay(self, own, call, task, 0ll);
    due = policy_do_due(self, own, call);
    t1 = policy_do_next(self, own, call, TS_READ(own->lane));
    t3 = t1 == TS_READ(own->lane);
    if (t3) {
        t2 = ts_first(ts_lane(TS_QUEUE(680887727u, 0), TS_READ(own->lane)), due);
        t3 = t2 >= due;
    }
    return t3;
    return 0;
}

TS_HANDLER void policy_do_dispatch(struct policy_state *self, struct policy_task *own, struct ts_call *call, s64 cpu) {
    s64 t1 = 0;
    bool t2 = 0;
    s64 t3 = 0;
    t1 = policy_do_next(self, own, call, -1ll);
    t2 = ts_take(ts_lane(TS_QUEUE(680887727u, 0), t1));
    if (!t2) {
        t3 = ts_rand_below(64ll);
        (void)ts_steal_lane(TS_QUEUE(680887727u, 0), t3, &ts_counters[0]);
    }
}

TS_HANDLER void policy_do_running(struct policy_state *self, struct policy_task *own, struct ts_call *call, struct task_struct *task) {
    policy_do_pay(self, own, call, task, 0ll);
}

TS_HANDLER void policy_do_stopping(struct policy_state *self, struct policy_task *own, struct ts_call *call, struct task_struct *task, bool runnable) {
    s64 t1 = 0;
    t1 = ts_now(call);
    TS_WRITE(own->stopped, (s64)t1);
}

TS_HANDLER void policy_do_tick(struct policy_state *self, struct policy_task *own, struct ts_call *call, struct task_struct *task) {
}

TS_HANDLER void policy_do_hint(struct policy_state *self, struct policy_task *own, struct ts_call *call, struct task_struct *task, s64 *said) {
    s64 ran_until = 0;
    s64 n = 0;
    s64 t1 = 0;
    s64 t2 = 0;
    ts_option t3 = (ts_option){false, 0};
    s64 t4 = 0;
    if (TS_READ(own->stopped) > said[2]) {
        t2 = TS_READ(own->stopped);
    } else {
        t1 = ts_now(call);
        t2 = (s64)t1;
    }
    ran_until = t2;
    policy_do_pay(self, own, call, task, ran_until - said[2]);
    t3 = (ts_option){false, 0};
    {
        s64 n2 = 0ll;
        s64 n3 = 64ll;
        s64 n4 = ts_rounds(n2, n3, 1ll);
        int n1;
        bpf_for(n1, 0, n4) {
            n = n2 + n1 * 1ll;
            if (TS_ELEMENT(self->tenants, n, 64) == said[0]) {
                t4 = n;
                if (!t3.some || t4 < (s64)t3.value) {
                    t3 = ts_some(t4);
                }
            }
        }
    }
    TS_WRITE(own->lane, t3.some ? (s64)t3.value : 0ll);
    TS_WRITE(own->until, said[1]);
}

TS_HANDLER void policy_do_detach(struct policy_state *self, struct policy_task *own, struct ts_call *call, s64 process) {
}

TS_INLINE void policy_first(struct policy_task *own) {
    (void)own;
}

TS_MEET(policy)

TS_INLINE s32 policy_queues(void) {
    s32 failed = 0;
    if (!failed) {
        failed = ts_create(TS_QUEUE(680887727u, 0), 3);
    }
    return failed;
}

TS_INLINE s64 policy_longest_wait(void) {
    s64 longest = 0;
    {
        s64 waited = ts_longest(TS_QUEUE(680887727u, 0), 3);
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

TS_INLINE struct policy_task *policy_own_stopping(struct task_struct *task) {
    return ts_known(task);
}

TS_INLINE struct policy_task *policy_own_tick(struct task_struct *task) {
    return &ts_nobody;
}

TS_INLINE struct policy_task *policy_own_init_task(struct task_struct *task) {
    return ts_own(task);
}

TS_INLINE s64 policy_chosen(s64 cpu, s64 before) {
    return cpu;
}

#include "keep.h"

TS_INLINE u32 policy_heard(void) {
    return 3313995122u;
}

#include "listen.h"
#include "ops/select_cpu.h"
#include "ops/enqueue.h"
#include "ops/dispatch.h"
#include "ops/running.h"
#include "ops/stopping.h"
#include "ops/tick.h"
#include "ops/init_task.h"
#include "ops/enable.h"
#include "ops/init.h"
TS_SCHEDULER("transect_ByTenant", TS_OP(select_cpu), TS_OP(enqueue), TS_OP(dispatch), TS_OP(running), TS_OP(stopping), TS_OP(tick), TS_OP(init_task), TS_OP(enable), TS_OP(init))
