/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The command `headlab`. */
#include "harness/cli/cmd.h"
#include "harness/train/checkpoint.h"
#include "harness/train/headlab.h"
#include "harness/util/options.h"
#include <string.h>

static const char help[] =
    "usage: eightysix headlab CHECKPOINT [key=value ...] [heads=HEAD,...] [--option ...]\n\n"
    "Stores the hidden states that a trained trunk computes for the training text and trains\n"
    "every head anew on them, with AdamW and the trunk frozen. A step is batch x accum x seq\n"
    "states, shuffled anew for every pass. Settings: those of the checkpoint, then those given.\n\n"
    "  heads=...      heads with their settings, as heads=softmax,tree:assign=brown:classes=300\n"
    "                 (every head)\n"
    "  --states N     hidden states of the training text (131072); of the validation text there\n"
    "                 are valid_tokens\n"
    "  --passes X     passes over the training states (4)\n"
    "  --start WHAT   output rows of tied heads begin as a copy of the embedding, or drawn at\n"
    "                 random: embedding or drawn (embedding)\n"
    "  --db FILE      where the fits are recorded (results/results.db)\n"
    "  --no-db        record nothing\n\n"
    "  eightysix headlab v3.safetensors heads=softmax,tree:assign=freq,tree:assign=brown lr=1e-3\n"
    "  eightysix plot anatomy\n";

static const char *headlab_all_heads(Arena *a)
{
    const char *names = "";
    for (const HeadDef *const *h = heads; *h; h++)
        names = arena_text(a, "%s%s%s", names, *names ? "," : "", (*h)->name);
    return names;
}

/* Settings that the trunk takes too: how it computes. All its others stay those that it was trained
 * with. */
static const char *const trunk_settings[] = { "act=",     "act_bits=", "kernel=",       "gemm=",
                                              "threads=", "eval=",     "valid_tokens=", "seq=",
                                              "precision=" };

/* Takes heads=... out of words (n); returns how many are left */
static int headlab_take_heads(HeadlabPlan *p, char **words, int n)
{
    int left = 0, given = 0;
    for (int i = 0; i < n; i++) {
        if (strncmp(words[i], "heads=", 6)) {
            words[left++] = words[i];
            continue;
        }
        if (given++) die("%s: 'heads' is given twice; before it was %s", words[i], p->heads);
        p->heads = words[i] + 6;
    }
    return left;
}

/* The settings of the refits to the plan; returns those of the session */
static const Spec *headlab_read_settings(HeadlabPlan *p, char **words, int n, Arena *a)
{
    CheckpointWords w;
    const char *why = checkpoint_words(&w, words, headlab_take_heads(p, words, n), "headlab", a);
    if (why) die("%s", why);
    Spec *trunk = spec_copy(w.stored, a), *refit = spec_copy(w.stored, a);
    CHECK(!spec_set(refit, "ema=0") && !spec_set(refit, "tied=1"));
    for (int i = 0; i < w.words; i++) {
        CHECK(!spec_set(refit, w.word[i]));
        for (size_t k = 0; k < sizeof trunk_settings / sizeof *trunk_settings; k++)
            if (!strncmp(w.word[i], trunk_settings[k], strlen(trunk_settings[k])))
                CHECK(!spec_set(trunk, w.word[i]));
        p->words = arena_text(a, "%s%s%s", p->words, *p->words ? " " : "", w.word[i]);
    }
    p->path = w.path;
    p->spec = refit;
    return trunk;
}

int headlab_main(int argc, char **argv)
{
    Arena a = arena_new((size_t)1 << 36);
    const char *states = "131072", *passes = "4";
    int no_db = 0;
    HeadlabPlan p = { .start = "embedding", .db_path = "results/results.db", .words = "" };
    p.heads = headlab_all_heads(&a);
    const Option options[] = { { "--states", &states, NULL }, { "--passes", &passes, NULL },
                               { "--start", &p.start, NULL }, { "--db", &p.db_path, NULL },
                               { "--no-db", NULL, &no_db },   { 0 } };
    const int n = options_read(argc, argv, options, help);
    if (no_db) p.db_path = NULL;
    p.states = option_int("--states", states, 1, 1000000000);
    p.passes = option_number("--passes", passes, 1e-6, 1e6);
    if (strcmp(p.start, "embedding") && strcmp(p.start, "drawn"))
        die("--start %s: expected embedding or drawn", p.start);
    const Spec *trunk = headlab_read_settings(&p, argv + 1, n, &a);
    MachineLock machine;
    machine_ask(&machine);
    machine_bind_threads(&machine);
    p.machine = &machine;
    Session *s = session_make(trunk, p.path, SESSION_READS);
    const char *why = checkpoint_load(s, p.path);
    if (why) die("%s", why);
    const int failed = headlab_run(&p, s, &a);
    machine_leave(&machine);
    session_drop(s);
    arena_drop(&a);
    return failed > 0;
}
