/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The command `paper`. The file `stamps` has a line for each part that was made:
 *
 *   KIND NAME ROWS SCRIPT FILE          SHA-256 of its rows, of what makes it of them, of what was
 * made ("-": nothing)
 *
 * and one for numbers.tex. Of a figure the script is its gnuplot text, its definition and the
 * version of gnuplot. */
#include "harness/util/yaml.h"
#include "harness/util/file.h"
#include "harness/util/options.h"
#include "harness/judge/paper.h"
#include "harness/judge/plot.h"
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char help[] =
    "usage: eightysix paper [--check] [--db FILE] [--out DIR] [--text FILE] [--parts FILE]\n\n"
    "Writes DIR/numbers.tex, DIR/tables, DIR/figures and DIR/stamps from the records: every "
    "number, table and\n"
    "figure of " PAPER_TEXT ", and the claims. `make paper` sets the text with them.\n\n"
    "  --check       write nothing: which parts are stale, or not made?\n"
    "  --db FILE     the records (results/results.db)\n"
    "  --out DIR     where to (build/paper)\n"
    "  --text FILE   the text, in which no number may be typed (" PAPER_TEXT ")\n"
    "  --parts FILE  what is asked of the records (" PAPER_FILE ")\n\n"
    "exit code: 0 written, or nothing is stale; 1 something is stale; 2 bad usage or input\n";

static const char *const kinds[] = { "number", "table", "figure", "number" };
enum { MADE = 65 };
typedef struct Stamp { char rows[MADE], script[MADE], file[MADE]; } Stamp;
typedef struct Maker {
    Arena      *a;
    Db         *db;
    Paper       paper;
    PaperPart  *part;                          /* (paper.n) */
    const char *dir, *gnuplot, *numbers;       /* numbers: the text of numbers.tex */
} Maker;

static const char *hash(const char *text, char out[MADE])
{
    return sha256_hex(text, strlen(text), out);
}

static const char *gnuplot_version(Arena *a)
{
    char line[128] = "";
    FILE *f = popen("gnuplot --version 2>&1", "r");
    if (!f || !fgets(line, sizeof line, f)) line[0] = 0;
    if (f) pclose(f);
    return arena_text(a, "%s", line);
}

static const char *file_of(const Maker *m, const PaperItem *p)
{
    if (p->kind == PAPER_TABLE) return arena_text(m->a, "%s/tables/%s.tex", m->dir, p->name);
    if (p->kind == PAPER_FIGURE) return arena_text(m->a, "%s/figures/%s.pdf", m->dir, p->name);
    return "";
}

/* file: of what is there now */
static Stamp stamp_of(const Maker *m, int i)
{
    const PaperItem *p = &m->paper.item[i];
    const PaperPart *part = &m->part[i];
    const int figure = p->kind == PAPER_FIGURE;
    Stamp s = { .file = "-" };
    hash(part->rows, s.rows);
    hash(arena_text(m->a, "%s%s", part->script, figure ? m->gnuplot : ""), s.script);
    if (*file_of(m, p) && *part->rows && sha256_file(file_of(m, p), s.file)) strcpy(s.file, "none");
    return s;
}

/* ---- to write ---- */
static void save(const char *path, const char *text, Arena *a)
{
    const char *why;
    FILE *f = file_begin(path, a, &why);
    if (!f) die("%s", why);
    fputs(text, f);
    if ((why = file_commit(f, path, a))) die("%s", why);
}

static const char *draw(const Maker *m, const PaperItem *p)
{
    static const char *const formats[] = { "pdf", NULL };
    const char *stem = arena_text(m->a, "%s/figures/%s", m->dir, p->name);
    const char *why = plot_draw(m->db, p->view, p->experiment, stem, formats, m->a);
    return why ? arena_text(m->a, "%s: %s: %s", p->at, p->name, why) : NULL;
}

static const char *stamps_text(const Maker *m)
{
    char sha[MADE];
    const char *out = arena_text(m->a, "numbers numbers.tex - - %s\n", hash(m->numbers, sha));
    for (int i = 0; i < m->paper.n; i++) {
        const Stamp s = stamp_of(m, i);
        const PaperItem *p = &m->paper.item[i];
        out = arena_text(m->a, "%s%s %s %s %s %s\n", out, kinds[p->kind], p->name, s.rows, s.script,
                         s.file);
    }
    return out;
}

static void make_directories(const Maker *m)
{
    const char *const dirs[] = { m->dir, arena_text(m->a, "%s/tables", m->dir),
                                 arena_text(m->a, "%s/figures", m->dir) };
    for (int i = 0; i < 3; i++)
        if (mkdir(dirs[i], 0777) && errno != EEXIST)
            die("%s: cannot be made: %s", dirs[i], strerror(errno));
}

