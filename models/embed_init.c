/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "models/embed_init.h"
#include "models/cooc.h"
#include <math.h>
#include <string.h>

/* POWERS_*: power iterations; more for a file: it is small, and its components are the result */
enum { SIDE = 2, CONTEXTS = 4096, POWERS_TEXT = 1, POWERS_FILE = 6 };

static double embed_share(const Svd *svd, double total)
{
    double sum = 0;
    for (int i = 0; i < svd->k; i++) sum += svd->s[i] * svd->s[i];
    return total > 0 ? sum / total : 0;
}

static void embed_write_row(Param *p, int v, const Svd *svd, double scale)
{
    for (int k = 0; k < p->cols; k++)
        p->v[(size_t)v * p->cols + k] = (float)(scale * svd->s[k] *
                                                (double)svd->u[(size_t)v * p->cols + k]);
}

/* root mean square of U S over the words that occur; 0: there is nothing to scale */
static double embed_rms(const Svd *svd, const long *freq, int V)
{
    double sum = 0;
    long seen = 0;
    for (int v = 0; v < V; v++) {
        if (!freq[v]) continue;
        seen++;
        for (int k = 0; k < svd->k; k++)
            sum += pow(svd->s[k] * (double)svd->u[(size_t)v * svd->k + k], 2);
    }
    return sum > 0 ? sqrt(sum / ((double)seen * svd->k)) : 0;
}

static const char *embed_from_text(const Spec *s, const Exec *e, Param *p, const HeadData *data,
                                   double *kept, Arena *a)
{
    const Window near = { -SIDE, SIDE, data->V < CONTEXTS ? data->V : CONTEXTS, 0 };
    if (!data->tok.at) return "embed_init=pmi: expected a training text to count in";
    Sparse *m = cooc_count(e, data, &near, a);
    cooc_ppmi(m, a);
    const LinearMap map = cooc_map(m);
    const int least = m->rows < m->cols ? m->rows : m->cols;
    if (p->cols > least)
        return arena_text(a, "embed_init=pmi: expected d of at most %d, the rank of the PMI matrix",
                          least);
    const uint64_t seed = (uint64_t)spec_int(s, "seed");
    const Svd svd = svd_truncated(e, &map, p->cols, POWERS_TEXT, seed, a);
    const double rms = embed_rms(&svd, data->freq, p->rows);
    if (!(rms > 0))
        return "embed_init=pmi: expected words that stand together more often than by chance";
    const double scale = spec_num(s, "init_sigma") / rms;
    for (int v = 0; v < p->rows; v++)
        if (data->freq[v]) embed_write_row(p, v, &svd, scale);
    *kept = embed_share(&svd, cooc_sumsq(m));
    return NULL;
}

/* The matrix of an open file, or NULL and an error message in *why */
static const Tensor *embed_matrix(const TensorFile *f, const Param *p, Arena *a, const char **why)
{
    const Tensor *t = tensors_find(f, "wte.weight");
    if (!t) t = tensors_find(f, "transformer.wte.weight");
    *why = NULL;
    if (!t)
        *why = arena_text(a, "embed_init=%s: expected a tensor 'wte.weight'", f->path);
    else if (strcmp(t->dtype, "F32") || t->ndim != 2 || t->shape[0] != p->rows ||
             t->shape[1] < p->cols)
        *why = arena_text(a, "embed_init=%s: '%s' is %s of shape (%d, %d), expected F32 of shape "
                             "(%d, %d or more), the words of the vocabulary and the width d",
                          f->path, t->name, t->dtype, t->shape[0], t->shape[1], p->rows, p->cols);
    else if (p->cols > p->rows)
        *why = arena_text(a, "embed_init=%s: expected d of at most the %d words there are", f->path,
                          p->rows);
    return *why ? NULL : t;
}

static const char *embed_from_tensor(const Exec *e, Param *p, const TensorFile *f, uint64_t seed,
                                     double *kept, Arena *a)
{
    const char *why;
    const Tensor *t = embed_matrix(f, p, a, &why);
    if (!t) return why;
    const Dense dense = { t->shape[0], t->shape[1], t->data };
    const LinearMap map = svd_dense(&dense);
    const Svd svd = svd_truncated(e, &map, p->cols, POWERS_FILE, seed, a);
    double total = 0;
    for (int v = 0; v < dense.rows; v++)
        total += e->f->sumsq(dense.v + (size_t)v * dense.cols, dense.cols);
    if (!isfinite(total))
        return arena_text(a, "embed_init=%s: '%s' has values that are not finite", f->path,
                          t->name);
    for (int v = 0; v < p->rows; v++) embed_write_row(p, v, &svd, 1);
    *kept = embed_share(&svd, total);
    return NULL;
}

static const char *embed_from_file(const Spec *s, const Exec *e, Param *p, const char *path,
                                   double *kept, Arena *a)
{
    const char *why;
    TensorFile *f = tensors_open(path, a, &why);
    if (!f) return arena_text(a, "embed_init=%s", why);
    why = embed_from_tensor(e, p, f, (uint64_t)spec_int(s, "seed"), kept, a);
    tensors_close(f);
    return why;
}

const char *embed_init(const Spec *s, const Exec *e, Param *p, const HeadData *data, double *kept,
                       Arena *a)
{
    const char *how = spec_str(s, "embed_init");
    *kept = NAN;
    if (!strcmp(how, "random")) return NULL;
    CHECK(p->rows == data->V);
    const size_t mark = a->used;
    const char *why = strcmp(how, "pmi") ? embed_from_file(s, e, p, how, kept, a)
                                         : embed_from_text(s, e, p, data, kept, a);
    if (why) return why;
    arena_reset(a, mark);
    p->version++;
    return NULL;
}
