/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What TeX reads of numbers, tables and figures: for each a line of macros, which
 * paper/eightysix.sty defines.
 *
 *   \eightysixnumber {name}{value}{low}{high}{n}{interval}{host}     low, high: "" where n is 1
 *   \eightysixclaim  {name}{words}{claimed}{within}{unit}{verdict}   of a claim, after its number
 *   \eightysixshown  {name}{n}{interval}{host}{commits}              of a table or a figure
 *   \eightysixmissing{name}{command}                                 of what has no records */
#include "harness/util/share.h"
#include "harness/util/yaml.h"
#include "harness/judge/paper.h"
#include <math.h>
#include <string.h>

const char *paper_escape(const char *s, Arena *a)
{
    char *out = arena_raw(a, 32 * strlen(s) + 1), *to = out;
    for (; *s; s++) {
        const char c[2] = { *s, 0 };
        const char *word = c;
        if (strchr("#$%&_{}", *s)) *to++ = '\\';
        else if (*s == '~') word = "\\textasciitilde{}";
        else if (*s == '^') word = "\\textasciicircum{}";
        else if (*s == '\\') word = "\\textbackslash{}";
        else if (*s == '"') word = "\\textquotedbl{}";
        else if (*s == '-') word = "-{}";          /* two are two, not a dash */
        else if (*s == '<') word = "\\textless{}";
        else if (*s == '>') word = "\\textgreater{}";
        else if (*s == '|') word = "\\textbar{}";
        to = stpcpy(to, word);
    }
    *to = 0;
    return out;
}

/* "13,555.9": a comma before every third digit of the whole part, from four digits on */
static const char *tex_digits(double x, int decimals, const char *minus, Arena *a)
{
    char *text = arena_text(a, "%.*f", decimals, fabs(x)),
         *out = arena_raw(a, 2 * strlen(text) + 16), *to = out;
    const int whole = (int)strcspn(text, ".");
    if (x < 0 && text[strspn(text, "0.")]) to = stpcpy(to, minus);
    for (int i = 0; text[i]; i++) {
        if (i && i < whole && whole > 3 && (whole - i) % 3 == 0) *to++ = ',';
        *to++ = text[i];
    }
    *to = 0;
    return out;
}

static const char *tex_amount(double x, int decimals, Arena *a)
{
    return tex_digits(x, decimals, "\\ensuremath{-}", a);
}

const char *paper_plain(double x, int decimals, Arena *a)
{
    return tex_digits(x, decimals, "-", a);
}

/* Digits after the point, so that x has `digits` significant ones; none where x is whole */
static int tex_decimals(double x, int digits)
{
    const int d = x == 0 || x == round(x) ? 0 : digits - 1 - (int)floor(log10(fabs(x)));
    return d < 0 ? 0 : d > 9 ? 9 : d;
}

const char *paper_amount(double x, int digits, Arena *a)
{
    return tex_amount(x, tex_decimals(x, digits), a);
}

static const char *tex_missing(const PaperItem *p, Arena *a)
{
    return arena_text(a, "\\eightysixmissing{%s}{%s}\n", p->name, paper_escape(p->run, a));
}

/* ---- where records come from ---- */
/* "HOST, N cores; ..."; "abc1234, def5678+": "+" where the sources had other changes */
typedef struct TexOrigin { const char *host, *commits; } TexOrigin;

/* The list with one more word, unless that is in it */
static const char *tex_add(const char *list, const char *between, const char *word, Arena *a)
{
    if (strstr(list, word)) return list;
    return arena_text(a, "%s%s%s", list, *list ? between : "", word);
}

/* "Intel(R) Xeon(R) Processor | avx2,... | 2 cores" -> "Intel Xeon Processor, 2 cores" */
static const char *tex_host(const char *rig, Arena *a)
{
    const char *cores = strrchr(rig, '|'), *end = strchr(rig, '|');
    char *name = arena_text(a, "%.*s", end ? (int)(end - rig) : (int)strlen(rig), rig), *at;
    static const char *const marks[] = { "(R)", "(TM)", "(r)" };
    for (int i = 0; i < 3; i++)
        while ((at = strstr(name, marks[i])))
            memmove(at, at + strlen(marks[i]), strlen(at + strlen(marks[i])) + 1);
    for (size_t n = strlen(name); n && name[n - 1] == ' '; n--) name[n - 1] = 0;
    return cores ? arena_text(a, "%s, %s", name, cores + 1 + strspn(cores + 1, " ")) : name;
}

