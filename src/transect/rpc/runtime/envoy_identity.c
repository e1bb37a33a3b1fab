/* SPDX-License-Identifier: Apache-2.0 */
/* Whose an RPC is: the word of the layer before it is believed, elements see the tenant's plain name, and the layer behind
 * gets a word of ours.  The twin is the package `identity`.
 *
 * Keys that have been in force stay in memory until the chain goes: a worker may be reading them.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "envoy_module.h"
#include "heard.h"
#include "word.h"

#define ANONYMOUS "anonymous"

enum { MOST_KEYS = 8, KEY_DIGITS = 64, LARGEST_FILE = 1 << 16, LIFE_MS = 30000, SKEW_MS = 5000 };
#define LOOK_NS 1000000000
#define FOR_EVER_MS 1000000000000 /* beyond that a request has no end */

/* --- keys --------------------------------------------------------------------------------------------------------- */

struct keys {
    struct keys *before;
    int many;
    struct ts_hmac_key key[MOST_KEYS];
};

struct identity {
    const char *path;
    _Atomic(struct keys *) keys;
    _Atomic int64_t look_at; /* when the file is looked at again; ns */
    _Atomic int looking;     /* one worker is */
    struct stat seen;
    struct ts_heard *heard;
};

static int is_blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

/* 64 digits in one line; false: it is no key. */
static int take_key(struct keys *keys, const char *line, size_t size) {
    uint8_t bytes[TS_SHA256_BYTES] = {0};
    if (size != KEY_DIGITS || keys->many == MOST_KEYS) return 0;
    for (size_t i = 0; i < size; i++) {
        char c = line[i] >= 'A' && line[i] <= 'F' ? (char)(line[i] + 'a' - 'A') : line[i];
        int letter = c >= 'a' && c <= 'f';
        if (!letter && (c < '0' || c > '9')) return 0;
        bytes[i / 2] = (uint8_t)(bytes[i / 2] << 4 | (letter ? c - 'a' + 10 : c - '0'));
    }
    ts_hmac_key(&keys->key[keys->many++], bytes);
    explicit_bzero(bytes, sizeof bytes);
    return 1;
}

static int take_keys(struct keys *keys, const char *text, size_t size) {
    for (size_t at = 0, line; at < size; at += line + 1) {
        const char *end = memchr(text + at, '\n', size - at), *from = text + at;
        line = end ? (size_t)(end - from) : size - at;
        const char *remark = memchr(from, '#', line);
        size_t rest = remark ? (size_t)(remark - from) : line;
        while (rest && is_blank(*from)) from++, rest--;
        while (rest && is_blank(from[rest - 1])) rest--;
        if (rest && !take_key(keys, from, rest)) return 0;
    }
    return keys->many > 0;
}

/* Of a file that others may neither read nor write; NULL, with the reason: they will not do. */
static struct keys *read_keys(const char *path, struct stat *seen, const char **why) {
    char text[LARGEST_FILE + 1];
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t size = -1;
    *why = "it cannot be read";
    if (file < 0) return NULL;
    if (fstat(file, seen) == 0 && S_ISREG(seen->st_mode)) size = read(file, text, sizeof text);
    close(file);
    if (size < 0) return NULL;
    *why = "it can be read or written by anybody";
    if (seen->st_mode & (S_IROTH | S_IWOTH)) return NULL;
    *why = "it holds no keys, one a line, of 64 hexadecimal digits, 8 at most";
    struct keys *keys = calloc(1, sizeof *keys);
    if (!keys) abort();
    if (size > LARGEST_FILE || !take_keys(keys, text, (size_t)size)) free(keys), keys = NULL;
    explicit_bzero(text, (size_t)size);
    return keys;
}

static int same_file(const struct stat *a, const struct stat *b) {
    return a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec && a->st_ino == b->st_ino &&
           a->st_size == b->st_size;
}

/* A file that is damaged meanwhile changes nothing, and the log says so once. */
static void look_again(struct identity *id) {
    struct stat now;
    const char *why;
    if (stat(id->path, &now) != 0 || same_file(&now, &id->seen)) return; /* it is being replaced by hand: what is in force stays */
    struct keys *keys = read_keys(id->path, &now, &why);
    id->seen = now;
    if (keys) {
        keys->before = atomic_load(&id->keys);
        atomic_store(&id->keys, keys);
    } else {
        note(LEVEL_ERROR, "transect: the keys that were in %s stay in force: %s", id->path, why);
    }
}

/* Those of now; the first one signs. */
static const struct keys *keys_of(struct identity *id) {
    int64_t now = now_ns();
    if (now >= atomic_load_explicit(&id->look_at, memory_order_relaxed) && !atomic_exchange(&id->looking, 1)) {
        atomic_store(&id->look_at, now + LOOK_NS);
        look_again(id);
        atomic_store(&id->looking, 0);
    }
    return atomic_load_explicit(&id->keys, memory_order_acquire);
}

/* --- what has been heard ------------------------------------------------------------------------------------------ */

/* Shared by all versions of the chain, which are modules of their own: none believes what another has heard.  Without a
 * path, by nobody. */
