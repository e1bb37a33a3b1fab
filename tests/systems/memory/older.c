// SPDX-License-Identifier: Apache-2.0
// First process of a machine with an older kernel: loads a module, starts some processes, waits for ever.
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

static void *idle(void *nothing) {
    for (;;) pause();
    return nothing;
}

int main(void) {
    int module = open("/module.ko", O_RDONLY);
    if (module < 0 || syscall(SYS_finit_module, module, "", 0) != 0) perror("transect: the module");
    for (int i = 0; i < 4; i++) {
        if (fork() == 0) {
            pthread_t thread;
            if (i % 2) setuid(1000);
            pthread_create(&thread, NULL, idle, NULL);
            idle(NULL);
        }
    }
    sleep(1);
    puts("transect: ready");
    fflush(stdout);
    idle(NULL);
}