/* The stamps go first and come last, so that what was broken off is stale. */
static const char *make(const Maker *m)
{
    const char *why = NULL, *stamps = arena_text(m->a, "%s/stamps", m->dir);
    int count[3] = { 0 }, none = 0;
    make_directories(m);
    unlink(stamps);
    for (int i = 0; !why && i < m->paper.n; i++) {
        const PaperItem *p = &m->paper.item[i];
        const int there = *m->part[i].rows != 0;
        if (m->part[i].table) save(file_of(m, p), m->part[i].table, m->a);
        if (p->kind == PAPER_FIGURE && there) why = draw(m, p);
        count[p->kind % PAPER_CLAIM] += there;
        none += !there;
    }
    if (why) return why;
    save(arena_text(m->a, "%s/numbers.tex", m->dir), m->numbers, m->a);
    save(stamps, stamps_text(m), m->a);
    printf("%s: %d numbers, %d tables, %d figures; %d without records\n", m->dir, count[0],
           count[1], count[2], none);
    return NULL;
}

/* ---- to check ---- */
static int stale(const char *kind, const char *name, const char *reason)
{
    printf("stale  %s %s: %s\n", kind, name, reason);
    return 1;
}

static int compare(const Maker *m, const char *stamps, int i)
{
    const PaperItem *p = &m->paper.item[i];
    const Stamp is = stamp_of(m, i);
    Stamp was;
    const char *key = arena_text(m->a, "\n%s %s ", kinds[p->kind], p->name),
               *at = strstr(stamps, key);
    if (!at || sscanf(at + strlen(key), "%64s %64s %64s", was.rows, was.script, was.file) != 3)
        return stale(kinds[p->kind], p->name, "was never made");
    if (strcmp(was.rows, is.rows))
        return stale(kinds[p->kind], p->name, "its records have changed");
    if (strcmp(was.script, is.script))
        return stale(kinds[p->kind], p->name,
                     p->kind == PAPER_FIGURE ? "its script, definition or gnuplot has changed"
                                             : "its definition has changed");
    return strcmp(was.file, is.file)
               ? stale(kinds[p->kind], p->name, "what was made is gone or was changed")
               : 0;
}

/* 1: something is stale */
static int check(const Maker *m)
{
    const char *path = arena_text(m->a, "%s/stamps", m->dir),
               *numbers = arena_text(m->a, "%s/numbers.tex", m->dir), *why;
    char sha[MADE];
    size_t len;
    int old = 0;
    const char *stamps =
        access(path, R_OK) ? NULL : arena_text(m->a, "\n%s", yaml_load(path, &len, m->a, &why));
    if (!stamps) {
        printf("stale  the paper: %s is not there; `make paper` makes it\n", path);
        return 1;
    }
    for (int i = 0; i < m->paper.n; i++) old += compare(m, stamps, i);
    if (sha256_file(numbers, sha) ||
        !strstr(stamps, arena_text(m->a, "\nnumbers numbers.tex - - %s\n", sha)))
        old += stale("file", numbers, "it is gone or was changed");
    printf("%s: %d parts, %d stale\n", m->dir, m->paper.n, old);
    return old > 0;
}

/* ---- all of it ---- */
static const char *ask(Maker *m)
{
    const char *why = NULL, *whole;
    m->part = arena_get(m->a, sizeof *m->part * (size_t)(m->paper.n + 1));
    m->numbers = "% made by `eightysix paper` from records; nothing here was typed\n";
    for (int i = 0; !why && i < m->paper.n; i++) {
        why = paper_part(m->db, &m->paper.item[i], &m->part[i], m->a);
        if (!why) m->numbers = arena_text(m->a, "%s%s", m->numbers, m->part[i].tex);
    }
    if (!why) why = paper_whole(m->db, &m->paper, m->part, &whole, m->a);
    if (!why) m->numbers = arena_text(m->a, "%s%s", m->numbers, whole);
    return why;
}

int paper_main(int argc, char **argv)
{
    const char *db = "results/results.db", *text = PAPER_TEXT, *parts = PAPER_FILE, *why;
    Maker m = { .dir = "build/paper" };
    int only_check = 0;
    const Option options[] = {
        { "--db", &db, NULL },       { "--out", &m.dir, NULL },        { "--text", &text, NULL },
        { "--parts", &parts, NULL }, { "--check", NULL, &only_check }, { NULL, NULL, NULL }
    };
    if (options_read(argc, argv, options, help))
        die("paper: expected options only; `eightysix paper --help`");
    Arena a = arena_new((size_t)1 << 32);
    Claims claims;
    m.a = &a;
    if ((why = paper_lint(text, &a)) || (why = claims_load(CLAIMS_FILE, &claims, &a)))
        die("%s", why);
    if ((why = paper_load(parts, &claims, &m.paper, &a))) die("%s", why);
    m.db = db_open_read(db, &a, &why);
    if (!m.db || (why = db_hold(m.db))) die("%s", why);
    m.gnuplot = gnuplot_version(&a);
    why = ask(&m);
    const int code = why ? 2 : only_check ? check(&m) : 0;
    if (!why && !only_check) why = make(&m);
    db_close(m.db);
    if (why) die("%s", why);
    arena_drop(&a);
    return code;
}
