/* SPDX-License-Identifier: GPL-3.0-or-later */
/* gemm=auto: which provider of dense products, and which products with their weight packed. What
 * was measured is kept in the cache directory, one line in a file named after the machine and the
 * question, so that the same run gives the same bits the next time. */
#include "harness/train/autotune.h"
#include "harness/corpus/cache.h"
#include "harness/util/clock.h"
#include "harness/util/host.h"
#include <string.h>
#include <unistd.h>

/* The first provider that loads, unless another was faster by a tenth in 21 of 24 rounds side by
 * side: by chance, 1 in 10,000 */
enum {
    MOST_PROVIDERS = 8,
    WARM = 2,
    GEMM_ROUNDS = 26,
    MOST_WINS = 21,
    GN = 512,
    GROWS = 683,
    GCOLS = 256
};
static const double FASTER = 0.9;

typedef struct { float *x, *w, *y, *dw; } Operands;

/* x of floats, w of ternary codes: a provider may be faster where all are bfloat16 numbers */
static Operands autotune_operands(Arena *a)
{
    Operands o = { arena_raw(a, sizeof(float) * GN * GCOLS),
                   arena_raw(a, sizeof(float) * GROWS * GCOLS),
                   arena_raw(a, sizeof(float) * GN * GROWS),
                   arena_raw(a, sizeof(float) * GROWS * GCOLS) };
    for (int i = 0; i < GN * GCOLS; i++) o.x[i] = (float)(i % 97 - 48) / 97;
    for (int i = 0; i < GROWS * GCOLS; i++) o.w[i] = (float)(i % 3 - 1);
    return o;
}

/* forward, of a weight that has just changed, and to the weight */
static double autotune_time_products(const Exec *e, GemmWeight *packed, long version,
                                     const Operands *o, Arena *a)
{
    const double began = clock_now();
    const GemmProduct p = { .type = GEMM_F32, .tb = 'T', .m = GN, .n = GROWS, .k = GCOLS,
                            .A = o->x, .B = o->w, .version = version, .C = o->y };
    gemm_weight(e->forward, packed, &p, a);
    gemm(e->dw, 'T', 'N', GROWS, GCOLS, GN, 1e-3f, o->y, GROWS, o->x, GCOLS, 0, o->dw, GCOLS);
    return clock_now() - began;
}

/* The providers that load, the first of which is to be beaten; the last resort only where there is
 * no other */
static int autotune_providers(Exec *e, const Spec *s, int threads, Arena *a)
{
    const char *why;
    int n = 0;
    for (int i = 0; gemm_providers[i].name && n < MOST_PROVIDERS; i++) {
        const int last_resort = !gemm_providers[i + 1].name;
        if (last_resort && n) continue;
        e[n].gemm = gemm_open(gemm_providers[i].name, threads, a, &why);
        if (e[n].gemm) exec_products(&e[n++], s, a);
    }
    return n;
}

static const char *autotune_fastest_gemm(const Spec *spec, int threads, const char **reason,
                                         Arena *a)
{
    Exec e[MOST_PROVIDERS];
    const Operands o = autotune_operands(a);
    const int n = autotune_providers(e, spec, threads, a), rounds = GEMM_ROUNDS - WARM;
    GemmWeight packed[MOST_PROVIDERS] = { { .room = NULL } };
    int best = 0, wins[MOST_PROVIDERS] = { 0 };
    for (int r = 0; r < GEMM_ROUNDS && n > 1; r++) {
        double s[MOST_PROVIDERS];
        for (int i = 0; i < n; i++)
            s[i] = autotune_time_products(&e[i], &packed[i], r, &o, a);
        for (int i = 1; i < n && r >= WARM; i++) wins[i] += s[i] < FASTER * s[0];
    }
    for (int i = 1; i < n; i++)
        if (wins[i] >= MOST_WINS && wins[i] > wins[best]) best = i;
    if (n == 1) *reason = "the only provider that loads";
    else if (best)
        *reason = arena_text(a, "faster than %s by a tenth in %d of %d rounds", e[0].gemm->name,
                             wins[best], rounds);
    else
        *reason = arena_text(a, "no other of %d was faster by a tenth in %d of %d rounds", n,
                             MOST_WINS, rounds);
    return e[best].gemm->name;
}

/* ---- what an earlier run chose ---- */
/* The file of an answer: named after the question, this machine and so many threads; NULL: there is
 * no cache directory */
static const char *autotune_file(const char *what, const char *question, int threads, Arena *a)
{
    const Host *host = host_read(a);
    char hash[65];
    const char *why, *machine = arena_text(a, "%s | %s | %d threads%s", host->cpu, host->isa,
                                           threads, question);
    return cache_path(arena_text(a, "%s.%.16s", what, sha256_hex(machine, strlen(machine), hash)),
                      a, &why);
}

/* The question's words about precision: none for floats, so that older answers hold */
static const char *autotune_precision(const Spec *s, Arena *a)
{
    if (spec_is(s, "precision", "f32")) return "";
    return arena_text(a, " | precision=%s", spec_str(s, "precision"));
}

/* Its line; NULL: there is none */
static const char *autotune_recall(const char *path, Arena *a)
{
    char line[4096];
    FILE *f = path ? fopen(path, "r") : NULL;
    const char *got = f ? fgets(line, sizeof line, f) : NULL;
    if (f) fclose(f);
    if (!got) return NULL;
    line[strcspn(line, "\n")] = 0;
    return arena_text(a, "%s", line);
}

