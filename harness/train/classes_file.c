/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The cache: classes.KEY.safetensors, with the whole key, the seconds it took to make them, and the
 * SHA-256 of these and of the tensors' values. A file that does not say all that is made again. */
#include "harness/train/classes_file.h"
#include "harness/util/clock.h"
#include "harness/corpus/cache.h"
#include "harness/util/host.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- tensors ---- */

void classes_tensors(Tensor t[CLASSES_TENSORS], const Classes *k, Arena *a)
{
    int32_t *seat = arena_raw(a, 2 * sizeof *seat * (size_t)k->V);
    for (int v = 0; v < k->V; v++) {
        seat[2 * v] = k->place[v];
        seat[2 * v + 1] = k->class_of[v];
    }
    t[0] = (Tensor) { .name = "head.classes.mass",
                      .dtype = "F64",
                      .n = k->C,
                      .ndim = 1,
                      .shape = { k->C },
                      .data = k->mass };
    t[1] = (Tensor) { .name = "head.classes",
                      .dtype = "I32",
                      .n = 2L * k->V,
                      .ndim = 2,
                      .shape = { k->V, 2 },
                      .data = seat };
}

const Classes *classes_read(const TensorFile *f, Arena *a, const char **why)
{
    const Tensor *seat = tensors_find(f, "head.classes"),
                 *mass = tensors_find(f, "head.classes.mass");
    const Classes *k = NULL;
    *why = NULL;
    if (!seat && !mass) return NULL;
    if (seat && mass && !strcmp(seat->dtype, "I32") && seat->ndim == 2 && seat->shape[1] == 2 &&
        !strcmp(mass->dtype, "F64"))
        k = mass->n <= seat->shape[0]
                ? classes_from(seat->data, mass->data, seat->shape[0], (int)mass->n, a)
                : NULL;
    if (!k)
        *why = arena_text(a,
                          "%s: expected in 'head.classes' the place and class of every word, in "
                          "'head.classes.mass' every class",
                          f->path);
    return k;
}

/* ---- cache ---- */

/* Nothing is drawn and no vector computed where classes are found by counting */
static const char *classes_key_of(const Spec *s, const Exec *e, const Corpus *c, Arena *a)
{
    static const char *const names[] = { "assign", "classes", "depth", "shortlist" };
    char counts[65];
    const char *key = arena_text(a, "classes %d: text %s, counts %s", CLASSES_VERSION,
                                 *c->sha ? c->sha : build_read(a)->id,
                                 sha256_hex(c->freq, sizeof *c->freq * (size_t)c->V, counts));
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        key = arena_text(a, "%s %s=%s", key, names[i], spec_str(s, names[i]));
    if (spec_is(s, "assign", "brown")) return key;
    return arena_text(a, "%s seed=%s gemm=%s f32=%s", key, spec_str(s, "seed"), e->gemm->name,
                      e->f->isa);
}

static const char *classes_path_of(const char *key, Arena *a)
{
    char hash[65];
    const char *why;
    return cache_path(
        arena_text(a, "classes.%.16s.safetensors", sha256_hex(key, strlen(key), hash)), a, &why);
}

static const char *classes_sum_of(const Tensor t[CLASSES_TENSORS], const char *seconds, Arena *a)
{
    char first[65];
    const char *sum = sha256_hex(seconds, strlen(seconds), first);
    for (int i = 0; i < CLASSES_TENSORS; i++) {
        char hash[65];
        sum = arena_text(a, "%s%s", sum, sha256_hex(t[i].data, tensors_bytes(&t[i]), hash));
    }
    return sum;
}

const Classes *classes_cached(const Spec *s, const Exec *e, const Corpus *c, double *seconds,
                              Arena *a)
{
    const char *why, *key = classes_key_of(s, e, c, a), *path = classes_path_of(key, a);
    TensorFile *f = path ? tensors_open(path, a, &why) : NULL;
    if (!f) return NULL;
    const char *was = tensors_meta(f, "key"), *sum = tensors_meta(f, "sha256"),
               *took = tensors_meta(f, "seconds");
    const Classes *k = was && sum && took && !strcmp(was, key) ? classes_read(f, a, &why) : NULL;
    if (k) {
        Tensor t[CLASSES_TENSORS];
        classes_tensors(t, k, a);
        if (k->V != c->V || strcmp(sum, classes_sum_of(t, took, a))) k = NULL;
    }
    if (k) *seconds = strtod(took, NULL);
    tensors_close(f);
    return k;
}

/* Written under a name of this process, then renamed: several cells of a sweep may write it at once
 */
void classes_cache(const Classes *k, const Spec *s, const Exec *e, const Corpus *c, double seconds,
                   Arena *a)
{
    const char *key = classes_key_of(s, e, c, a), *path = classes_path_of(key, a);
    Tensor t[CLASSES_TENSORS];
    if (!path) return;
    classes_tensors(t, k, a);
    const char *own = arena_text(a, "%s.%d", path, (int)getpid());
    const char *took = arena_text(a, "%.3f", seconds);
    const char *sum = classes_sum_of(t, took, a);
    const char *const meta[] = { "key", key, "seconds", took, "sha256", sum, NULL };
    if (!tensors_save(own, t, CLASSES_TENSORS, meta, a) && rename(own, path)) unlink(own);
}

/* ---- heads ---- */

static int classes_looks_at_text(const Spec *s)
{
    return spec_is(s, "assign", "brown") || spec_is(s, "assign", "kmeans") ||
           spec_is(s, "assign", "svd");
}

void *classes_head(const HeadDef *def, const Spec *s, const Exec *e, Params *ps, const Corpus *c,
                   const Classes *given, int d, const Classes **classes, double *seconds, Arena *a)
{
    *seconds = NAN;
    const int kept = def->classes && !given && classes_looks_at_text(s);
    const HeadData data = { c->V, c->freq, c->train, c->n_train,
                            kept ? classes_cached(s, e, c, seconds, a) : given };
    const double began = clock_now();
    void *h = def->make(s, e, ps, &data, d, a);
    if (!h) die("%s", ps->why);
    *classes = def->classes ? def->classes(h) : NULL;
    if (kept && !data.given) classes_cache(*classes, s, e, c, *seconds = clock_now() - began, a);
    return h;
}
