/* SPDX-License-Identifier: Apache-2.0 */
/* As much of Envoy's filter manager as the module sees, so that sanitizers can watch the module: fake_envoy SEED STREAMS [KEYS],
 * where KEYS is a file with the key that is all zeros.
 *
 * Random RPCs, several at a time, cut into random pieces, against an echoing server; clients break off; replies of the
 * module destroy the filter from within, or later.  What reaches the client must be what the messages asked for.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "envoy_module.h"
#include "word.h"

const char *HOOK(program_init)(void);
const void *HOOK(http_filter_config_new)(void *, struct envoy_buffer, struct envoy_buffer);
void HOOK(http_filter_config_destroy)(const void *);
const void *HOOK(http_filter_new)(const void *, void *);
void HOOK(http_filter_destroy)(const void *);
int HOOK(http_filter_request_headers)(void *, const void *, bool);
int HOOK(http_filter_request_body)(void *, const void *, bool);
int HOOK(http_filter_request_trailers)(void *, const void *);
int HOOK(http_filter_response_headers)(void *, const void *, bool);
int HOOK(http_filter_response_body)(void *, const void *, bool);
int HOOK(http_filter_response_trailers)(void *, const void *);
void HOOK(http_filter_stream_complete)(void *, const void *);
void HOOK(http_filter_scheduled)(void *, const void *, uint64_t);

#define CHECK(what) ((what) ? (void)0 : (fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #what), abort()))

enum { NAMES = 128, AT_ONCE = 8 };

struct body {
    char *data;
    size_t size;
    int there;
};

struct map {
    int there;
    size_t count;
    char *names[NAMES], *values[NAMES];
};

struct direction {
    struct body in, received, buffered, out;
    int headers_gone, stopped, moving, ended, trailers, out_ended, out_trailers;
};

struct filter {
    const void *module;
    struct direction request, response;
    struct map maps[4];
    struct body script, expected; /* what the client sends; what it is to get */
    size_t sent, echoed;
    int declared, expected_code, alone; /* streaming; status; an answer of the chain itself */
    int local_reply, status, over, dead, aborted, in_hook, server_began;
    int schedulers;
    int known;     /* whose it is */
    int questions; /* after a header by its name */
};

static uint64_t state;
static struct ts_hmac_key key;
static int identified; /* the module has keys */

static unsigned draw(unsigned below) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(state >> 33) % below;
}

static void add(struct body *b, const void *data, size_t size) {
    b->there = 1;
    b->data = realloc(b->data, b->size + size + 1);
    CHECK(b->data);
    if (size) memcpy(b->data + b->size, data, size);
    b->size += size;
}

static void cut(struct body *b, size_t size) {
    size = size < b->size ? size : b->size;
    /* Memory that is gone is really gone: the module must not look at it any more. */
    char *rest = malloc(b->size - size + 1);
    memcpy(rest, b->data ? b->data + size : "", b->size - size);
    free(b->data);
    b->data = rest;
    b->size -= size;
}

/* --- callbacks ---------------------------------------------------------------------------------------------------- */

void CALLBACK(log)(enum envoy_level level, struct envoy_buffer text) {
    if (level >= LEVEL_ERROR) fprintf(stderr, "%.*s\n", (int)text.size, text.data);
}

bool CALLBACK(is_validation_mode)(void) {
    return false;
}

static int is(const struct map *m, size_t i, struct envoy_buffer name) {
    return strlen(m->names[i]) == name.size && memcmp(m->names[i], name.data, name.size) == 0;
}

static int find(const struct map *m, struct envoy_buffer name) {
    for (size_t i = 0; i < m->count; i++)
        if (is(m, i, name)) return (int)i;
    return -1;
}

bool CALLBACK(http_get_header)(void *filter, enum envoy_headers map, struct envoy_buffer name,
                               struct envoy_buffer *value, size_t index, size_t *count) {
    struct map *m = &((struct filter *)filter)->maps[map];
    ((struct filter *)filter)->questions++;
    *count = 0;
    *value = (struct envoy_buffer){NULL, 0};
    for (size_t i = 0; m->there && i < m->count; i++)
        if (is(m, i, name) && (*count)++ == index)
            *value = (struct envoy_buffer){m->values[i], strlen(m->values[i])};
    return index < *count;
}

size_t CALLBACK(http_get_headers_size)(void *filter, enum envoy_headers map) {
    struct map *m = &((struct filter *)filter)->maps[map];
    return m->there ? m->count : 0;
}

