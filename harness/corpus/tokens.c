/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Token files (data.h): opened by mapping, written beside their name, synced and renamed. */
#include "harness/util/file.h"
#include "harness/corpus/data_parts.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct Header {
    char     magic[8];
    uint32_t version, V;
    uint64_t tokens, bytes;
    char     vocab[32], vocab_sha256[64], source_sha256[64], source[256];
    double   floor;
    uint32_t id_bytes;                   /* of version 2 */
    char     zeros[3636];
} Header;
_Static_assert(sizeof(Header) == 4096, "the header of a token file is one page");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "token files are little-endian");
enum { BLOCK = 1 << 20 };                /* tokens looked at before their pages go back */

void tokens_leave(TokenIds all, long n, long first, long last)
{
    /* a fault maps neighbours too; measured: 64 KB leaves a quarter */
    const uintptr_t page = 4096, around = 1 << 20;
    const uintptr_t low = (uintptr_t)all.at / page * page,
                    high = ((uintptr_t)token_ids_from(all, n).at + page - 1) / page * page;
    uintptr_t from = (uintptr_t)token_ids_from(all, first).at / around * around;
    uintptr_t to = ((uintptr_t)token_ids_from(all, last).at + around - 1) / around * around;
    if (from < low) from = low;
    if (to > high) to = high;
    madvise((void *)from, to - from, MADV_DONTNEED);
}

static unsigned tokens_largest(TokenIds ids, long from, long to)
{
    const uint16_t *two = ids.at;
    const uint32_t *four = ids.at;
    unsigned most = 0;
    if (ids.bytes == 2)
        for (long i = from; i < to; i++) most = two[i] > most ? two[i] : most;
    else
        for (long i = from; i < to; i++) most = four[i] > most ? four[i] : most;
    return most;
}

/* The place of the first id that is not below V, or -1. */
static long tokens_bad_id(TokenIds tok, long n, unsigned V)
{
    for (long from = 0; from < n; from += BLOCK) {
        const long to = from + BLOCK < n ? from + BLOCK : n;
        if (tokens_largest(tok, from, to) >= V)
            for (long i = from; i < to; i++)
                if ((unsigned)token_id(tok, i) >= V) return i;
        tokens_leave(tok, n, from, to);
    }
    return -1;
}

/* NULL, or what is wrong with the header of a file of `size` bytes. */
static const char *tokens_check_header(const char *path, const Header *h, size_t size, Arena *a)
{
    const unsigned bytes = h->version == 1 ? 2 : h->id_bytes,
                   most = bytes == 2 ? TOKEN_IDS_2_BYTES : TOKEN_IDS_MOST;
    if (memcmp(h->magic, "86tokens", 8))
        return arena_text(a, "%s: expected a token file (it does not begin with 86tokens)", path);
    if (h->version != 1 && h->version != 2)
        return arena_text(a, "%s: a token file of version %u, expected 1 or 2", path, h->version);
    if (bytes != 2 && bytes != 4)
        return arena_text(a, "%s: ids of %u bytes, expected 2 or 4", path, bytes);
    if (h->V < 1 || h->V > most)
        return arena_text(a, "%s: a vocabulary of %u ids of %u bytes, expected 1 to %u", path, h->V,
                          bytes, most);
    if ((size - sizeof *h) % bytes || (size - sizeof *h) / bytes != h->tokens)
        return arena_text(a,
                          "%s: %zu bytes, expected a header of 4096 and %u for each of its %llu "
                          "tokens: is it cut short?",
                          path, size, bytes, (unsigned long long)h->tokens);
    if (h->bytes > INT64_MAX)
        return arena_text(a, "%s: the header's count of bytes of text is out of range", path);
    if (!(h->floor >= 0 && h->floor < 64))
        return arena_text(a, "%s: the header's loss of the true model is out of range", path);
    return NULL;
}

static TokenFile *tokens_of_map(const char *path, char *map, size_t size, Arena *a,
                                const char **why)
{
    const Header *h = (const Header *)map;
    if ((*why = tokens_check_header(path, h, size, a))) return NULL;
    const TokenIds tok = { map + sizeof *h, h->version == 1 ? 2 : (int)h->id_bytes };
    const long bad = tokens_bad_id(tok, (long)h->tokens, h->V);
    if (bad >= 0) {
        *why = arena_text(a, "%s: token %ld is id %u, expected less than %u", path, bad,
                          (unsigned)token_id(tok, bad), h->V);
        return NULL;
    }
    TokenFile *f = arena_get(a, sizeof *f);
    *f = (TokenFile) { .path = arena_text(a, "%s", path),
                       .V = (int)h->V,
                       .n = (long)h->tokens,
                       .bytes = (long)h->bytes,
                       .floor = h->floor,
                       .tok = tok,
                       .map = map,
                       .map_size = size };
    f->vocab = arena_text(a, "%.32s", h->vocab);
    f->vocab_hash = arena_text(a, "%.64s", h->vocab_sha256);
    f->source = arena_text(a, "%.256s", h->source);
    f->source_hash = arena_text(a, "%.64s", h->source_sha256);
    return f;
}

