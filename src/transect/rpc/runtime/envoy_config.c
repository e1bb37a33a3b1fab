/* SPDX-License-Identifier: Apache-2.0 */
/* A loaded chain and how it is to run: lines of "key value", written by `rpc/envoy/config.py`.  What is not understood is
 * an error, so that a module and its configuration never half fit.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "envoy_module.h"

static char *copy_of(const char *data, size_t size) {
    char *text = malloc(size + 1);
    if (!text) abort();
    memcpy(text, data, size);
    text[size] = 0;
    return text;
}

static void add_name(struct names *names, const char *data, size_t size) {
    names->texts = realloc(names->texts, (names->count + 1) * sizeof *names->texts);
    if (!names->texts) abort();
    names->texts[names->count++] = copy_of(data, size);
}

int has_name(const struct names *names, const char *data, size_t size) {
    for (size_t i = 0; i < names->count; i++)
        if (strlen(names->texts[i]) == size && memcmp(names->texts[i], data, size) == 0) return 1;
    return 0;
}

static void free_names(struct names *names) {
    for (size_t i = 0; i < names->count; i++) free(names->texts[i]);
    free(names->texts);
}

static int is(const char *data, size_t size, const char *text) {
    return strlen(text) == size && memcmp(data, text, size) == 0;
}

static int take_size(const char *data, size_t size, size_t *to) {
    size_t n = 0;
    for (size_t i = 0; i < size; i++) {
        if (data[i] < '0' || data[i] > '9' || n > 1u << 30) return 0;
        n = n * 10 + (size_t)(data[i] - '0');
    }
    *to = n;
    return size > 0;
}

static int take_choice(const char *data, size_t size, int *chosen, const char *yes, const char *no) {
    *chosen = is(data, size, yes);
    return *chosen || is(data, size, no);
}

/* "2 0 1": where the policy of the next element has request, response, finish. */
static int take_hooks(struct config *c, const char *data, size_t size) {
    if (c->elements == MAX_ELEMENTS) return 0;
    for (int hook = 0; hook < 3; hook++) {
        size_t digits = 0, n;
        while (digits < size && data[digits] != ' ') digits++;
        if (!take_size(data, digits, &n) || n > UINT16_MAX) return 0;
        c->hooks[c->elements][hook] = (uint16_t)n;
        digits += digits < size;
        data += digits;
        size -= digits;
    }
    c->elements++;
    return size == 0;
}

static int take_line(struct config *c, const char *line, size_t size) {
    const char *space = memchr(line, ' ', size);
    size_t key = space ? (size_t)(space - line) : size;
    const char *value = line + key + (space != NULL);
    size_t rest = size - key - (space != NULL);
    if (is(line, key, "early")) add_name(&c->early, value, rest);
    else if (is(line, key, "streaming")) add_name(&c->streaming, value, rest);
    else if (is(line, key, "route")) add_name(&c->routes, value, rest);
    else if (is(line, key, "state")) add_name(&c->states, value, rest);
    else if (is(line, key, "max_message")) return take_size(value, rest, &c->max_message);
    else if (is(line, key, "parent")) return take_size(value, rest, &c->parent);
    else if (is(line, key, "edge")) return edge_table(c, value, rest);
    else if (is(line, key, "record_room")) return take_size(value, rest, &c->record_room);
    else if (is(line, key, "hooks")) return take_hooks(c, value, rest);
    else if (is(line, key, "on_compressed")) return take_choice(value, rest, &c->pass_compressed, "pass", "reject");
    else if (is(line, key, "replies")) return take_choice(value, rest, &c->skip_replies, "skip", "decide");
    else if (is(line, key, "on_other")) return take_choice(value, rest, &c->pass_other, "pass", "reject");
    else if (is(line, key, "control") && !c->control) c->control = copy_of(value, rest);
    else if (is(line, key, "record") && !c->record) c->record = copy_of(value, rest);
    else if (is(line, key, "identity") && !c->keys) c->keys = copy_of(value, rest);
    else if (is(line, key, "heard") && !c->heard) c->heard = copy_of(value, rest);
    else return 0;
    return 1;
}