bool CALLBACK(http_get_headers)(void *filter, enum envoy_headers map, struct envoy_header *headers) {
    struct map *m = &((struct filter *)filter)->maps[map];
    for (size_t i = 0; m->there && i < m->count; i++)
        headers[i] = (struct envoy_header){m->names[i], strlen(m->names[i]), m->values[i], strlen(m->values[i])};
    return m->there;
}

static char *moved(char *text) {
    char *copy = strdup(text);
    free(text);
    return copy;
}

/* What was read of a map before it changed is really gone. */
bool CALLBACK(http_set_header)(void *filter, enum envoy_headers map, struct envoy_buffer name, struct envoy_buffer value) {
    struct map *m = &((struct filter *)filter)->maps[map];
    CHECK(m->there);
    for (size_t i = 0; i < m->count; i++) m->names[i] = moved(m->names[i]), m->values[i] = moved(m->values[i]);
    int at = find(m, name);
    if (at >= 0) {
        free(m->names[at]);
        free(m->values[at]);
        m->count--;
        m->names[at] = m->names[m->count];
        m->values[at] = m->values[m->count];
    }
    if (!value.data) return true;
    CHECK(m->count < NAMES);
    m->names[m->count] = strndup(name.data, name.size);
    m->values[m->count++] = strndup(value.data, value.size);
    return true;
}

static struct body *body_of(void *filter, enum envoy_body body) {
    struct filter *f = filter;
    CHECK(!f->dead);
    switch (body) {
    case RECEIVED_REQUEST: return f->request.received.there ? &f->request.received : NULL;
    case BUFFERED_REQUEST: return f->request.buffered.there ? &f->request.buffered : NULL;
    case RECEIVED_RESPONSE: return f->response.received.there ? &f->response.received : NULL;
    case BUFFERED_RESPONSE: return f->response.buffered.there ? &f->response.buffered : NULL;
    }
    return NULL;
}

size_t CALLBACK(http_get_body_size)(void *filter, enum envoy_body body) {
    struct body *b = body_of(filter, body);
    return b ? b->size : 0;
}

/* In up to three pieces, the same ones until the bytes change. */
size_t CALLBACK(http_get_body_chunks_size)(void *filter, enum envoy_body body) {
    struct body *b = body_of(filter, body);
    return !b || b->size == 0 ? 0 : b->size < 3 ? 1 : 1 + b->size % 3;
}

bool CALLBACK(http_get_body_chunks)(void *filter, enum envoy_body body, struct envoy_buffer *chunks) {
    struct body *b = body_of(filter, body);
    size_t many = CALLBACK(http_get_body_chunks_size)(filter, body);
    if (!b) return false;
    for (size_t i = 0; i < many; i++)
        chunks[i] = (struct envoy_buffer){b->data + b->size * i / many, b->size * (i + 1) / many - b->size * i / many};
    return true;
}

bool CALLBACK(http_append_body)(void *filter, enum envoy_body body, struct envoy_buffer bytes) {
    struct filter *f = filter;
    struct body *b = body_of(filter, body);
    if (!b && (body == RECEIVED_REQUEST || body == RECEIVED_RESPONSE)) return false;
    if (!b) b = body == BUFFERED_REQUEST ? &f->request.buffered : &f->response.buffered;
    add(b, bytes.data, bytes.size);
    return true;
}

bool CALLBACK(http_drain_body)(void *filter, enum envoy_body body, size_t size) {
    struct body *b = body_of(filter, body);
    if (b) cut(b, size);
    return b != NULL;
}

static void destroy(struct filter *f) {
    if (f->dead) return;
    HOOK(http_filter_stream_complete)(f, f->module);
    f->dead = 1;
    HOOK(http_filter_destroy)(f->module);
}

static void perhaps_destroy(struct filter *f) {
    f->over = 1;
    if (draw(2)) destroy(f);
}

static int number(const char *text, size_t size) {
    char copy[16] = {0};
    memcpy(copy, text, size < 15 ? size : 15);
    return atoi(copy);
}

static void note_status(struct filter *f, const struct envoy_header *headers, size_t count) {
    int found = 0;
    for (size_t i = 0; i < count; i++)
        if (headers[i].name_size == 11 && memcmp(headers[i].name, "grpc-status", 11) == 0) {
            f->status = number(headers[i].value, headers[i].value_size);
            found++;
        }
    CHECK(found == 1);
}