TokenFile *tokens_open(const char *path, Arena *a, const char **why)
{
    struct stat st;
    if ((*why = file_check(path, a))) return NULL;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st)) {
        *why = arena_text(a, "%s: cannot be read: %s", path, strerror(errno));
        if (fd >= 0) close(fd);
        return NULL;
    }
    if (!S_ISREG(st.st_mode) || st.st_size < (off_t)sizeof(Header)) {
        *why = arena_text(
            a, "%s: expected a token file: it has no room for the header of 4096 bytes", path);
        close(fd);
        return NULL;
    }
    const size_t size = (size_t)st.st_size;
    void *map = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
    const int err = errno;
    close(fd);
    if (map == MAP_FAILED) {
        *why = arena_text(a, "%s: cannot be mapped: %s", path, strerror(err));
        return NULL;
    }
    TokenFile *f = tokens_of_map(path, map, size, a, why);
    if (!f) munmap(map, size);
    return f;
}

void tokens_close(TokenFile *f)
{
    if (f->map) munmap(f->map, f->map_size);
    f->map = NULL;
    f->tok = (TokenIds){ NULL, 2 };
    f->n = 0;
}

struct TokenWriter { FILE *f; const char *path, *part; int V; long n; Arena *arena; };

TokenWriter *tokens_begin(const char *path, int V, Arena *a, const char **why)
{
    static const Header empty;
    TokenWriter *w = arena_get(a, sizeof *w);
    *w = (TokenWriter) { NULL, arena_text(a, "%s", path),
                         arena_text(a, "%s.%d.part", path, (int)getpid()), V, 0, a };
    if (!(w->f = fopen(w->part, "wb"))) {
        *why = arena_text(a, "%s: cannot be written: %s", w->part, strerror(errno));
        return NULL;
    }
    fwrite(&empty, sizeof empty, 1, w->f);
    return w;
}

/* A failure stays in the stream until tokens_commit. */
void tokens_add(TokenWriter *w, const int *id, long n)
{
    enum { AT_ONCE = 4096 };
    uint16_t two[AT_ONCE];
    w->n += n;
    if (token_ids_width(w->V) == 4) fwrite(id, sizeof *id, (size_t)n, w->f);
    else
        for (long i = 0; i < n; i += AT_ONCE) {
            const long m = n - i < AT_ONCE ? n - i : AT_ONCE;
            for (long k = 0; k < m; k++) two[k] = (uint16_t)id[i + k];
            fwrite(two, sizeof *two, (size_t)m, w->f);
        }
}

static void tokens_copy(char *field, size_t size, const char *s)
{
    memcpy(field, s, strnlen(s, size));
}

const char *tokens_commit(TokenWriter *w, const TokenFile *head)
{
    int bad = ferror(w->f);
    if (head && !bad) {
        const int width = token_ids_width(w->V);
        Header h = { .magic = "86tokens",
                     .version = width == 2 ? 1 : 2,
                     .V = (uint32_t)w->V,
                     .tokens = (uint64_t)w->n,
                     .bytes = (uint64_t)head->bytes,
                     .floor = head->floor,
                     .id_bytes = width == 2 ? 0 : (uint32_t)width };
        tokens_copy(h.vocab, sizeof h.vocab, head->vocab);
        tokens_copy(h.vocab_sha256, sizeof h.vocab_sha256, head->vocab_hash);
        tokens_copy(h.source_sha256, sizeof h.source_sha256, head->source_hash);
        tokens_copy(h.source, sizeof h.source, head->source);
        bad = fflush(w->f) || fseek(w->f, 0, SEEK_SET) || fwrite(&h, sizeof h, 1, w->f) != 1 ||
              fflush(w->f) || fsync(fileno(w->f));
    }
    int err = errno;
    if (fclose(w->f) && !bad) {
        bad = 1;
        err = errno;
    }
    if (head && !bad && !rename(w->part, w->path)) return NULL;
    if (head && !bad) err = errno;
    unlink(w->part);
    return head ? arena_text(w->arena, "%s: cannot be written: %s", w->path, strerror(err)) : NULL;
}
