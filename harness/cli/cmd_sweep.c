/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The command `sweep`. */
#include "harness/cli/cmd.h"
#include "harness/judge/plot.h"
#include "harness/sweep/grid.h"
#include "harness/sweep/sweep.h"
#include "harness/util/options.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
    "usage: eightysix sweep FILE.yaml [key=value ...] [--option ...]\n"
    "       eightysix sweep key=value,value ... [seeds=N] [--name NAME] [--option ...]\n\n"
    "Runs every cell of the experiment that has no ok run of this build on this machine, each\n"
    "in a process of its own, and records it. A cell whose budget counts tokens is run for its\n"
    "losses: a run on any machine will do. Stopped and started again, a sweep goes on where it\n"
    "was. At the end it prints what was asked, expected and measured, compares with the\n"
    "baseline seed by seed, and draws the figure of the experiment.\n\n"
    "With a file, key=value replaces a fixed setting of the experiment. Without one, the words\n"
    "are the experiment: every level of a setting with every level of the others. A comma\n"
    "separates levels; a level that has commas itself stands in brackets (quoted, for the\n"
    "shell). seeds=N is how many seeds, seeds=[3,7] which.\n\n"
    "  eightysix sweep quick --dry-run\n"
    "  eightysix sweep head=softmax,tree d=128,256 seeds=3 budget=30s --dry-run\n"
    "  eightysix sweep 'dilations=[1,4,64],[1]' budget=30s --name dilations\n"
    "  eightysix sweep head=tree,adaptive budget=1Mtokens --save experiments/mine.yaml\n\n"
    "  --name NAME        of the experiment of these words (that of --save, or grid); of a name\n"
    "                     the last plan is shown\n"
    "  --save FILE.yaml   write the experiment of these words as a file first\n"
    "  --note TEXT        one line, kept with the plan; `runs` shows it\n"
    "  --db FILE          the records (results/results.db); logs/, figures/, NAME.csv go\n"
    "                     beside it\n"
    "  --dry-run          check the experiment, list its cells as new, stale, done or running,\n"
    "                     with the reason and the time to go; run nothing\n"
    "  --resume           skip finished cells; the default\n"
    "  --fresh            run finished cells again; old rows stay\n"
    "  --jobs N           so many cells at once (1); their timings are not to be compared\n"
    "  --seed S           of the order in which cells run (1)\n"
    "  --filter A=X,B=Y   only cells with these levels of these factors; seed=N too; a level\n"
    "                     that has commas in brackets. A cell in which a level has no effect\n"
    "                     does not have that level\n"
    "  --shard K/N        only the cells whose position in the grid, counted from 0, leaves the\n"
    "                     rest K-1 when divided by N, for N machines or jobs, each with its own\n"
    "                     --db; `merge` joins them\n"
    "  --verbose          pass on the output of the cells on stderr (default: on a terminal)\n\n"
    "exit code: 0 every cell is ok or skipped, 1 a cell failed, 2 bad usage or input,\n"
    "           130 interrupted\n";

/* A whole number at *text, which moves behind it; 0: there is none, or it is above all cells */
static int sweep_read_part(const char **text)
{
    const size_t digits = strspn(*text, "0123456789");
    const long x = digits && digits < 10 ? strtol(*text, NULL, 10) : 0;
    *text += digits;
    return x <= EXPERIMENT_MAX_CELLS ? (int)x : 0;
}

static void sweep_read_shard(const char *text, SweepPlan *p)
{
    const char *at = text;
    p->shard = sweep_read_part(&at);
    const int slash = *at == '/';
    at += slash;
    p->shards = sweep_read_part(&at);
    if (!slash || *at || p->shard < 1 || p->shard > p->shards)
        die("--shard %s: expected K/N, whole numbers from 1 to %d, K at most N: 1/3, 2/3, 3/3",
            text, EXPERIMENT_MAX_CELLS);
}

static void sweep_check_note(const char *note)
{
    enum { MOST = 1000 };
    int line = *note != 0 && strlen(note) <= MOST;
    for (const char *s = note; *s; s++) line &= !iscntrl((unsigned char)*s);
    if (!line) die("--note: expected one line of at most %d bytes", MOST);
}

/* The name of the file that is saved, without .yaml; where none is, "grid" */
static const char *sweep_name(const char *save, Arena *a)
{
    const char *slash = save ? strrchr(save, '/') : NULL, *base = slash ? slash + 1 : save;
    return save ? arena_text(a, "%.*s", (int)strcspn(base, "."), base) : "grid";
}

/* words: all arguments that are no options */
static const Experiment *sweep_load(char **words, int n, const char *name, const char *save,
                                    Arena *a)
{
    const char *const *word = (const char *const *)words, *why;
    const int grid = grid_is_word(words[0]);
    if (!grid && (name || save))
        die("%s: expected a grid of words, such as head=softmax,tree; '%s' is a file",
            name ? "--name" : "--save", words[0]);
    if (!name) name = sweep_name(save, a);
    const Experiment *e = grid ? grid_experiment(name, word, n, a, &why)
                               : experiment_load(words[0], word + 1, n - 1, a, &why);
    if (!e || (why = experiment_check(e, a))) die("%s", why);
    if (save && (why = grid_save(e, save, a))) die("%s", why);
    return e;
}

int sweep_main(int argc, char **argv)
{
    const char *jobs = "1", *seed = "1", *shard = "1/1", *name = NULL, *save = NULL;
    SweepPlan p = { .db_path = "results/results.db", .draw = plot_beside };
    int resume = 0;
    const Option options[] = {
        { "--db", &p.db_path, NULL },      { "--filter", &p.filter, NULL },
        { "--jobs", &jobs, NULL },         { "--seed", &seed, NULL },
        { "--dry-run", NULL, &p.dry },     { "--fresh", NULL, &p.fresh },
        { "--resume", NULL, &resume },     { "--verbose", NULL, &p.verbose },
        { "--name", &name, NULL },         { "--save", &save, NULL },
        { "--shard", &shard, NULL },       { "--note", &p.note, NULL },
        { NULL, NULL, NULL },
    };
    const int others = options_read(argc, argv, options, help);
    if (!others)
        die("sweep: expected an experiment file, or settings; `eightysix sweep --help`");
    if (p.fresh && resume) die("--fresh and --resume: expected one of them");
    p.jobs = (int)option_int("--jobs", jobs, 1, SWEEP_MAX_JOBS);
    p.seed = (uint64_t)option_int("--seed", seed, 0, 1000000000);
    sweep_read_shard(shard, &p);
    if (p.note) sweep_check_note(p.note);
    Arena a = arena_new((size_t)1 << 30);
    p.exp = sweep_load(argv + 1, others, name, save, &a);
    const int code = sweep_run(&p, &a);
    arena_drop(&a);
    return code;
}
