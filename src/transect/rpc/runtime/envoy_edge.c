/* SPDX-License-Identifier: Apache-2.0 */
/* Two versions of a chain beside each other, where this Envoy is one of several processors of an edge: an RPC names the
 * version that it is for in a header, and whichever module Envoy hands it to gives it to that one.  That may be a third
 * module, which was made ready and then not put in force: it knows both.
 *
 * All modules have the same fixed C (`layout` says whether that is so); what differs, their chains, is behind
 * `struct calls`.  A version goes on standing until nobody names it: `guests` counts its RPCs in modules that are
 * not its own, and whoever makes the tables asks them all to forget it before it ends.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "envoy_module.h"

/* --- what is loaded ----------------------------------------------------------------------------------------------- */

static struct {
    pthread_mutex_t lock;
    struct config *first;
} loaded = {PTHREAD_MUTEX_INITIALIZER, NULL};

void edge_enter(struct config *c) {
    pthread_mutex_lock(&loaded.lock);
    c->next = loaded.first;
    loaded.first = c;
    pthread_mutex_unlock(&loaded.lock);
}

void edge_leave(struct config *c) {
    pthread_mutex_lock(&loaded.lock);
    for (struct config **at = &loaded.first; *at; at = &(*at)->next)
        if (*at == c) {
            *at = c->next;
            break;
        }
    pthread_mutex_unlock(&loaded.lock);
}

/* For other modules: the chain of this one with that control socket; NULL when there is none. */
EXPORT struct config *transect_config_at(const char *control) {
    pthread_mutex_lock(&loaded.lock);
    struct config *c = loaded.first;
    while (c && !(c->control && strcmp(c->control, control) == 0)) c = c->next;
    pthread_mutex_unlock(&loaded.lock);
    return c;
}

static struct config *find(const char *library, const char *control) {
    void *module = dlopen(library, RTLD_NOLOAD | RTLD_NOW);
    if (!module) return NULL;
    struct config *(*at)(const char *) = (struct config * (*)(const char *))dlsym(module, "transect_config_at");
    struct config *found = at ? at(control) : NULL;
    return found && found->layout == TS_LAYOUT ? found : NULL;
}

/* --- the table ---------------------------------------------------------------------------------------------------- */

/* The next of texts with tabs between; it is cut off. */
static char *next(char **rest) {
    char *text = *rest, *end = text ? strchr(text, '\t') : NULL;
    if (end) *end++ = 0;
    *rest = end;
    return text;
}

static int named(char to[VERSION_NAME], const char *name) {
    if (!name || !*name || strlen(name) >= VERSION_NAME) return 0;
    strcpy(to, name);
    return 1;
}

/* "name, library, control" of a version in another module. */
static int other_version(struct version *to, char **rest) {
    int good = named(to->name, next(rest));
    const char *library = next(rest), *control = next(rest);
    to->config = library && control ? find(library, control) : NULL;
    return good && to->config;
}

/* "own, stamps, yields", and as much as there is of other versions.  Changed as one step. */
int edge_table(struct config *c, const char *data, size_t size) {
    struct edge made = {.joined = 1};
    char *text = strndup(data, size), *rest = text;
    if (!text) abort();
    int good = named(made.own, next(&rest));
    const char *stamps = next(&rest), *yields = next(&rest);
    made.stamps = stamps && *stamps == '1';
    made.yields = yields && *yields == '1';
    while (good && rest) good = made.many < OTHERS && other_version(&made.others[made.many++], &rest);
    good = good && (!made.yields || made.many);
    free(text);
    if (!good) return 0;
    pthread_rwlock_wrlock(&c->versions);
    c->edge = made;
    pthread_rwlock_unlock(&c->versions);
    return 1;
}

/* The one of that name; NULL: it is not here. */
static struct config *version_named(struct config *c, const struct envoy_buffer name) {
    if (is_text(name, c->edge.own)) return c;
    for (size_t i = 0; i < c->edge.many; i++)
        if (is_text(name, c->edge.others[i].name)) return c->edge.others[i].config;
    return NULL;
}

/* The version that an RPC is for, looked up once; NULL: it is not here, or several are named, of which carriers need not
 * agree on one.  Where it is named here, its name is the stamp. */
struct config *edge_version(struct stream *s, const struct values *asked, char stamp[VERSION_NAME]) {
    struct config *c = s->config, *found;
    struct edge *e = &c->edge;
    if (!__atomic_load_n(&e->joined, __ATOMIC_ACQUIRE)) return c;
    pthread_rwlock_rdlock(&c->versions);
    if (e->stamps || !asked->many) found = e->yields ? e->others[0].config : c;
    else found = asked->many > 1 ? NULL : version_named(c, asked->last);
    if (found && found != c) {
        atomic_fetch_add(&found->guests, 1);
        s->guest = 1;
    }
    if (found && e->stamps) strcpy(stamp, found == c ? e->own : e->others[0].name);
    pthread_rwlock_unlock(&c->versions);
    return found;
}

/* Its name, for who has asked for it. */
void edge_refuse(struct stream *s, const struct values *asked) {
    char text[128];
    int size = asked->last.size < 64 ? (int)asked->last.size : 64;
    snprintf(text, sizeof text, "this chain has no version %.*s", size, asked->last.data);
    fail_with(s, 14, asked->many > 1 ? "the call names several versions" : text);
}
