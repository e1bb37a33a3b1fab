/* SPDX-License-Identifier: Apache-2.0 */
/* A policy's driver (emit/c/runtime/driver.h) as a WASI command: three streams, random bytes, an end.  Any WASI host runs
 * it; of wasi_snapshot_preview1 it needs four functions.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define IMPORT(name) __attribute__((import_module("wasi_snapshot_preview1"), import_name(#name)))

struct piece {
    const void *data;
    size_t size;
};

IMPORT(fd_read) int wasi_fd_read(int file, const struct piece *pieces, size_t count, size_t *size);
IMPORT(fd_write) int wasi_fd_write(int file, const struct piece *pieces, size_t count, size_t *size);
IMPORT(random_get) int wasi_random_get(void *to, size_t size);
IMPORT(proc_exit) _Noreturn void wasi_proc_exit(int code);

enum { ROOM = 65536 };

struct ts_file {
    size_t at, size;
    unsigned char data[ROOM];
};

static struct ts_file files[3]; /* by the numbers that a host knows them by */
FILE *const stdin = &files[0], *const stdout = &files[1], *const stderr = &files[2];

_Noreturn void exit(int code) {
    fflush(stdout);
    wasi_proc_exit(code);
}

ssize_t getrandom(void *to, size_t size, unsigned how) {
    (void)how;
    return wasi_random_get(to, size) ? -1 : (ssize_t)size;
}

static int number_of(const FILE *f) {
    return (int)(f - files);
}

static int fill(FILE *f) {
    struct piece into = {f->data, ROOM};
    f->at = f->size = 0;
    return wasi_fd_read(number_of(f), &into, 1, &f->size) == 0 && f->size > 0;
}

int getchar(void) {
    if (stdin->at == stdin->size && !fill(stdin)) return EOF;
    return stdin->data[stdin->at++];
}

size_t fread(void *to, size_t size, size_t count, FILE *from) {
    size_t wanted = size * count, done = 0;
    while (done < wanted && (from->at < from->size || fill(from))) {
        size_t some = from->size - from->at < wanted - done ? from->size - from->at : wanted - done;
        memcpy((char *)to + done, from->data + from->at, some);
        from->at += some;
        done += some;
    }
    return size ? done / size : 0;
}

int fflush(FILE *to) {
    while (to->at < to->size) {
        struct piece rest = {to->data + to->at, to->size - to->at};
        size_t written = 0;
        if (wasi_fd_write(number_of(to), &rest, 1, &written)) wasi_proc_exit(3);
        to->at += written;
    }
    to->at = to->size = 0;
    return 0;
}

size_t fwrite(const void *from, size_t size, size_t count, FILE *to) {
    const char *data = from;
    for (size_t left = size * count; left;) {
        size_t some = ROOM - to->size < left ? ROOM - to->size : left;
        memcpy(to->data + to->size, data, some);
        to->size += some;
        data += some;
        left -= some;
        if (to->size == ROOM) fflush(to);
    }
    return count;
}

int putchar(int byte) {
    unsigned char one = (unsigned char)byte;
    fwrite(&one, 1, 1, stdout);
    return one;
}

int fprintf(FILE *to, const char *format, ...) {
    const char *hole = memmem(format, strlen(format), "%s", 2);
    va_list args;
    va_start(args, format);
    if (hole) {
        const char *text = va_arg(args, const char *);
        fwrite(format, 1, (size_t)(hole - format), to);
        fwrite(text, 1, strlen(text), to);
        format = hole + 2;
    }
    fwrite(format, 1, strlen(format), to);
    va_end(args);
    return fflush(to);
}

int ts_main(void); /* the driver's `main` */

__attribute__((export_name("_start"))) void ts_start(void) {
    exit(ts_main());
}
