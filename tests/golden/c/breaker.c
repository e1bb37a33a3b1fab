/* Breaker, emitted by transect from breaker.py:26
 * source sha256 fe6545d1b4b5471dd4f05c5f95ab014044e4eb1a0432cf94c52443ba200626f1 */
#include "breaker.h"
#pragma GCC diagnostic ignored "-Wtautological-compare"
#pragma GCC diagnostic ignored "-Wtype-limits"

TS_INLINE int64_t breaker_read_enum_phase(struct ts_reader *from) {
    struct ts_reader in = *from;
    int64_t value;
    value = ts_read_i64(&in);
    in.bad |= value != 0 && value != 1 && value != 2;
    *from = in;
    return value;
}

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

void breaker_local_init(struct breaker_local *local) {
    memset(local, 0, sizeof(struct breaker_local));
}

bool breaker_set_limit(struct breaker_state *self, int64_t value) {
    self->limit = value;
    return true;
}

bool breaker_set_pause(struct breaker_state *self, int64_t value) {
    self->pause = value;
    return true;
}

#line 26 "breaker.py"
struct breaker_verdict breaker_request(struct breaker_state *self, struct breaker_local *local, struct ts_call *call, struct breaker_rpc *rpc) {
    (void)rpc;
#line 27 "breaker.py"
    bool t2 = self->phase == 1;
#line 27 "breaker.py"
    if (t2) {
#line 27 "breaker.py"
        int64_t t1 = ts_now(call);
#line 27 "breaker.py"
        t2 = ts_sub(t1, self->opened) >= self->pause;
    }
#line 27 "breaker.py"
    if (t2) {
        self->phase = 2;
        local->trying = true;
        return (struct breaker_verdict){0, {.forward = (struct breaker_forward){(struct breaker_option_int){0}, (struct breaker_option_text){0}}}};
    }
#line 31 "breaker.py"
    if (self->phase != 0 && !local->trying) {
        return (struct breaker_verdict){1, {.reject = (struct breaker_reject){14, TS_TEXT("circuit open")}}};
    }
#line 33 "breaker.py"
    return (struct breaker_verdict){0, {.forward = (struct breaker_forward){(struct breaker_option_int){0}, (struct breaker_option_text){0}}}};
}

#line 177 "transect/rpc/hooks.py"
struct breaker_verdict breaker_response(struct breaker_state *self, struct breaker_local *local, struct ts_call *call, struct breaker_rpc_any_any *rpc) {
    (void)self;
    (void)local;
    (void)call;
    (void)rpc;
#line 179 "transect/rpc/hooks.py"
    return (struct breaker_verdict){0, {.forward = (struct breaker_forward){(struct breaker_option_int){0}, (struct breaker_option_text){0}}}};
}

#line 35 "breaker.py"
struct breaker_option_retry breaker_finish(struct breaker_state *self, struct breaker_local *local, struct ts_call *call, struct breaker_rpc *rpc, struct breaker_outcome *outcome) {
    (void)rpc;
#line 36 "breaker.py"
    if (outcome->cause == 2 && !local->trying) {
        return (struct breaker_option_retry){0};
    }
#line 38 "breaker.py"
    int64_t subject = outcome->code;
#line 38 "breaker.py"
    if (subject == 14 || subject == 4 || subject == 13 || subject == 1) {
        self->failed = ts_add(self->failed, 1);
        if (local->trying || self->failed >= self->limit) {
            self->phase = 1;
            int64_t t1 = ts_now(call);
#line 42 "breaker.py"
            self->opened = t1;
        }
    } else if (local->trying || self->phase == 0) {
#line 44 "breaker.py"
        self->phase = 0;
        self->failed = 0;
    }
    return (struct breaker_option_retry){0};
}

#line 116 "breaker.c"
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
        int64_t value = breaker_read_enum_phase(&in);
        self->phase = value;
    }
    self->phase_overflow = ts_read_u64(&in);
    {
        int64_t value = ts_read_i64(&in);
        self->failed = value;
    }
    self->failed_overflow = ts_read_u64(&in);
    {
        int64_t value = ts_read_i64(&in);
        self->opened = value;
    }
    self->opened_overflow = ts_read_u64(&in);
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
    /* phase */
    {
        ts_write_i64(out, self->phase);
    }
    ts_write_u64(out, self->phase_overflow);
    /* failed */
    {
        ts_write_i64(out, self->failed);
    }
    ts_write_u64(out, self->failed_overflow);
    /* opened */
    {
        ts_write_i64(out, self->opened);
    }
    ts_write_u64(out, self->opened_overflow);
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

