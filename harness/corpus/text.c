/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Text as a stream of pieces that tokenize alone: bytes are read into a buffer, the buffer is cut
 * at the last place where vocab_cut allows, what follows is kept for the next piece.
 *
 *   buffer   [ the piece given out last | left over, moved to the front | read now ... ]
 *
 * The buffer is address space; a text costs the memory of its longest piece, about 1 MB unless it
 * has no white space. */
#include "harness/util/file.h"
#include "harness/corpus/data_parts.h"
#include <errno.h>
#include <fcntl.h>
#include <lzma.h>
#include <nettle/sha2.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PIECE = 1 << 20, PACKED = 1 << 16 };
static const size_t room = (size_t)256 << 20;
static const uint64_t lzma_memory = (uint64_t)256 << 20;

struct Text {
    const char       *path;
    Arena             buffer, *arena;
    char             *text;
    /* bytes at the front given out last; bytes in the buffer */
    size_t            given, have;
    int               fd, packed, ended;
    long              size, taken, bytes;    /* of the file (0: unknown); of it read; of text */
    /* the part of the text that is read; NULL: all of it. at: the place in the whole text */
    const TextRange  *part;
    long              parts, at;
    lzma_stream       xz;
    uint8_t          *xz_in;
    struct sha256_ctx sha;
};

static int text_ends_with(const char *s, const char *end)
{
    const size_t n = strlen(s), m = strlen(end);
    return n >= m && !strcmp(s + n - m, end);
}

Text *text_open(const char *path, Arena *a, const char **why)
{
    enum { FLAGS = O_RDONLY | O_CLOEXEC | O_NONBLOCK };
    struct stat st;
    const int fd = strcmp(path, "-") ? open(path, FLAGS) : dup(0);
    if (fd < 0 || fstat(fd, &st) || (strcmp(path, "-") && !S_ISREG(st.st_mode))) {
        *why = fd < 0 ? arena_text(a, "%s: cannot be read: %s", path, strerror(errno))
                      : file_check(path, a);
        if (fd >= 0) close(fd);
        return NULL;
    }
    Text *t = arena_get(a, sizeof *t);
    *t = (Text) { .path = arena_text(a, "%s", path),
                  .arena = a,
                  .fd = fd,
                  .packed = text_ends_with(path, ".xz"),
                  .size = st.st_size };
    t->buffer = arena_new(room + PACKED + 4096);
    t->text = arena_raw(&t->buffer, room);
    t->xz_in = arena_raw(&t->buffer, PACKED);
    t->xz = (lzma_stream)LZMA_STREAM_INIT;
    if (t->packed) CHECK(lzma_stream_decoder(&t->xz, lzma_memory, LZMA_CONCATENATED) == LZMA_OK);
    sha256_init(&t->sha);
    return t;
}

static long text_read_some(Text *t, void *to, size_t most, const char **why)
{
    ssize_t n;
    do n = read(t->fd, to, most); while (n < 0 && errno == EINTR);
    if (n < 0) *why = arena_text(t->arena, "%s: cannot be read: %s", t->path, strerror(errno));
    else t->taken += n;
    return n;
}

/* Up to `most` bytes of text; 0 at the end; -1 and an error message. */
static long text_read_text(Text *t, char *to, size_t most, const char **why)
{
    if (!t->packed) return text_read_some(t, to, most, why);
    t->xz.next_out = (uint8_t *)to;
    t->xz.avail_out = most;
    while (t->xz.avail_out == most) {
        lzma_action action = LZMA_RUN;
        if (!t->xz.avail_in) {
            const long n = text_read_some(t, t->xz_in, PACKED, why);
            if (n < 0) return -1;
            if (!n) action = LZMA_FINISH;
            t->xz.next_in = t->xz_in;
            t->xz.avail_in = (size_t)n;
        }
        const lzma_ret r = lzma_code(&t->xz, action);
        if (r == LZMA_STREAM_END) break;
        if (r != LZMA_OK) {
            *why = arena_text(t->arena,
                              r == LZMA_BUF_ERROR ? "%s: cut short: expected more after %ld bytes"
                              : r == LZMA_MEMLIMIT_ERROR
                                  ? "%s: expected an .xz file that unpacks in 256 MB (byte %ld)"
                                  : "%s: expected a sound .xz file; it breaks near byte %ld",
                              t->path, t->taken);
            return -1;
        }
    }
    return (long)(most - t->xz.avail_out);
}

void text_keep(Text *t, const TextRange *part, long parts)
{
    CHECK(!t->taken && part);
    t->part = part;
    t->parts = parts;
}

/* Moves what is kept of n bytes of text to their front; returns how many these are */
static long text_keep_some(Text *t, char *to, long n)
{
    const long from = t->at, end = t->at + n;
    long kept = 0;
    t->at = end;
    if (!t->part) return n;
    for (; t->parts && t->part->from < end; t->part++, t->parts--) {
        const long a = t->part->from > from ? t->part->from : from,
                   b = t->part->to < end ? t->part->to : end;
        memmove(to + kept, to + (a - from), (size_t)(b - a));
        kept += b - a;
        if (t->part->to > end) break;
    }
    return kept;
}

/* As text_read_text, of the part that is kept */
static long text_read_kept(Text *t, char *to, size_t most, const char **why)
{
    long n, kept = 0;
    while (!kept && (n = text_read_text(t, to, most, why)) != 0) {
        if (n < 0) return n;
        kept = text_keep_some(t, to, n);
    }
    return kept;
}

long text_piece(Text *t, const char **piece, const char **why)
{
    memmove(t->text, t->text + t->given, t->have - t->given);
    t->have -= t->given;
    t->given = 0;
    for (size_t want = PIECE; ; want = 2 * t->have) {
        if (want > room) want = room;
        while (!t->ended && t->have < want) {
            const long n = text_read_kept(t, t->text + t->have, want - t->have, why);
            if (n < 0) return -1;
            if (!n) t->ended = 1;
            sha256_update(&t->sha, (size_t)n, (const uint8_t *)t->text + t->have);
            t->have += (size_t)n;
            t->bytes += n;
        }
        t->given = t->ended ? t->have : vocab_cut(t->text, t->have);
        if (t->given || t->ended) break;
        if (t->have == room) {
            *why = arena_text(t->arena, "%s: expected white space at least every %zu MB", t->path,
                              room >> 20);
            return -1;
        }
    }
    *piece = t->text;
    return (long)t->given;
}

double text_done(const Text *t) { return t->size > 0 ? (double)t->taken / (double)t->size : 0; }
long   text_bytes(const Text *t) { return t->bytes; }

const char *text_hash(Text *t, char out[65])
{
    uint8_t d[SHA256_DIGEST_SIZE];
    sha256_digest(&t->sha, sizeof d, d);
    for (int i = 0; i < SHA256_DIGEST_SIZE; i++) sprintf(out + 2 * i, "%02x", d[i]);
    return out;
}

void text_close(Text *t)
{
    lzma_end(&t->xz);
    arena_drop(&t->buffer);
    close(t->fd);
}
