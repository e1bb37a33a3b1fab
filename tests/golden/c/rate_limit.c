/* RateLimit, emitted by transect from rate_limit.py:21
 * source sha256 5f68e37236c2c891efd397001fa228c0d94f453d93aa1affa985fb5b6cdeab8f */
#include "rate_limit.h"
#pragma GCC diagnostic ignored "-Wtautological-compare"
#pragma GCC diagnostic ignored "-Wtype-limits"

TS_INLINE struct rate_limit_bucket *rate_limit_buckets_entry(struct rate_limit_buckets_table *table, ts_slice key) {
    struct rate_limit_bucket *found = key.size <= 64u ? rate_limit_buckets_table_place(table, key) : NULL;
    if (found == NULL) {
        table->overflow++;
    }
    return found;
}

TS_INLINE bool rate_limit_buckets_put(struct rate_limit_buckets_table *table, ts_slice key, struct rate_limit_bucket value) {
    struct rate_limit_bucket *found = rate_limit_buckets_entry(table, key);
    if (found != NULL) {
        *found = value;
    }
    return found != NULL;
}

TS_INLINE struct rate_limit_bucket rate_limit_read_bucket(struct ts_reader *from) {
    struct ts_reader in = *from;
    struct rate_limit_bucket value = {0};
    value.tokens = ts_read_i64(&in);
    value.filled = ts_read_i64(&in);
    *from = in;
    return value;
}

TS_INLINE void rate_limit_write_bucket(struct ts_writer *out, struct rate_limit_bucket value) {
    ts_write_i64(out, value.tokens);
    ts_write_i64(out, value.filled);
}

TS_INLINE struct rate_limit_bucket *rate_limit_buckets_added(struct rate_limit_buckets_table *table, ts_slice key) {
    struct rate_limit_bucket *found = key.size <= 64u ? rate_limit_buckets_table_insert(table, key) : NULL;
    if (found == NULL) {
        table->overflow++;
    }
    return found;
}

static void rate_limit_start(struct rate_limit_state *self, uint64_t seed) {
    self->per_second = 100;
    self->burst = 20;
    self->buckets.seed = seed;
}

void rate_limit_init(struct rate_limit_state *self, uint64_t seed) {
    memset(self, 0, sizeof(struct rate_limit_state));
    rate_limit_start(self, seed);
}

struct rate_limit_state *rate_limit_new(uint64_t seed) {
    struct rate_limit_state *self = TS_ALLOCATE_ZEROED(sizeof(struct rate_limit_state));
    if (self != NULL) {
        rate_limit_start(self, seed);
    }
    return self;
}

void rate_limit_free(struct rate_limit_state *self) {
    TS_RELEASE(self);
}

bool rate_limit_set_per_second(struct rate_limit_state *self, int64_t value) {
    self->per_second = value;
    return true;
}

bool rate_limit_set_burst(struct rate_limit_state *self, int64_t value) {
    self->burst = value;
    return true;
}

#line 25 "rate_limit.py"
struct rate_limit_verdict rate_limit_request(struct rate_limit_state *self, struct ts_call *call, struct rate_limit_rpc_ask *rpc) {
    int64_t t1 = ts_now(call);
#line 26 "rate_limit.py"
    struct rate_limit_bucket *found = rate_limit_buckets_table_find(&self->buckets, rpc->msg->user);
    struct rate_limit_bucket bucket = found == NULL ? (struct rate_limit_bucket){self->burst, t1} : *found;
#line 27 "rate_limit.py"
    int64_t t2 = t1;
#line 27 "rate_limit.py"
    int64_t earned = ts_floordiv(ts_mul(ts_sub(t2, bucket.filled), self->per_second), 1000000000);
    if (earned > 0) {
        int64_t t3 = t1;
#line 29 "rate_limit.py"
        bucket = (struct rate_limit_bucket){ts_min(ts_add(bucket.tokens, earned), self->burst), t3};
    }
#line 30 "rate_limit.py"
    if (bucket.tokens <= 0) {
        ts_slice piece = ts_decimal(call, self->per_second);
        size_t size = (size_t)10u + piece.size + 15u;
        uint8_t *text = ts_take_text(call, size);
        uint8_t *end = text;
        end = ts_lay(end, TS_TEXT("more than "));
        end = ts_lay(end, piece);
        end = ts_lay(end, TS_TEXT(" calls a second"));
        ts_slice t4 = (ts_slice){text, (uint32_t)size};
#line 31 "rate_limit.py"
        return (struct rate_limit_verdict){1, {.reject = (struct rate_limit_reject){8, t4}}};
    }
#line 32 "rate_limit.py"
    bucket.tokens = ts_sub(bucket.tokens, 1);
    if (found == NULL) {
        found = rate_limit_buckets_added(&self->buckets, rpc->msg->user);
    }
    bool stored = found != NULL;
    if (found != NULL) {
        *found = bucket;
    }
#line 34 "rate_limit.py"
    return stored ? (struct rate_limit_verdict){0, {.forward = (struct rate_limit_forward){(struct rate_limit_option_int){0}, (struct rate_limit_option_text){0}}}} : (struct rate_limit_verdict){1, {.reject = (struct rate_limit_reject){8, TS_TEXT("too many users at once")}}};
}

