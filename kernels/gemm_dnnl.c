/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Dense products by oneDNN. Its types, descriptors and handles are in this file alone.
 *
 *   sgemm    dnnl_sgemm on the calling thread: both operands as they lie
 *   packed   the matmul primitive: B is reordered once into the layout that the primitive asks for
 *            (format_tag any), and stays so until its version changes. The library splits such a
 *            product over g->threads threads itself
 *   u8s8     dnnl_gemm_u8s8s32 on the calling thread
 *
 * The provider dnnl has all three, dnnl_plain the calls without packed. A primitive, its reorder
 * and its layout are made once for a shape and a type (a plan) and kept. Where the library has only
 * its reference implementation of a product, which is slower by orders of magnitude, that is an
 * error message and not a plan. */
#include "kernels/gemm.h"
#include "kernels/cpu.h"
#include <dlfcn.h>
#include <omp.h>
#include <oneapi/dnnl/dnnl.h>
#include <stdlib.h>
#include <string.h>

/* The functions of the library that are called: a member of Dnnl each */
#define DNNL_FUNCTIONS(F)                                                                       \
    F(version) F(get_effective_cpu_isa) F(sgemm) F(gemm_u8s8s32) F(engine_create)               \
    F(stream_create) F(stream_wait) F(memory_desc_init_by_tag) F(memory_desc_init_by_strides)   \
    F(memory_desc_equal) F(memory_desc_get_size) F(memory_create) F(memory_destroy)             \
    F(memory_set_data_handle) F(primitive_attr_create) F(primitive_attr_destroy)                \
    F(primitive_attr_set_post_ops) F(post_ops_create) F(post_ops_append_sum) F(post_ops_destroy) \
    F(matmul_desc_init) F(reorder_primitive_desc_create) F(primitive_desc_create)               \
    F(primitive_desc_query) F(primitive_desc_query_md) F(primitive_desc_destroy)                \
    F(primitive_create) F(primitive_destroy) F(primitive_execute)

/* bfloat16 rows are made of float ones by `convert`; B is packed by `pack` from `from` */
typedef struct {
    GemmProduct      of;             /* its type, shape, tb, plus; co is compared with NULL */
    char             why[160];       /* "": there is such a product */
    long             layout;         /* plans of one number have B packed in the same way */
    size_t           size;           /* bytes of B packed */
    dnnl_memory_desc_t packed;
    dnnl_primitive_t run, pack, convert;
    dnnl_memory_t    a, floats, from, bias, c;
} Plan;

enum { DNNL_PLANS = 64 };

typedef struct Dnnl {
#define F(name) __typeof__(&dnnl_##name) name;
    DNNL_FUNCTIONS(F)
#undef F
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    Plan plan[DNNL_PLANS];           /* number i of those made is plan[i % DNNL_PLANS] */
    Plan *last;                      /* asked for; a weight asks for its size and a product */
    long made, layouts;
} Dnnl;

static void dnnl_sgemm_plain(const Gemm *g, char ta, char tb, int m, int n, int k, float alpha,
                             const float *A, int lda, const float *B, int ldb, float beta, float *C,
                             int ldc)
{
    const Dnnl *d = g->own;
    CHECK(d->sgemm(ta, tb, m, n, k, alpha, A, lda, B, ldb, beta, C, ldc) == dnnl_success);
}

/* C = A B' + co: offset 'R' adds a row to every row */
static void dnnl_u8s8_plain(const Gemm *g, int m, int n, int k, const uint8_t *A, int lda,
                            const int8_t *B, int ldb, int32_t *C, int ldc, const int32_t *co)
{
    const Dnnl *d = g->own;
    CHECK(d->gemm_u8s8s32('N', 'T', 'R', m, n, k, 1, A, lda, 0, B, ldb, 0, 0, C, ldc, co) ==
          dnnl_success);
}

/* ---- plans ---- */
/* The library's threads are those of the calling thread's OpenMP setting when a primitive is made
 * and when it runs. Returns the setting to restore. */
static int dnnl_threads(int threads)
{
    const int before = omp_get_max_threads();
    omp_set_num_threads(threads);
    return before;
}

