/* SPDX-License-Identifier: Apache-2.0 */
/* Which headers gRPC takes; the twin is rpc/headers.py. */
#ifndef TRANSECT_HEADERS_H
#define TRANSECT_HEADERS_H

#include <string.h>

#include "transect.h"

/* Of HTTP/2, which allows more than gRPC: a client may send them, so elements must be able to take them out. */
TS_INLINE bool ts_header_name(ts_slice name)
{
    for (uint32_t i = 0; i < name.size; i++) {
        uint8_t c = name.data[i];
        bool token = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        for (const char *other = "-_.!#$%&'*+^`|~"; !token && *other != 0; other++) {
            token = c == (uint8_t)*other;
        }
        if (!token) {
            return false;
        }
    }
    return name.size != 0;
}

TS_INLINE bool ts_header_name_of_grpc(ts_slice name)
{
    for (uint32_t i = 0; i < name.size; i++) {
        uint8_t c = name.data[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.')) {
            return false;
        }
    }
    return name.size != 0;
}

/* Printable ASCII, which is all that a header's text may hold. */
TS_INLINE bool ts_header_text(ts_slice text)
{
    for (uint32_t i = 0; i < text.size; i++) {
        if (text.data[i] < 0x20 || text.data[i] > 0x7e) {
            return false;
        }
    }
    return true;
}

/* Padded in full, in part, or not at all. */
TS_INLINE bool ts_header_base64(ts_slice text)
{
    uint32_t size = text.size;
    while (size != 0 && text.size - size < 2 && text.data[size - 1] == '=') {
        size--;
    }
    if (size % 4 == 1 || text.size - size > (4 - size % 4) % 4) {
        return false;
    }
    for (uint32_t i = 0; i < size; i++) {
        uint8_t c = text.data[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '+' || c == '/')) {
            return false;
        }
    }
    return true;
}

/* Whether a header may be sent.  gRPC refuses a whole call for one that may not, and a line break ends a connection. */
TS_INLINE bool ts_header_sendable(ts_slice name, ts_slice value)
{
    bool binary = name.size >= 4 && memcmp(name.data + name.size - 4, "-bin", 4) == 0;
    return ts_header_name_of_grpc(name) && ts_header_text(value) && (!binary || ts_header_base64(value));
}

#endif
