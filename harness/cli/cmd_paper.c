/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The command `paper`. */
#include "harness/cli/cmd.h"
#include "harness/judge/readme.h"
#include "harness/util/options.h"

static const char paper_help[] =
    "usage: eightysix paper [--check] [--db FILE] [--out DIR] [--text FILE] [--parts FILE]\n"
    "       eightysix paper --readme [--check] [--db FILE] [--text FILE] [--parts FILE]\n\n"
    "Writes DIR/numbers.tex, DIR/tables, DIR/figures and DIR/stamps from the records: every\n"
    "number, table and figure of " PAPER_TEXT ", and the claims. `make paper` typesets the\n"
    "text with them. --readme writes the measured numbers of " README_FILE " instead.\n\n"
    "  --check       write nothing; print which parts are stale, or were never made, or which\n"
    "                numbers differ\n"
    "  --db FILE     the records (results/results.db)\n"
    "  --out DIR     where to (build/paper)\n"
    "  --text FILE   the text, in which no number may be typed (" PAPER_TEXT "; " README_FILE ")\n"
    "  --parts FILE  what is asked of the records (" PAPER_FILE "; " README_PARTS ")\n\n"
    "exit code: 0 written, or nothing is stale; 1 something is stale or differs; 2 bad usage or\n"
    "input\n";

static const char *paper_readme(const PaperQuery *q, int *code, Arena *a)
{
    const ReadmeQuery r = { .db_path = q->db_path,
                            .text_path = q->text_path ? q->text_path : README_FILE,
                            .parts_path = q->parts_path ? q->parts_path : README_PARTS,
                            .check = q->check };
    return readme_make(&r, code, a);
}

int paper_main(int argc, char **argv)
{
    int code, readme = 0;
    PaperQuery q = { .db_path = "results/results.db", .dir = "build/paper" };
    const Option options[] = { { "--db", &q.db_path, NULL },
                               { "--out", &q.dir, NULL },
                               { "--text", &q.text_path, NULL },
                               { "--parts", &q.parts_path, NULL },
                               { "--check", NULL, &q.check },
                               { "--readme", NULL, &readme },
                               { NULL, NULL, NULL } };
    if (options_read(argc, argv, options, paper_help))
        die("paper: expected options only; `eightysix paper --help`");
    Arena a = arena_new((size_t)1 << 32);
    const char *why;
    if (readme) why = paper_readme(&q, &code, &a);
    else {
        if (!q.text_path) q.text_path = PAPER_TEXT;
        if (!q.parts_path) q.parts_path = PAPER_FILE;
        why = paper_make(&q, &code, &a);
    }
    if (why) die("%s", why);
    arena_drop(&a);
    return code;
}
