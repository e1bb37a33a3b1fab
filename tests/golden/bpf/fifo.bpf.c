/* FirstCome, emitted by transect from fifo.py
 * source sha256 120378e7e6af5b3f5a9d77802100aed0becea56835189ce548cb23f67843f175 */
#include "scx.h"

struct policy_state {
    s64 ready;
};

struct policy_task {
    s64 met;
    s64 ran;
};

TS_STATE(policy)

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
    ts_put(call, TS_QUEUE(680887727u, 0), task);
}

TS_HANDLER void policy_do_dispatch(struct policy_state *self, struct policy_task *own, struct ts_call *call, s64 cpu) {
    (void)ts_take(TS_QUEUE(680887727u, 0));
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

TS_INLINE s64 policy_chosen(s64 cpu, s64 before) {
    return cpu;
}

#include "ops/select_cpu.h"
#include "ops/enqueue.h"
#include "ops/dispatch.h"
#include "ops/init.h"
TS_SCHEDULER("transect_FirstCome", TS_OP(select_cpu), TS_OP(enqueue), TS_OP(dispatch), TS_OP(init))
