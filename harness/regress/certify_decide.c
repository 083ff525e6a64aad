/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Which parts of two programs compute the same: a pure function of what their cells said. */
#include "harness/regress/certify.h"
#include "harness/train/checkpoint_file.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- one cell ---- */
/* A share of the larger one; infinite where one of them is not a number */
static double decide_off(double a, double b)
{
    if (!memcmp(&a, &b, sizeof a)) return 0;
    const double off = fabs(a - b) / fmax(fmax(fabs(a), fabs(b)), 1e-300);
    return isnan(off) ? INFINITY : off;
}

static const CertifyNumber *decide_number(const CertifySide *s, const CertifyNumber *like)
{
    for (int i = 0; i < s->numbers; i++)
        if (s->number[i].step == like->step && !strcmp(s->number[i].name, like->name))
            return &s->number[i];
    return NULL;
}

const char *certify_numbers(const CertifySide *old, const CertifySide *new, double tolerance,
                            double *off, Arena *a)
{
    const char *why = NULL;
    if (!old->numbers) return "OLD says no loss";
    for (int i = 0; i < old->numbers; i++) {
        const CertifyNumber *x = &old->number[i], *y = decide_number(new, x);
        if (!y) return arena_text(a, "NEW has no %s at step %ld", x->name, x->step);
        const double share = decide_off(x->value, y->value);
        *off = fmax(*off, share);
        if (!why && share > tolerance)
            why = arena_text(a, "%s at step %ld is %.9g in OLD, %.9g in NEW", x->name, x->step,
                             x->value, y->value);
    }
    for (int i = 0; i < new->numbers && !why; i++)
        if (!decide_number(old, &new->number[i]))
            why = arena_text(a, "OLD has no %s at step %ld", new->number[i].name,
                             new->number[i].step);
    return why;
}

/* The length of the difference, as a share of the longer one; infinite where their kinds differ */
static double decide_tensor_off(const Tensor *x, const Tensor *y)
{
    const int same = tensors_same_shape(x, y) && !strcmp(x->dtype, y->dtype);
    double apart = 0, one = 0, other = 0;
    if (!same) return INFINITY;
    if (!memcmp(x->data, y->data, tensors_bytes(x))) return 0;
    if (strcmp(x->dtype, "F32")) return INFINITY;
    for (long i = 0; i < x->n; i++) {
        const double p = ((const float *)x->data)[i], q = ((const float *)y->data)[i];
        apart += (p - q) * (p - q);
        one += p * p;
        other += q * q;
    }
    const double off = sqrt(apart / fmax(fmax(one, other), 1e-300));
    return isnan(off) ? INFINITY : off;
}

static const char *decide_tensors(const TensorFile *x, const TensorFile *y, double tolerance,
                                  double *off, Arena *a)
{
    const char *why = NULL;
    for (int i = 0; i < x->n; i++) {
        const char *name = x->t[i].name;
        if (!strncmp(name, "text.", 5)) continue;
        const Tensor *t = tensors_find(y, name);
        const double share = t ? decide_tensor_off(&x->t[i], t) : INFINITY;
        *off = fmax(*off, share);
        if (!why && share > tolerance)
            why = arena_text(a, "the final '%s' %s", name,
                             t ? "differs" : "is in one of them only");
    }
    return why;
}

const char *certify_weights(const char *old, const char *new, double tolerance, double *off,
                            Arena *a)
{
    const char *why = NULL;
    TensorFile *x = checkpoint_file_open(old, a, &why);
    TensorFile *y = x ? checkpoint_file_open(new, a, &why) : NULL;
    if (x && y) why = decide_tensors(x, y, tolerance, off, a);
    if (x && y && !why) why = decide_tensors(y, x, tolerance, off, a);
    if (x) tensors_close(x);
    if (y) tensors_close(y);
    return why;
}

/* ---- the parts ---- */
static const char *decide_hash(const CertifyParts *p, const char *name)
{
    for (int i = 0; i < p->n; i++)
        if (!strcmp(p->list[i].name, name)) return p->list[i].hash;
    return NULL;
}