static struct ts_heard *heard_in(const char *path) {
    int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    void *memory = MAP_FAILED;
    if (path && file < 0) return NULL;
    if (!path || ftruncate(file, sizeof(struct ts_heard)) == 0)
        memory = mmap(NULL, sizeof(struct ts_heard), PROT_READ | PROT_WRITE, path ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS, file, 0);
    if (path) close(file);
    return memory == MAP_FAILED ? NULL : memory;
}

struct identity *identity_new(const char *path, const char *heard) {
    struct identity *id = calloc(1, sizeof *id);
    const char *why = "";
    if (!id) abort();
    id->path = path;
    struct keys *keys = read_keys(path, &id->seen, &why);
    atomic_store(&id->keys, keys);
    if (keys && (id->heard = heard_in(heard))) return id;
    if (keys) note(LEVEL_ERROR, "transect: cannot keep in %s which words were heard: %s", heard ? heard : "memory", strerror(errno));
    else note(LEVEL_ERROR, "transect: the file of keys %s will not do: %s", path, why);
    identity_free(id);
    return NULL;
}

void identity_free(struct identity *id) {
    for (struct keys *keys = atomic_load(&id->keys), *before; keys; keys = before) {
        before = keys->before;
        explicit_bzero(keys, sizeof *keys);
        free(keys);
    }
    if (id->heard) munmap(id->heard, sizeof *id->heard);
    free(id);
}

/* --- words -------------------------------------------------------------------------------------------------------- */

static int64_t unix_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int is_signed(const struct keys *keys, struct envoy_buffer text, size_t said) {
    for (int i = 0; i < keys->many; i++)
        if (ts_word_signed_by(&keys->key[i], text.data, text.size, said)) return 1;
    return 0;
}

/* In the order in which the twin asks, so that both count alike. */
static enum word_is judge(struct identity *id, const struct values *said, int64_t now, struct ts_word *word) {
    size_t size;
    if (said->many != 1 || !ts_word_read(word, said->last.data, said->last.size, &size)) return WORD_MALFORMED;
    if (!is_signed(keys_of(id), said->last, size)) return WORD_FORGED;
    if ((int64_t)word->ends <= now) return WORD_EXPIRED;
    if ((int64_t)word->ends > now + LIFE_MS + SKEW_MS) return WORD_EARLY;
    switch (ts_heard(id->heard, word->nonce, word->ends)) {
    case TS_HEARD_NEW: return WORD_BELIEVED;
    case TS_HEARD_AGAIN: return WORD_REPLAYED;
    case TS_HEARD_FULL: return WORD_FULL;
    case TS_HEARD_DEAD: break;
    }
    return WORD_EXPIRED;
}

/* Elements find the tenant's name where the word was; that of `anonymous` where none is believed. */
void meet(struct stream *s, const struct values *said) {
    struct identity *id = s->config->identity;
    struct ts_word word;
    int64_t now = unix_ms();
    if (!id) return;
    enum word_is is = said->many ? judge(id, said, now, &word) : WORD_BELIEVED;
    if (said->many) count(&s->config->totals.words[is]);
    if (!said->many || is != WORD_BELIEVED) {
        put_header(s, TENANT_HEADER, slice_of(ANONYMOUS, strlen(ANONYMOUS)));
        return;
    }
    int64_t left = (int64_t)word.deadline - now;
    if (word.deadline && left < FOR_EVER_MS) s->until = now_ns() + left * 1000000;
    put_header(s, TENANT_HEADER, slice_of(word.tenant, word.tenant_size));
}

/* Each one another number, at first a random one. */
static int next_nonce(uint64_t *nonce) {
    static _Thread_local uint64_t next, seeded;
    if (!seeded && getrandom(&next, sizeof next, 0) != (ssize_t)sizeof next) return 0;
    seeded = 1;
    *nonce = next++;
    return 1;
}

/* Unix time in ms when it is over: by its client, or by the word; 0: nobody said. */
static uint64_t deadline_of(const struct stream *s) {
    int64_t client = s->timeout ? s->began + s->timeout : 0;
    int64_t over = !s->until || (client && client < s->until) ? client : s->until;
    if (!over || over - now_ns() > FOR_EVER_MS * 1000000) return 0;
    int64_t at = unix_ms() + (over - now_ns()) / 1000000;
    return at > 1 ? (uint64_t)at : 1;
}

/* The request's headers are about to go on: with a word of ours in the place of the tenant's name. */
void vouch(struct stream *s) {
    ts_slice name;
    char text[TS_WORD_LONGEST];
    if (!s->config->identity || s->vouched) return;
    s->vouched = 1;
    struct ts_word word = {.ends = (uint64_t)(unix_ms() + LIFE_MS), .deadline = deadline_of(s)};
    int known = request_header(s, TENANT_HEADER, &name) && ts_tenant_name((const char *)name.data, name.size) &&
                !is_text(buffer_of(name), ANONYMOUS) && next_nonce(&word.nonce);
    if (!known) {
        count(&s->config->totals.anonymous);
        set_header(s, REQUEST_HEADERS, TENANT_HEADER, NULL, 0);
        return;
    }
    memcpy(word.tenant, name.data, word.tenant_size = name.size);
    set_header(s, REQUEST_HEADERS, TENANT_HEADER, text, ts_word_write(text, &word, &keys_of(s->config->identity)->key[0]));
    count(&s->config->totals.vouched);
}
