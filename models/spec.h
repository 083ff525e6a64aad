/* SPDX-License-Identifier: GPL-3.0-or-later */
/* spec.h -- the settings of one run: key=value words with types, defaults and documentation.
 *
 * settings.def is the one list: it declares, checks, documents (`eightysix list settings`) and
 * orders. The canonical form of a spec is "k=v k=v" in that order, of the settings that differ from
 * their default and say what is computed (the quantiser that is the model's own is its default);
 * its SHA-256 is the key of a cell. */
#ifndef SPEC_H
#define SPEC_H
#include "kernels/base.h"

typedef struct Spec Spec;
typedef struct Setting {
    /* type: "text", "int", "num", "flag" (0/1), "list" (comma list of numbers), "one of a|b|c" */
    const char *key, *type;
    const char *value, *doc;     /* default, one line */
    double      min, max;        /* of numbers, and of each of a list */
    /* Where it has an effect, "": always. Conditions a=x|y or a!=x, joined by "," where every one
     * must hold; several such groups joined by " or ". Numbers are compared as numbers. */
    const char *applies;
    int         cell;            /* 1: part of the canonical form; 0: paths and the like */
} Setting;
extern const Setting settings[];  /* ended by a NULL key */

/* What size= sets of a model (sizes.def) */
enum { SPEC_SIZED = 3 };
typedef struct SpecSize {
    const char *size, *model;
    long parameters;                                /* outside of embedding and output layer */
    struct { const char *key, *value; } sets[SPEC_SIZED];      /* "0": the model has not that */
} SpecSize;
extern const SpecSize spec_sizes[];                 /* ended by a NULL size */

int         spec_find(const char *key, size_t len);      /* its place in settings; -1: none */
Spec       *spec_new (Arena *);                          /* all defaults */
Spec       *spec_copy(const Spec *, Arena *);
/* word: "key=value". NULL, or an error message: an unknown key with the nearest known one, a value
 * of the wrong type with what was expected */
const char *spec_set (Spec *, const char *word);
/* The same of a word that a checkpoint stores, which an older program may have allowed: a number
 * beyond its range is set where nothing is sized by it, and *warning (else NULL) says so */
const char *spec_set_stored(Spec *, const char *word, const char **warning);
/* The same of words with blanks between them, up to the first that is refused */
const char *spec_set_words (Spec *, const char *words);
/* The same for an argument of a command: a setting that was given before is refused. */
const char *spec_set_word  (Spec *, const char *word);
/* Sets it back to its default, as if it had not been given. */
void        spec_unset(Spec *, const char *key);
/* Settings one by one: names, budgets, lengths of lists. Messages of the checks live until the next
 * check. */
const char *spec_check_each(const Spec *);
/* The settings as a whole: names, budgets, products, limits of the model. NULL or an error
 * message. */
const char *spec_check_values(const Spec *);
/* spec_check_values; and refuses a given setting that has no effect beside the others. */
const char *spec_check(const Spec *);
int         spec_applies(const Spec *, const Setting *);
const char *spec_str (const Spec *, const char *key);    /* an unknown key is a bug */
long        spec_int (const Spec *, const char *key);
double      spec_num (const Spec *, const char *key);
int         spec_is  (const Spec *, const char *key, const char *value);
/* the setting quant, native being the model's own: "v3", "absmean" or "none" */
const char *spec_quant(const Spec *);
/* The setting precision. 1: this product ("forward", "dx", "dw", "head") is in bfloat16 */
int         spec_bf16(const Spec *, const char *product);
int         spec_list(const Spec *, const char *key, long *out, int max);   /* how many */
int         spec_given(const Spec *, const char *key);   /* 1: set by a word, even to its default */
/* the canonical form; valid as long as the spec's arena */
const char *spec_text(const Spec *);
/* text: "60s" "5m" "2h", "1000000tokens" or "2Mtokens", "500steps". NULL or an error message */
typedef struct { double seconds; long tokens, steps; } Budget;   /* 0: not limited by this */
const char *spec_budget(const char *text, Budget *);
#endif