/* runs: their ids, or a SELECT of them */
static const char *tex_origin(Db *db, const char *runs, TexOrigin *o, Arena *a)
{
    DbTable t;
    *o = (TexOrigin){ "", "" };
    const char *why =
        db_table(db,
                 arena_text(a,
                            "SELECT DISTINCT rig, substr(git, 1, 7) AS git, dirty FROM provenance "
                            "WHERE run IN (%s) ORDER BY run",
                            runs),
                 &t, a);
    for (int i = 0; !why && i < t.rows; i++) {
        const int dirty = strcmp(db_field(&t, i, "dirty"), "0");
        o->host = tex_add(o->host, "; ", tex_host(db_field(&t, i, "rig"), a), a);
        o->commits = tex_add(o->commits, ", ",
                         arena_text(a, "%s%s", db_field(&t, i, "git"), dirty ? "+" : ""), a);
    }
    return why;
}

/* ---- numbers ---- */
/* How the limits of a number were found */
static const char *tex_method(const PaperItem *p, const Judgement *j, Arena *a)
{
    if (j->n < 2) return "one value";
    if (p->mean) return arena_text(a, "Student's t, %g %%", 100 * CLAIMS_LEVEL);
    if (j->of.coverage >= CLAIMS_LEVEL)
        return arena_text(a, "order statistics, %.3g %%", 100 * j->of.coverage);
    return arena_text(a, "least and most, covering %.0f %%", 100 * j->of.coverage);
}

static Range tex_range(const PaperItem *p, const Judgement *j, Arena *a)
{
    if (!p->mean || j->n < 2) return (Range){ j->of.median, j->of.low, j->of.high };
    const double *zero = arena_get(a, sizeof *zero * (size_t)j->n);
    return stats_paired_t(j->x, zero, j->n, CLAIMS_LEVEL, a);
}

/* What a number follows from: plans and runs, hosts, every value to the last bit */
static const char *tex_number_rows(const Judgement *j, const TexOrigin *o, Arena *a)
{
    const char *rows = arena_text(a, "%s\n%s\n", j->rows, o->host);
    for (int i = 0; i < j->n; i++) rows = arena_text(a, "%s%.17g\n", rows, j->x[i]);
    return rows;
}

static const char *tex_number(const PaperItem *p, const Judgement *j, const TexOrigin *o, Arena *a)
{
    const Range r = tex_range(p, j, a);
    const int decimals = tex_decimals(r.value, p->digits);
    const char *how = tex_method(p, j, a);
    const char *low = j->n < 2 ? "" : tex_amount(r.low, decimals, a),
               *high = j->n < 2 ? "" : tex_amount(r.high, decimals, a);
    return arena_text(a,
                      "%% %s: %.17g [%.17g, %.17g], n %d, %s; %s; commits %s; from %s\n"
                      "\\eightysixnumber{%s}{%s}{%s}{%s}{%d}{%s}{%s}\n",
                      p->name, r.value, r.low, r.high, j->n, how, o->host, o->commits, j->rows,
                      p->name, tex_amount(r.value, decimals, a), low, high, j->n,
                      paper_escape(how, a), paper_escape(o->host, a));
}

static const char *tex_claim(const Claim *c, const Judgement *j, Arena *a)
{
    const char *within =
        c->tolerance > 0 ? arena_text(a, "~\\ensuremath{\\pm}~%g", c->tolerance) : "";
    return arena_text(a, "\\eightysixclaim{%s}{%s}{%s}{%s}{%s}{%s}\n", c->name,
                      paper_escape(c->words, a), claim_range(c, a), within,
                      paper_escape(c->unit, a), claim_verdicts[j->verdict]);
}

static const char *tex_judge(Db *db, const PaperItem *p, Judgement *j, Arena *a)
{
    const Claim any = { .name = p->name,
                        .value = p->select,
                        .at = p->at,
                        .at_value = p->at,
                        .low = -INFINITY,
                        .high = INFINITY };
    return claim_judge(db, p->claim ? p->claim : &any, j, a);
}

const char *paper_value(Db *db, const PaperItem *p, PaperValue *out, Arena *a)
{
    Judgement j;
    const char *why = tex_judge(db, p, &j, a);
    *out = (PaperValue){ 0 };
    if (why || !j.n) return why;
    const Range r = tex_range(p, &j, a);
    *out = (PaperValue){ r.value, r.low, r.high, j.n, tex_decimals(r.value, p->digits) };
    return NULL;
}

