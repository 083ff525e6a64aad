/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The directory of a parity check: manifest.json, the raw files beside it, and what follows from
 * them. Nothing in it is trusted. */
#include "harness/util/file.h"
#include "harness/laws/parity_parts.h"
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

void parity_bad(Parity *p, const char *what)
{
    if (!p->bad) p->bad = arena_text(p->arena, "%s/manifest.json: %s", p->dir, what);
}

long parity_index(const Parity *p, const char *name)
{
    json_t *e;
    size_t i;
    json_array_foreach(json_object_get(p->manifest, "tensors"), i, e)
        if (!strcmp(json_string_value(json_object_get(e, "name")), name)) return (long)i;
    return -1;
}

const json_t *parity_entry(const Parity *p, const char *name)
{
    const long i = parity_index(p, name);
    return i < 0 ? NULL : json_array_get(json_object_get(p->manifest, "tensors"), (size_t)i);
}

const json_t *parity_config(const Parity *p, const char *part, const char *key)
{
    return json_object_get(json_object_get(json_object_get(p->manifest, "meta"), part), key);
}

/* ---- the manifest ---- */

/* How many values a shape says; -1: it is none */
static long parity_values(const json_t *shape)
{
    const size_t sizes = json_array_size(shape);
    long n = 1;
    if (!json_is_array(shape) || sizes > 4) return -1;
    for (size_t i = 0; i < sizes; i++) {
        const json_t *v = json_array_get(shape, i);
        const json_int_t size = json_integer_value(v);
        if (!json_is_integer(v) || size < 1 || size > PARITY_MOST / n) return -1;
        n *= (long)size;
    }
    return n;
}

static const char *parity_path(const Parity *p, const json_t *e)
{
    return arena_text(p->arena, "%s/%s", p->dir, json_string_value(json_object_get(e, "file")));
}

static void parity_check_entry(Parity *p, const json_t *e, size_t number)
{
    struct stat st;
    const char *name = json_string_value(json_object_get(e, "name"));
    if (!name) {
        parity_bad(p, arena_text(p->arena, "tensor %zu: expected a \"name\"", number));
        return;
    }
    if (!json_is_string(json_object_get(e, "file"))) {
        parity_bad(p, arena_text(p->arena, "tensor '%s': expected a \"file\"", name));
        return;
    }
    const long n = parity_values(json_object_get(e, "shape"));
    if (n < 0) {
        parity_bad(p, arena_text(p->arena,
                                 "tensor '%s': expected a \"shape\" of at most 4 positive sizes, "
                                 "%d values in all",
                                 name, PARITY_MOST));
        return;
    }
    const char *path = parity_path(p, e);
    if (stat(path, &st))
        parity_bad(p, arena_text(p->arena, "tensor '%s': %s cannot be read: %s", name, path,
                                 strerror(errno)));
    else if (!S_ISREG(st.st_mode) || st.st_size != 4 * (off_t)n)
        parity_bad(p, arena_text(p->arena,
                                 "tensor '%s': %s has %lld bytes, expected %ld values of 4", name,
                                 path, (long long)st.st_size, n));
}

int parity_open(Parity *p)
{
    json_error_t error;
    json_t *e;
    size_t i;
    struct stat st;
    const char *path = arena_text(p->arena, "%s/manifest.json", p->dir);
    if (stat(path, &st) || !S_ISREG(st.st_mode)) {
        p->bad = arena_text(p->arena, "%s: expected a file that can be read", path);
        return 0;
    }
    p->manifest = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
    if (!p->manifest) {
        p->bad = arena_text(p->arena, "%s: line %d, column %d: expected JSON: %s", path, error.line,
                            error.column, error.text);
        return 0;
    }
    if (!json_is_array(json_object_get(p->manifest, "tensors")))
        parity_bad(p, "expected \"tensors\": [...]");
    json_array_foreach(json_object_get(p->manifest, "tensors"), i, e) parity_check_entry(p, e, i);
    p->seen = arena_get(p->arena, 1 + json_array_size(json_object_get(p->manifest, "tensors")));
    return !p->bad;
}

/* ---- tensors ---- */

