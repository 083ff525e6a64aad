/* SPDX-License-Identifier: GPL-3.0-or-later */
/* gguf.h -- GGUF, the container of llama.cpp, for model=transformer. All little-endian:
 *   "GGUF", u32 version 3, u64 tensors, u64 keys
 *   keys     name, u32 type, value; a name or a string is a u64 length and its bytes
 *   tensors  name, u32 dimensions, u64 each (the innermost first), u32 type, u64 offset of the data
 *   data     from the next multiple of general.alignment (32), each tensor at such a multiple */
#ifndef GGUF_H
#define GGUF_H
#include "harness/convert/hf.h"

enum { GGUF_F32 = 0, GGUF_F16 = 1, GGUF_TQ2_0 = 35 };
enum { TQ2_WEIGHTS = 256, TQ2_BYTES = 66 };      /* of a block: 64 bytes of codes, its scale */

typedef struct GgufTensor {
    const char *name;
    uint32_t    type;
    int         ndim, shape[4];                  /* the outermost first, as everywhere here */
    long        n;
    size_t      bytes;
    const unsigned char *data;
} GgufTensor;

typedef struct GgufFile {
    const char *path;
    json_t     *keys;                            /* numbers, strings, booleans; null: a list */
    GgufTensor *t;
    int         n;
    void       *map;
    size_t      size;
} GgufFile;

/* ---- gguf_file.c. NULL or an error message */
const char *gguf_open (GgufFile *, const char *path, Arena *);
void        gguf_close(GgufFile *);
int         gguf_is   (const char *path);        /* 1: it begins as one */
size_t      gguf_bytes(uint32_t type, long n);   /* 0: not a type that is known here */

/* ---- gguf_values.c: what both ways share */
/* What it calls a tensor of ours */
const char *gguf_name(const char *ours, Arena *);
/* Row r of ours is row gguf_row(...) there: queries and keys have the two halves of a head
 * interleaved, as its rope turns neighbours */
int         gguf_row(const char *ours, int r, int heads, int rows);
uint16_t    gguf_half(float);                    /* to the nearest, ties to even */
/* A block of ternary codes and their scale */
void        gguf_pack_tq2(unsigned char *to, const int8_t *codes, float scale);
float       gguf_unpack_tq2(int8_t *codes, const unsigned char *from);     /* its scale */
const ConfigKey *gguf_keys(void);                /* without "llama." */

/* ---- gguf_read.c, gguf_write.c. NULL or an error message */
typedef enum { GGUF_AS_F32, GGUF_AS_F16, GGUF_AS_TQ2_0 } GgufType;
const char *gguf_import(const char *gguf, const char *file, Arena *);
const char *gguf_export(const char *file, const char *gguf, GgufType, Arena *);

/* ---- gguf_parity.c: a directory with model.gguf, manifest.json (meta.config.seq), input_ids.bin
 * and logits.bin. As law_parity (laws.h) */
int         gguf_expects(const char *dir);
const char *gguf_parity (const char *dir, FILE *out, int *bad, Arena *);
#endif
