/* SPDX-License-Identifier: Apache-2.0 */
/* `wake plain|urgent`: wakes up every 5 ms, and prints how late: p50, p90, p99 in ns. */
#include "cpu_timing.h"
#include "first_hints.h"

#define COUNT 200

int main(int count, char **words)
{
	static int64_t late[COUNT];
	struct transect scheduler;
	char why[256];
	if (count > 1 && !strcmp(words[1], "urgent")) {
		if (first_attach(&scheduler, why, sizeof(why)) || first_say_urgent(&scheduler, 0, 1)) {
			fprintf(stderr, "%s\n", why);
			return 1;
		}
		usleep(300000); /* it is heard when the scheduler dispatches */
	}
	sleeper(5000000, COUNT, late);
	print_percentiles(late, COUNT);
	return 0;
}
