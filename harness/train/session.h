/* SPDX-License-Identifier: GPL-3.0-or-later */
/* session.h -- the parts of one run, made from its settings: text, model, head, optimiser, tape. */
#ifndef SESSION_H
#define SESSION_H
#include "harness/train/classes_file.h"
#include "models/model.h"
#include "models/step.h"

typedef struct Session {
    Arena          *arena;
    const Spec     *spec;
    const char     *from;         /* the checkpoint to be loaded; NULL: none */
    const Exec     *exec;
    Corpus         *corpus;
    Params         *params;
    const ModelDef *model;
    const HeadDef  *head;         /* the one in force */
    void           *m, *h;        /* the model's and the head's own state */
    const Classes  *classes;      /* of words, of the head it began with; NULL: that has none */
    /* seconds it took to find them, NAN: no text was looked at, or nobody knows */
    double          classes_s;
    /* the head of the last part of the budget and its state; NULL with finish=0, and once it is in
     * force */
    const HeadDef  *last;
    void           *last_h;
    int             finishing;    /* 1: the last head is in force */
    const char     *cutoffs;      /* what cutoffs=auto came to; NULL: nothing to resolve */
    double          cutoffs_s;    /* seconds it took */
    const char     *gemm_reason;  /* of gemm=auto's choice; NULL: it was named, or no training */
    const char     *gemm_packed;  /* which products it packs; NULL: all it can */
    Optim          *optim;        /* NULL: not for training */
    Tape           *tape;
    int             d;
    long            step, tokens, supervised;     /* done so far */
    double          seconds, flops;
    /* of the test text: its loss, positions, and the step after which they were found; -1: none */
    double          test_nll;
    long            test_positions, test_step;
    /* share of the matrix that embed_init kept; NAN: random */
    double          embed_variance;
} Session;

/* What a session is for. READS: hidden states or losses of the training text; EVALUATES: only the
 * held texts are read; SPEAKS: no text is read. These three take vocabulary and counts from the
 * checkpoint; where it is older and has none, they read the text of its settings and say so. */
typedef enum { SESSION_READS, SESSION_TRAINS, SESSION_EVALUATES, SESSION_SPEAKS } SessionUse;
/* Parameters of a session that does not train have no gradients and no moments. from: the
 * checkpoint that will be loaded, or NULL. What was chosen by measurement for it (in training the
 * provider of dense products, which of them pack their weight, and the cut-offs; always the classes
 * of words) is taken from it. Dies with an error message, or exits with EXIT_SKIP when the settings
 * name what this machine cannot run. */
Session *session_make(const Spec *, const char *from, SessionUse);
/* The checkpoint that these settings continue from: that of `save` if it exists, else that of
 * `from`; NULL: none */
const char *session_resumes(const Spec *);
void     session_drop(Session *);
Step     session_step(const Session *);       /* its parts, for models/step.h; nobody measures */
/* Where batches of models/step.h come from: corpus_batch of a Corpus */
void     session_source(void *corpus, uint64_t seed, long step, int micro, int B, int T, int *x,
                        int *y);
/* Switches to the last head (finish=...) for good: a run that is continued for longer keeps it. The
 * parameters of the first head stay as they are. */
void     session_finish(Session *);

/* Exact mean negative log-likelihood in nats per token over the validation text, windows of `seq`;
 * *n positions. */
double session_nll(Session *, long *n);
/* The same over another text. each (text's n) or NULL: the loss on token i + 1 */
double session_nll_of(Session *, const HeldText *, long *n, float *each);
#endif
