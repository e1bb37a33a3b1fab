/* SPDX-License-Identifier: Apache-2.0 */
/* An access list on field 1 of the request, as one would write it in C for this Envoy. */
#include "passing.h"

enum { SLOTS = 1024 };

struct config {
    pthread_mutex_t lock;
    struct {
        uint8_t used, allowed, size;
        char name[64];
    } slots[SLOTS];
};

static void allow(struct config *c, const char *name) {
    size_t size = strlen(name);
    uint32_t at = hash((const uint8_t *)name, size) % SLOTS;
    while (c->slots[at].used) at = (at + 1) % SLOTS;
    c->slots[at].used = c->slots[at].allowed = 1;
    c->slots[at].size = (uint8_t)size;
    memcpy(c->slots[at].name, name, size);
}

static bool allowed(struct config *c, const uint8_t *name, size_t size) {
    bool found = false;
    pthread_mutex_lock(&c->lock);
    for (uint32_t at = hash(name, size) % SLOTS; c->slots[at].used; at = (at + 1) % SLOTS)
        if (c->slots[at].size == size && memcmp(c->slots[at].name, name, size) == 0) {
            found = c->slots[at].allowed;
            break;
        }
    pthread_mutex_unlock(&c->lock);
    return found;
}

EXPORT const void *HOOK(http_filter_config_new)(void *envoy, struct envoy_buffer name, struct envoy_buffer text) {
    (void)envoy, (void)name, (void)text;
    struct config *c = calloc(1, sizeof *c);
    pthread_mutex_init(&c->lock, NULL);
    allow(c, "alice");
    allow(c, "carol");
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
    return allowed((struct config *)filter, name, name_size) ? BODY_CONTINUE : reject(envoy, "7", "no");
}
