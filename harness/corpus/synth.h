/* SPDX-License-Identifier: GPL-3.0-or-later */
/* synth.h -- the embedded default corpus: a synthetic language whose entropy is known.
 *
 * Frequencies as in text, word classes, fixed pairs, slow topics, and copies of what stood up to
 * 260 tokens ago: a loss can be put beside the loss of the process that wrote the stream. The model
 * and its exact filter are stated in synth.c. Id i is the word of rank i + 1. Everything follows
 * from (law, V, seed); streams of one language differ by name. */
#ifndef SYNTH_H
#define SYNTH_H
#include "kernels/base.h"
#include "models/token_ids.h"

enum { SYNTH_TOPICS = 16, SYNTH_CLASSES = 64, SYNTH_RULES = 2, SYNTH_LAGS = 5 };

/* What may differ between languages; the four sources of a new word have weights that sum to one
 * (plain is the rest). */
typedef struct SynthLaw {
    double zipf_a, zipf_b;               /* p(r) ~ (r + b)^-a */
    double w_topic, w_class, w_pair;     /* weights of the sources */
    int    topics;                       /* a power of two, at most SYNTH_TOPICS */
    double topic_switch;                 /* per token: the topic is drawn anew */
    int    lag[SYNTH_LAGS];              /* 0: unused */
    /* per token: outside a copy (a fifth for each lag), inside, a fresh word inside */
    double copy_start, copy_stop, slip;
} SynthLaw;
extern const SynthLaw synth_law;         /* the default corpus */

/* The language; its tables are for reading. Points of the circle are 0 .. SYNTH_TURN - 1. */
#define SYNTH_TURN ((int64_t)1 << 62)
typedef struct Synth {
    SynthLaw  law;
    int       V;
    uint64_t  seed;
    int64_t  *at;                        /* (V+1) slot i is the arc [at[i], at[i+1]) */
    int      *word, *slot;               /* (V) the word of a slot, the slot of a word */
    /* (65536) the slot of the first point of each 65536th of the circle */
    int      *guide;
    int64_t   turn;                      /* the rotation that takes a word to its fixed partner */
    uint8_t   follow[SYNTH_RULES][SYNTH_CLASSES];   /* each rule permutes the classes */
} Synth;

/* 2 <= V <= TOKEN_IDS_MOST; 16 bytes a word and 256 KB */
Synth *synth_make    (int V, uint64_t seed, Arena *);
Synth *synth_make_law(const SynthLaw *, int V, uint64_t seed, Arena *);
/* The stream of a name (0 training, 1 validation, ...): n tokens, the same for the same law, V,
 * seed, stream and any n. copied (n) or NULL: from how many tokens ago a token was copied; 0: it
 * was not. */
void   synth_stream(const Synth *, uint64_t stream, int *tok, int *copied, long n);

/* Exact -ln p(tok[i] | tok[0 .. i-1]): nll[i] (n) when not NULL; returns the mean, nats. */
double synth_nll(const Synth *, const int *tok, long n, double *nll);
/* Exact p(x | tok[0 .. n-1]) of every word: p (V), sums to one. O(n + V). */
void   synth_next(const Synth *, const int *tok, long n, double *p);

/* the law of one word, at every position of every stream */
double synth_unigram(const Synth *, int id);
double synth_unigram_entropy(const Synth *);               /* nats */
#endif