static const char *tex_number_part(Db *db, const PaperItem *p, PaperPart *out, Arena *a)
{
    Judgement j;
    TexOrigin o = { "", "" };
    const char *why = tex_judge(db, p, &j, a);
    if (!why && j.n) why = tex_origin(db, j.runs, &o, a);
    if (why) return why;
    out->verdict = j.verdict;
    out->rows = j.n ? tex_number_rows(&j, &o, a) : "";
    out->tex = j.n ? tex_number(p, &j, &o, a) : tex_missing(p, a);
    if (p->claim) out->tex = arena_text(a, "%s%s", out->tex, tex_claim(p->claim, &j, a));
    return NULL;
}

/* ---- tables ---- */
static int tex_is_number(const char *s)
{
    return *s >= '0' && *s <= '9' ? 1 : *s == '-' && s[1] >= '0' && s[1] <= '9';
}

static const char *tex_cell(const char *s, Arena *a)
{
    if (!s || !*s) return "--";
    if (*s != '-' || !tex_is_number(s)) return paper_escape(s, a);
    return arena_text(a, "\\ensuremath{-}%s", paper_escape(s + 1, a));
}

static const char *tex_table(const PaperItem *p, const DbTable *t, Arena *a)
{
    const char *align = "", *head = "", *body = "";
    for (int c = 0; c < t->columns; c++) {
        int numbers = 1;
        for (int r = 1; r <= t->rows; r++) {
            const char *s = t->field[r * t->columns + c];
            numbers &= !s || !*s || tex_is_number(s);
        }
        align = arena_text(a, "%s%c", align, numbers ? 'r' : 'l');
        head = arena_text(a, "%s%s%s", head, c ? " & " : "", paper_escape(p->column[c], a));
    }
    for (int i = t->columns; i < (t->rows + 1) * t->columns; i++)
        body = arena_text(a, "%s%s%s", body, tex_cell(t->field[i], a),
                          (i + 1) % t->columns ? " & " : " \\\\\n");
    return arena_text(
        a,
        "%% made by `eightysix paper`\n\\begin{tabular}{%s}\\toprule\n%s \\\\\\midrule\n%s"
        "\\bottomrule\\end{tabular}\n",
        align, head, body);
}

/* ---- tables and figures ---- */
/* As text, without the ids of runs, which depend on what else was merged */
static const char *tex_rows(const DbTable *t, Arena *a)
{
    size_t room = 1;
    for (int i = 0; i < (t->rows + 1) * t->columns; i++)
        room += (t->field[i] ? strlen(t->field[i]) : 4) + 2;
    char *out = arena_raw(a, room), *to = out;
    for (int i = 0; t->rows && i < (t->rows + 1) * t->columns; i++) {
        if (!strcmp(t->field[i % t->columns], "run")) continue;
        to = stpcpy(to, t->field[i] ? t->field[i] : "NULL");
        to = stpcpy(to, (i + 1) % t->columns ? "|" : "\n");
    }
    *to = 0;
    return out;
}

/* "15" or "1 to 3" of the question n: SELECT least, most; "": it has no answer */
static const char *tex_samples(Db *db, const PaperItem *p, const char **out, Arena *a)
{
    DbTable t;
    *out = "";
    const char *why = *p->n ? db_table(db, p->n, &t, a) : NULL;
    if (why || !*p->n || !t.rows)
        return why ? arena_text(a, "%s: %s: n: %s", p->at, p->name, why) : NULL;
    const char *least = t.field[t.columns], *most = t.field[2 * t.columns - 1];
    if (!least || !most) return NULL;
    *out = strcmp(least, most) ? arena_text(a, "%s to %s", least, most) : least;
    return NULL;
}

/* The macros of a table or a figure that has rows */
static const char *tex_shown(Db *db, const PaperItem *p, const char **tex, Arena *a)
{
    const char *runs = arena_text(a, "SELECT run FROM figure_runs WHERE experiment GLOB %s",
                                  db_quoted(p->experiment, a)),
               *n = "";
    for (int i = 0; p->beside[i]; i++)
        runs = arena_text(a, "%s OR experiment GLOB %s", runs, db_quoted(p->beside[i], a));
    TexOrigin o;
    const char *why = tex_origin(db, runs, &o, a);
    if (!why) why = tex_samples(db, p, &n, a);
    if (why) return why;
    const char *of = *n ? arena_text(a, "%s (%s)", n, p->of) : p->of;
    *tex = arena_text(a, "\\eightysixshown{%s}{%s}{%s}{%s}{%s}\n", p->name, paper_escape(of, a),
                      paper_escape(p->interval, a), paper_escape(o.host, a), o.commits);
    return NULL;
}

