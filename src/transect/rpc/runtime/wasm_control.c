/* SPDX-License-Identifier: Apache-2.0 */
/* How a plugin is asked and told by the process that started its host.
 *
 * A plugin has no socket, but its host makes HTTP calls for it.  Each virtual machine calls by itself; what is asked of it
 * is the reply, and what it answers is in its next call.  A reply comes when there is something to ask, or after some
 * seconds.  Between two events of its worker nothing else runs in a machine, so that an answer is of one moment.
 *
 * A machine that the host lets go cannot be asked any more: it leaves its states in the host's shared data, where those
 * of later versions find them.
 *
 *   call:  u32 version; u64 machine; u8 kind (0 nothing was asked, 1 done, 2 refused); answer
 *   reply: "transect", u8 verb, rest; or "transect" alone
 *
 * docs/design/wasm-carrier.md lists the verbs.
 */
#include <stdlib.h>
#include <string.h>

#include "wasm_plugin.h"

enum { PATIENCE_MS = 30000, HELD_MS = 250, MILLISECOND = 1000000 };
enum kind { NOTHING, DONE, REFUSED };

struct keeper {
    struct config *config;
    uint32_t version;
    uint8_t calling;
    uint8_t kept;    /* its states are wanted when the host has let it go */
    int64_t held;    /* messages wait until then; 0: they do not */
};

static const char magic[] = "transect";

struct keeper *keeper_of(struct config *config, uint32_t version) {
    struct keeper *k = calloc(1, sizeof *k);
    if (!k) abort();
    k->config = config;
    k->version = version;
    return k;
}

uint32_t version_of(const struct keeper *k) {
    return k ? k->version : 0;
}

int held(const struct keeper *k) {
    return k && k->held && now_ns() < k->held;
}

/* --- numbers and images ------------------------------------------------------------------------------------------- */

static void add32(struct bytes *to, uint32_t n) {
    uint8_t bytes[4] = {(uint8_t)n, (uint8_t)(n >> 8), (uint8_t)(n >> 16), (uint8_t)(n >> 24)};
    bytes_add(to, bytes, sizeof bytes);
}

static uint32_t get32(const uint8_t *from) {
    return from[0] | (uint32_t)from[1] << 8 | (uint32_t)from[2] << 16 | (uint32_t)from[3] << 24;
}

static void add_names(struct bytes *to, const struct keeper *k) {
    uint64_t number = machine();
    add32(to, k->version);
    add32(to, (uint32_t)number);
    add32(to, (uint32_t)(number >> 32));
}

static void add_image(struct bytes *to, ts_chain *chain, uint32_t element) {
    size_t size = ts_chain_save(chain, element, NULL, 0);
    uint8_t *image = malloc(size + 1);
    if (!image) abort();
    ts_chain_save(chain, element, image, size);
    bytes_add(to, image, size);
    free(image);
}

/* --- verbs -------------------------------------------------------------------------------------------------------- */

/* u32 element, u32 size, image, another image: that takes the place of the state if it still is the first. */
static int replace(struct keeper *k, const uint8_t *r, size_t size) {
    struct bytes now = {0};
    uint32_t element = get32(r), expected = get32(r + 4);
    if (element >= k->config->elements || expected > size - 8) return 0;
    add_image(&now, k->config->chain, element);
    int same = now.size == expected && (expected == 0 || memcmp(now.data, r + 8, expected) == 0);
    bytes_free(&now);
    if (!same || ts_chain_load(k->config->chain, element, r + 8 + expected, size - 8 - expected)) return 0;
    k->held = 0; /* else messages go on waiting: what ends RPCs has changed it meanwhile */
    return 1;
}

/* What a machine with that name has left; it is there once. */
static int left(const uint8_t *key, size_t size, struct bytes *to) {
    const char *data = NULL;
    size_t found = 0;
    uint32_t changes = 0;
    if (proxy_get_shared_data((const char *)key, size, &data, &found, &changes) || !found) return 0;
    bytes_add(to, data, found);
    free((void *)(uintptr_t)data);
    return proxy_set_shared_data((const char *)key, size, "", 0, changes) == WASM_OK;
}

