/* Hints of Arachne, emitted by transect from arachne.py
 * source sha256 f04ab5bc199af55dfceca8073ba63fff3f9c33dd266b158bffd159eed0e0d1ea */
#ifndef ARACHNE_HINTS_H
#define ARACHNE_HINTS_H

#include "transect_hints.h"

static inline int arachne_attach(struct transect *application, char *why, size_t size) {
    return transect_attach(application, "{\"version\": 1, \"says\": [[\"Cores\", [\"count\", \"priority\"]]], \"hears\": [[\"give_back\", [\"core\"]], [\"granted\", [\"core\"]]]}", why, size);
}

static inline int arachne_say_cores(struct transect *application, uint32_t thread, int64_t count, int64_t priority) {
    int64_t numbers[2] = {count, priority};
    return transect_say(application, 1691661922u, thread, 2, numbers);
}

static inline int arachne_is_give_back(const struct transect_message *message, int64_t *core) {
    if (message->kind != 2138800154u) {
        return 0;
    }
    *core = message->numbers[0];
    return 1;
}

static inline int arachne_is_granted(const struct transect_message *message, int64_t *core) {
    if (message->kind != 4213799431u) {
        return 0;
    }
    *core = message->numbers[0];
    return 1;
}

#endif