static void autotune_keep(const char *path, const char *line, Arena *a)
{
    const char *beside = arena_text(a, "%s.%d", path ? path : "", (int)getpid());
    FILE *f = path ? fopen(beside, "w") : NULL;
    if (f && fprintf(f, "%s\n", line) > 0 && !fclose(f)) rename(beside, path);
}

/* "NAME REASON" */
static const char *autotune_known_gemm(const char *path, int threads, const char **reason, Arena *a)
{
    char name[32] = "", why_then[256] = "";
    const char *why, *line = autotune_recall(path, a);
    const int words = line ? sscanf(line, "%31s %255[^\n]", name, why_then) : 0;
    if (words < 1 || !strcmp(name, "auto") || !gemm_open(name, threads, a, &why)) return NULL;
    *reason = arena_text(a, "%s (chosen before: %s)", *why_then ? why_then : "measured", path);
    return arena_text(a, "%s", name);
}

const char *autotune_gemm(const Spec *spec, int threads, const char **reason, Arena *a)
{
    const char *path = autotune_file("gemm", autotune_precision(spec, a), threads, a);
    const char *name = autotune_known_gemm(path, threads, reason, a);
    if (name) return name;
    name = autotune_fastest_gemm(spec, threads, reason, a);
    autotune_keep(path, arena_text(a, "%s %s", name, *reason), a);
    return name;
}

/* ---- packed or plain ---- */
/* The products with a ternary weight (rows, cols) in a step of m rows: forward, and to its input */
static int autotune_products(GemmProduct *p, int most, const Spec *spec, const Params *ps)
{
    const int m = (int)(spec_int(spec, "batch") * spec_int(spec, "seq"));
    int n = 0;
    for (int i = 0; i < ps->n; i++) {
        const Param *w = ps->p[i];
        if (w->group != GROUP_NORMUON || w->ndim != 2 || !w->trainable) continue;
        for (int back = 0; back < 2; back++) {
            const GemmProduct one = { .type = GEMM_F32, .tb = back ? 'N' : 'T', .m = m,
                                      .n = back ? w->cols : w->rows,
                                      .k = back ? w->rows : w->cols };
            int at = 0;
            while (at < n && (p[at].n != one.n || p[at].k != one.k || p[at].tb != one.tb)) at++;
            if (at == n && n < most) p[n++] = one;
        }
    }
    return n;
}

/* Seconds of a product: plain; or packed, with its part of a packing for `accum` products */
static double autotune_time_product(const Gemm *g, GemmWeight *w, GemmProduct *p, int packed,
                                    long accum)
{
    double began = clock_now();
    if (!packed) {
        gemm(g, 'N', p->tb, p->m, p->n, p->k, 1, p->A, p->k, p->B, p->tb == 'T' ? p->k : p->n, 0,
             p->C, p->n);
        return clock_now() - began;
    }
    p->version++;
    g->packed(g, w, p);
    const double first = clock_now() - began;
    began = clock_now();
    g->packed(g, w, p);
    const double next = clock_now() - began;
    return next + (first > next ? first - next : 0) / (double)accum;
}

/* 1: packed, unless plain was faster in most of the rounds side by side */
static int autotune_packs(const Gemm *g, GemmProduct *p, long accum)
{
    Arena a = arena_new((size_t)1 << 34);
    const size_t m = (size_t)p->m, n = (size_t)p->n, k = (size_t)p->k;
    const char *why;
    GemmWeight w = { .size = g->packed_size(g, p, &why) };
    int wins = 0;
    p->A = arena_get(&a, array_bytes(array_bytes(m, k), sizeof(float)));
    p->B = arena_get(&a, array_bytes(array_bytes(k, n), sizeof(float)));
    p->C = arena_get(&a, array_bytes(array_bytes(m, n), sizeof(float)));
    w.room = arena_get(&a, w.size);
    for (int r = 0; w.size && r < GEMM_ROUNDS; r++) {
        const double packed = autotune_time_product(g, &w, p, 1, accum),
                     plain = autotune_time_product(g, &w, p, 0, accum);
        wins += r >= WARM && plain < packed;
    }
    arena_drop(&a);
    return w.size && wins < MOST_WINS;
}

const char *autotune_packed(const Spec *spec, const Exec *e, const Params *ps, Arena *a)
{
    enum { MOST = 32 };
    GemmProduct p[MOST];
    const long accum = spec_int(spec, "accum");
    const int n = autotune_products(p, MOST, spec, ps);
    const char *line = "", *question = arena_text(a, " | %s %s accum %ld%s:", e->gemm->name,
                                                  e->gemm->core, accum,
                                                  autotune_precision(spec, a));
    for (int i = 0; i < n; i++)
        question = arena_text(a, "%s %dx%dx%d%c", question, p[i].m, p[i].n, p[i].k, p[i].tb);
    const char *path = autotune_file("gemm_packed", question, e->threads, a);
    const char *known = autotune_recall(path, a);
    if (known && !gemm_choose(e->gemm, known, a)) return known;
    for (int i = 0; i < n; i++) {
        const int packed = autotune_packs(p[i].tb == 'T' ? e->forward : e->dx, &p[i], accum);
        line = arena_text(a, "%s%s%dx%dx%d%c=%s", line, i ? " " : "", p[i].m, p[i].n, p[i].k,
                          p[i].tb, packed ? "packed" : "plain");
    }
    autotune_keep(path, line, a);
    return line;
}