void CALLBACK(http_send_response)(void *filter, uint32_t status, struct envoy_header *headers, size_t count,
                                  struct envoy_buffer body, struct envoy_buffer details) {
    struct filter *f = filter;
    (void)body, (void)details;
    CHECK((status == 200 || status == 415) && !f->response.headers_gone && !f->over);
    if (status == 200) note_status(f, headers, count);
    else f->status = (int)status; /* no gRPC */
    f->local_reply = 1;
    perhaps_destroy(f);
}

void CALLBACK(http_send_response_headers)(void *filter, struct envoy_header *headers, size_t count, bool end) {
    struct filter *f = filter;
    CHECK(!f->response.headers_gone && !f->over && !end && count >= 2 && headers);
    f->maps[RESPONSE_HEADERS].there = 1;
    f->response.headers_gone = 1;
    CHECK(HOOK(http_filter_response_headers)(f, f->module, false) == HEADERS_CONTINUE);
}

void CALLBACK(http_send_response_data)(void *filter, struct envoy_buffer bytes, bool end) {
    struct filter *f = filter;
    CHECK(f->response.headers_gone && !f->over && !end);
    add(&f->response.received, bytes.data, bytes.size);
    CHECK(HOOK(http_filter_response_body)(f, f->module, false) == BODY_CONTINUE);
    add(&f->response.out, f->response.received.data, f->response.received.size);
    free(f->response.received.data);
    f->response.received = (struct body){0};
}

void CALLBACK(http_send_response_trailers)(void *filter, struct envoy_header *trailers, size_t count) {
    struct filter *f = filter;
    CHECK(f->response.headers_gone && !f->over);
    f->maps[RESPONSE_TRAILERS].there = 1;
    CHECK(HOOK(http_filter_response_trailers)(f, f->module) == TRAILERS_CONTINUE);
    note_status(f, trailers, count);
    f->local_reply = 1;
    perhaps_destroy(f);
}

bool CALLBACK(http_filter_get_attribute_string)(void *filter, enum envoy_attribute id, struct envoy_buffer *value) {
    (void)filter;
    *value = id == SOURCE_ADDRESS ? (struct envoy_buffer){"10.0.0.1:1", 10} : (struct envoy_buffer){"", 0};
    return true;
}

bool CALLBACK(http_filter_get_attribute_bool)(void *filter, enum envoy_attribute id, bool *value) {
    (void)filter, (void)id;
    *value = false;
    return true;
}

bool CALLBACK(http_filter_get_attribute_int)(void *filter, enum envoy_attribute id, uint64_t *value) {
    (void)filter, (void)id;
    *value = 1;
    return true;
}

void CALLBACK(http_clear_route_cache)(void *filter) {
    (void)filter;
}

/* --- the scheduler, used from two threads ------------------------------------------------------------------------- */

#include <pthread.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
    struct filter *filter;
    uint64_t event;
} events[4096];
static size_t event_count;

struct scheduler {
    struct filter *filter;
};

void *CALLBACK(http_filter_scheduler_new)(void *filter) {
    struct scheduler *s = malloc(sizeof *s);
    s->filter = filter;
    s->filter->schedulers++;
    return s;
}

void CALLBACK(http_filter_scheduler_commit)(void *scheduler, uint64_t event) {
    pthread_mutex_lock(&lock);
    CHECK(event_count < 4096);
    events[event_count].filter = ((struct scheduler *)scheduler)->filter;
    events[event_count++].event = event;
    pthread_mutex_unlock(&lock);
}

void CALLBACK(http_filter_scheduler_delete)(void *scheduler) {
    ((struct scheduler *)scheduler)->filter->schedulers--;
    free(scheduler);
}

/* Once an RPC is over Envoy lets nothing else happen to it. */
static void settle(struct filter *f) {
    if (f->response.out_trailers || f->response.out_ended) f->over = 1;
    if (f->over) destroy(f);
}

static int pending(const struct filter *f) {
    int found = 0;
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < event_count; i++) found |= events[i].filter == f;
    pthread_mutex_unlock(&lock);
    return found;
}

static void run_events(void) {
    for (;;) {
        pthread_mutex_lock(&lock);
        if (event_count == 0) {
            pthread_mutex_unlock(&lock);
            return;
        }
        struct filter *f = events[0].filter;
        uint64_t event = events[0].event;
        memmove(events, events + 1, --event_count * sizeof *events);
        pthread_mutex_unlock(&lock);
        if (f->dead) continue;
        HOOK(http_filter_scheduled)(f, f->module, event);
        settle(f);
    }
}