void *parity_fetch(Parity *p, const char *name, long *n, int *shape)
{
    const json_t *e = parity_entry(p, name), *s = json_object_get(e, "shape");
    if (!e || p->bad) return NULL;
    *n = parity_values(s);
    for (size_t i = 0; shape && i < 4; i++)
        shape[i] = (int)json_integer_value(json_array_get(s, i));
    void *data = arena_raw(p->arena, 4 * (size_t)*n);
    const char *why;
    FILE *f = file_open(parity_path(p, e), p->arena, &why);
    const int whole = f && fread(data, 4, (size_t)*n, f) == (size_t)*n;
    if (f) fclose(f);
    if (whole) return data;
    parity_bad(p, arena_text(p->arena, "tensor '%s': %s cannot be read", name, parity_path(p, e)));
    return NULL;
}

const float *parity_matrix(Parity *p, const char *name, int *rows, int *cols)
{
    long n;
    int shape[4];
    const float *v = parity_fetch(p, name, &n, shape);
    const int fits = v && shape[1] && !shape[2] && (!*rows || *rows == shape[0]) &&
                     (!*cols || *cols == shape[1]);
    if (!fits) {
        const char *r = *rows ? arena_text(p->arena, "%d", *rows) : "any";
        const char *c = *cols ? arena_text(p->arena, "%d", *cols) : "any";
        parity_bad(p, arena_text(p->arena, "expected '%s' of shape [%s, %s]", name, r, c));
        return NULL;
    }
    *rows = shape[0];
    *cols = shape[1];
    return v;
}

const float *parity_vector(Parity *p, const char *name, long n)
{
    long has;
    const float *v = parity_fetch(p, name, &has, NULL);
    if (v && has == n) return v;
    parity_bad(p, arena_text(p->arena, "expected '%s' of %ld values", name, n));
    return NULL;
}

/* ---- the settings ---- */

/* A number, true or false, or whole numbers with commas; NULL: none of these */
static const char *parity_setting(const json_t *v, Arena *a)
{
    const char *text = "";
    if (json_is_integer(v)) return arena_text(a, "%lld", (long long)json_integer_value(v));
    if (json_is_real(v)) return arena_text(a, "%.17g", json_real_value(v));
    if (json_is_boolean(v)) return json_is_true(v) ? "1" : "0";
    if (!json_array_size(v)) return NULL;
    for (size_t i = 0; i < json_array_size(v); i++) {
        const json_t *e = json_array_get(v, i);
        if (!json_is_integer(e)) return NULL;
        text = arena_text(a, "%s%s%lld", text, i ? "," : "", (long long)json_integer_value(e));
    }
    return text;
}

static void parity_set(Parity *p, Spec *s, const char *key, const char *part, const char *from)
{
    const json_t *v = parity_config(p, part, from);
    if (!v || json_is_null(v)) return;
    const char *text = parity_setting(v, p->arena);
    const char *why = text ? spec_set(s, arena_text(p->arena, "%s=%s", key, text))
                           : "expected a number or a list of whole numbers";
    if (why) parity_bad(p, arena_text(p->arena, "meta.%s.%s: %s", part, from, why));
}

/* The epsilon of BitLinears is one of two */
static void parity_set_bit_eps(Parity *p, Spec *s)
{
    const json_t *v = parity_config(p, "config", "bitlinear_eps");
    if (!v) return;
    const double eps = json_number_value(v), off = 1e-12;
    const char *text = eps > 1e-6 - off && eps < 1e-6 + off ? "1e-6" : "1e-8";
    if (text[3] == '8' && !(eps > 1e-8 - off && eps < 1e-8 + off))
        parity_bad(p, "meta.config.bitlinear_eps: expected 1e-6 or 1e-8");
    CHECK(!spec_set(s, arena_text(p->arena, "bit_eps=%s", text)));
}

#define PARITY_PLAIN " optimizer=adamw smoothing=0 zloss=0 ema=0"

const char *parity_model_words(const Parity *p)
{
    if (parity_config(p, "config", "conv_groups")) return "model=flashlm3";
    if (parity_config(p, "config", "use_lower_bound"))
        return "model=mmfree act=int8 head_quant=bitlinear" PARITY_PLAIN;
    if (parity_config(p, "config", "n_blocks")) return "model=bolt" PARITY_PLAIN;
    if (!parity_config(p, "config", "rope_theta")) return NULL;
    return json_is_true(parity_config(p, "config", "ternary"))
               ? "model=transformer act=int8" PARITY_PLAIN
               : "model=transformer quant=none" PARITY_PLAIN;
}

