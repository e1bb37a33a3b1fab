/* SPDX-License-Identifier: Apache-2.0 */
/* `groups none|right|wrong`: four pairs of threads that wake each other by pipes.
 *
 * A thread of group g says that it belongs there (right), or that it belongs apart from its partner (wrong).  Prints
 * how often one woke up, how often on CPU g, how often on another CPU than the time before, and the run time in ns,
 * from when all hints have been heard. */
#include "cpu_timing.h"
#include "locality_hints.h"
#include <pthread.h>

#define GROUPS 4
#define ROUNDS 400

static struct transect scheduler;
static const char *how;
static int pipes[GROUPS][2][2];
static long woken[GROUPS][2], home[GROUPS][2], moved[GROUPS][2];
static int64_t began[2 * GROUPS], ended[2 * GROUPS];
static pthread_barrier_t ready;

static void *member(void *number)
{
	int group = (long)number / 2, side = (long)number % 2, cpu, before = -1;
	char byte = 0;
	if (strcmp(how, "none")) {
		int said = !strcmp(how, "right") ? group : group + side + (side && group % 2);
		if (locality_say_group(&scheduler, 0, said))
			exit(1);
		usleep(500000); /* heard when the scheduler dispatches */
	}
	pthread_barrier_wait(&ready);
	began[(long)number] = nanoseconds(CLOCK_MONOTONIC);
	if (side == 0 && write(pipes[group][1][1], &byte, 1) != 1)
		exit(1);
	for (int n = 0; n < ROUNDS; n++) {
		if (read(pipes[group][side][0], &byte, 1) != 1)
			exit(1);
		cpu = sched_getcpu();
		if (n) { /* at first it may be anywhere */
			woken[group][side]++;
			home[group][side] += cpu == group;
			moved[group][side] += cpu != before;
		}
		before = cpu;
		work(50000);
		if (write(pipes[group][!side][1], &byte, 1) != 1)
			exit(1);
	}
	ended[(long)number] = nanoseconds(CLOCK_MONOTONIC);
	return NULL;
}

int main(int count, char **words)
{
	pthread_t threads[2 * GROUPS];
	char why[256];
	long all = 0, at_home = 0, moves = 0;
	how = count > 1 ? words[1] : "none";
	if (strcmp(how, "none") && locality_attach(&scheduler, why, sizeof(why))) {
		fprintf(stderr, "%s\n", why);
		return 1;
	}
	for (int g = 0; g < GROUPS; g++)
		if (pipe(pipes[g][0]) || pipe(pipes[g][1]))
			return 1;
	pthread_barrier_init(&ready, NULL, 2 * GROUPS);
	for (long n = 0; n < 2 * GROUPS; n++)
		pthread_create(&threads[n], NULL, member, (void *)n);
	for (int n = 0; n < 2 * GROUPS; n++)
		pthread_join(threads[n], NULL);
	int64_t first = began[0], last = ended[0];
	for (int n = 1; n < 2 * GROUPS; n++) {
		first = began[n] < first ? began[n] : first;
		last = ended[n] > last ? ended[n] : last;
	}
	for (int g = 0; g < GROUPS; g++)
		for (int side = 0; side < 2; side++) {
			all += woken[g][side];
			at_home += home[g][side];
			moves += moved[g][side];
		}
	printf("%ld %ld %ld %ld\n", all, at_home, moves, (long)(last - first));
	return 0;
}
