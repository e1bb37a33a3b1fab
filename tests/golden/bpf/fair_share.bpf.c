/* FairShare, emitted by transect from fair_share.py
 * source sha256 2463482cf1432477a0609817266fb05dcdcecb3c37928cc6632812b80d231680 */
#include "scx.h"

struct policy_state {
    s64 ready;
    s64 level;
};

struct policy_task {
    s64 met;
    s64 ran;
    s64 served;
};

TS_STATE(policy)

TS_HANDLER void policy_do_arrive(struct policy_state *self, struct policy_task *own, struct ts_call *call, struct task_struct *client) {
    s64 floor = 0;
    struct task_struct *c = 0;
    floor = ts_first(TS_QUEUE(1759153582u, 0), TS_READ(self->level));
    ts_raise(&own->served, floor);
}

TS_HANDLER int policy_do_pick(struct policy_state *self, struct policy_task *own, struct ts_call *call) {
    int chosen = 0;
    int item = 0;
    ts_raise(&self->level, ts_first(TS_QUEUE(1759153582u, 0), 0));
    return 0;
    return 0;
}

TS_HANDLER void policy_do_charge(struct policy_state *self, struct policy_task *own, struct ts_call *call, struct task_struct *client, s64 cost) {
    ts_add(&own->served, cost);
}

TS_INLINE s64 policy_key(struct policy_task *own) {
    return own->served;
}

TS_INLINE u64 policy_queue(void) {
    u64 queue = TS_QUEUE(1759153582u, 0);
    return queue;
}

#include "arbiter.h"

TS_INLINE struct policy_task *policy_own_select_cpu(struct task_struct *task) {
    return ts_own(task);
}

TS_INLINE struct policy_task *policy_own_enqueue(struct task_struct *task) {
    return ts_own(task);
}

TS_INLINE struct policy_task *policy_own_dispatch(struct task_struct *task) {
    return ts_own(task);
}

TS_INLINE struct policy_task *policy_own_stopping(struct task_struct *task) {
    return ts_own(task);
}

TS_INLINE struct policy_task *policy_own_enable(struct task_struct *task) {
    return ts_own(task);
}

TS_INLINE struct policy_task *policy_own_init_task(struct task_struct *task) {
    return ts_own(task);
}

TS_INLINE struct policy_task *policy_own_init(struct task_struct *task) {
    return ts_own(task);
}

TS_INLINE s64 policy_chosen(s64 cpu, s64 before) {
    return cpu;
}

#include "ops/select_cpu.h"
#include "ops/enqueue.h"
#include "ops/dispatch.h"
#include "ops/stopping.h"
#include "ops/enable.h"
#include "ops/init_task.h"
#include "ops/init.h"
TS_SCHEDULER("transect_FairShare", TS_OP(select_cpu), TS_OP(enqueue), TS_OP(dispatch), TS_OP(stopping), TS_OP(enable), TS_OP(init_task), TS_OP(init))
