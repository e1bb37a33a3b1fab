/* SPDX-License-Identifier: Apache-2.0 */
/* `memload SECONDS`: asks memcached at 127.0.0.1:11211 for a key, again and again; prints how often it answered. */
#include "cpu_timing.h"
#include <arpa/inet.h>
#include <sys/socket.h>

int main(int count, char **words)
{
	struct sockaddr_in place = { .sin_family = AF_INET, .sin_port = htons(11211) };
	char answer[256];
	long done = 0;
	place.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	int s = socket(AF_INET, SOCK_STREAM, 0);
	for (int tries = 0; connect(s, (struct sockaddr *)&place, sizeof(place)); tries++) {
		if (tries > 100)
			return 1;
		usleep(100000);
	}
	int64_t until = nanoseconds(CLOCK_MONOTONIC) + atoi(words[count - 1]) * 1000000000ll;
	while (nanoseconds(CLOCK_MONOTONIC) < until) {
		if (send(s, "get key\r\n", 9, 0) != 9 || recv(s, answer, sizeof(answer), 0) <= 0)
			return 1;
		done++;
	}
	printf("%ld\n", done);
	return 0;
}