/* Both executed parts of the same names */
static int decide_same_names(const CertifyParts *x, const CertifyParts *y)
{
    for (int i = 0; i < x->n; i++)
        if (!decide_hash(y, x->list[i].name)) return 0;
    return x->n == y->n;
}

static CertifyRow *decide_row(CertifyRow *row, int *n, const char *part)
{
    for (int i = 0; i < *n; i++)
        if (!strcmp(row[i].part, part)) return &row[i];
    if (*n == CERTIFY_PARTS - 1) return NULL;
    row[*n] = (CertifyRow){ .part = part };
    return &row[(*n)++];
}

static void decide_add(CertifyRow *row, int *n, const CertifyParts *parts, int new)
{
    for (int i = 0; i < parts->n; i++) {
        CertifyRow *r = decide_row(row, n, parts->list[i].name);
        if (r) *(new ? &r->new : &r->old) = parts->list[i].hash;
    }
}

static void decide_part(CertifyRow *r, const CertifyInput *in)
{
    const int old_says = in->old.n > 0, new_says = in->new.n > 0;
    int regrouped = 0;
    for (int i = 0; i < in->cells; i++) {
        const CertifyCell *c = &in->cell[i];
        if (!decide_hash(&c->old.parts, r->part) && !decide_hash(&c->new.parts, r->part)) continue;
        r->cells++;
        r->off = fmax(r->off, c->off);
        regrouped |= !decide_same_names(&c->old.parts, &c->new.parts);
        if (c->differs && !r->first) r->first = c;
    }
    r->verdict = r->old && r->new && !strcmp(r->old, r->new) ? CERTIFY_SAME
                 : !r->old && (old_says || r->cells)         ? CERTIFY_NEW
                 : !r->new && (new_says || r->cells)         ? CERTIFY_GONE
                 : !r->cells                                 ? CERTIFY_NOT_RUN
                 : r->first                                  ? CERTIFY_OTHERWISE
                 : regrouped                                 ? CERTIFY_REGROUPED
                                                             : CERTIFY_EQUAL;
}

/* The program as a whole, for runs that do not name their parts: any part may be theirs */
static CertifyRow decide_build(const CertifyInput *in, const CertifyRow *row, int n)
{
    CertifyRow b = { .part = "build", .old = in->old_build, .new = in->new_build,
                     .verdict = CERTIFY_EQUAL, .cells = in->cells };
    for (int i = 0; i < n; i++)
        if (row[i].verdict == CERTIFY_NOT_RUN) b.verdict = CERTIFY_INCOMPLETE;
    for (int i = 0; i < in->cells; i++) {
        b.off = fmax(b.off, in->cell[i].off);
        if (in->cell[i].differs && !b.first) b.first = &in->cell[i];
    }
    if (!in->cells) b.verdict = CERTIFY_NOT_RUN;
    if (!strcmp(b.old, b.new)) b.verdict = CERTIFY_SAME;
    if (b.first) b.verdict = CERTIFY_OTHERWISE;
    return b;
}

static int decide_by_name(const void *x, const void *y)
{
    return strcmp(((const CertifyRow *)x)->part, ((const CertifyRow *)y)->part);
}

int certify_decide(const CertifyInput *in, CertifyRow *row)
{
    int n = 0;
    for (int i = 0; i < in->cells; i++) {
        decide_add(row, &n, &in->cell[i].old.parts, 0);
        decide_add(row, &n, &in->cell[i].new.parts, 1);
    }
    decide_add(row, &n, &in->old, 0);
    decide_add(row, &n, &in->new, 1);
    for (int i = 0; i < n; i++) decide_part(&row[i], in);
    qsort(row, (size_t)n, sizeof *row, decide_by_name);
    row[n] = decide_build(in, row, n);
    return n + 1;
}

int certify_code(const CertifyRow *row, int rows, int cells)
{
    for (int i = 0; i < rows; i++)
        if (row[i].verdict == CERTIFY_OTHERWISE) return 1;
    return cells ? 0 : 3;
}