static int answer(struct keeper *k, const uint8_t *r, size_t size, struct bytes *to) {
    uint32_t element = size == 5 ? get32(r + 1) : UINT32_MAX;
    switch (r[0]) {
    case 'x':
        k->held = now_ns() + HELD_MS * (int64_t)MILLISECOND;
        /* fall through */
    case 'g':
        if (element < k->config->elements) add_image(to, k->config->chain, element);
        return element < k->config->elements;
    case 'i': return size >= 9 && replace(k, r + 1, size - 1);
    case 's': return add32(to, (uint32_t)open_of(&k->config->totals)), 1;
    case 'k': return k->kept = 1;
    case 'u': return !(k->kept = 0);
    case 'l': return left(r + 1, size - 1, to);
    default: return 0;
    }
}

/* --- calls -------------------------------------------------------------------------------------------------------- */

static void add_pairs(struct bytes *to) {
    static const char *const texts[] = {":method", "POST", ":path", "/", ":authority", "transect"};
    enum { COUNT = sizeof texts / sizeof *texts };
    add32(to, COUNT / 2);
    for (int i = 0; i < COUNT; i++) add32(to, (uint32_t)strlen(texts[i]));
    for (int i = 0; i < COUNT; i++) bytes_add(to, texts[i], strlen(texts[i]) + 1);
}

static void call(struct keeper *k, enum kind kind, const struct bytes *answer) {
    struct bytes body = {0}, headers = {0};
    uint8_t byte = (uint8_t)kind;
    uint32_t token;
    add_pairs(&headers);
    add_names(&body, k);
    bytes_add(&body, &byte, 1);
    bytes_add(&body, answer->data, answer->size);
    k->calling = proxy_http_call("transect_control", 16, (const char *)headers.data, headers.size, (const char *)body.data,
                                 body.size, "\0\0\0\0", 4, PATIENCE_MS, &token) == WASM_OK;
    bytes_free(&headers);
    bytes_free(&body);
}

/* Also when the last call has failed. */
void keeper_tick(struct keeper *k) {
    if (k && !k->calling) call(k, NOTHING, &(struct bytes){0});
}

/* A host also makes replies of its own, when nobody is there: they do not begin with our word. */
WASM_EXPORT(proxy_on_http_call_response)
void proxy_on_http_call_response(uint32_t root, uint32_t token, uint32_t headers, size_t size, uint32_t trailers) {
    struct keeper *k = context_of(root)->config->keeper;
    struct bytes said = {0};
    const size_t skip = sizeof magic - 1;
    (void)token, (void)headers, (void)trailers;
    host_begin();
    const uint8_t *reply = size ? host_bytes(WASM_CALL_REPLY, &size) : NULL;
    k->calling = 0;
    if (reply && size >= skip && memcmp(reply, magic, skip) == 0) {
        enum kind kind = NOTHING;
        if (size > skip) kind = answer(k, reply + skip, size - skip, &said) ? DONE : REFUSED;
        call(k, kind, &said);
    }
    bytes_free(&said);
    host_end();
}

/* The host lets this machine go: no stream is on it, and none can come. */
void keeper_last(struct keeper *k) {
    struct bytes key = {0}, states = {0};
    if (!k || !k->kept) return;
    add_names(&key, k);
    for (uint32_t i = 0; i < k->config->elements; i++) {
        struct bytes image = {0};
        add_image(&image, k->config->chain, i);
        add32(&states, (uint32_t)image.size);
        bytes_add(&states, image.data, image.size);
        bytes_free(&image);
    }
    add32(&states, 0); /* never empty */
    proxy_set_shared_data((const char *)key.data, key.size, (const char *)states.data, states.size, 0);
    bytes_free(&key);
    bytes_free(&states);
}
