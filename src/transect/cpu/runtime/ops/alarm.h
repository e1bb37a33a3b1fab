/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The time of `set_alarm` has come. */
static int ts_alarm_rings(void *map, u32 *cpu, struct ts_alarm *alarm)
{
	struct policy_state *self = ts_state();
	struct ts_call call = { 0 };
	TS_BEGIN(alarm, 0, *cpu, 0);
	policy_do_alarm(self, NULL, &call, *cpu);
	TS_END(0);
	return 0;
}

/* The version goes, and its alarms: whoever runs in a slice that one of them would have ended begins another. */
SEC("syscall")
s32 ts_end_slices(void *ctx)
{
	int cpu, cpus = scx_bpf_nr_cpu_ids();
	bpf_for(cpu, 0, cpus)
		scx_bpf_kick_cpu(cpu, SCX_KICK_PREEMPT);
	return 0;
}