static struct envoy_buffer text(const char *from) {
    return (struct envoy_buffer){from, strlen(from)};
}

static void set(struct filter *f, enum envoy_headers map, const char *name, const char *value) {
    CALLBACK(http_set_header)(f, map, text(name), text(value));
}

/* --- the filter manager ------------------------------------------------------------------------------------------- */

static void flush(struct direction *d) {
    d->headers_gone = 1;
    add(&d->out, d->buffered.data, d->buffered.size);
    if (d->buffered.there) cut(&d->buffered, d->buffered.size);
    d->stopped = 0;
    d->moving = 1;
    if (d->ended && !d->trailers) d->out_ended = 1;
    if (d->trailers) d->out_trailers = 1;
}

static void go_on(struct filter *f, struct direction *d) {
    if (f->dead || d->moving) return;
    flush(d);
}

void CALLBACK(http_filter_continue_decoding)(void *filter) {
    go_on(filter, &((struct filter *)filter)->request);
}

void CALLBACK(http_filter_continue_encoding)(void *filter) {
    go_on(filter, &((struct filter *)filter)->response);
}

static void deliver(struct filter *f, int reply, const char *data, size_t size, bool end) {
    struct direction *d = reply ? &f->response : &f->request;
    struct body chunk = {0};
    d->ended |= end;
    add(&chunk, data, size);
    if (end && d->buffered.there) {
        add(&d->buffered, data, size);
        cut(&chunk, size);
    }
    d->received = chunk;
    int status = reply ? HOOK(http_filter_response_body)(f, f->module, end)
                       : HOOK(http_filter_request_body)(f, f->module, end);
    chunk = d->received;
    d->received = (struct body){0};
    if (!f->over) {
        d->moving = status == BODY_CONTINUE;
        if (status == BODY_CONTINUE && (d->stopped || !d->headers_gone)) {
            add(&d->buffered, chunk.data, chunk.size);
            flush(d);
        } else if (status == BODY_CONTINUE) {
            add(&d->out, chunk.data, chunk.size);
            d->out_ended |= end;
        } else {
            d->stopped = 1;
            if (status != BODY_STOP_NO_BUFFER) add(&d->buffered, chunk.data, chunk.size);
        }
    }
    free(chunk.data);
}

static void trailers(struct filter *f, int reply) {
    struct direction *d = reply ? &f->response : &f->request;
    d->ended = d->trailers = 1;
    f->maps[reply ? RESPONSE_TRAILERS : REQUEST_TRAILERS].there = 1;
    if (reply) set(f, RESPONSE_TRAILERS, "grpc-status", "0");
    int status = reply ? HOOK(http_filter_response_trailers)(f, f->module)
                       : HOOK(http_filter_request_trailers)(f, f->module);
    if (f->over) return;
    d->moving = status == TRAILERS_CONTINUE;
    if (status == TRAILERS_CONTINUE) flush(d);
    else d->stopped = 1;
}

/* --- RPCs --------------------------------------------------------------------------------------------------------- */

static void frame(struct body *to, const char *text, size_t size) {
    uint8_t head[5] = {0, (uint8_t)(size >> 24), (uint8_t)(size >> 16), (uint8_t)(size >> 8), (uint8_t)size};
    add(to, head, 5);
    add(to, text, size);
}

static void plan(struct filter *f) {
    unsigned messages = 1 + draw(6);
    for (unsigned i = 0; i < messages; i++) {
        char text[400];
        size_t size = draw(300);
        memset(text, '-', sizeof text);
        switch (draw(9)) {
        case 0:
            frame(&f->script, "q0 rewrite A", 12);
            frame(&f->expected, "A", 1);
            break;
        case 1:
            frame(&f->script, "p1 rewrite BB", 13);
            frame(&f->expected, "BB", 2);
            break;
        case 2:
            frame(&f->script, "q1 after 1", 10);
            frame(&f->expected, "q1 after 1", 10);
            break;
        case 3:
            frame(&f->script, "p0 after 1\np1 rewrite C", 23);
            frame(&f->expected, "C", 1);
            break;
        case 4:
            if (draw(3)) break;
            f->expected_code = 7;
            frame(&f->script, "q1 reject 7 no", 14);
            frame(&f->script, "more", 4);
            return;
        case 5:
            if (draw(3)) break;
            f->expected_code = 9;
            frame(&f->script, "p1 reject 9 no", 14);
            frame(&f->script, "more", 4);
            return;
        case 6:
            if (draw(3) || i) break;
            f->alone = 1;
            frame(&f->script, "q1 respond D", 12);
            frame(&f->expected, "D", 1);
            return;
        default:
            frame(&f->script, text, size);
            frame(&f->expected, text, size);
        }
    }
    if (draw(15) == 0) {
        f->expected_code = 3;
        add(&f->script, "\0\0\0\0\7abc", 8);
    }
}

