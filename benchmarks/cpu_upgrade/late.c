/* SPDX-License-Identifier: Apache-2.0 */
/* `late`: wakes up every 200 us until SIGTERM; prints when it should have, and how late it was, in ns, a line each. */
#include "cpu_timing.h"
#include <signal.h>

#define MOST 400000

static volatile sig_atomic_t done;

static void end(int signal) { done = signal; }

int main(void)
{
	static int64_t due[MOST], late[MOST];
	int n = 0;
	int64_t next = nanoseconds(CLOCK_MONOTONIC);
	signal(SIGTERM, end);
	while (n < MOST && !done) {
		next += 200000;
		int64_t now = nanoseconds(CLOCK_MONOTONIC);
		if (next < now)
			next = now + 200000;
		sleep_until(next);
		due[n] = next;
		late[n++] = nanoseconds(CLOCK_MONOTONIC) - next;
	}
	for (int i = 0; i < n; i++)
		printf("%ld %ld\n", (long)due[i], (long)late[i]);
	return 0;
}
