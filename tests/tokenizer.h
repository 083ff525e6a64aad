/* SPDX-License-Identifier: GPL-3.0-or-later */
/* tokenizer.h -- a small tokenizer.json for tests: three special tokens, a piece for every byte, a
 * few pieces and merges. */
#ifndef TOKENIZER_H
#define TOKENIZER_H
#include "kernels/base.h"
#include <string.h>

#define TOKENIZER_PREPEND \
    "\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Prepend\",\"prepend\":" \
    "\"\xe2\x96\x81\"},{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"}," \
    "\"content\":\"\xe2\x96\x81\"}]},\"pre_tokenizer\":null"
#define TOKENIZER_METASPACE(scheme, split) \
    "\"normalizer\":null,\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":" \
    "\"\xe2\x96\x81\",\"prepend_scheme\":\"" scheme "\",\"split\":" split "}"
#define TOKENIZER_MERGES "\"a b\",\"\xe2\x96\x81 ab\",\"ab c\",\"\xe2\x96\x81 \xe2\x96\x81\""
#define TOKENIZER_PAIRS \
    "[\"a\",\"b\"],[\"\xe2\x96\x81\",\"ab\"],[\"ab\",\"c\"],[\"\xe2\x96\x81\",\"\xe2\x96\x81\"]"
#define TOKENIZER_ADDED(id, content) \
    "{\"id\":" id ",\"content\":\"" content "\",\"single_word\":false,\"lstrip\":false," \
    "\"rstrip\":false,\"normalized\":false,\"special\":true}"

/* ids: <unk> 0 <s> 1 </s> 2, bytes 3 to 258, then these; TOKENIZER_V of them */
enum { PIECE_BLANK = 259, PIECE_A, PIECE_B, PIECE_C, PIECE_AB, PIECE_BLANK_AB, PIECE_ABC,
       PIECE_BLANKS, TOKENIZER_V };

static inline const char *tokenizer_json(const char *blanks, const char *merges, Arena *a)
{
    static const char *const names[] = { "\xe2\x96\x81", "a", "b", "c", "ab", ("\xe2\x96\x81" "ab"),
                                         "abc", "\xe2\x96\x81\xe2\x96\x81" };
    const char *vocab = "\"<unk>\":0,\"<s>\":1,\"</s>\":2";
    for (int b = 0; b < 256; b++)
        vocab = arena_text(a, "%s,\"<0x%02X>\":%d", vocab, (unsigned)b, b + 3);
    for (int i = 0; i < 8; i++) vocab = arena_text(a, "%s,\"%s\":%d", vocab, names[i], 259 + i);
    return arena_text(
        a,
        "{\"version\":\"1.0\",\"added_tokens\":[" TOKENIZER_ADDED("0", "<unk>") ","
        TOKENIZER_ADDED("1", "<s>") "," TOKENIZER_ADDED("2", "</s>") "],%s,"
        "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":"
        "{\"id\":\"<s>\",\"type_id\":0}},{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}],"
        "\"special_tokens\":{\"<s>\":{\"id\":\"<s>\",\"ids\":[1],\"tokens\":[\"<s>\"]}}},"
        "\"decoder\":{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Replace\",\"pattern\":"
        "{\"String\":\"\xe2\x96\x81\"},\"content\":\" \"},{\"type\":\"ByteFallback\"},"
        "{\"type\":\"Fuse\"},{\"type\":\"Strip\",\"content\":\" \",\"start\":1,\"stop\":0}]},"
        "\"model\":{\"type\":\"BPE\",\"dropout\":null,\"unk_token\":\"<unk>\",\"fuse_unk\":true,"
        "\"byte_fallback\":true,\"vocab\":{%s},\"merges\":[%s]}}",
        blanks, vocab, merges);
}
#endif
