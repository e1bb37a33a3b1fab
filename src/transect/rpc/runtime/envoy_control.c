/* SPDX-License-Identifier: Apache-2.0 */
/* How a running module is asked and told: a thread on a Unix socket (mode 0600, peer's user checked), away from the data
 * port and from Envoy's workers.
 *
 * One request: `u32 size; u8 verb; rest`; one answer: `u32 size; u8 ok; rest`; little-endian.  docs/design/envoy-carrier.md
 * lists the verbs.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "envoy_module.h"

enum { MAX_REQUEST = 64 << 20 };

struct keeper {
    pthread_t thread;
    struct config *config;
    int listener;
    int stop[2]; /* a pipe */
    int forgotten;
};


/* --- answers ------------------------------------------------------------------------------------------------------ */

static void print(struct bytes *to, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void print(struct bytes *to, const char *format, ...) {
    char text[256];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (n > 0) bytes_add(to, text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1);
}

static void print_list(struct bytes *to, const char *name, _Atomic uint64_t *counters, size_t many) {
    print(to, ",\"%s\":[", name);
    for (size_t i = 0; i < many; i++) print(to, "%s%llu", i ? "," : "", (unsigned long long)atomic_load(&counters[i]));
    print(to, "]");
}

/* [[ns, [bucket, count, …]], …]: of whole RPCs, then of each element. */
static void print_times(struct config *c, struct bytes *to) {
    print(to, ",\"times\":[");
    for (uint32_t i = 0; i <= c->elements; i++) {
        const char *comma = "";
        print(to, "%s[%llu,[", i ? "," : "", (unsigned long long)__atomic_load_n(&c->times[i].sum, __ATOMIC_RELAXED));
        for (int b = 0; b < TS_TIMES; b++) {
            uint64_t count = __atomic_load_n(&c->times[i].buckets[b], __ATOMIC_RELAXED);
            if (!count) continue;
            print(to, "%s%d,%llu", comma, b, (unsigned long long)count);
            comma = ",";
        }
        print(to, "]]");
    }
    print(to, "]");
}

/* No stream is on it, and, once nobody names it, none can come. */
static int let_go(struct config *c) {
    return atomic_load(&c->gone) && !atomic_load(&c->guests);
}

static int status(struct config *c, struct bytes *to) {
    struct totals *t = &c->totals;
    uint64_t records, dropped;
    struct { const char *name; _Atomic uint64_t *value; } plain[] = {
        {"rpcs", &t->rpcs}, {"requests", &t->requests}, {"responses", &t->responses}, {"rewritten", &t->rewritten},
        {"delayed", &t->delayed}, {"compressed", &t->compressed},
        {"malformed", &t->malformed}, {"bad_headers", &t->bad_headers}, {"refused", &t->refused},
        {"traced", &t->traced}, {"traces_left_out", &t->traces_left_out},
    };
    recorder_counts(c->recorder, &records, &dropped);
    print(to, "{\"recording\":%s,\"records\":%llu,\"dropped\":%llu", recording(c->recorder) ? "true" : "false",
          (unsigned long long)records, (unsigned long long)dropped);
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
        print(to, ",\"%s\":%llu", plain[i].name, (unsigned long long)atomic_load(plain[i].value));
    print(to, ",\"finishes\":%llu", (unsigned long long)finishes_of(t));
    print_list(to, "causes", t->causes, 5);
    print_list(to, "rejected", t->rejected, MAX_ELEMENTS);
    print_list(to, "responded", t->responded, MAX_ELEMENTS);
    print_list(to, "withheld", t->withheld, MAX_ELEMENTS);
    print_times(c, to);
    if (c->identity) {
        print_list(to, "words", t->words, WORDS);
        print(to, ",\"anonymous\":%llu", (unsigned long long)atomic_load(&t->anonymous));
        print(to, ",\"vouched\":%llu", (unsigned long long)atomic_load(&t->vouched));
    }
    print(to, ",\"open\":%lld,\"gone\":%s}", (long long)open_of(t), let_go(c) ? "true" : "false");
    return 1;
}

static void put32(uint8_t *to, uint32_t n) {
    for (int i = 0; i < 4; i++) to[i] = (uint8_t)(n >> 8 * i);
}

static uint32_t get32(const uint8_t *from) {
    return from[0] | (uint32_t)from[1] << 8 | (uint32_t)from[2] << 16 | (uint32_t)from[3] << 24;
}

/* The image may grow between asking for its size and copying it. */
static int save(struct config *c, uint32_t element, struct bytes *to) {
    for (size_t room = 4096;;) {
        uint8_t *image = malloc(room);
        if (!image) return 0;
        size_t size = ts_chain_save(c->chain, element, image, room);
        if (size <= room) bytes_add(to, image, size);
        free(image);
        if (size <= room) return 1;
        room = size + size / 8;
    }
}

static void add32(struct bytes *to, uint32_t n) {
    uint8_t bytes[4];
    put32(bytes, n);
    bytes_add(to, bytes, sizeof bytes);
}

/* The state of every element, each with its size before it. */
static void add_images(struct config *c, struct bytes *to) {
    for (uint32_t i = 0; i < c->elements; i++) {
        struct bytes image = {0};
        save(c, i, &image);
        add32(to, (uint32_t)image.size);
        bytes_add(to, image.data, image.size);
        bytes_free(&image);
    }
}

/* Records, drops, and the state that the recording ended with. */
static void end_recording(struct config *c, struct bytes *to) {
    uint64_t records, dropped;
    pthread_rwlock_wrlock(&c->gate);
    recorder_stop(c->recorder);
    recorder_counts(c->recorder, &records, &dropped);
    add32(to, (uint32_t)records);
    add32(to, (uint32_t)dropped);
    add_images(c, to);
    pthread_rwlock_unlock(&c->gate);
}

/* It is not wanted any more; whether Envoy has not let it go by now. */
static int release(struct config *c) {
    atomic_store(&c->kept, 0);
    return !atomic_load(&c->gone);
}

/* u32 element, u32 size, image, another image: that takes the place of the state if the state still is the first. */
static int replace(struct config *c, const uint8_t *r, size_t size) {
    struct bytes now = {0};
    uint32_t element = get32(r), expected = get32(r + 4);
    if (expected > size - 8) return 0;
    pthread_rwlock_wrlock(&c->gate);
    int done = save(c, element, &now) && now.size == expected && (expected == 0 || memcmp(now.data, r + 8, expected) == 0) &&
               ts_chain_load(c->chain, element, r + 8 + expected, size - 8 - expected) == 0;
    pthread_rwlock_unlock(&c->gate);
    bytes_free(&now);
    return done;
}

/* Returns whether it was done; what else there is to say goes to `to`. */
static int answer(struct config *c, const uint8_t *r, size_t size, struct bytes *to) {
    switch (size ? r[0] : 0) {
    case 's': return status(c, to);
    case 'd': return bytes_add(to, ts_chain_description, strlen(ts_chain_description)), 1;
    case 'g': return size == 5 && save(c, get32(r + 1), to);
    case 'p': return size >= 5 && ts_chain_load(c->chain, get32(r + 1), r + 5, size - 5) == 0;
    case 'R': return end_recording(c, to), 1;
    case 'k': return atomic_store(&c->kept, 1), 1;
    case 'u': return release(c);
    case 'v': return edge_table(c, (const char *)r + 1, size - 1);
    case 'i': return size >= 9 && replace(c, r + 1, size - 1);
    default: print(to, "no such verb"); return 0;
    }
}

/* --- the socket --------------------------------------------------------------------------------------------------- */

static int transfer(int s, void *data, size_t size, int out) {
    for (size_t at = 0; at < size;) {
        ssize_t n = out ? send(s, (char *)data + at, size - at, MSG_NOSIGNAL) : recv(s, (char *)data + at, size - at, 0);
        if (n <= 0) return 0;
        at += (size_t)n;
    }
    return 1;
}

static int same_user(int s) {
    struct ucred peer;
    socklen_t size = sizeof peer;
    return getsockopt(s, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && (peer.uid == geteuid() || peer.uid == 0);
}

static void patient(int s, int ms) {
    struct timeval patience = {ms / 1000, ms % 1000 * 1000};
    setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(s, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
}

/* A request of its size, in memory of malloc; NULL when there is none. */
static uint8_t *receive(int s, size_t *size) {
    uint8_t head[4];
    if (!transfer(s, head, sizeof head, 0)) return NULL;
    *size = get32(head);
    uint8_t *request = *size <= MAX_REQUEST ? malloc(*size + 1) : NULL;
    if (request && transfer(s, request, *size, 0)) return request;
    free(request);
    return NULL;
}

static int reply(int s, int ok, struct bytes *text) {
    uint8_t head[5];
    put32(head, (uint32_t)text->size + 1);
    head[4] = (uint8_t)ok;
    int sent = transfer(s, head, sizeof head, 1) && transfer(s, text->data, text->size, 1);
    bytes_free(text);
    return sent;
}

static int start_recording(struct config *c, const uint8_t *path, size_t size) {
    char text[4096];
    if (size == 0 || size >= sizeof text) return 0;
    memcpy(text, path, size);
    text[size] = 0;
    return recorder_start(c->recorder, text);
}

/* While the chain stands still, for a quarter of a second at most, the peer sees state and says what is to become of it.
 * 'x': an element's image, and the one that takes its place.  'r': how many RPCs are under way and all images, and the path
 * of a log whose head the peer has written meanwhile. */
static void change(struct config *c, int s, const uint8_t *request) {
    struct bytes seen = {0}, nothing = {0};
    uint32_t element = get32(request + 1);
    size_t size;
    int done = 0;
    patient(s, 250);
    pthread_rwlock_wrlock(&c->gate);
    if (request[0] == 'x') {
        save(c, element, &seen);
    } else {
        add32(&seen, (uint32_t)open_of(&c->totals));
        add_images(c, &seen);
    }
    uint8_t *next = reply(s, 1, &seen) ? receive(s, &size) : NULL;
    if (next && request[0] == 'x') done = ts_chain_load(c->chain, element, next, size) == 0;
    else if (next) done = start_recording(c, next, size);
    pthread_rwlock_unlock(&c->gate);
    free(next);
    reply(s, done, &nothing);
}

static void serve_one(struct keeper *k, int s) {
    struct bytes text = {0};
    size_t size;
    patient(s, 5000);
    uint8_t *request = same_user(s) ? receive(s, &size) : NULL;
    if (!request) return;
    if (size == 5 && (request[0] == 'x' || request[0] == 'r')) {
        change(k->config, s, request);
    } else if (size == 1 && request[0] == 'f') { /* a version that Envoy has let go, and nobody wants */
        k->forgotten = let_go(k->config);
        reply(s, k->forgotten, &text);
    } else {
        int ok = answer(k->config, request, size, &text);
        reply(s, ok, &text);
    }
    free(request);
}

static void close_door(struct keeper *k) {
    close(k->listener);
    close(k->stop[0]);
    close(k->stop[1]);
    unlink(k->config->control);
    free(k);
}

static void *forget(struct keeper *k) {
    struct config *c = k->config;
    pthread_detach(pthread_self());
    close_door(k);
    c->keeper = NULL;
    config_free(c);
    return NULL;
}

static void *keep_door(void *arg) {
    struct keeper *k = arg;
    struct pollfd fds[2] = {{k->listener, POLLIN, 0}, {k->stop[0], POLLIN, 0}};
    for (;;) {
        if (poll(fds, 2, 1000) < 0) continue;
        if (fds[1].revents) return NULL;
        /* Whoever started this Envoy has died without stopping it: nobody else would. */
        if (k->config->parent && (size_t)getppid() != k->config->parent) kill(getpid(), SIGTERM);
        if (!fds[0].revents) continue;
        int s = accept4(k->listener, NULL, NULL, SOCK_CLOEXEC);
        if (s < 0) continue;
        serve_one(k, s);
        close(s);
        if (k->forgotten) return forget(k);
    }
}

static int listen_on(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) return -1;
    strcpy(address.sun_path, path);
    int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (s < 0) return -1;
    unlink(path);
    /* Nobody can connect before `listen`, so the mode is in force in time. */
    if (bind(s, (struct sockaddr *)&address, sizeof address) == 0 && chmod(path, 0600) == 0 && listen(s, 8) == 0) return s;
    close(s);
    return -1;
}

struct keeper *keeper_new(struct config *config) {
    struct keeper *k = calloc(1, sizeof *k);
    if (!k) abort();
    k->config = config;
    k->listener = listen_on(config->control);
    if (k->listener >= 0 && pipe2(k->stop, O_CLOEXEC) == 0) {
        if (start_thread(&k->thread, keep_door, k)) return k;
        close(k->stop[0]);
        close(k->stop[1]);
    }
    if (k->listener >= 0) close(k->listener);
    free(k);
    return NULL;
}

void keeper_free(struct keeper *k) {
    if (write(k->stop[1], "", 1) == 1) pthread_join(k->thread, NULL);
    close_door(k);
}
