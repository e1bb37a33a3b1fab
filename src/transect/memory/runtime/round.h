/* SPDX-License-Identifier: Apache-2.0 */
/* One round of a probe, for who calls from Python. */
#ifndef TRANSECT_ROUND_H
#define TRANSECT_ROUND_H

#include "asked.h"

#define TM_MEMORY (UINT64_C(1) << 29) /* bytes that a round may take */

/* The kernel is where it was: its banner is there. */
TS_INLINE bool tm_still_there(struct ts_call *call)
{
    const struct tm_machine *m = tm_round_of(call)->machine;
    const uint8_t *at = tm_physical(call, m->banner, m->banner_size);
    return at != NULL && memcmp(at, m->banner_text, m->banner_size) == 0;
}

static ts_slice tm_ask(void *context, ts_slice name, ts_slice arguments)
{
    struct tm_round *round = context;
    round->ask(name.data, name.size, arguments.data, arguments.size);
    return (ts_slice){round->answer, round->answer_size};
}

/* Who calls from Python writes it down. */
static void tm_trace(struct ts_call *call, ts_slice text)
{
    (void)tm_ask(call->context, TS_TEXT("trace"), text);
}

/* A probe that asks for time or chance has no form in C. */
static const struct ts_host tm_host = {NULL, NULL, tm_trace, tm_ask};

enum { TM_DONE, TM_PROBLEM, TM_MOVED };

/* Runs a probe once: what it says is in `round->said`, why it could not go on in `round->problem`. */
static __attribute__((unused, noinline)) int tm_run(void (*scan)(void *state, struct ts_call *call), void *state,
                                                     struct tm_round *round)
{
    void *escape[5];
    struct ts_call call;
    volatile int result = TM_PROBLEM;
    ts_call_begin(&call, &tm_host, round);
    call.arena.most = TM_MEMORY;
    call.arena.escape = escape;
    round->number++;
    round->said.size = 0;
    snprintf(round->problem, sizeof round->problem, "it takes more memory than a round may");
    if (__builtin_setjmp(escape) == 0) {
        if (tm_still_there(&call)) {
            scan(state, &call);
            result = TM_DONE;
        } else {
            result = TM_MOVED;
        }
    }
    ts_call_end(&call);
    return result;
}

#endif
