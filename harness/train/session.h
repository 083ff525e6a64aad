/* SPDX-License-Identifier: GPL-3.0-or-later */
/* session.h -- the parts of one run, made from its settings, and how they are kept and brought
 * back. */
#ifndef SESSION_H
#define SESSION_H
#include "harness/train/classes_file.h"
#include "models/model.h"
#include "models/step.h"

typedef struct Session {
    Arena           arena;
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
    /* the head of the end of the budget and its state; NULL with finish=0, */
    const HeadDef  *last;
    void           *last_h;       /* and once it is in force */
    int             finishing;    /* 1: it is */
    const char     *cutoffs;      /* what cutoffs=auto came to; NULL: nothing to resolve */
    double          cutoffs_s;    /* seconds it took */
    Optim          *optim;        /* NULL: not for training */
    Tape           *tape;
    int             d;
    long            step, tokens, supervised;     /* done so far */
    double          seconds, flops;
    /* share of the matrix that embed_init kept; NAN: random */
    double          embed_variance;
} Session;

/* from: the checkpoint that will be loaded, or NULL: what was chosen or found out for it is so
 * again, the provider and the cut-offs in training, the classes of words always. Dies with a
 * sentence, or exits with EXIT_SKIP when the settings name what this machine cannot run. */
Session *session_make(const Spec *, const char *from, int training);
/* For a command that reads a checkpoint: words (n) are one checkpoint and settings that replace its
 * own. Dies with a message. */
Session *session_open(char **words, int n, const char *command, Arena *);
/* The checkpoint these settings continue from, the one of save before that of from; NULL: none */
const char *session_resumes(const Spec *);
void     session_drop(Session *);
Step     session_step(const Session *);       /* its parts, for models/step.h; nobody measures */
/* Puts the last head in force, for good: a run that is continued for longer keeps it. The first
 * one's own parameters stay as they are. */
void     session_finish(Session *);

/* A checkpoint is one safetensors file: values by name, opt.m/, opt.s/ and ema/ beside them,
 * classes of words as in classes_file.h, the settings and clocks as metadata. Written whole or not
 * at all. NULL or a sentence. */
const char *checkpoint_save(Session *, const char *path);
const char *checkpoint_load(Session *, const char *path);
/* What its metadata say of key ("gemm", "cutoffs"): NULL: nothing. Returns NULL or a sentence. */
const char *checkpoint_meta(const char *path, const char *key, const char **value, Arena *);
/* The classes of words it was trained with; NULL: it has none. Returns NULL or a sentence. */
const char *checkpoint_classes(const char *path, const Classes **, Arena *);
/* The settings a checkpoint was trained with, set into *spec, with cutoffs=auto resolved; NULL or a
 * sentence. */
const char *checkpoint_spec(const char *path, Spec *, Arena *);

/* Exact mean negative log-likelihood in nats per token over the validation text, windows of `seq`;
 * *n positions. */
double session_nll(Session *, long *n);
#endif
