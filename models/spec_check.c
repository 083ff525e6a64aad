/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What settings.def cannot say of one setting alone: names, budgets, products of settings, and
 * settings without effect. */
#include "models/spec.h"
#include "kernels/gemm.h"
#include "kernels/ternary.h"
#include <stdlib.h>
#include <string.h>

#define H(name) #name,
static const char *const check_heads[] = {
#include "models/heads.def"
    NULL
};
#undef H
#define M(name) #name,
static const char *const check_models[] = {
#include "models/models.def"
    NULL
};
#undef M

enum { CHECK_MOST = 2048, CHECK_MOST_DILATIONS = 16 };
/* the last message of this thread, valid until its next check */
static _Thread_local char check_text[CHECK_MOST];

#define REFUSE(...) (snprintf(check_text, sizeof check_text, __VA_ARGS__), check_text)

static int check_listed(const char *const *names, const char *name)
{
    for (; *names; names++)
        if (!strcmp(*names, name)) return 1;
    return 0;
}

static const char *check_names(const Spec *s)
{
    const char *head = spec_str(s, "head"), *model = spec_str(s, "model");
    const char *kernel = spec_str(s, "kernel"), *gemm = spec_str(s, "gemm");
    if (!check_listed(check_models, model))
        return REFUSE("model=%.99s: no such model; `eightysix list models` shows those there are",
                      model);
    if (!check_listed(check_heads, head))
        return REFUSE("head=%.99s: no such head; `eightysix list heads` shows those there are",
                      head);
    if (strcmp(kernel, "auto") && strcmp(kernel, "bits_auto") && !ternary_find(kernel))
        return REFUSE(
            "kernel=%.99s is not in this binary; `eightysix list kernels` shows those that are",
            kernel);
    for (const GemmProvider *p = gemm_providers; p->name; p++)
        if (!strcmp(p->name, gemm)) return NULL;
    if (!strcmp(gemm, "auto")) return NULL;
    return REFUSE("gemm=%.99s: no such provider; `eightysix list gemm` shows those there are",
                  gemm);
}

static const char *check_budgets(const Spec *s)
{
    static const char *const keys[] = { "budget", "eval_every", "save_every" };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        Budget b;
        const char *why = spec_budget(spec_str(s, keys[i]), &b);
        if (why) return REFUSE("%s=%.99s: %s", keys[i], spec_str(s, keys[i]), why);
    }
    return NULL;
}

static const char *check_sizes(const Spec *s)
{
    const double tokens = spec_num(s, "batch") * spec_num(s, "seq") * spec_num(s, "accum");
    const long d = spec_int(s, "d"), groups = spec_int(s, "conv_groups");
    if (tokens > 2147483647.0)
        return REFUSE("batch=%ld seq=%ld accum=%ld: expected at most 2147483647 tokens of a step",
                      spec_int(s, "batch"), spec_int(s, "seq"), spec_int(s, "accum"));
    if (d % groups || d / groups > 1024)
        return REFUSE(
            "d=%ld conv_groups=%ld: expected groups that divide d into at most 1024 channels each",
            d, groups);
    return NULL;
}

static const char *check_lists(const Spec *s)
{
    long dilation[CHECK_MOST_DILATIONS + 1];
    if (spec_list(s, "dilations", dilation, CHECK_MOST_DILATIONS + 1) <= CHECK_MOST_DILATIONS)
        return NULL;
    return REFUSE("dilations=%.99s: expected at most %d", spec_str(s, "dilations"),
                  CHECK_MOST_DILATIONS);
}

const char *spec_check_each(const Spec *s)
{
    const char *why = check_names(s);
    if (!why) why = check_lists(s);
    return why ? why : check_budgets(s);
}

const char *spec_check_values(const Spec *s)
{
    const char *why = spec_check_each(s);
    return why ? why : check_sizes(s);
}

/* One condition, "key=a|b", of len bytes, holds */
static int check_holds(const Spec *s, const char *term, size_t len)
{
    const size_t key_len = strcspn(term, "=");
    char key[32];
    CHECK(key_len < sizeof key && key_len < len);
    memcpy(key, term, key_len);
    key[key_len] = 0;
    const char *value = spec_str(s, key), *end = term + len;
    for (const char *p = term + key_len + 1; p <= end; ) {
        const size_t n = strcspn(p, "|,");
        if (n == strlen(value) && !memcmp(p, value, n)) return 1;
        p += n + 1;
    }
    return 0;
}

int spec_applies(const Spec *s, const Setting *setting)
{
    for (const char *p = setting->applies; *p; ) {
        const size_t n = strcspn(p, ",");
        if (!check_holds(s, p, n)) return 0;
        p += n + (p[n] == ',');
    }
    return 1;
}

const char *spec_check(const Spec *s)
{
    const char *why = spec_check_values(s);
    for (const Setting *t = settings; !why && t->key; t++) {
        if (!spec_given(s, t->key) || spec_applies(s, t)) continue;
        const size_t n = strcspn(t->applies, "=");
        char key[32];
        CHECK(n < sizeof key);
        memcpy(key, t->applies, n);
        key[n] = 0;
        why = REFUSE("%s=%.99s: applies to %s, and this run has %s=%.99s", t->key,
                     spec_str(s, t->key), t->applies, key, spec_str(s, key));
    }
    return why;
}
