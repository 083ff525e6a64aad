/* SPDX-License-Identifier: GPL-3.0-or-later */
/* die() is wrapped (ld --wrap=die): within fuzz_dies it returns there, elsewhere it is a finding.
 */
#include "tests/fuzz/fuzz.h"
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static Arena fuzz_memory;
static char fuzz_place[64];
static int fuzz_placed, fuzz_fd = -1, fuzz_catches;
static jmp_buf fuzz_catch;

_Noreturn void __wrap_die(const char *fmt, ...);
_Noreturn void __wrap_die(const char *fmt, ...)
{
    va_list v;
    if (fuzz_catches) longjmp(fuzz_catch, 1);
    va_start(v, fmt);
    fputs("a loader ended the process: ", stderr);
    vfprintf(stderr, fmt, v);
    fputc('\n', stderr);
    va_end(v);
    abort();
}

int fuzz_dies(void (*f)(void *), void *ctx)
{
    fuzz_catches = 1;
    const int died = setjmp(fuzz_catch);
    if (!died) f(ctx);
    fuzz_catches = 0;
    return died;
}

Arena *fuzz_arena(void)
{
    if (!fuzz_memory.mem) fuzz_memory = arena_new((size_t)1 << 32);
    arena_reset(&fuzz_memory, 0);
    return &fuzz_memory;
}

const char *fuzz_file(const uint8_t *data, size_t size)
{
    static char path[64];
    if (fuzz_fd >= 0) close(fuzz_fd);
    fuzz_fd = memfd_create("fuzz", 0);
    if (fuzz_fd < 0 || write(fuzz_fd, data, size) != (ssize_t)size) abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fuzz_fd);
    return path;
}

static void fuzz_leave(void)
{
    char path[512];
    DIR *d = opendir(fuzz_place);
    for (struct dirent *e; d && (e = readdir(d));) {
        snprintf(path, sizeof path, "%s/%s", fuzz_place, e->d_name);
        unlink(path);
    }
    if (d) closedir(d);
    rmdir(fuzz_place);
}

const char *fuzz_dir(void)
{
    if (fuzz_placed) return fuzz_place;
    /* in memory where it can be: what is written is flushed, some inputs many times */
    snprintf(fuzz_place, sizeof fuzz_place, "%s/eightysix-fuzz-XXXXXX",
             access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
    if (!mkdtemp(fuzz_place)) abort();
    fuzz_placed = 1;
    atexit(fuzz_leave);
    return fuzz_place;
}

/* The file `name` of an input: its bytes and their number; NULL: it has none */
static const char *fuzz_section(const char *data, size_t size, const char *name, size_t *len)
{
    const size_t n = strlen(name);
    const char *end = data + size, *found = NULL;
    for (const char *line = data; line < end;) {
        const char *eol = memchr(line, '\n', (size_t)(end - line));
        const char *next = eol ? eol + 1 : end;
        if (*line == '@') {
            if (found) break;
            if (eol && (size_t)(eol - line) == n + 1 && !memcmp(line + 1, name, n)) {
                found = next;
                *len = 0;
            }
        } else if (found)
            *len += (size_t)(next - line);
        line = next;
    }
    return found;
}

void fuzz_files(const uint8_t *data, size_t size, const char *const *names)
{
    char path[512];
    for (; *names; names++) {
        size_t len = 0;
        const char *text = fuzz_section((const char *)data, size, *names, &len);
        snprintf(path, sizeof path, "%s/%s", fuzz_dir(), *names);
        unlink(path);
        if (!text) continue;
        FILE *f = fopen(path, "wb");
        if (!f || fwrite(text, 1, len, f) != len || fclose(f)) abort();
    }
}

void fuzz_look(const void *data, size_t bytes)
{
    const unsigned char *b = data;
    static volatile unsigned char seen;
    for (size_t i = 0; i < bytes; i++) seen = b[i];
    (void)seen;
}

void fuzz_want(const void *value, const char *why)
{
    if (!value && (!why || !*why)) abort();
}
