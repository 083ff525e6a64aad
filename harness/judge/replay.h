/* SPDX-License-Identifier: GPL-3.0-or-later */
/* replay.h -- recorded verdicts, computed once more from the raw records. */
#ifndef REPLAY_H
#define REPLAY_H
#include "kernels/base.h"

/* pack: a database, or a directory of text (db_save_text). Prints each verdict that comes out
 * otherwise than recorded, with verbose the others too, and how many there are. *code: 0 all come
 * out the same, bit for bit; 1 one differs; 3 there are none. NULL, or an error message. */
const char *replay_pack(const char *pack, int verbose, int *code, Arena *);
#endif
