/* SPDX-License-Identifier: Apache-2.0 */
/* What the plugin is told: the lines of "key value" that `rpc/wasm/config.py` writes, with states in hexadecimal digits,
 * because a plugin has no files.  What is not understood is an error, so that a plugin and its configuration never half
 * fit.
 */
#include <stdlib.h>
#include <string.h>

#include "wasm_plugin.h"

int skip_peer;

int has_name(const struct names *names, const char *data, size_t size) {
    for (size_t i = 0; i < names->count; i++)
        if (strlen(names->texts[i]) == size && memcmp(names->texts[i], data, size) == 0) return 1;
    return 0;
}

static void add_name(struct names *names, const char *data, size_t size) {
    char *text = malloc(size + 1);
    names->texts = realloc(names->texts, (names->count + 1) * sizeof *names->texts);
    if (!text || !names->texts) abort();
    memcpy(text, data, size);
    text[size] = 0;
    names->texts[names->count++] = text;
}

static int is(const char *data, size_t size, const char *text) {
    return strlen(text) == size && memcmp(data, text, size) == 0;
}

static int take_size(const char *data, size_t size, size_t *to) {
    size_t n = 0;
    for (size_t i = 0; i < size; i++) {
        if (data[i] < '0' || data[i] > '9' || n > 1u << 28) return 0;
        n = n * 10 + (size_t)(data[i] - '0');
    }
    *to = n;
    return size > 0;
}

static int take_choice(const char *data, size_t size, int *chosen, const char *yes, const char *no) {
    *chosen = is(data, size, yes);
    return *chosen || is(data, size, no);
}

static int digit(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The next element begins with this state. */
static int take_state(struct config *c, uint32_t *element, const char *hex, size_t size) {
    uint8_t *image = malloc(size / 2 + 1);
    int good = size % 2 == 0;
    if (!image) abort();
    for (size_t i = 0; good && i < size / 2; i++) {
        int high = digit(hex[2 * i]), low = digit(hex[2 * i + 1]);
        good = high >= 0 && low >= 0;
        image[i] = (uint8_t)(high << 4 | low);
    }
    good = good && ts_chain_load(c->chain, *element, image, size / 2) == 0;
    free(image);
    ++*element;
    return good;
}

static int take_line(struct config *c, uint32_t *element, const char *line, size_t size) {
    const char *space = memchr(line, ' ', size);
    size_t key = space ? (size_t)(space - line) : size;
    const char *value = line + key + (space != NULL);
    size_t rest = size - key - (space != NULL), number = 0;
    if (is(line, key, "early")) add_name(&c->early, value, rest);
    else if (is(line, key, "streaming")) add_name(&c->streaming, value, rest);
    else if (is(line, key, "route")) add_name(&c->routes, value, rest);
    else if (is(line, key, "state")) return take_state(c, element, value, rest);
    else if (is(line, key, "max_message")) return take_size(value, rest, &c->max_message);
    else if (is(line, key, "on_compressed")) return take_choice(value, rest, &c->pass_compressed, "pass", "reject");
    else if (is(line, key, "replies")) return take_choice(value, rest, &c->skip_replies, "skip", "decide");
    else if (is(line, key, "peer")) skip_peer = is(value, rest, "skip");
    else if (is(line, key, "on_other")) return take_choice(value, rest, &c->pass_other, "pass", "reject");
    else if (is(line, key, "identity")) {
        note(LEVEL_ERROR, "transect: a WASM plugin cannot vouch for anybody, because it has no file of keys: take the native module");
        return 0;
    } else if (is(line, key, "record")) {
        c->recorder = (struct recorder *)c; /* its being there is all */
    } else if (is(line, key, "version")) {
        if (!take_size(value, rest, &number)) return 0;
        c->keeper = keeper_of(c, (uint32_t)number);
    } else if (is(line, key, "elements")) {
        if (!take_size(value, rest, &number)) return 0;
        c->elements = (uint32_t)number;
    } else return 0;
    return 1;
}

/* A plugin has no files, and none of its machines knows what another has heard: `c->identity` is never there. */
void meet(struct stream *s, const struct values *said) { (void)s, (void)said; }
void vouch(struct stream *s) { (void)s; }

struct config *wasm_config_new(const char *text, size_t size) {
    struct config *c = calloc(1, sizeof *c);
    if (!c || !(c->chain = ts_chain_new())) abort();
    c->calls = &own_calls;
    c->max_message = 4u << 20;
    uint32_t element = 0;
    static int somebody_asks; /* among the plugins of this machine */
    skip_peer = 0;
    for (size_t at = 0, line; at < size; at += line + 1) {
        const char *end = memchr(text + at, '\n', size - at);
        line = end ? (size_t)(end - text) - at : size - at;
        if (line && !take_line(c, &element, text + at, line)) {
            note(LEVEL_ERROR, "transect: the plugin does not understand a line of its configuration, or a state does not fit");
            return NULL;
        }
    }
    if (!(c->times = calloc(1 + c->elements, sizeof *c->times))) abort();
    somebody_asks |= !skip_peer;
    skip_peer = !somebody_asks;
    return c;
}
