/* SPDX-License-Identifier: Apache-2.0 */
/* An admission policy in C for a scheduler in Python, which calls it through ctypes: the emitted policy, and what the
 * scheduler wants to know of its counters.
 *
 * Built with -DTS_POLICY=prefix -DTS_SOURCE="prefix.c"; where `pick` orders the waiting clients by one tally,
 * -DTS_COUNTER=tally; where requests are charged and not clients, -DTS_REQUESTS.
 */
#include TS_SOURCE

#define TS_JOIN_(A, B) A##_##B
#define TS_JOIN(A, B) TS_JOIN_(A, B)
#define P(NAME) TS_JOIN(TS_POLICY, NAME)

#ifdef TS_REQUESTS
/* The output of one step of an engine: so many tokens more for each of the requests. */
void admission_produced(struct P(state) *self, struct P(request) *const *requests, const int64_t *tokens, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        requests[i]->produced += tokens[i];
        P(charge)(self, NULL, requests[i], 0, tokens[i]);
    }
}
#endif

#ifdef TS_COUNTER
#define TALLY TS_JOIN(TS_POLICY, TS_COUNTER)
#define HEAP TS_JOIN(TS_COUNTER, heap)

/* A client's counter. */
int64_t admission_counter(struct P(state) *self, uint64_t client)
{
    const int64_t *found = TS_JOIN(TALLY, table_find)(&self->TS_COUNTER, client);
    return found == NULL ? 0 : *found;
}

/* Another instance of the policy charged or lifted the client. */
void admission_move(struct P(state) *self, uint64_t client, int64_t change)
{
    int64_t *entry = TS_JOIN(TALLY, entry)(&self->TS_COUNTER, client);
    if (entry != NULL) {
        *entry = ts_add(*entry, change);
        TS_JOIN(TALLY, moved)(self, client, entry);
    }
}

/* How far the counters of those who wait lie apart. */
int64_t admission_gap(const struct P(state) *self)
{
    if (self->HEAP.count == 0) {
        return 0;
    }
    int64_t most = self->HEAP.items[0].value; /* the least is at the root */
    for (uint32_t i = 1; i < self->HEAP.count; i++) {
        if (self->HEAP.items[i].value > most) {
            most = self->HEAP.items[i].value;
        }
    }
    return most - self->HEAP.items[0].value;
}
#endif
