/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* An alarm for each CPU.  Timers go with the version that set them. */
struct ts_alarm {
	struct bpf_timer timer;
	u64 made;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, TS_CPUS);
	__type(key, u32);
	__type(value, struct ts_alarm);
} ts_alarms SEC(".maps");

static int ts_alarm_rings(void *map, u32 *cpu, struct ts_alarm *alarm);

TS_INLINE void ts_set_alarm(s64 delay)
{
	u32 cpu = bpf_get_smp_processor_id();
	struct ts_alarm *alarm = bpf_map_lookup_elem(&ts_alarms, &cpu);
	if (!alarm)
		return;
	if (!alarm->made) {
		bpf_timer_init(&alarm->timer, &ts_alarms, 1 /* CLOCK_MONOTONIC */);
		bpf_timer_set_callback(&alarm->timer, ts_alarm_rings);
		alarm->made = 1;
	}
	bpf_timer_start(&alarm->timer, delay > 0 ? delay : 1, 2 /* BPF_F_TIMER_CPU_PIN */);
}
