/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Rotary positions and causal attention.
 *
 * An item of work is a head of a sequence. Forward is one loop of kernels/f32_attend.h. Backward
 * makes scores again from the kept log of their sum (Dao et al. 2022, arXiv 2205.14135), tile by
 * tile of ATTEND_TILE keys and as many queries:
 *   P = exp(scale Q K' - lse)     dV += P' dO
 *   dS = P (dO V' - sum(dO O))    dQ += scale dS K     dK += scale dS' Q */
#include "models/tape_inner.h"
#include <math.h>
#include <string.h>

/* ---- rotary positions ---- */
Rope op_rope_angles(Tape *t, int B, int T, Carry *const *carry, int width, double theta)
{
    const int half = width / 2, rows = carry ? B * T : T;
    float *cs = arena_raw(&t->pass, sizeof(float) * (size_t)rows * (size_t)width);
    double *turn = arena_raw(&t->pass, sizeof(double) * (size_t)half);
    for (int i = 0; i < half; i++) turn[i] = pow(theta, -2.0 * i / width);
#pragma omp parallel for num_threads(t->exec->threads) schedule(static) if (rows > 1)
    for (int r = 0; r < rows; r++) {
        const double pos = (double)(carry ? carry[r / T]->pos + r % T : r);
        for (int i = 0; i < half; i++) {
            cs[(size_t)r * width + i] = (float)cos(pos * turn[i]);
            cs[(size_t)r * width + half + i] = (float)sin(pos * turn[i]);
        }
    }
    return (Rope){ cs, width, rows };
}

typedef struct { Var y, x; Rope r; } Turn;

static void rope_turn(Tape *t, float *to, const float *from, const Turn *o, float way, int plus)
{
    const Rope *r = &o->r;
    const long d = o->x.cols;
#pragma omp parallel for num_threads(t->exec->threads) schedule(static)
    for (int i = 0; i < o->x.rows; i++)
        t->exec->f->rope(to + i * d, from + i * d, r->cs + (size_t)(i % r->rows) * r->width,
                         (int)d / r->width, r->width / 2, way, plus);
}

static void rope_back(Tape *t, void *ctx)
{
    const Turn *o = ctx;
    int fresh;
    const float *dy = tape_grad(t, o->y);
    float *dx = grad_to(t, o->x, &fresh);
    rope_turn(t, dx, dy, o, -1, !fresh);
    grad_done(t, o->y);
}

Var op_rope(Tape *t, Var x, Rope r)
{
    tape_operand(x);
    CHECK(x.rows % r.rows == 0 && r.width % 2 == 0 && x.cols % r.width == 0);
    const Turn o = { tape_var(t, x.rows, x.cols, NULL), x, r };
    rope_turn(t, o.y.v, x.v, &o, 1, 0);
    if (t->recording) *(Turn *)tape_note(t, rope_back, sizeof(Turn)) = o;
    return o.y;
}

/* ---- attention ---- */
enum { ATTEND_TILE = 64 };
typedef struct { Var y, q, k, v; float *lse; int heads, B; } Attention;

static AttendShape attention_shape(const Attention *o, int pos)
{
    const int d = o->q.cols, width = d / o->heads;
    return (AttendShape){ .n = o->q.rows / o->B, .pos = pos, .d = width, .ld_q = d, .ld_k = d,
                          .ld_o = d, .scale = (float)(1 / sqrt((double)width)) };
}

/* gemm1 may be called by no larger a team */
static int attention_threads(const Tape *t)
{
    const int most = t->exec->gemm->threads;
    return t->exec->threads < most ? t->exec->threads : most;
}

/* One head of one sequence: everything from its first row and column on */
typedef struct {
    const float *q, *k, *v, *o, *dy, *lse;
    float *dq, *dk, *dv, *p, *ds, *dots;     /* p, ds: tiles; dots (n): sum(dO O) of each row */
    AttendShape s;
} AttentionBack;

/* P and dS of queries [i0, i0 + m) and keys [j0, j0 + n), zero where a query does not look */
static void attention_tile(const Tape *t, const AttentionBack *b, int i0, int m, int j0, int n)
{
    const F32 *f = t->exec->f;
    const int d = b->s.d, ld = b->s.ld_q;
    const size_t qi = (size_t)i0 * (size_t)ld, kj = (size_t)j0 * (size_t)ld;
    gemm1(t->exec->gemm, 'N', 'T', m, n, d, b->s.scale, b->q + qi, ld, b->k + kj, ld, 0, b->p, n);
    gemm1(t->exec->gemm, 'N', 'T', m, n, d, 1, b->dy + qi, ld, b->v + kj, ld, 0, b->ds, n);
    for (int i = 0; i < m; i++) {
        float *p = b->p + (size_t)i * n, *ds = b->ds + (size_t)i * n;
        const int sees = i0 + i - j0 + 1 < n ? i0 + i - j0 + 1 : n;
        f->exp(p, p, sees, b->lse[i0 + i]);
        f->affine(ds, 1, -b->dots[i0 + i], sees);
        f->mul(ds, ds, p, sees);
        memset(p + sees, 0, sizeof *p * (size_t)(n - sees));
        memset(ds + sees, 0, sizeof *ds * (size_t)(n - sees));
    }
}

static void attention_head_back(const Tape *t, const AttentionBack *b)
{
    const Gemm *g = t->exec->gemm;
    const int T = b->s.n, d = b->s.d, ld = b->s.ld_q;
    const float scale = b->s.scale;
    for (int i = 0; i < T; i++)
        b->dots[i] = t->exec->f->dot(b->dy + (size_t)i * ld, b->o + (size_t)i * ld, d);
    for (int j0 = 0; j0 < T; j0 += ATTEND_TILE)
        for (int i0 = j0; i0 < T; i0 += ATTEND_TILE) {
            const int m = T - i0 < ATTEND_TILE ? T - i0 : ATTEND_TILE,
                      n = T - j0 < ATTEND_TILE ? T - j0 : ATTEND_TILE;
            const size_t qi = (size_t)i0 * (size_t)ld, kj = (size_t)j0 * (size_t)ld;
            attention_tile(t, b, i0, m, j0, n);
            gemm1(g, 'T', 'N', n, d, m, 1, b->p, n, b->dy + qi, ld, 1, b->dv + kj, ld);
            gemm1(g, 'N', 'N', m, d, n, scale, b->ds, n, b->k + kj, ld, 1, b->dq + qi, ld);
            gemm1(g, 'T', 'N', n, d, m, scale, b->ds, n, b->q + qi, ld, 1, b->dk + kj, ld);
        }
}

static void attention_back(Tape *t, void *ctx)
{
    const Attention *o = ctx;
    const AttendShape s = attention_shape(o, 0);
    const int threads = attention_threads(t), items = o->B * o->heads;
    const size_t tile = (size_t)ATTEND_TILE * ATTEND_TILE, each = 2 * tile + (size_t)s.n;
    tape_lap(t, LAP_MIX_BACK);
    const float *dy = tape_grad(t, o->y);
    float *dq = tape_grad(t, o->q), *dk = tape_grad(t, o->k), *dv = tape_grad(t, o->v);
    const size_t mark = t->pass.used;
    float *room = arena_raw(&t->pass, sizeof(float) * each * (size_t)threads);
#pragma omp parallel for num_threads(threads) schedule(static, 1)
    for (int p = 0; p < threads; p++) {
        float *mine = room + each * (size_t)p;
        long lo, hi;
        part(items, p, threads, 1, &lo, &hi);
        for (long i = lo; i < hi; i++) {
            const size_t at = (size_t)(i / o->heads) * (size_t)s.n * (size_t)s.ld_q +
                              (size_t)(i % o->heads) * (size_t)s.d;
            attention_head_back(
                t, &(AttentionBack){ o->q.v + at, o->k.v + at, o->v.v + at, o->y.v + at, dy + at,
                                     o->lse + (size_t)i * (size_t)s.n, dq + at, dk + at, dv + at,
                                     mine, mine + tile, mine + 2 * tile, s });
        }
    }
    arena_reset(&t->pass, mark);
    grad_done(t, o->y);
    tape_lap(t, LAP_MIX_BACK_END);
}

/* The rows of k and v behind those of the cache, (capacity, d) twice */
static void attention_append(const Attention *o, Carry *const *carry, size_t offset)
{
    const int d = o->q.cols, T = o->q.rows / o->B;
    const size_t each = (size_t)T * (size_t)d, bytes = sizeof(float) * each;
    for (int b = 0; b < o->B; b++) {
        Carry *c = carry[b];
        float *keys = c->state + offset + (size_t)c->pos * (size_t)d;
        CHECK(c->pos + T <= c->capacity);
        memcpy(keys, o->k.v + each * (size_t)b, bytes);
        memcpy(keys + (size_t)c->capacity * (size_t)d, o->v.v + each * (size_t)b, bytes);
    }
}

static void attention_forward(Tape *t, const Attention *o, Carry *const *carry, size_t offset)
{
    const F32 *f = t->exec->f;
    const AttendShape first = attention_shape(o, 0);
    const int threads = t->exec->threads, items = o->B * o->heads;
    const size_t mark = t->pass.used, each = f->attend_room(&first);
    float *room = arena_raw(&t->pass, sizeof(float) * each * (size_t)threads);
#pragma omp parallel for num_threads(threads) schedule(static, 1)
    for (int p = 0; p < threads; p++) {
        long lo, hi;
        part(items, p, threads, 1, &lo, &hi);
        for (long i = lo; i < hi; i++) {
            const Carry *c = carry ? carry[i / o->heads] : NULL;
            const AttendShape s = attention_shape(o, c ? (int)c->pos : 0);
            const size_t column = (size_t)(i % o->heads) * (size_t)s.d,
                         at = (size_t)(i / o->heads) * (size_t)s.n * (size_t)s.ld_q + column;
            const float *k = c ? c->state + offset + column : o->k.v + at,
                        *v = c ? k + (size_t)c->capacity * (size_t)s.ld_k : o->v.v + at;
            f->attend(o->y.v + at, o->lse ? o->lse + (size_t)i * (size_t)s.n : NULL, o->q.v + at, k,
                      v, room + each * (size_t)p, &s);
        }
    }
    arena_reset(&t->pass, mark);
}

size_t op_attention_size(long capacity, int d) { return 2 * (size_t)capacity * (size_t)d; }

Var op_attention(Tape *t, Var q, Var k, Var v, int heads, int B, Carry *const *carry, size_t offset)
{
    tape_operand(q);
    tape_operand(k);
    tape_operand(v);
    CHECK(q.rows == k.rows && q.rows == v.rows && k.cols == q.cols && v.cols == q.cols);
    CHECK(q.cols % heads == 0 && q.rows % B == 0 && (!carry || !t->recording));
    tape_lap(t, LAP_MIX);
    Attention o = { tape_var(t, q.rows, q.cols, NULL), q, k, v, NULL, heads, B };
    if (t->recording)
        o.lse = arena_raw(&t->pass, sizeof(float) * (size_t)q.rows * (size_t)heads);
    if (carry) attention_append(&o, carry, offset);
    attention_forward(t, &o, carry, offset);
    tape_reads(q);
    tape_reads(k);
    tape_reads(v);
    tape_reads(o.y);
    if (t->recording) *(Attention *)tape_note(t, attention_back, sizeof(Attention)) = o;
    tape_lap(t, LAP_MIX_END);
    return o.y;
}
