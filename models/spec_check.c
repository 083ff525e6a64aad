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
#define M(name, quant) #name,
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
    const long d = spec_int(s, "d"), groups = spec_int(s, "conv_groups"),
               parts = spec_int(s, "attn_heads");
    if (tokens > 2147483647.0)
        return REFUSE("batch=%ld seq=%ld accum=%ld: expected at most 2147483647 tokens of a step",
                      spec_int(s, "batch"), spec_int(s, "seq"), spec_int(s, "accum"));
    if (spec_is(s, "model", "transformer") && d % (2 * parts))
        return REFUSE("d=%ld attn_heads=%ld: expected heads that divide d into even widths", d,
                      parts);
    if (spec_is(s, "model", "flashlm3") && (d % groups || d / groups > 1024))
        return REFUSE(
            "d=%ld conv_groups=%ld: expected groups that divide d into at most 1024 channels each",
            d, groups);
    return NULL;
}

static const char *check_size(const Spec *s)
{
    char there_are[128] = "";
    if (spec_is(s, "size", "none")) return NULL;
    for (const SpecSize *z = spec_sizes; z->size; z++) {
        if (!spec_is(s, "model", z->model)) continue;
        if (spec_is(s, "size", z->size)) return NULL;
        snprintf(there_are + strlen(there_are), sizeof there_are - strlen(there_are), " %s",
                 z->size);
    }
    return REFUSE("size=%.99s model=%.99s: expected a size that there is of this model:%s",
                  spec_str(s, "size"), spec_str(s, "model"), there_are);
}

static const char *check_head(const Spec *s)
{
    if (!spec_is(s, "head", "softmax") || !spec_is(s, "head_quant", "bitlinear")) return NULL;
    if (!spec_int(s, "tied")) return NULL;
    return REFUSE("head_quant=bitlinear tied=1: expected tied=0, a matrix of its own, as it has a "
                  "norm of its own");
}

static const char *check_lists(const Spec *s)
{
    long dilation[CHECK_MOST_DILATIONS + 1];
    if (spec_list(s, "dilations", dilation, CHECK_MOST_DILATIONS + 1) <= CHECK_MOST_DILATIONS)
        return NULL;
    return REFUSE("dilations=%.99s: expected at most %d", spec_str(s, "dilations"),
                  CHECK_MOST_DILATIONS);
}

/* One way to say each set of products, so that it is one cell */
static const char *check_precision(const Spec *s)
{
    static const char *const products[] = { "forward", "dx", "dw", "head" };
    enum { PRODUCTS = sizeof products / sizeof *products };
    const char *value = spec_str(s, "precision");
    char said[64] = "";
    int n = 0;
    if (!strcmp(value, "f32") || !strcmp(value, "bf16")) return NULL;
    for (int i = 0; i < PRODUCTS; i++) {
        if (!spec_bf16(s, products[i])) continue;
        if (n++) strcat(said, "+");
        strcat(said, products[i]);
    }
    if (n < PRODUCTS && !strcmp(said, value) && n) return NULL;
    return REFUSE("precision=%.99s: expected f32, bf16, or some of forward+dx+dw+head in this "
                  "order", value);
}

const char *spec_check_each(const Spec *s)
{
    const char *why = check_names(s);
    if (!why) why = check_lists(s);
    if (!why) why = check_precision(s);
    return why ? why : check_budgets(s);
}

const char *spec_check_values(const Spec *s)
{
    const char *why = spec_check_each(s);
    if (!why) why = check_head(s);
    if (!why) why = check_size(s);
    return why ? why : check_sizes(s);
}

/* ---- where a setting has an effect: "a=x|y,b!=z or c=w" (Setting.applies) ---- */

static const char CHECK_OR[] = " or ";

/* The end of the group of conditions that begins at s: its " or " or the end of the text */
static const char *check_group_end(const char *s)
{
    const char *or = strstr(s, CHECK_OR);
    return or ? or : s + strlen(s);
}

/* key (32): of the condition at s; returns what is behind its "=" or "!=" */
static const char *check_key(const char *s, char *key, int *negated)
{
    const size_t n = strcspn(s, "!=");
    CHECK(n < 32 && s[n]);
    memcpy(key, s, n);
    key[n] = 0;
    *negated = s[n] == '!';
    return s + n + 1 + *negated;
}

/* value is the text s of len bytes, or the same number */
static int check_equal(const char *value, const char *s, size_t len)
{
    char text[64], *end, *value_end;
    if (len == strlen(value) && !memcmp(s, value, len)) return 1;
    if (!len || !*value || len >= sizeof text) return 0;
    memcpy(text, s, len);
    text[len] = 0;
    const double a = strtod(text, &end), b = strtod(value, &value_end);
    return !*end && !*value_end && !(a < b) && !(a > b);
}

/* One condition, from s to its end */
static int check_holds(const Spec *s, const char *condition, const char *end)
{
    char key[32];
    int negated, equal = 0;
    const char *p = check_key(condition, key, &negated);
    while (p <= end && !equal) {
        const char *bar = memchr(p, '|', (size_t)(end - p)), *stop = bar ? bar : end;
        equal = check_equal(spec_str(s, key), p, (size_t)(stop - p));
        p = stop + 1;
    }
    return equal != negated;
}

/* All conditions of a group */
static int check_group(const Spec *s, const char *p, const char *end)
{
    while (p < end) {
        const char *comma = memchr(p, ',', (size_t)(end - p)), *stop = comma ? comma : end;
        if (!check_holds(s, p, stop)) return 0;
        p = stop + 1;
    }
    return 1;
}

int spec_applies(const Spec *s, const Setting *setting)
{
    for (const char *p = setting->applies; *p; ) {
        const char *end = check_group_end(p);
        if (check_group(s, p, end)) return 1;
        if (!*end) return 0;
        p = end + strlen(CHECK_OR);
    }
    return 1;
}

/* "head=tree act=f32": what the settings say that `applies` asks for, but the setting itself */
static const char *check_instead(const Spec *s, const Setting *setting)
{
    static _Thread_local char text[256];
    size_t n = 0;
    text[0] = 0;
    for (const char *p = setting->applies; *p; ) {
        char key[32];
        int negated;
        const char *value = check_key(p, key, &negated);
        if (strcmp(key, setting->key) && n < sizeof text) {
            const int more = snprintf(text + n, sizeof text - n, "%s%s=%.60s", n ? " " : "", key,
                                      spec_str(s, key));
            n += (size_t)more;
        }
        const char *end = check_group_end(p);
        const char *comma = memchr(value, ',', (size_t)(end - value));
        p = comma ? comma + 1 : *end ? end + strlen(CHECK_OR) : end;
    }
    return text;
}

const char *spec_check(const Spec *s)
{
    const char *why = spec_check_values(s);
    for (const Setting *t = settings; !why && t->key; t++) {
        if (!spec_given(s, t->key) || spec_applies(s, t)) continue;
        why = REFUSE("%s=%.99s: applies to %s, and this run has %s", t->key, spec_str(s, t->key),
                     t->applies, check_instead(s, t));
    }
    return why;
}