Spec *parity_spec(Parity *p)
{
    static const char *const keys[][3] = { { "d", "config", "d" },
                                           { "d", "config", "hidden" },
                                           { "d", "config", "hidden_size" },
                                           { "d", "config", "dim" },
                                           { "inner", "config", "inner" },
                                           { "inner", "config", "intermediate" },
                                           { "inner", "config", "intermediate_size" },
                                           { "inner", "config", "glu_hidden" },
                                           { "layers", "config", "layers" },
                                           { "layers", "config", "num_hidden_layers" },
                                           { "layers", "config", "n_blocks" },
                                           { "attn_heads", "config", "num_attention_heads" },
                                           { "lower_bounds", "config", "use_lower_bound" },
                                           { "short_conv", "config", "short_conv" },
                                           { "short_conv", "config", "use_short_conv" },
                                           { "tied", "config", "tied" },
                                           { "tied", "config", "tie_word_embeddings" },
                                           { "conv_groups", "config", "conv_groups" },
                                           { "conv_kernel", "config", "conv_kernel" },
                                           { "dilations", "config", "dilations" },
                                           { "recursions", "config", "recursions" },
                                           { "smoothing", "config", "label_smoothing" },
                                           { "zloss", "config", "zloss_coeff" },
                                           { "lr", "optimizer", "adamw_lr" },
                                           { "lr_normuon", "optimizer", "normuon_lr" },
                                           { "beta1", "optimizer", "adamw_beta1" },
                                           { "beta2", "optimizer", "adamw_beta2" },
                                           { "decay_weight", "optimizer", "weight_decay" },
                                           { "clip", "optimizer", "max_grad_norm" },
                                           { "ema", "optimizer", "ema_decay" } };
    Spec *s = spec_new(p->arena);
    const char *words = parity_model_words(p);
    if (words) CHECK(!spec_set_words(s, words));
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        parity_set(p, s, keys[i][0], keys[i][1], keys[i][2]);
    parity_set_bit_eps(p, s);
    return p->bad ? NULL : s;
}

/* ---- the batch ---- */

/* n numbers of which each must be in [0, most) */
static void parity_check_range(Parity *p, const char *name, const int *v, long n, long most)
{
    for (long i = 0; i < n && !p->bad; i++)
        if (v[i] < 0 || v[i] >= most)
            parity_bad(p, arena_text(p->arena, "'%s': value %ld is %d, expected 0 to %ld", name, i,
                                     v[i], most - 1));
}

/* Every position but the last of its sequence has a target, the token after it */
static Batch *parity_batch_of_text(const int *ids, int B, int T, int d, Arena *a)
{
    Batch *b = batch_new(B, T, B * (T - 1), d, a);
    int n = 0;
    memcpy(b->x, ids, sizeof *ids * (size_t)B * (size_t)T);
    for (int i = 0; i < B * T; i++) {
        if (i % T == T - 1) continue;
        b->pos[n] = i;
        b->y[i] = b->target[n++] = ids[i + 1];
    }
    return b;
}

Batch *parity_batch(Parity *p, int V, int d)
{
    int B = 0, T = 0;
    const int *ids = (const int *)parity_matrix(p, "input_ids", &B, &T);
    const long n = (long)B * T;
    if (ids) parity_check_range(p, "input_ids", ids, n, V);
    if (!p->bad && T > 1 && parity_config(p, "config", "hidden"))
        return parity_batch_of_text(ids, B, T, d, p->arena);
    const int *targets = p->bad ? NULL : (const int *)parity_matrix(p, "targets", &B, &T);
    long supervised = n;
    const int *pos = parity_fetch(p, "pos_indices", &supervised, NULL);
    if (!pos) supervised = n;
    if (!p->bad && supervised > n)
        parity_bad(p, arena_text(p->arena, "expected at most %ld 'pos_indices'", n));
    if (p->bad) return NULL;
    parity_check_range(p, "targets", targets, n, V);
    if (pos) parity_check_range(p, "pos_indices", pos, supervised, n);
    if (p->bad) return NULL;
    Batch *b = batch_new(B, T, (int)supervised, d, p->arena);
    memcpy(b->x, ids, sizeof *ids * (size_t)n);
    memcpy(b->y, targets, sizeof *targets * (size_t)n);
    for (long i = 0; pos && i < supervised; i++) {
        b->pos[i] = pos[i];
        b->target[i] = targets[pos[i]];
    }
    return b;
}
