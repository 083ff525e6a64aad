/* SPDX-License-Identifier: GPL-3.0-or-later */
/* GPT-2's pattern (Radford et al. 2019, encoder.py of openai/gpt-2), first alternative that
 * matches:
 *
 *   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
 *
 * Its \s is Unicode's White_Space, written out below because PCRE2's own \s under UCP adds U+180E.
 * Every valid character belongs to a piece. Bytes that are no valid UTF-8 never match: a run of
 * them is a piece of its own, and the text on either side is split as if it ended there.
 *
 * A PCRE2 call costs some 50 ns a piece; nearly all of English is decided by ASCII alone, so that
 * is done by hand, and the pattern is asked when a byte >= 0x80 could change the answer. Both are
 * held equal by a test. */
#include "harness/corpus/gpt2_pretokenizer.h"
#include <string.h>
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#define SPACE "\\p{Z}\\x09-\\x0d\\x85"
static const char pattern[] =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^" SPACE "\\p{L}\\p{N}]+"
    "|[" SPACE "]+(?![^" SPACE "])|[" SPACE "]+";

struct Pretokenizer { pcre2_code *code; pcre2_match_data *match; };

enum { OTHER, LETTER, DIGIT, BLANK, BEYOND };
#define X8(a) a, a, a, a, a, a, a, a
#define X16(a) X8(a), X8(a)
#define X26(a) X16(a), X8(a), a, a
static const unsigned char class_of[256] = {
    X8(OTHER),   OTHER,       BLANK,       BLANK,       BLANK,       BLANK,       BLANK,
    OTHER,       OTHER,       X16(OTHER),  BLANK,       OTHER,       OTHER,       OTHER,
    OTHER,       OTHER,       OTHER,       OTHER,       X8(OTHER),   X8(DIGIT),   DIGIT,
    DIGIT,       OTHER,       OTHER,       OTHER,       OTHER,       OTHER,       OTHER,
    OTHER,       X26(LETTER), OTHER,       OTHER,       OTHER,       OTHER,       OTHER,
    OTHER,       X26(LETTER), OTHER,       OTHER,       OTHER,       OTHER,       OTHER,
    X16(BEYOND), X16(BEYOND), X16(BEYOND), X16(BEYOND), X16(BEYOND), X16(BEYOND), X16(BEYOND),
    X16(BEYOND)
};

/* 's 't 'm 'd 're 've 'll, after the apostrophe */
static size_t contraction(const char *s, size_t n)
{
    if (n >= 2 && strchr("stmd", s[1]) && s[1]) return 2;
    if (n >= 3 && ((s[1] == 'r' && s[2] == 'e') || (s[1] == 'v' && s[2] == 'e') ||
                   (s[1] == 'l' && s[2] == 'l')))
        return 3;
    return 0;
}

size_t pretokenizer_piece_ascii(const char *text, size_t n)
{
    const unsigned char *s = (const unsigned char *)text;
    if (s[0] == '\'') {
        const size_t len = contraction(text, n);
        if (len) return len;
    }
    size_t i = s[0] == ' ' && n > 1 && class_of[s[1]] != BLANK;
    const unsigned char kind = class_of[s[i]];
    if (kind == BEYOND) return 0;
    do i++; while (i < n && class_of[s[i]] == kind);
    if (i == n) return i;
    if (class_of[s[i]] == BEYOND) return 0;
    /* \s+(?!\S) leaves one blank to what follows */
    return kind == BLANK && i > 1 ? i - 1 : i;
}

size_t pretokenizer_piece_pcre2(const Pretokenizer *p, const char *s, size_t n)
{
    const int hits = pcre2_match(p->code, (PCRE2_SPTR)s, n, 0, 0, p->match, NULL);
    if (hits == PCRE2_ERROR_NOMATCH) return n;           /* nothing but stray bytes */
    CHECK(hits > 0);
    const size_t *at = pcre2_get_ovector_pointer(p->match);
    return at[0] ? at[0] : at[1];
}

size_t pretokenizer_piece(const Pretokenizer *p, const char *s, size_t n)
{
    const size_t len = pretokenizer_piece_ascii(s, n);
    return len ? len : pretokenizer_piece_pcre2(p, s, n);
}

static void *pcre_get(size_t size, void *arena) { return arena_raw(arena, size); }
static void  pcre_free(void *block, void *arena) { (void)block, (void)arena; }

Pretokenizer *pretokenizer_new(Arena *a, const char **why)
{
    Pretokenizer *p = arena_get(a, sizeof *p);
    int error;
    size_t at;
    pcre2_general_context *g = pcre2_general_context_create(pcre_get, pcre_free, a);
    pcre2_compile_context *c = pcre2_compile_context_create(g);
    p->code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
                            PCRE2_UTF | PCRE2_MATCH_INVALID_UTF, &error, &at, c);
    if (!p->code) {
        *why = arena_text(a,
                          "PCRE2 refuses GPT-2's pattern at %zu (error %d): expected a library "
                          "built with Unicode",
                          at, error);
        return NULL;
    }
    /* where there is no JIT, the interpreter gives the same pieces */
    pcre2_jit_compile(p->code, PCRE2_JIT_COMPLETE);
    p->match = pcre2_match_data_create(1, g);
    /* takes its frames now, not later */
    pcre2_match(p->code, (PCRE2_SPTR)"a", 1, 0, PCRE2_NO_JIT, p->match, NULL);
    return p;
}