static void dnnl_forget(const Dnnl *d, Plan *p)
{
    dnnl_primitive_t primitive[] = { p->run, p->pack, p->convert };
    dnnl_memory_t memory[] = { p->a, p->floats, p->from, p->bias, p->c };
    for (size_t i = 0; i < sizeof primitive / sizeof *primitive; i++)
        if (primitive[i]) d->primitive_destroy(primitive[i]);
    for (size_t i = 0; i < sizeof memory / sizeof *memory; i++)
        if (memory[i]) d->memory_destroy(memory[i]);
    memset(p, 0, sizeof *p);
}

/* The first call that fails is what a plan says */
static int dnnl_did(Plan *p, const char *what, dnnl_status_t status)
{
    const GemmProduct *o = &p->of;
    if (status == dnnl_success) return 1;
    snprintf(p->why, sizeof p->why, "oneDNN cannot %s for a product %dx%dx%d (status %d)", what,
             o->m, o->n, o->k, (int)status);
    return 0;
}

typedef struct { dnnl_data_type_t a, b, c, rows, weight; } DnnlTypes;

/* of the operands, and of the rows and weights that the caller has */
static const DnnlTypes dnnl_types[] = {
    [GEMM_F32] = { dnnl_f32, dnnl_f32, dnnl_f32, dnnl_f32, dnnl_f32 },
    [GEMM_BF16] = { dnnl_bf16, dnnl_bf16, dnnl_f32, dnnl_f32, dnnl_f32 },
    [GEMM_U8S8] = { dnnl_u8, dnnl_s8, dnnl_s32, dnnl_u8, dnnl_s8 },
    [GEMM_S8S8] = { dnnl_s8, dnnl_s8, dnnl_s32, dnnl_s8, dnnl_s8 },
};

/* rows x cols, `apart` numbers from one row to the next (0: cols), or columns where `turned` */
static dnnl_memory_desc_t dnnl_plain_desc(const Dnnl *d, int rows, int cols, int apart,
                                          dnnl_data_type_t type, int turned)
{
    dnnl_memory_desc_t md;
    const dnnl_dims_t dims = { rows, cols }, by_row = { apart ? apart : cols, 1 },
                      by_col = { 1, rows };
    CHECK(!d->memory_desc_init_by_strides(&md, 2, dims, type, turned ? by_col : by_row));
    return md;
}

/* The rows of A as they are multiplied: where they are converted, without gaps */
static dnnl_memory_desc_t dnnl_a_desc(const Dnnl *d, const GemmProduct *o)
{
    const DnnlTypes *t = &dnnl_types[o->type];
    return dnnl_plain_desc(d, o->m, o->k, t->rows == t->a ? o->lda : 0, t->a, 0);
}

static dnnl_memory_t dnnl_memory_of(const Dnnl *d, Plan *p, const dnnl_memory_desc_t *md,
                                    void *handle)
{
    dnnl_memory_t memory = NULL;
    dnnl_did(p, "hold an operand", d->memory_create(&memory, md, d->engine, handle));
    return memory;
}

/* bfloat16 where the CPU has no instruction for it is arithmetic that nobody would choose */
static int dnnl_has_type(const Dnnl *d, Plan *p)
{
    const int isa = (int)d->get_effective_cpu_isa(), bf16 = dnnl_cpu_isa_avx512_core_bf16;
    if (p->of.type != GEMM_BF16 || (isa & bf16) == bf16) return 1;
    snprintf(p->why, sizeof p->why,
             "oneDNN has bfloat16 products from avx512_core_bf16 on, which this CPU does not have");
    return 0;
}

