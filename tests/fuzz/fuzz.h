/* SPDX-License-Identifier: GPL-3.0-or-later */
/* fuzz.h -- what the fuzz targets share: an arena that every input begins anew, inputs as files,
 * die() as a return.
 *
 * A target is tests/fuzz/fuzz_NAME.c with one LLVMFuzzerTestOneInput; its seeds are in
 * tests/fuzz/seeds/NAME/. It hands the input to a loader of outside files, which must return a
 * value, or NULL and an error message. */
#ifndef FUZZ_H
#define FUZZ_H
#include "kernels/base.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

Arena      *fuzz_arena(void);                             /* empty */
const char *fuzz_file (const uint8_t *data, size_t size); /* a path to it, until the next call */
const char *fuzz_dir  (void);                             /* temporary directory of this process */
/* An input of several files: each begins with a line "@NAME". Writes those of `names` (NULL ends
 * it) into fuzz_dir(); one that the input does not have is removed. */
void        fuzz_files(const uint8_t *data, size_t size, const char *const *names);
/* A loader that found nothing wrong returned a value; one that refused gives an error message. */
void        fuzz_want (const void *value, const char *why);
/* Reads each of the bytes that a loader says there are */
void        fuzz_look (const void *data, size_t bytes);
/* Runs f; 1: it ended in die() */
int         fuzz_dies (void (*f)(void *), void *ctx);
#endif