/* A word of the layer before, good or not. */
static void say_who(struct filter *f) {
    struct ts_word word = {.tenant = "alice", .tenant_size = 5, .nonce = (uint64_t)draw(1u << 30) << 32 | draw(1u << 30)};
    char said[TS_WORD_LONGEST + 1] = "";
    unsigned kind = draw(5);
    word.ends = (uint64_t)(time(NULL) + (kind == 1 ? -9 : 20)) * 1000;
    word.deadline = draw(2) ? word.ends : 0;
    size_t size = ts_word_write(said, &word, &key);
    if (kind == 2) said[draw((unsigned)size)] ^= 1;
    if (kind == 3) said[draw((unsigned)size)] = 0;
    f->known = kind == 0;
    set(f, REQUEST_HEADERS, TENANT_HEADER, kind == 4 ? "alice" : said);
}

/* The server hears a word of ours, or none: never what came, and never a plain name. */
static void judge_word(struct filter *f) {
    struct envoy_buffer found;
    size_t count, said;
    struct ts_word word;
    if (!identified || !f->request.headers_gone) return;
    int there = CALLBACK(http_get_header)(f, REQUEST_HEADERS, text(TENANT_HEADER), &found, 0, &count);
    CHECK(there == f->known);
    if (!there) return;
    CHECK(count == 1 && ts_word_read(&word, found.data, found.size, &said));
    CHECK(ts_word_signed_by(&key, found.data, found.size, said) && word.ends / 1000 > (uint64_t)time(NULL) + 20);
}

static struct filter *begin(const void *config) {
    struct filter *f = calloc(1, sizeof *f);
    f->status = -1;
    f->declared = (int)draw(2);
    plan(f);
    f->module = HOOK(http_filter_new)(config, f);
    f->maps[REQUEST_HEADERS].there = 1;
    int early = f->declared && draw(2);
    if (!early && f->script.size == 0) f->expected_code = 3; /* nothing to decide about */
    const char *path = early ? "/t.Echo/Stream" : f->declared ? "/t.Echo/Held" : "/t.Echo/Echo";
    set(f, REQUEST_HEADERS, ":path", path);
    set(f, REQUEST_HEADERS, "content-type", "application/grpc");
    set(f, REQUEST_HEADERS, ":method", "POST");
    if (draw(4) == 0) set(f, REQUEST_HEADERS, "grpc-timeout", draw(2) ? "99999999H" : "99999999M"); /* 11,000 years */
    if (identified && draw(3)) say_who(f);
    int status = HOOK(http_filter_request_headers)(f, f->module, false);
    CHECK((status == HEADERS_CONTINUE) == early);
    CHECK(f->questions == 0); /* each costs Envoy hundreds of cycles: a request's headers are read at once */
    f->request.headers_gone = f->request.moving = status == HEADERS_CONTINUE;
    f->request.stopped = !f->request.moving;
    return f;
}

static void client_step(struct filter *f) {
    size_t left = f->script.size - f->sent, piece = 1 + draw(draw(2) ? 8 : 500);
    if (f->request.ended) return;
    if (left == 0) {
        if (draw(2)) trailers(f, 0);
        else deliver(f, 0, "", 0, true);
        return;
    }
    piece = piece < left ? piece : left;
    f->sent += piece;
    deliver(f, 0, f->script.data + f->sent - piece, piece, piece == left && draw(2));
}

static void server_step(struct filter *f) {
    if (!f->request.headers_gone || f->response.ended) return;
    if (!f->server_began) {
        f->server_began = 1;
        f->maps[RESPONSE_HEADERS].there = 1;
        set(f, RESPONSE_HEADERS, "content-type", "application/grpc");
        int status = HOOK(http_filter_response_headers)(f, f->module, false);
        CHECK((status == HEADERS_CONTINUE) == f->declared);
        f->response.headers_gone = f->response.moving = status == HEADERS_CONTINUE;
        f->response.stopped = !f->response.moving;
        return;
    }
    size_t left = f->request.out.size - f->echoed, piece = 1 + draw(draw(2) ? 8 : 500);
    if (left) {
        piece = piece < left ? piece : left;
        f->echoed += piece;
        deliver(f, 1, f->request.out.data + f->echoed - piece, piece, false);
    } else if (f->request.out_ended || f->request.out_trailers) {
        trailers(f, 1);
    }
}