static dnnl_primitive_desc_t dnnl_describe(const Dnnl *d, Plan *p)
{
    const GemmProduct *o = &p->of;
    const DnnlTypes *t = &dnnl_types[o->type];
    const dnnl_dims_t dims = { o->k, o->n };
    const dnnl_memory_desc_t a = dnnl_a_desc(d, o),
                             c = dnnl_plain_desc(d, o->m, o->n, o->ldc, t->c, 0),
                             bias = dnnl_plain_desc(d, 1, o->n, 0, dnnl_s32, 0);
    dnnl_memory_desc_t any;
    dnnl_matmul_desc_t matmul;
    dnnl_primitive_attr_t attr = NULL;
    dnnl_post_ops_t add = NULL;
    dnnl_primitive_desc_t pd = NULL;
    CHECK(!d->memory_desc_init_by_tag(&any, 2, dims, t->b, dnnl_format_tag_any));
    CHECK(!d->primitive_attr_create(&attr) && !d->post_ops_create(&add));
    if (o->plus)
        CHECK(!d->post_ops_append_sum(add, 1) && !d->primitive_attr_set_post_ops(attr, add));
    if (dnnl_did(p, "describe matmul",
                 d->matmul_desc_init(&matmul, &a, &any, o->co ? &bias : NULL, &c)))
        dnnl_did(p, "find matmul", d->primitive_desc_create(&pd, &matmul, attr, d->engine, NULL));
    d->post_ops_destroy(add);
    d->primitive_attr_destroy(attr);
    return pd;
}

/* The primitives of a plan whose product is described by pd */
static void dnnl_make_primitives(const Dnnl *d, Plan *p, dnnl_primitive_desc_t pd)
{
    const GemmProduct *o = &p->of;
    const DnnlTypes *t = &dnnl_types[o->type];
    const dnnl_memory_desc_t rows = dnnl_plain_desc(d, o->m, o->k, o->lda, t->rows, 0),
                             a = dnnl_a_desc(d, o),
                             weight = dnnl_plain_desc(d, o->k, o->n, 0, t->weight, o->tb == 'T');
    dnnl_primitive_desc_t pack = NULL, convert = NULL;
    if (dnnl_did(p, "make matmul", d->primitive_create(&p->run, pd)) &&
        dnnl_did(p, "find a reorder of the weight",
                 d->reorder_primitive_desc_create(&pack, &weight, d->engine, &p->packed, d->engine,
                                                  NULL)))
        dnnl_did(p, "make a reorder of the weight", d->primitive_create(&p->pack, pack));
    if (!*p->why && t->rows != t->a &&
        dnnl_did(p, "find a conversion of the rows",
                 d->reorder_primitive_desc_create(&convert, &rows, d->engine, &a, d->engine, NULL)))
        dnnl_did(p, "make a conversion of the rows", d->primitive_create(&p->convert, convert));
    if (pack) d->primitive_desc_destroy(pack);
    if (convert) d->primitive_desc_destroy(convert);
}

static void dnnl_make_operands(const Dnnl *d, Plan *p)
{
    const GemmProduct *o = &p->of;
    const DnnlTypes *t = &dnnl_types[o->type];
    const dnnl_memory_desc_t a = dnnl_a_desc(d, o),
                             rows = dnnl_plain_desc(d, o->m, o->k, o->lda, t->rows, 0),
                             c = dnnl_plain_desc(d, o->m, o->n, o->ldc, t->c, 0),
                             bias = dnnl_plain_desc(d, 1, o->n, 0, dnnl_s32, 0),
                             weight = dnnl_plain_desc(d, o->k, o->n, 0, t->weight, o->tb == 'T');
    p->a = dnnl_memory_of(d, p, &a, p->convert ? DNNL_MEMORY_ALLOCATE : DNNL_MEMORY_NONE);
    if (p->convert) p->floats = dnnl_memory_of(d, p, &rows, DNNL_MEMORY_NONE);
    p->c = dnnl_memory_of(d, p, &c, DNNL_MEMORY_NONE);
    p->from = dnnl_memory_of(d, p, &weight, DNNL_MEMORY_NONE);
    if (o->co) p->bias = dnnl_memory_of(d, p, &bias, DNNL_MEMORY_NONE);
}

static void dnnl_name_layout(Dnnl *d, Plan *p)
{
    for (int i = 0; i < DNNL_PLANS && !p->layout; i++) {
        const Plan *q = &d->plan[i];
        if (q != p && q->layout && q->of.tb == p->of.tb &&
            d->memory_desc_equal(&q->packed, &p->packed))
            p->layout = q->layout;
    }
    if (!p->layout) p->layout = ++d->layouts;
}

