/* SPDX-License-Identifier: Apache-2.0 */
/* A token bucket for every user (field 1), as one would write it in C for this Envoy. */
#include "passing.h"

enum { SLOTS = 8192, USERS = 4096 };

struct bucket {
    int64_t tokens, filled;
    uint8_t used, size;
    char name[64];
};

struct config {
    pthread_mutex_t lock;
    int64_t per_second, burst;
    size_t users;
    struct bucket slots[SLOTS];
};

/* Whoever comes first gets a full bucket; NULL when there is no room. */
static struct bucket *bucket_of(struct config *c, const uint8_t *name, size_t size, int64_t now) {
    uint32_t at = hash(name, size) % SLOTS;
    for (; c->slots[at].used; at = (at + 1) % SLOTS)
        if (c->slots[at].size == size && memcmp(c->slots[at].name, name, size) == 0) return &c->slots[at];
    if (c->users == USERS || size > sizeof c->slots[at].name) return NULL;
    c->users++;
    c->slots[at] = (struct bucket){.tokens = c->burst, .filled = now, .used = 1, .size = (uint8_t)size};
    memcpy(c->slots[at].name, name, size);
    return &c->slots[at];
}

static bool take(struct config *c, const uint8_t *name, size_t size) {
    int64_t now = now_ns();
    bool taken = false;
    pthread_mutex_lock(&c->lock);
    struct bucket *b = bucket_of(c, name, size, now);
    if (b) {
        int64_t earned = (now - b->filled) * c->per_second / 1000000000;
        if (earned > 0) {
            b->tokens = b->tokens + earned < c->burst ? b->tokens + earned : c->burst;
            b->filled = now;
        }
        taken = b->tokens > 0;
        b->tokens -= taken;
    }
    pthread_mutex_unlock(&c->lock);
    return taken;
}

EXPORT const void *HOOK(http_filter_config_new)(void *envoy, struct envoy_buffer name, struct envoy_buffer text) {
    (void)envoy, (void)name, (void)text;
    struct config *c = calloc(1, sizeof *c);
    pthread_mutex_init(&c->lock, NULL);
    c->per_second = 1000000;
    c->burst = 1000000;
    return c;
}

EXPORT int HOOK(http_filter_request_body)(void *envoy, const void *filter, bool end) {
    uint8_t whole[LARGEST];
    const uint8_t *data, *name;
    size_t name_size;
    if (!end) return BODY_STOP_AND_BUFFER;
    size_t size = request_of(envoy, whole, &data);
    spin();
    if (size < HEAD || data[0] != 0) return reject(envoy, "12", "compressed");
    if (!field_of(data + HEAD, size - HEAD, 1, &name, &name_size)) return reject(envoy, "3", "damaged");
    return take((struct config *)filter, name, name_size) ? BODY_CONTINUE : reject(envoy, "8", "more than allowed");
}
