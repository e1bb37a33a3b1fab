/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Hints reach the policy when a CPU dispatches, and at ticks: each time from one seat, in turn, and few at once. */
struct ts_ear {
	u32 number;
	u32 taken;
};

static long ts_hear(struct bpf_dynptr *sample, struct ts_ear *ear)
{
	struct ts_message message;
	struct ts_seat *seat = ts_seat(ear->number);
	struct policy_state *self = ts_state();
	struct ts_call call = { 0 };
	if (!seat)
		return 1;
	if (bpf_dynptr_read(&message, sizeof(message), sample, 0, 0)) {
		ts_add(&seat->short_, 1);
		return ++ear->taken >= TS_AT_ONCE;
	}
	if (message.kind != policy_heard()) {
		ts_add(&seat->unknown, 1);
		return ++ear->taken >= TS_AT_ONCE;
	}
	struct task_struct *task = bpf_task_from_pid(message.thread);
	if (!task) {
		ts_add(&seat->strange, 1);
		return ++ear->taken >= TS_AT_ONCE;
	}
	struct policy_task *own = ts_own(task);
	if (task->tgid != seat->process || !own) {
		ts_add(&seat->strange, 1);
	} else {
		ts_add(&seat->heard, 1);
		TS_BEGIN(hint, message.thread, 0, 0);
		policy_do_hint(self, own, &call, task, message.numbers);
		TS_END(0);
	}
	bpf_task_release(task);
	return ++ear->taken >= TS_AT_ONCE;
}

/* One CPU hears at a time; the others go on and do not wait. */
TS_INLINE bool ts_attend(struct ts_seat *all) { return __sync_val_compare_and_swap(&all->told, 0, 1) == 0; }
TS_INLINE void ts_attended(struct ts_seat *all) { __sync_fetch_and_add(&all->told, -1); }

static __attribute__((noinline)) int ts_listen(u64 now)
{
	struct ts_seat *all = ts_seat(TS_SEATS);
	u64 seats = all ? TS_READ(all->process) : 0;
	struct ts_ear ear = { 0 };
	if (!seats)
		return 0;
	ear.number = (u64)__sync_fetch_and_add(&all->looked, 1) % seats;
	struct ts_seat *seat = ts_seat(ear.number);
	void *box = bpf_map_lookup_elem(&ts_inboxes, &ear.number);
	if (!seat || !box || now - (u64)TS_READ(seat->looked) < TS_PAUSE || !ts_attend(all))
		return 0;
	bpf_user_ringbuf_drain(box, ts_hear, &ear, BPF_RB_NO_WAKEUP);
	ts_attended(all);
	if (ear.taken) /* the fewer, the sooner again */
		TS_WRITE(seat->looked, now - TS_PAUSE + ear.taken * (TS_PAUSE / TS_AT_ONCE));
	return 0;
}

#define TS_LISTEN ts_listen(scx_bpf_now())

/* The loader says that an application has gone; 1: another CPU hears, try again. */
SEC("syscall") s32 ts_detach(struct ts_message *gone)
{
	struct ts_seat *all = ts_seat(TS_SEATS);
	struct policy_state *self = ts_state();
	struct ts_call call = { 0 };
	if (!all)
		return 0;
	if (!ts_attend(all))
		return 1;
	TS_BEGIN(detach, 0, gone->numbers[0], 0);
	policy_do_detach(self, NULL, &call, gone->numbers[0]);
	TS_END(0);
	ts_attended(all);
	return 0;
}