static void dnnl_make(Dnnl *d, Plan *p)
{
    const char *name = "";
    if (!dnnl_has_type(d, p)) return;
    dnnl_primitive_desc_t pd = dnnl_describe(d, p);
    if (!pd) return;
    p->packed = *d->primitive_desc_query_md(pd, dnnl_query_weights_md, 0);
    p->size = d->memory_desc_get_size(&p->packed);
    d->primitive_desc_query(pd, dnnl_query_impl_info_str, 0, &name);
    if (strstr(name, "ref"))
        snprintf(p->why, sizeof p->why,
                 "oneDNN has only its reference implementation (%s) of a product %dx%dx%d", name,
                 p->of.m, p->of.n, p->of.k);
    else {
        dnnl_make_primitives(d, p, pd);
        if (!*p->why) dnnl_make_operands(d, p);
    }
    d->primitive_desc_destroy(pd);
    dnnl_name_layout(d, p);
}

static int dnnl_same(const GemmProduct *a, const GemmProduct *b)
{
    return a->type == b->type && a->tb == b->tb && a->m == b->m && a->n == b->n && a->k == b->k &&
           a->plus == b->plus && a->lda == b->lda && a->ldc == b->ldc && !a->co == !b->co;
}

static Plan *dnnl_plan(const Gemm *g, const GemmProduct *o)
{
    Dnnl *d = g->own;
    if (d->last && dnnl_same(&d->last->of, o)) return d->last;
    for (int i = 0; i < DNNL_PLANS && i < d->made; i++)
        if (dnnl_same(&d->plan[i].of, o)) return d->last = &d->plan[i];
    Plan *p = d->last = &d->plan[d->made++ % DNNL_PLANS];
    dnnl_forget(d, p);
    p->of = *o;
    const int before = dnnl_threads(g->threads);
    dnnl_make(d, p);
    dnnl_threads(before);
    return p;
}

static size_t dnnl_packed_size(const Gemm *g, const GemmProduct *o, const char **why)
{
    const Plan *p = dnnl_plan(g, o);
    *why = *p->why ? p->why : NULL;
    return *p->why ? 0 : p->size;
}

/* ---- products ---- */
static void dnnl_point(const Dnnl *d, dnnl_memory_t memory, const void *to)
{
    CHECK(!d->memory_set_data_handle(memory, (void *)to));
}

static void dnnl_execute(const Dnnl *d, dnnl_primitive_t run, int n, const dnnl_exec_arg_t *arg)
{
    CHECK(!d->primitive_execute(run, d->stream, n, arg) && !d->stream_wait(d->stream));
}

/* w->own is the packed weight's memory object. It belongs to the weight, not to the plan: telling
 * an object of padded layout where its bytes are writes the padding anew. */
static void dnnl_pack(const Dnnl *d, const Plan *p, GemmWeight *w, const GemmProduct *o)
{
    if (w->own && w->layout == p->layout && w->of == o->B && w->version == o->version) return;
    if (w->own && (w->layout != p->layout || w->at != w->room)) {
        d->memory_destroy(w->own);
        w->own = NULL;
    }
    if (!w->own) CHECK(!d->memory_create((dnnl_memory_t *)&w->own, &p->packed, d->engine, w->room));
    dnnl_point(d, p->from, o->B);
    const dnnl_exec_arg_t arg[] = { { DNNL_ARG_FROM, p->from }, { DNNL_ARG_TO, w->own } };
    dnnl_execute(d, p->pack, 2, arg);
    w->at = w->room;
    w->layout = p->layout;
    w->of = o->B;
    w->version = o->version;
}

static void dnnl_packed(const Gemm *g, GemmWeight *w, const GemmProduct *o)
{
    const Dnnl *d = g->own;
    const Plan *p = dnnl_plan(g, o);
    CHECK(!*p->why && w->size >= p->size && !omp_in_parallel());
    const int before = dnnl_threads(g->threads);
    dnnl_pack(d, p, w, o);
    dnnl_point(d, p->convert ? p->floats : p->a, o->A);
    dnnl_point(d, p->c, o->C);
    if (p->convert) {
        const dnnl_exec_arg_t arg[] = { { DNNL_ARG_FROM, p->floats }, { DNNL_ARG_TO, p->a } };
        dnnl_execute(d, p->convert, 2, arg);
    }
    if (p->bias) dnnl_point(d, p->bias, o->co);
    const dnnl_exec_arg_t arg[] = { { DNNL_ARG_SRC, p->a },
                                    { DNNL_ARG_WEIGHTS, w->own },
                                    { DNNL_ARG_DST, p->c },
                                    { DNNL_ARG_BIAS, p->bias } };
    dnnl_execute(d, p->run, p->bias ? 4 : 3, arg);
    dnnl_threads(before);
}

