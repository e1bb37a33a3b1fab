/* SPDX-License-Identifier: Apache-2.0 */
/* An application under the core arbiter.
 *
 * `application sleeper COUNT`: asks for a core and wakes up on it every 5 ms; prints how late.
 * `application bare COUNT`: the same, without asking.
 * `application changing SECONDS`: asks for 0 to 2 cores, in turn, at the lowest priority, and uses them.
 * `application exec PROGRAM …`: asks for one core, and becomes that program: its threads run there. */
#include "cpu_timing.h"
#include "watched_hints.h"
#include <fcntl.h>
#include <pthread.h>

static struct transect scheduler;

static void attach(void)
{
	char why[256];
	if (watched_attach(&scheduler, why, sizeof(why))) {
		fprintf(stderr, "%s\n", why);
		exit(1);
	}
}

/* Ask until we have it. */
static void ask(int cores, int priority)
{
	struct transect_message message;
	int64_t core;
	for (int tries = 0; tries < 200; tries++) {
		watched_say_cores(&scheduler, 0, cores, priority);
		if (transect_hear(&scheduler, &message, 50) && watched_is_granted(&message, &core))
			return;
	}
	fprintf(stderr, "no core was granted\n");
	exit(1);
}

static void *spin(void *until)
{
	while (nanoseconds(CLOCK_MONOTONIC) < *(int64_t *)until) {
		work(2000000);
		usleep(1000);
	}
	return NULL;
}

static void changing(int seconds)
{
	int64_t until = nanoseconds(CLOCK_MONOTONIC) + seconds * 1000000000ll;
	pthread_t threads[2];
	for (int n = 0; n < 2; n++)
		pthread_create(&threads[n], NULL, spin, &until);
	for (int n = 0; nanoseconds(CLOCK_MONOTONIC) < until; n++) {
		watched_say_cores(&scheduler, 0, n % 3, 1);
		usleep(100000);
	}
	for (int n = 0; n < 2; n++)
		pthread_join(threads[n], NULL);
}

int main(int count, char **words)
{
	static int64_t late[10000];
	const char *how = count > 2 ? words[1] : "";
	if (strcmp(how, "bare"))
		attach();
	if (!strcmp(how, "exec")) {
		ask(1, 3);
		fcntl(scheduler.socket, F_SETFD, 0); /* the place is ours as long as it is open */
		execv(words[2], words + 2);
		perror(words[2]);
		return 1;
	}
	if (!strcmp(how, "changing")) {
		changing(atoi(words[2]));
		return 0;
	}
	if (!strcmp(how, "sleeper"))
		ask(1, 5);
	sleeper(5000000, atoi(words[2]), late);
	print_percentiles(late, atoi(words[2]));
	return 0;
}