#line 186 "transect/rpc/hooks.py"
struct rate_limit_verdict rate_limit_response(struct rate_limit_state *self, struct ts_call *call, struct rate_limit_rpc_any_any *rpc) {
    (void)self;
    (void)call;
    (void)rpc;
#line 188 "transect/rpc/hooks.py"
    return (struct rate_limit_verdict){0, {.forward = (struct rate_limit_forward){(struct rate_limit_option_int){0}, (struct rate_limit_option_text){0}}}};
}

#line 190 "transect/rpc/hooks.py"
struct rate_limit_option_retry rate_limit_finish(struct rate_limit_state *self, struct ts_call *call, struct rate_limit_rpc_any_any *rpc, struct rate_limit_outcome *outcome) {
    (void)self;
    (void)call;
    (void)rpc;
    (void)outcome;
#line 192 "transect/rpc/hooks.py"
    return (struct rate_limit_option_retry){0};
}

#line 139 "rate_limit.c"
static void rate_limit_fill(struct rate_limit_state *self, struct ts_reader *from) {
    struct ts_reader in = *from;
    {
        int64_t value = ts_read_i64(&in);
        self->per_second = value;
    }
    self->per_second_overflow = ts_read_u64(&in);
    {
        int64_t value = ts_read_i64(&in);
        self->burst = value;
    }
    self->burst_overflow = ts_read_u64(&in);
    {
        uint32_t count = ts_read_u32(&in);
        in.bad |= count > 4096u;
        for (uint32_t i = 0; i < count && !in.bad; i++) {
            ts_slice key = ts_read_bounded(&in, 64u, true);
            struct rate_limit_bucket value = rate_limit_read_bucket(&in);
            if (in.bad || rate_limit_buckets_table_find(&self->buckets, key) != NULL) {
                in.bad = true;
            } else if (!rate_limit_buckets_put(&self->buckets, key, value)) {
                in.bad = true;
            }
        }
    }
    self->buckets.overflow = ts_read_u64(&in);
    *from = in;
}

size_t rate_limit_save(struct rate_limit_state *self, uint8_t *image, size_t room) {
    struct ts_writer writer = {image, room, 0};
    struct ts_writer *out = &writer;
    /* per_second */
    {
        ts_write_i64(out, self->per_second);
    }
    ts_write_u64(out, self->per_second_overflow);
    /* burst */
    {
        ts_write_i64(out, self->burst);
    }
    ts_write_u64(out, self->burst_overflow);
    /* buckets */
    {
        ts_write_u32(out, self->buckets.order.count);
        struct ts_walk walk = ts_walk_over(&self->buckets.order);
        struct rate_limit_buckets_table_entry *entry;
        while ((entry = rate_limit_buckets_table_step(&self->buckets, &walk)) != NULL) {
            ts_write_text(out, rate_limit_text64_load(&entry->key));
            rate_limit_write_bucket(out, entry->value);
        }
    }
    ts_write_u64(out, self->buckets.overflow);
    return writer.size;
}

int rate_limit_load(struct rate_limit_state *self, const uint8_t *image, size_t size) {
    struct rate_limit_state *fresh = rate_limit_new(self->buckets.seed);
    if (fresh == NULL) {
        return -1;
    }
    struct ts_reader in = {image, size, false};
    rate_limit_fill(fresh, &in);
    bool good = !in.bad && in.left == 0;
    if (!good) {
        rate_limit_free(fresh);
        return -1;
    }
    *self = *fresh;
    TS_RELEASE(fresh);
    return 0;
}

