/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The command `list`: what is in this binary, and what of it runs here. */
#include "harness/corpus/data.h"
#include "kernels/cpu.h"
#include "models/head.h"
#include "models/model.h"
#include <string.h>

/* variants.def once more, as the other architecture reads it: names alone */
#if ARCH_X86_64
#undef ARCH_X86_64
static const char list_elsewhere[] = "ARM64";
#else
#define ARCH_X86_64 1
static const char list_elsewhere[] = "x86-64";
#endif
#define V(name) #name,
static const char *const list_other_kernels[] = {
#include "kernels/variants.def"
    NULL
};
#undef V

int list_main(int argc, char **argv);

static void list_settings(void)
{
    for (const Setting *s = settings; s->key; s++) {
        printf("  %-13s %-10s %s\n  %-13s %-10s   (%s", s->key, *s->value ? s->value : "-", s->doc,
               "", "", s->type);
        if (s->min < s->max) printf(", %.16g to %.16g", s->min, s->max);
        printf("%s%s)\n", *s->applies ? "; applies to " : "", s->applies);
    }
}

static void list_kernels(void)
{
    char cpu[128];
    const TernaryKernel *best = ternary_best();
    for (int i = 0; ternary_kernels[i]; i++) {
        const TernaryKernel *k = ternary_kernels[i];
        printf("  %-13s %-62s %4.2f bit  %s%s\n", k->name, k->brief, k->weight_bits,
               ternary_runs_here(k) ? "runs here" : cpu_text(k->cpu & ~cpu_has(), cpu, sizeof cpu),
               ternary_runs_here(k) ? k == best ? " (auto)" : "" : " missing");
    }
    for (int i = 0; list_other_kernels[i]; i++)
        if (!ternary_find(list_other_kernels[i]))
            printf("  %-13s a kernel of %s, which no program for this machine has\n",
                   list_other_kernels[i], list_elsewhere);
}

static void list_heads(void)
{
    for (int i = 0; heads[i]; i++)
        printf("  %-13s %s\n  %-13s   %s\n", heads[i]->name, heads[i]->brief, "", heads[i]->source);
}

static void list_models(void)
{
    for (int i = 0; models[i]; i++) {
        printf("  %-13s %s\n  %-13s   %s\n", models[i]->name, models[i]->brief, "",
               models[i]->source);
        for (const SpecSize *z = spec_sizes; z->size; z++) {
            if (strcmp(z->model, models[i]->name)) continue;
            printf("  %-13s   size=%-5s %12ld parameters outside of embedding and output:", "",
                   z->size, z->parameters);
            for (int k = 0; k < SPEC_SIZED; k++)
                if (strcmp(z->sets[k].value, "0"))
                    printf(" %s=%s", z->sets[k].key, z->sets[k].value);
            puts("");
        }
    }
}

static void list_gemm(void)
{
    Arena a = arena_new(1 << 20);
    for (const GemmProvider *p = gemm_providers; p->name; p++) {
        const char *why;
        const Gemm *g = gemm_open(p->name, 1, &a, &why);
        printf("  %-13s %-40s %s\n", p->name, p->brief, g ? g->core : why);
    }
    arena_drop(&a);
}

static void list_corpora(void) { corpora_list(stdout); }

typedef struct { const char *name; void (*list)(void); } List;
static const List lists[] = {
    { "models", list_models }, { "heads", list_heads },     { "kernels", list_kernels },
    { "gemm", list_gemm },     { "corpora", list_corpora }, { "settings", list_settings }
};
enum { N = sizeof lists / sizeof *lists };

int list_main(int argc, char **argv)
{
    int shown = 0;
    if (argc > 1 && !strcmp(argv[1], "--help")) {
        puts("usage: eightysix list [models | heads | kernels | gemm | corpora | settings]\n\n"
             "What is in this binary and what of it runs on this machine. EIGHTYSIX_CPU=avx2 (a\n"
             "comma list of sse2 avx2 avx512 vnni popcnt512 vbmi bf16 amx neon dotprod) narrows\n"
             "the CPU for every command.");
        return 0;
    }
    for (int i = 0; i < N; i++) {
        if (argc > 1 && strcmp(argv[1], lists[i].name)) continue;
        printf("%s%s\n", shown++ ? "\n" : "", lists[i].name);
        lists[i].list();
    }
    if (shown) return 0;
    fprintf(stderr,
            "eightysix: list: no list '%s'; expected models, heads, kernels, gemm, corpora or "
            "settings\n",
            argv[1]);
    return 2;
}
