/* SPDX-License-Identifier: GPL-3.0-or-later */
/* model.gguf of another program: read, written again, every tensor identical to the bit; and the
 * logits that its own program computes. */
#include "harness/convert/gguf.h"
#include "harness/train/checkpoint.h"
#include "harness/train/checkpoint_file.h"
#include "harness/util/file.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const double GGUF_TOLERANCE = 1e-5;

typedef struct {
    const char *dir, *why, *bad;         /* the first difference; the first fault of a file */
    Arena      *a;
    FILE       *out;
} GgufParity;

int gguf_expects(const char *dir)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/model.gguf", dir);
    return !access(path, F_OK);
}

/* Raw values of 4 bytes, *n of them; NULL and bad */
static void *gguf_raw(GgufParity *p, const char *name, long *n)
{
    struct stat st;
    const char *path = arena_text(p->a, "%s/%s", p->dir, name);
    FILE *f = p->bad ? NULL : file_open(path, p->a, &p->bad);
    if (!f) return NULL;
    *n = fstat(fileno(f), &st) ? 0 : (long)st.st_size / 4;
    void *v = arena_array(p->a, (size_t)*n + 1, 4);
    if (!*n || fread(v, 4, (size_t)*n, f) != (size_t)*n)
        p->bad = arena_text(p->a, "%s: expected values of 4 bytes", path);
    fclose(f);
    return p->bad ? NULL : v;
}

/* The tokens of a sequence, meta.config.seq; 0 and bad */
static int gguf_seq(GgufParity *p)
{
    json_error_t e;
    const char *path = arena_text(p->a, "%s/manifest.json", p->dir);
    json_t *m = json_load_file(path, 0, &e),
           *seq = json_object_get(json_object_get(json_object_get(m, "meta"), "config"), "seq");
    const json_int_t T = json_is_integer(seq) ? json_integer_value(seq) : 0;
    if (T < 1 || T > 1 << 20)
        p->bad = arena_text(p->a, "%s: meta.config.seq: expected the tokens of a sequence", path);
    json_decref(m);
    return p->bad ? 0 : (int)T;
}

/* Whether both have the same tensors, to the bit */
static void gguf_same(GgufParity *p, const char *one, const char *other)
{
    GgufFile f, g;
    int same = 0;
    if ((p->bad = gguf_open(&f, one, p->a))) return;
    p->bad = gguf_open(&g, other, p->a);
    for (int i = 0; !p->bad && i < f.n && i < g.n; i++) {
        const GgufTensor *t = &f.t[i], *u = NULL;
        for (int k = 0; k < g.n && !u; k++)
            if (!strcmp(g.t[k].name, t->name)) u = &g.t[k];
        const int equal = u && u->type == t->type && !memcmp(u->shape, t->shape, sizeof u->shape) &&
                          !memcmp(u->data, t->data, t->bytes);
        same += equal;
        if (!equal && !p->why)
            p->why = arena_text(p->a, "%s: tensor '%s' is another when it is read and written", one,
                                t->name);
    }
    if (!p->bad && f.n != g.n && !p->why)
        p->why = arena_text(p->a, "%s: %d tensors, and %d when it is read and written", one, f.n,
                            g.n);
    if (p->out && !p->bad) fprintf(p->out, "  gguf    %3d tensors identical of %d\n", same, f.n);
    gguf_close(&g);
    gguf_close(&f);
}

static double gguf_logsumexp(const float *z, int V)
{
    double top = (double)z[0], sum = 0;
    for (int v = 1; v < V; v++) top = fmax(top, (double)z[v]);
    for (int v = 0; v < V; v++) sum += exp((double)z[v] - top);
    return top + log(sum);
}

/* A head gives logarithms of probabilities: logits but for one number a position, which is taken
 * from the reference */
static void gguf_logits(GgufParity *p, Session *s)
{
    long n = 0, m = 0;
    const int T = gguf_seq(p), V = s->corpus->V;
    int *id = gguf_raw(p, "input_ids.bin", &n);
    const float *ref = gguf_raw(p, "logits.bin", &m);
    for (long i = 0; !p->bad && i < n; i++)
        if (id[i] < 0 || id[i] >= V || n % T || m != n * V)
            p->bad = arena_text(p->a, "%s: expected sequences of %d ids below %d in input_ids.bin "
                                      "and their logits in logits.bin", p->dir, T, V);
    if (p->bad) return;
    tape_reset(s->tape, 0);
    Var h = s->model->forward(s->m, s->tape, id, (int)(n / T), T, NULL);
    float *lp = arena_array(p->a, (size_t)V, sizeof *lp);
    double worst = 0, top = 0;
    for (long i = 0; i < n; i++) {
        const float *z = ref + i * V;
        const double all = gguf_logsumexp(z, V);
        s->head->logprob(s->h, h.v + (size_t)i * (size_t)s->d, lp);
        for (int v = 0; v < V; v++) {
            const double e = fabs((double)lp[v] + all - (double)z[v]);
            worst = e > worst || isnan(e) ? e : worst;
            top = fmax(top, fabs((double)z[v]));
        }
    }
    if (p->out)
        fprintf(p->out, "  logits  %ld, worst relative error %.2e (tolerance %.0e)\n", m,
                worst / top, GGUF_TOLERANCE);
    if (!(worst <= GGUF_TOLERANCE * top) && !p->why)
        p->why = arena_text(p->a, "%s: the logits are off by %.3g relative, the tolerance is %.0e",
                            p->dir, worst / top, GGUF_TOLERANCE);
}

static void gguf_run(GgufParity *p, const char *place)
{
    const char *gguf = arena_text(p->a, "%s/model.gguf", p->dir),
               *file = arena_text(p->a, "%s/model.safetensors", place),
               *again = arena_text(p->a, "%s/model.gguf", place);
    Spec *spec = spec_new(p->a);
    p->bad = gguf_import(gguf, file, p->a);
    if (!p->bad) p->bad = gguf_export(file, again, GGUF_AS_F32, p->a);
    if (!p->bad) gguf_same(p, gguf, again);
    if (!p->bad) p->bad = checkpoint_spec(file, spec, p->a);
    Session *s = p->bad ? NULL : session_make(spec, file, SESSION_SPEAKS);
    if (s) p->bad = checkpoint_load(s, file);
    unlink(again);
    unlink(file);
    if (s && !p->bad) gguf_logits(p, s);
    if (s) session_drop(s);
}

const char *gguf_parity(const char *dir, FILE *out, int *bad, Arena *a)
{
    const char *tmp = getenv("TMPDIR");
    char *place = arena_text(a, "%s/eightysix-parity-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    GgufParity p = { .dir = dir, .a = a, .out = out };
    if (!mkdtemp(place)) p.bad = arena_text(a, "%s: a directory cannot be made there", place);
    else gguf_run(&p, place);
    rmdir(place);
    *bad = p.bad != NULL;
    return p.bad ? p.bad : p.why;
}
