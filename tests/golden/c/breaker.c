/* Breaker, emitted by transect from breaker.py:11
 * source sha256 604d1bdd83c9d64b7630158360adb6ac33aa2dfd4794f8e684d5f08e267ddd1e */
#include "breaker.h"
#pragma GCC diagnostic ignored "-Wtautological-compare"
#pragma GCC diagnostic ignored "-Wtype-limits"

static void breaker_start(struct breaker_state *self, uint64_t seed) {
    (void)seed;
    self->limit = 5;
    self->pause = 1000000000;
}

void breaker_init(struct breaker_state *self, uint64_t seed) {
    memset(self, 0, sizeof(struct breaker_state));
    breaker_start(self, seed);
}

struct breaker_state *breaker_new(uint64_t seed) {
    struct breaker_state *self = TS_ALLOCATE_ZEROED(sizeof(struct breaker_state));
    if (self != NULL) {
        breaker_start(self, seed);
    }
    return self;
}

void breaker_free(struct breaker_state *self) {
    TS_RELEASE(self);
}

bool breaker_set_limit(struct breaker_state *self, int64_t value) {
    self->limit = value;
    return true;
}

bool breaker_set_pause(struct breaker_state *self, int64_t value) {
    self->pause = value;
    return true;
}

#line 16 "breaker.py"
struct breaker_verdict breaker_request(struct breaker_state *self, struct ts_call *call, struct breaker_rpc *rpc) {
    (void)rpc;
#line 17 "breaker.py"
    if (self->failed >= self->limit) {
        int64_t t1 = ts_now(call);
#line 18 "breaker.py"
        if (t1 < self->again) {
            return (struct breaker_verdict){1, {.reject = (struct breaker_reject){14, TS_TEXT("circuit open")}}};
        }
#line 20 "breaker.py"
        int64_t t2 = t1;
#line 20 "breaker.py"
        self->again = ts_add(t2, self->pause);
    }
#line 21 "breaker.py"
    return (struct breaker_verdict){0, {.forward = (struct breaker_forward){(struct breaker_option_int){0}, (struct breaker_option_text){0}}}};
}

#line 186 "transect/rpc/hooks.py"
struct breaker_verdict breaker_response(struct breaker_state *self, struct ts_call *call, struct breaker_rpc_any_any *rpc) {
    (void)self;
    (void)call;
    (void)rpc;
#line 188 "transect/rpc/hooks.py"
    return (struct breaker_verdict){0, {.forward = (struct breaker_forward){(struct breaker_option_int){0}, (struct breaker_option_text){0}}}};
}

#line 23 "breaker.py"
struct breaker_option_retry breaker_finish(struct breaker_state *self, struct ts_call *call, struct breaker_rpc *rpc, struct breaker_outcome *outcome) {
    (void)rpc;
    int64_t t2 = 0;
#line 24 "breaker.py"
    int64_t subject = outcome->cause;
#line 24 "breaker.py"
    if (subject == 1 || subject == 2) {
        return (struct breaker_option_retry){0};
    }
#line 26 "breaker.py"
    int64_t subject_2 = outcome->code;
#line 26 "breaker.py"
    bool bad = subject_2 == 14 || subject_2 == 4 || subject_2 == 13;
    self->failed = bad ? ts_min(ts_add(self->failed, 1), self->limit) : 0;
    if (bad) {
#line 28 "breaker.py"
        int64_t t1 = ts_now(call);
#line 28 "breaker.py"
        t2 = ts_add(t1, self->pause);
    } else {
#line 28 "breaker.py"
        t2 = self->again;
    }
#line 28 "breaker.py"
    self->again = t2;
    return (struct breaker_option_retry){0};
}

#line 98 "breaker.c"
static void breaker_fill(struct breaker_state *self, struct ts_reader *from) {
    struct ts_reader in = *from;
    {
        int64_t value = ts_read_i64(&in);
        self->limit = value;
    }
    self->limit_overflow = ts_read_u64(&in);
    {
        int64_t value = ts_read_i64(&in);
        self->pause = value;
    }
    self->pause_overflow = ts_read_u64(&in);
    {
        int64_t value = ts_read_i64(&in);
        self->failed = value;
    }
    self->failed_overflow = ts_read_u64(&in);
    {
        int64_t value = ts_read_i64(&in);
        self->again = value;
    }
    self->again_overflow = ts_read_u64(&in);
    *from = in;
}

size_t breaker_save(struct breaker_state *self, uint8_t *image, size_t room) {
    struct ts_writer writer = {image, room, 0};
    struct ts_writer *out = &writer;
    /* limit */
    {
        ts_write_i64(out, self->limit);
    }
    ts_write_u64(out, self->limit_overflow);
    /* pause */
    {
        ts_write_i64(out, self->pause);
    }
    ts_write_u64(out, self->pause_overflow);
    /* failed */
    {
        ts_write_i64(out, self->failed);
    }
    ts_write_u64(out, self->failed_overflow);
    /* again */
    {
        ts_write_i64(out, self->again);
    }
    ts_write_u64(out, self->again_overflow);
    return writer.size;
}

int breaker_load(struct breaker_state *self, const uint8_t *image, size_t size) {
    struct breaker_state *fresh = breaker_new(0);
    if (fresh == NULL) {
        return -1;
    }
    struct ts_reader in = {image, size, false};
    breaker_fill(fresh, &in);
    bool good = !in.bad && in.left == 0;
    if (!good) {
        breaker_free(fresh);
        return -1;
    }
    *self = *fresh;
    TS_RELEASE(fresh);
    return 0;
}