/* ---- loading ---- */
/* NULL, or the name of a function that the library lacks */
static const char *dnnl_symbols(Dnnl *d, void *lib)
{
#define F(name)                                              \
    {                                                        \
        void *symbol = dlsym(lib, "dnnl_" #name);            \
        if (!symbol) return "dnnl_" #name;                   \
        memcpy(&d->name, &symbol, sizeof symbol);            \
    }
    DNNL_FUNCTIONS(F)
#undef F
    return NULL;
}

static void dnnl_name_isa(const Dnnl *d, Gemm *g)
{
    static const struct { int bits; const char *name; } isas[] = {
        { 0x1, "sse41" }, { 0x3, "avx" }, { 0x7, "avx2" }, { 0x407, "avx2_vnni" },
        { 0x27, "avx512_core" }, { 0x67, "avx512_core_vnni" }, { 0xe7, "avx512_core_bf16" },
        { 0x3e7, "avx512_core_bf16_amx" },
    };
    const int isa = (int)d->get_effective_cpu_isa();
    snprintf(g->core, sizeof g->core, "isa 0x%x", (unsigned)isa);
    for (size_t i = 0; i < sizeof isas / sizeof *isas; i++)
        if (isas[i].bits == isa) snprintf(g->core, sizeof g->core, "%s", isas[i].name);
}

/* No more than EIGHTYSIX_CPU allows */
static void dnnl_limit_isa(void)
{
    const unsigned cpu = cpu_has();
    const char *most = cpu & CPU_AMX      ? NULL
                       : cpu & CPU_BF16   ? "AVX512_CORE_BF16"
                       : cpu & CPU_VNNI   ? "AVX512_CORE_VNNI"
                       : cpu & CPU_AVX512 ? "AVX512_CORE"
                       : cpu & CPU_AVX2   ? "AVX2"
                                          : "SSE41";
    if (most) setenv("DNNL_MAX_CPU_ISA", most, 0);
}

const char *load_dnnl_plain(Gemm *g, Arena *a)
{
    dnnl_limit_isa();
    void *lib = dlopen("libdnnl.so.2", RTLD_NOW | RTLD_LOCAL);
    if (!lib) return "libdnnl.so.2 does not load (Debian: libdnnl2)";
    Dnnl *d = arena_get(a, sizeof *d);
    const char *lacks = dnnl_symbols(d, lib);
    const dnnl_version_t *v = d->version ? d->version() : NULL;
    if (v && v->major != DNNL_VERSION_MAJOR)
        return arena_text(a, "libdnnl.so.2 is oneDNN %d.%d.%d, expected version %d, whose "
                             "headers this program was built with",
                          v->major, v->minor, v->patch, DNNL_VERSION_MAJOR);
    if (lacks) return arena_text(a, "libdnnl.so.2 lacks %s", lacks);
    g->own = d;
    g->sgemm = dnnl_sgemm_plain;
    g->bf16 = gemm_bf16_own();
    g->u8s8 = dnnl_u8s8_plain;
    dnnl_name_isa(d, g);
    return NULL;
}

const char *load_dnnl(Gemm *g, Arena *a)
{
    const char *why = load_dnnl_plain(g, a);
    Dnnl *d = g->own;
    if (why) return why;
    if (d->engine_create(&d->engine, dnnl_cpu, 0) ||
        d->stream_create(&d->stream, d->engine, dnnl_stream_default_flags))
        return "libdnnl.so.2 gives no engine or stream on this CPU";
    g->packed_size = dnnl_packed_size;
    g->packed = dnnl_packed;
    return NULL;
}
