/* SPDX-License-Identifier: GPL-3.0-or-later */
/* hidden_states.h -- the hidden states of a trained trunk and the tokens that follow them, computed
 * once and kept in a file.
 *
 * Windows of `seq` tokens, as evaluation reads them: of the training text spread evenly over it, of
 * the validation text one after the other. The file lies in the cache directory; its name is a hash
 * of the checkpoint, the windows, the settings and the build, so that what is found there is what
 * would be computed. */
#ifndef HIDDEN_STATES_H
#define HIDDEN_STATES_H
#include "harness/train/session.h"

typedef struct HiddenStates {
    long         n;              /* positions */
    const float *h;              /* (n, d) */
    const int   *x, *y;          /* (n) the token read, the token to come */
} HiddenStates;
typedef struct HiddenStatePair {
    HiddenStates train, valid;
    int    d, found;             /* found: 1: they lay in the cache */
    char   checkpoint[65];       /* SHA-256 */
    TensorFile *file;
} HiddenStatePair;

/* positions: of training text, at most; the validation text is the corpus's. NULL or an error
 * message */
const char *hidden_states_open(HiddenStatePair *, Session *, const char *checkpoint, long positions,
                               Arena *);
void        hidden_states_close(HiddenStatePair *);
#endif