static void judge(const struct filter *f) {
    const struct body *out = &f->response.out;
    struct envoy_buffer status;
    size_t count;
    if (f->aborted) return;
    if (f->alone && f->server_began) { /* too late for an answer of the chain itself */
        CHECK(f->declared && f->status == 13 && out->size == 0);
        return;
    }
    int code = f->status;
    if (code < 0 && CALLBACK(http_get_header)((void *)f, RESPONSE_TRAILERS, text("grpc-status"), &status, 0, &count))
        code = number(status.data, status.size);
    int cut = f->expected_code == 7 || f->expected_code == 3; /* replies to earlier requests may be under way */
    if (code != f->expected_code || out->size > f->expected.size || (!cut && out->size != f->expected.size) ||
        (out->size && memcmp(out->data, f->expected.data, out->size))) {
        size_t same = 0;
        while (same < out->size && same < f->expected.size && out->data[same] == f->expected.data[same]) same++;
        fprintf(stderr, "status %d instead of %d; %zu bytes instead of %zu, of which %zu are right\n", code,
                f->expected_code, out->size, f->expected.size, same);
        abort();
    }
}

static void end(struct filter *f) {
    judge(f);
    judge_word(f);
    destroy(f);
    CHECK(f->schedulers == 0);
    for (int m = 0; m < 4; m++)
        for (size_t i = 0; i < f->maps[m].count; i++) {
            free(f->maps[m].names[i]);
            free(f->maps[m].values[i]);
        }
    struct body all[] = {f->request.buffered,  f->request.out, f->response.buffered,
                         f->response.out, f->script, f->expected};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i].data);
    free(f);
}

/* `finish` came once for just the elements whose `request` ran. */
static void balance(const void *config) {
    static char diary[1 << 22];
    static unsigned char entered[1 << 17], finished[1 << 17];
    size_t size = ts_chain_save(((const struct config *)config)->chain, 0, (uint8_t *)diary, sizeof diary - 1);
    CHECK(size < sizeof diary - 1);
    for (char *line = strtok(diary, "\n"); line; line = strtok(NULL, "\n")) {
        unsigned rpc, element;
        if (line[0] == 'q' && sscanf(line, "q %u %u", &rpc, &element) == 2) entered[2 * rpc + element] = 1;
        if (line[0] == 'f' && sscanf(line, "f %u %u", &rpc, &element) == 2) finished[2 * rpc + element]++;
    }
    CHECK(memcmp(entered, finished, sizeof entered) == 0);
}

int main(int argc, char **argv) {
    static const uint8_t zeros[TS_SHA256_BYTES];
    char settings[4200];
    CHECK(argc >= 3 && strcmp(HOOK(program_init)(), ENVOY_ABI_VERSION) == 0);
    identified = argc == 4;
    ts_hmac_key(&key, zeros);
    snprintf(settings, sizeof settings, "early /t.Echo/Stream\nstreaming /t.Echo/Stream\nstreaming /t.Echo/Held\nmax_message 100000\n%s%s",
             identified ? "identity " : "", identified ? argv[3] : "");
    state = (uint64_t)atoi(argv[1]) * 977 + 1;
    int left = atoi(argv[2]), running = 0;
    const void *config = HOOK(http_filter_config_new)(NULL, text(""), text(settings));
    CHECK(config);
    struct filter *filters[AT_ONCE] = {0};
    do {
        for (int i = 0; i < AT_ONCE; i++) {
            struct filter *f = filters[i];
            if (!f) {
                if (left > 0) filters[i] = begin(config), left--, running++;
                continue;
            }
            if (!f->over && draw(2)) client_step(f);
            else if (!f->over) server_step(f);
            if (!f->over && draw(400) == 0) f->aborted = f->over = 1;
            settle(f);
            if (f->over && draw(3) == 0 && !pending(f)) {
                end(f);
                filters[i] = NULL;
                running--;
            }
        }
        run_events();
        if (draw(20) == 0) usleep(300);
    } while (left > 0 || running > 0);
    balance(config);
    HOOK(http_filter_config_destroy)(config);
    return 0;
}
