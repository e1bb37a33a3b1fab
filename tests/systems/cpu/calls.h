/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Calls of one handler with many arguments, without a scheduler: for comparing it with the interpreter. */
struct calls {
	s64 count;
	s64 args[64];
};

SEC("syscall")
s32 ts_calls(struct calls *calls)
{
	struct policy_state *self = ts_state();
	struct ts_call call = { 0 };
	int n;
	if (!self)
		return -1;
	bpf_for(n, 0, 64) {
		if (n >= calls->count)
			break;
		TS_BEGIN(alarm, 0, calls->args[n & 63], 0);
		policy_do_alarm(self, NULL, &call, calls->args[n & 63]);
		TS_END(0);
	}
	return 0;
}
