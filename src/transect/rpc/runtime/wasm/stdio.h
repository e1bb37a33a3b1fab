/* SPDX-License-Identifier: Apache-2.0 */
/* What our C uses of <stdio.h>, where there is no libc: texts with %s, for the host's log. */
#ifndef TRANSECT_WASM_STDIO_H
#define TRANSECT_WASM_STDIO_H

#include <stdarg.h>
#include <stddef.h>

int vsnprintf(char *to, size_t room, const char *format, va_list args);

#endif
