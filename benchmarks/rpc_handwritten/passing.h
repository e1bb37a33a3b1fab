/* SPDX-License-Identifier: Apache-2.0 */
/* A filter that looks at requests alone and keeps nothing of a stream. */
#include "hand.h"

EXPORT const void *HOOK(http_filter_new)(const void *config, void *filter) {
    (void)filter;
    return config;
}

EXPORT void HOOK(http_filter_destroy)(const void *filter) {
    (void)filter;
}

EXPORT int HOOK(http_filter_response_body)(void *envoy, const void *filter, bool end) {
    (void)envoy, (void)filter, (void)end;
    return BODY_CONTINUE;
}

EXPORT int HOOK(http_filter_response_trailers)(void *envoy, const void *filter) {
    (void)envoy, (void)filter;
    return TRAILERS_CONTINUE;
}
