/* SPDX-License-Identifier: GPL-3.0-or-later */
/* gpt2_pretokenizer.h -- GPT-2's division of text into the pieces that byte pair encoding works on.
 */
#ifndef GPT2_PRETOKENIZER_H
#define GPT2_PRETOKENIZER_H
#include "kernels/base.h"

typedef struct Pretokenizer Pretokenizer;
/* NULL and an error message when PCRE2 refuses */
Pretokenizer *pretokenizer_new(Arena *, const char **why);

/* The length of the first piece of s (n >= 1 bytes, any bytes), 1 <= length <= n. */
size_t pretokenizer_piece(const Pretokenizer *, const char *s, size_t n);
/* the same by the pattern alone */
size_t pretokenizer_piece_pcre2(const Pretokenizer *, const char *s, size_t n);
/* The same for ASCII text; 0 when a byte beyond ASCII has a say in it. */
size_t pretokenizer_piece_ascii(const char *s, size_t n);
#endif
