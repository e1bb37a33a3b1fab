/* SPDX-License-Identifier: Apache-2.0 */
/* What the probe chain uses of a libc and the plugin has not: for tests only. */
#ifndef PROBE_LIBC_H
#define PROBE_LIBC_H

#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static char *strndup(const char *text, size_t size) {
    char *made = malloc(size + 1);
    memcpy(made, text, size);
    made[size] = 0;
    return made;
}

static char *strdup(const char *text) {
    return strndup(text, strlen(text));
}

static int strcmp(const char *a, const char *b) {
    while (*a && *a == *b) a++, b++;
    return *a - *b;
}

static int64_t strtol(const char *text, char **end, int base) {
    int64_t n = 0, sign = *text == '-' ? -1 : 1;
    (void)base;
    for (text += sign < 0; *text >= '0' && *text <= '9'; text++) n = n * 10 + (*text - '0');
    if (end) *end = (char *)(uintptr_t)text;
    return sign * n;
}

static char *strsep(char **from, const char *at) {
    char *begin = *from, *c = begin;
    if (!begin) return NULL;
    while (*c && *c != *at) c++;
    *from = *c ? c + 1 : NULL;
    *c = 0;
    return begin;
}

/* With one separator. */
static char *strtok_r(char *text, const char *at, char **rest) {
    char *begin = text ? text : *rest, *c;
    while (*begin == *at) begin++;
    if (!*begin) return NULL;
    for (c = begin; *c && *c != *at; c++) {}
    *rest = *c ? c + 1 : c;
    *c = 0;
    return begin;
}

static size_t put_number(char *to, uint64_t n) {
    char digits[20];
    size_t at = 20, size;
    do digits[--at] = (char)('0' + n % 10);
    while (n /= 10);
    size = 20 - at;
    memcpy(to, digits + at, size);
    return size;
}

/* %llu %u %d %c %s %.*s */
static int probe_format(char *to, size_t room, const char *format, va_list args) {
    size_t at = 0;
    for (; *format && at + 64 < room; format++) {
        if (*format != '%') {
            to[at++] = *format;
            continue;
        }
        format++;
        if (*format == 'l') format += 2, at += put_number(to + at, va_arg(args, unsigned long long));
        else if (*format == 'u') at += put_number(to + at, va_arg(args, unsigned));
        else if (*format == 'c') to[at++] = (char)va_arg(args, int);
        else if (*format == 'd') {
            int n = va_arg(args, int);
            if (n < 0) to[at++] = '-';
            at += put_number(to + at, n < 0 ? 0 - (uint64_t)n : (uint64_t)n);
        } else {
            size_t size = *format == '.' ? (size_t)va_arg(args, int) : SIZE_MAX;
            const char *text = va_arg(args, const char *);
            if (*format == '.') format += 2;
            for (size_t i = 0; i < size && (size != SIZE_MAX || text[i]) && at + 64 < room; i++) to[at++] = text[i];
        }
    }
    to[at] = 0;
    return (int)at;
}

#define vsnprintf probe_format

#endif
