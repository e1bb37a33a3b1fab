/* SPDX-License-Identifier: Apache-2.0 */
/* `late SECONDS`: wakes up every 200 us on CPU 0; prints when it should have, and how late it was, in ns, a line each. */
#include "cpu_timing.h"

#define MOST 400000

int main(int count, char **words)
{
	static int64_t due[MOST], late[MOST];
	int n = 0;
	int64_t next = nanoseconds(CLOCK_MONOTONIC), end = next + atoi(words[count - 1]) * 1000000000ll;
	while (n < MOST && next < end) {
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
