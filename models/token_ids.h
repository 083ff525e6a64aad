/* SPDX-License-Identifier: GPL-3.0-or-later */
/* token_ids.h -- a text as token ids, two or four bytes each, as they lie in a token file. Whoever
 * reads one asks token_id; nothing else knows how wide they are. */
#ifndef TOKEN_IDS_H
#define TOKEN_IDS_H
#include <stdint.h>

/* ids below this number fit in two bytes; no vocabulary has more than TOKEN_IDS_MOST */
enum { TOKEN_IDS_2_BYTES = 1 << 16, TOKEN_IDS_MOST = 1 << 20 };

typedef struct TokenIds {
    const void *at;              /* NULL: there is no text */
    int         bytes;           /* of one id: 2 or 4, unsigned, of this machine's byte order */
} TokenIds;

static inline TokenIds token_ids_2(const uint16_t *at) { return (TokenIds){ at, 2 }; }
static inline TokenIds token_ids_4(const uint32_t *at) { return (TokenIds){ at, 4 }; }

/* bytes of one id of a vocabulary of V ids */
static inline int token_ids_width(long V) { return V <= TOKEN_IDS_2_BYTES ? 2 : 4; }

/* id number i */
static inline int token_id(TokenIds ids, long i)
{
    return ids.bytes == 2 ? ((const uint16_t *)ids.at)[i] : (int)((const uint32_t *)ids.at)[i];
}

/* the ids from number `first` on */
static inline TokenIds token_ids_from(TokenIds ids, long first)
{
    return (TokenIds){ (const char *)ids.at + first * ids.bytes, ids.bytes };
}
#endif
