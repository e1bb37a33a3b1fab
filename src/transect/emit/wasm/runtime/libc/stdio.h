/* SPDX-License-Identifier: Apache-2.0 */
/* What our C uses of <stdio.h>, where there is no libc.  A WASI command has three streams (`wasi.c`); a plugin has texts
 * with %s for its host's log, and defines `vsnprintf`. */
#ifndef TRANSECT_WASM_STDIO_H
#define TRANSECT_WASM_STDIO_H

#include <stdarg.h>
#include <stddef.h>

#define EOF (-1)

typedef struct ts_file FILE;

extern FILE *const stdin, *const stdout, *const stderr;

int vsnprintf(char *to, size_t room, const char *format, va_list args);
int getchar(void);
int putchar(int byte);
size_t fread(void *to, size_t size, size_t count, FILE *from);
size_t fwrite(const void *from, size_t size, size_t count, FILE *to);
int fflush(FILE *to);
int fprintf(FILE *to, const char *format, ...); /* writes the format itself, and at most one %s */

#endif