/* The text of a gnuplot script and of all that it loads */
static const char *tex_script(const char *path, const char **out, Arena *a)
{
    static const char load[] = "\nload '";
    size_t len;
    const char *why, *text = yaml_load(share_path(path, a), &len, a, &why);
    if (!text) return why;
    const char *all = text;
    for (const char *at = text; (at = strstr(at, load)); ) {
        const char *more, *name = at += sizeof load - 1;
        if ((why = tex_script(arena_text(a, "%.*s", (int)strcspn(name, "'"), name), &more, a)))
            return why;
        all = arena_text(a, "%s%s", all, more);
    }
    *out = all;
    return NULL;
}

/* *out 0: the question `needs` says that there are not records enough */
static const char *tex_enough(Db *db, const PaperItem *p, int *out, Arena *a)
{
    DbTable t;
    *out = 1;
    if (!*p->needs) return NULL;
    const char *why = db_table(db, p->needs, &t, a);
    if (why) return arena_text(a, "%s: %s: needs: %s", p->at, p->name, why);
    const char *is = t.rows ? t.field[t.columns] : NULL;
    *out = is && strcmp(is, "0");
    return NULL;
}

static const char *tex_shown_part(Db *db, const PaperItem *p, PaperPart *out, Arena *a)
{
    DbTable t;
    const int table = p->kind == PAPER_TABLE;
    const char *select = table ? p->select
                               : arena_text(a, "SELECT * FROM \"%s\" WHERE experiment = %s",
                                            p->view, db_quoted(p->experiment, a));
    const char *why = db_table(db, select, &t, a);
    if (why) return arena_text(a, "%s: %s: %s", p->at, p->name, why);
    int columns = 0;
    while (p->column[columns]) columns++;
    if (table && columns != t.columns)
        return arena_text(a, "%s: %s: columns: expected %d, as the rows have", p->at, p->name,
                          t.columns);
    int there;
    if ((why = tex_enough(db, p, &there, a))) return why;
    if (!there) t.rows = 0;
    out->rows = tex_rows(&t, a);
    out->tex = tex_missing(p, a);
    if (!table) {
        const char *script;
        why = tex_script(arena_text(a, "experiments/%s.gp", p->view), &script, a);
        if (!why) out->script = arena_text(a, "%s%s", out->script, script);
    }
    if (table && t.rows) out->table = tex_table(p, &t, a);
    return why || !t.rows ? why : tex_shown(db, p, &out->tex, a);
}

const char *paper_whole(Db *db, const Paper *paper, const PaperPart *part, const char **tex,
                        Arena *a)
{
    static const char *const names[] = { "untested", "held", "weakened", "refuted", "review" };
    const char *rows = "", *out = "";
    int count[CLAIM_VERDICTS] = { 0 }, all = 0;
    for (int i = 0; i < paper->n; i++) {
        if (paper->item[i].kind != PAPER_CLAIM) continue;
        rows = arena_text(a, "%s\\claimrow{%s}", rows, paper->item[i].name);
        count[part[i].verdict]++;
        all++;
    }
    for (int k = 0; k < CLAIM_VERDICTS; k++)
        out = arena_text(a, "%s\\eightysixnumber{claims_%s}{%d}{}{}{%d}{}{}\n", out, names[k],
                         count[k], all);
    TexOrigin o;
    const char *why = tex_origin(db, "SELECT run FROM figure_runs", &o, a);
    *tex =
        arena_text(a,
                   "%s\\eightysixnumber{claims_all}{%d}{}{}{%d}{}{}\n\\def\\eightysixclaims{%s}\n"
                   "\\def\\eightysixhosts{%s}\n\\def\\eightysixlevel{%g}\n",
                   out, all, all, rows, paper_escape(o.host, a), 100 * CLAIMS_LEVEL);
    return why;
}

const char *paper_part(Db *db, const PaperItem *p, PaperPart *out, Arena *a)
{
    *out = (PaperPart){ .rows = "", .tex = "", .script = paper_definition(p, a) };
    return p->kind == PAPER_TABLE || p->kind == PAPER_FIGURE ? tex_shown_part(db, p, out, a)
                                                             : tex_number_part(db, p, out, a);
}
