/* SPDX-License-Identifier: GPL-3.0-or-later */
/* All parts of a paper: they are written, or compared with what was written. The file `stamps` has
 * a line for each part that was written, and one for numbers.tex:
 *
 *   KIND NAME ROWS SCRIPT FILE      the SHA-256 of the rows it shows, of what makes it of them, and
 *                                   of the file that was written ("-": none)
 *
 * Of a figure the script is its gnuplot text, its definition and the version of gnuplot. */
#include "harness/util/yaml.h"
#include "harness/util/file.h"
#include "harness/judge/paper.h"
#include "harness/judge/plot.h"
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const paper_kinds[] = { "number", "table", "figure", "sentence", "number" };
enum { PAPER_SHA = 65 };                        /* 64 digits and a zero byte */
typedef struct PaperStamp { char rows[PAPER_SHA], script[PAPER_SHA], file[PAPER_SHA]; } PaperStamp;
typedef struct PaperMaker {
    Arena      *a;
    Db         *db;
    Paper       paper;
    PaperPart  *part;                          /* (paper.n) */
    const char *dir;
    const char *gnuplot;                       /* its version */
    const char *numbers;                       /* the text of numbers.tex */
} PaperMaker;

static const char *paper_sha(const char *text, char out[PAPER_SHA])
{
    return sha256_hex(text, strlen(text), out);
}

/* "gnuplot 6.0 patchlevel 2"; "" or what the shell says where it is not there */
static const char *paper_gnuplot(Arena *a)
{
    char line[128] = "";
    FILE *f = popen("gnuplot --version 2>&1", "r");
    if (!f || !fgets(line, sizeof line, f)) line[0] = 0;
    if (f) pclose(f);
    return arena_text(a, "%s", line);
}

/* What is made of an item; "": it has no file of its own */
static const char *paper_file(const PaperMaker *m, const PaperItem *p)
{
    if (p->kind == PAPER_TABLE) return arena_text(m->a, "%s/tables/%s.tex", m->dir, p->name);
    if (p->kind == PAPER_FIGURE) return arena_text(m->a, "%s/figures/%s.pdf", m->dir, p->name);
    return "";
}

/* The stamp of an item as it would be now, file being of what is there now ("none": nothing) */
static PaperStamp paper_stamp(const PaperMaker *m, int i)
{
    const PaperItem *p = &m->paper.item[i];
    const PaperPart *part = &m->part[i];
    const int figure = p->kind == PAPER_FIGURE;
    PaperStamp s = { .file = "-" };
    paper_sha(part->rows, s.rows);
    paper_sha(arena_text(m->a, "%s%s", part->script, figure ? m->gnuplot : ""), s.script);
    if (*paper_file(m, p) && *part->rows && sha256_file(paper_file(m, p), s.file))
        strcpy(s.file, "none");
    return s;
}

/* ---- to write ---- */
static const char *paper_save(const char *path, const char *text, Arena *a)
{
    const char *why;
    FILE *f = file_begin(path, a, &why);
    if (!f) return why;
    fputs(text, f);
    return file_commit(f, path, a);
}

static const char *paper_draw(const PaperMaker *m, const PaperItem *p)
{
    static const char *const formats[] = { "pdf", NULL };
    const char *stem = arena_text(m->a, "%s/figures/%s", m->dir, p->name);
    const char *why = plot_draw(m->db, p->view, p->experiment, stem, formats, m->a);
    return why ? arena_text(m->a, "%s: %s: %s", p->at, p->name, why) : NULL;
}

static const char *paper_stamps(const PaperMaker *m)
{
    char sha[PAPER_SHA];
    const char *out = arena_text(m->a, "numbers numbers.tex - - %s\n", paper_sha(m->numbers, sha));
    for (int i = 0; i < m->paper.n; i++) {
        const PaperStamp s = paper_stamp(m, i);
        const PaperItem *p = &m->paper.item[i];
        out = arena_text(m->a, "%s%s %s %s %s %s\n", out, paper_kinds[p->kind], p->name, s.rows,
                         s.script, s.file);
    }
    return out;
}

static const char *paper_make_directories(const PaperMaker *m)
{
    const char *const dirs[] = { m->dir, arena_text(m->a, "%s/tables", m->dir),
                                 arena_text(m->a, "%s/figures", m->dir) };
    file_make_directory(m->dir, m->a);
    for (int i = 0; i < 3; i++)
        if (mkdir(dirs[i], 0777) && errno != EEXIST)
            return arena_text(m->a, "%s: cannot be made: %s", dirs[i], strerror(errno));
    return NULL;
}

static const char *paper_write_parts(const PaperMaker *m)
{
    const char *why = NULL;
    for (int i = 0; !why && i < m->paper.n; i++) {
        const PaperItem *p = &m->paper.item[i];
        const PaperPart *part = &m->part[i];
        if (part->table) why = paper_save(paper_file(m, p), part->table, m->a);
        if (p->kind == PAPER_FIGURE && *part->rows) why = paper_draw(m, p);
    }
    return why;
}