static int take_config(struct config *c, struct envoy_buffer text) {
    for (size_t at = 0, size; at < text.size; at += size + 1) {
        const char *end = memchr(text.data + at, '\n', text.size - at);
        size = end ? (size_t)(end - text.data) - at : text.size - at;
        if (size && !take_line(c, text.data + at, size)) {
            note(LEVEL_ERROR, "transect: this module does not understand its configuration: %.*s", (int)size,
                 text.data + at);
            return 0;
        }
    }
    return 1;
}

void config_free(struct config *c) {
    edge_leave(c);
    if (c->keeper) keeper_free(c->keeper);
    if (c->clock) clock_free(c->clock);
    if (c->identity) identity_free(c->identity);
    if (c->recorder) recorder_free(c->recorder);
    if (c->chain) ts_chain_free(c->chain);
    pthread_rwlock_destroy(&c->gate);
    pthread_rwlock_destroy(&c->versions);
    for (int i = 0; i < SPARES; i++) free(atomic_load(&c->spares[i]));
    free(c->times);
    free_names(&c->early);
    free_names(&c->streaming);
    free_names(&c->routes);
    free_names(&c->states);
    free(c->control);
    free(c->record);
    free(c->keys);
    free(c->heard);
    free(c);
}

/* The whole file in memory of the caller's; NULL when it cannot be read. */
static uint8_t *read_file(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    uint8_t *data = NULL;
    if (!file) return NULL;
    if (fseek(file, 0, SEEK_END) == 0) {
        long length = ftell(file);
        rewind(file);
        if (length >= 0 && (data = malloc((size_t)length + 1)) && fread(data, 1, (size_t)length, file) == (size_t)length) {
            *size = (size_t)length;
            fclose(file);
            return data;
        }
    }
    free(data);
    fclose(file);
    return NULL;
}

/* The elements begin with the state that they are given. */
static int load_states(struct config *c) {
    for (size_t i = 0; i < c->states.count; i++) {
        size_t size = 0;
        uint8_t *image = read_file(c->states.texts[i], &size);
        int fits = image && ts_chain_load(c->chain, (uint32_t)i, image, size) == 0;
        free(image);
        if (!fits) {
            note(LEVEL_ERROR, "transect: no first state for this chain in %s", c->states.texts[i]);
            return 0;
        }
    }
    return 1;
}

/* What a mere validation of the configuration leaves alone: threads, sockets, files. */
static int start(struct config *c) {
    if (CALLBACK(is_validation_mode)()) return 1;
    if (!(c->recorder = recorder_new(c)) || (c->record && !recorder_start(c->recorder, c->record))) {
        note(LEVEL_ERROR, "transect: cannot write the log %s", c->record ? c->record : "");
        return 0;
    }
    if (c->keys && !(c->identity = identity_new(c->keys, c->heard))) return 0; /* it has said why */
    if (!(c->clock = clock_new())) {
        note(LEVEL_ERROR, "transect: no thread for delays");
        return 0;
    }
    if (c->control && !(c->keeper = keeper_new(c))) {
        note(LEVEL_ERROR, "transect: cannot listen on %s", c->control);
        return 0;
    }
    return 1;
}

/* Whoever wants to write is let in soon, however many readers there are. */
static void make_gate(pthread_rwlock_t *gate) {
    pthread_rwlockattr_t fair;
    pthread_rwlockattr_init(&fair);
    pthread_rwlockattr_setkind_np(&fair, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(gate, &fair);
    pthread_rwlockattr_destroy(&fair);
}

struct config *config_new(struct envoy_buffer text) {
    struct config *c = calloc(1, sizeof *c);
    if (!c) abort();
    make_gate(&c->gate);
    make_gate(&c->versions);
    c->layout = TS_LAYOUT;
    c->calls = &own_calls;
    c->max_message = 4u << 20;
    c->record_room = 4u << 20;
    if (take_config(c, text) && (c->times = calloc(1 + c->elements, sizeof *c->times)) && (c->chain = ts_chain_new()) && load_states(c)) {
        edge_enter(c); /* before its socket answers: who hears from it may name it to another module at once */
        if (start(c)) return c;
    }
    config_free(c);
    return NULL;
}

/* Signals of the process are Envoy's business, not that of our threads. */
int start_thread(pthread_t *thread, void *(*run)(void *), void *arg) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int started = pthread_create(thread, NULL, run, arg) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return started;
}