static void paper_tell(const PaperMaker *m)
{
    int count[PAPER_CLAIM] = { 0 }, none = 0;
    for (int i = 0; i < m->paper.n; i++) {
        const int has_rows = *m->part[i].rows != 0;
        count[m->paper.item[i].kind % PAPER_CLAIM] += has_rows;
        none += !has_rows;
    }
    printf("%s: %d numbers, %d tables, %d figures; %d without records\n", m->dir,
           count[PAPER_NUMBER], count[PAPER_TABLE], count[PAPER_FIGURE], none);
}

/* The stamps are removed first and written last, so that what was broken off counts as stale. */
static const char *paper_write(const PaperMaker *m)
{
    const char *stamps = arena_text(m->a, "%s/stamps", m->dir);
    const char *why = paper_make_directories(m);
    if (why) return why;
    unlink(stamps);
    why = paper_write_parts(m);
    if (!why) why = paper_save(arena_text(m->a, "%s/numbers.tex", m->dir), m->numbers, m->a);
    if (!why) why = paper_save(stamps, paper_stamps(m), m->a);
    if (!why) paper_tell(m);
    return why;
}

/* ---- to check ---- */
static int paper_stale(const char *kind, const char *name, const char *reason)
{
    printf("stale  %s %s: %s\n", kind, name, reason);
    return 1;
}

/* 1: item i is stale; stamps: the text of the file, with a line end before it */
static int paper_compare(const PaperMaker *m, const char *stamps, int i)
{
    const PaperItem *p = &m->paper.item[i];
    const PaperStamp is = paper_stamp(m, i);
    PaperStamp was;
    const char *key = arena_text(m->a, "\n%s %s ", paper_kinds[p->kind], p->name),
               *at = strstr(stamps, key);
    if (!at || sscanf(at + strlen(key), "%64s %64s %64s", was.rows, was.script, was.file) != 3)
        return paper_stale(paper_kinds[p->kind], p->name, "was never made");
    if (strcmp(was.rows, is.rows))
        return paper_stale(paper_kinds[p->kind], p->name, "its records have changed");
    if (strcmp(was.script, is.script))
        return paper_stale(paper_kinds[p->kind], p->name,
                     p->kind == PAPER_FIGURE ? "its script, definition or gnuplot has changed"
                                             : "its definition has changed");
    return strcmp(was.file, is.file)
               ? paper_stale(paper_kinds[p->kind], p->name, "what was made is gone or was changed")
               : 0;
}

/* *code 1: something is stale */
static const char *paper_check(const PaperMaker *m, int *code)
{
    const char *path = arena_text(m->a, "%s/stamps", m->dir),
               *numbers = arena_text(m->a, "%s/numbers.tex", m->dir), *why;
    char sha[PAPER_SHA];
    size_t len;
    int old = 0;
    if (access(path, R_OK)) {
        printf("stale  the paper: %s is not there; `make paper` makes it\n", path);
        *code = 1;
        return NULL;
    }
    const char *stamps = yaml_load(path, &len, m->a, &why);
    if (!stamps) return why;
    stamps = arena_text(m->a, "\n%s", stamps);
    for (int i = 0; i < m->paper.n; i++) old += paper_compare(m, stamps, i);
    if (sha256_file(numbers, sha) ||
        !strstr(stamps, arena_text(m->a, "\nnumbers numbers.tex - - %s\n", sha)))
        old += paper_stale("file", numbers, "it is gone or was changed");
    printf("%s: %d parts, %d stale\n", m->dir, m->paper.n, old);
    *code = old > 0;
    return NULL;
}

/* ---- all of it ---- */
static const char *paper_ask(PaperMaker *m)
{
    const char *why = NULL, *whole;
    for (int i = 0; i < m->paper.n; i++)
        if (m->paper.item[i].kind == PAPER_SENTENCE)
            return arena_text(m->a, "%s: sentences: the text of a paper has macros instead",
                              m->paper.item[i].at);
    m->part = arena_array(m->a, (size_t)m->paper.n + 1, sizeof *m->part);
    m->numbers = "% made by `eightysix paper` from records; nothing here was typed\n";
    for (int i = 0; !why && i < m->paper.n; i++) {
        why = paper_part(m->db, &m->paper.item[i], &m->part[i], m->a);
        if (!why) m->numbers = arena_text(m->a, "%s%s", m->numbers, m->part[i].tex);
    }
    if (!why) why = paper_whole(m->db, &m->paper, m->part, &whole, m->a);
    if (!why) m->numbers = arena_text(m->a, "%s%s", m->numbers, whole);
    return why;
}

const char *paper_make(const PaperQuery *q, int *code, Arena *a)
{
    PaperMaker m = { .a = a, .dir = q->dir };
    Claims claims;
    const char *why = paper_lint(q->text_path, a);
    *code = 0;
    if (!why) why = claims_load(CLAIMS_FILE, &claims, a);
    if (!why) why = paper_load(q->parts_path, &claims, &m.paper, a);
    if (!why) m.db = db_open_read(q->db_path, a, &why);
    m.gnuplot = paper_gnuplot(a);
    if (!why) why = paper_ask(&m);
    if (!why) why = q->check ? paper_check(&m, code) : paper_write(&m);
    db_close(m.db);
    return why;
}
