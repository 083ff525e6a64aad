/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "harness/judge/readme.h"
#include "harness/util/file.h"
#include "harness/util/share.h"
#include "harness/util/yaml.h"
#include <ctype.h>
#include <stdarg.h>
#include <string.h>

enum { README_HOLES = 16 };              /* numbers of a sentence */
static const char readme_open[] = "<!-- numbers: ", readme_close[] = "<!-- /numbers -->\n";
typedef struct Readme {
    Arena      *a;
    Db         *db;
    Paper       own, paper;              /* of README_PARTS; of PAPER_FILE */
    PaperValue *own_value, *paper_value; /* of their items; n -1: not asked yet */
    const char *path, *text;             /* the text as it is now */
    int         check, differ, left;     /* how many differ; how many of these stay so */
} Readme;

static int readme_line(const Readme *m, const char *at)
{
    int line = 1;
    for (const char *s = m->text; s < at; s++) line += *s == '\n';
    return line;
}

/* at: a place in the text */
static void __attribute__((format(printf, 3, 4)))
readme_say(Readme *m, const char *at, const char *fmt, ...)
{
    va_list ap;
    printf("%s:%d: ", m->path, readme_line(m, at));
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    putchar('\n');
    m->differ++;
}

/* Puts a text in the place of the bytes [from, from + len) */
static void readme_put(Readme *m, size_t from, size_t len, const char *text)
{
    m->text = arena_text(m->a, "%.*s%s%s", (int)from, m->text, text, m->text + from + len);
}

static const PaperItem *readme_find(const Paper *p, const char *name)
{
    for (int i = 0; i < p->n; i++)
        if (!strcmp(p->item[i].name, name)) return &p->item[i];
    return NULL;
}

/* ---- tables ---- */
static const char *readme_table(Readme *m, const PaperItem *p, const char **out)
{
    DbTable t;
    int columns = 0;
    const char *why = db_table(m->db, p->select, &t, m->a), *all = "|", *rule = "|";
    if (why) return arena_text(m->a, "%s: %s: %s", p->at, p->name, why);
    while (p->column[columns]) columns++;
    if (columns != t.columns)
        return arena_text(m->a, "%s: %s: columns: expected %d, as the rows have", p->at, p->name,
                          t.columns);
    if (!t.rows) return arena_text(m->a, "%s: %s: there are no records", p->at, p->name);
    for (int i = 0; i < columns; i++) {
        all = arena_text(m->a, "%s %s |", all, p->column[i]);
        rule = arena_text(m->a, "%s---|", rule);
    }
    all = arena_text(m->a, "%s\n%s\n", all, rule);
    for (int i = columns; i < (t.rows + 1) * columns; i++) {
        const char *s = t.field[i] ? t.field[i] : "";
        all = arena_text(m->a, "%s%s%s%s |%s", all, i % columns ? "" : "|", *s ? " " : "", s,
                         (i + 1) % columns ? "" : "\n");
    }
    *out = all;
    return NULL;
}

/* Says which line of a table is the first that differs; is, made: the table, len bytes of `is` */
static void readme_compare(Readme *m, const char *is, size_t len, const char *made)
{
    const char *end = is + len;
    if (len == strlen(made) && !strncmp(is, made, len)) return;
    while (is < end) {
        const size_t n = strcspn(is, "\n") + 1, k = strcspn(made, "\n");
        if (n != k + 1 || strncmp(is, made, k)) break;
        is += n;
        made += k + 1;
    }
    readme_say(m, is, "found '%.*s', expected '%.*s'", is < end ? (int)strcspn(is, "\n") : 0, is,
               (int)strcspn(made, "\n"), made);
}

static const char *readme_make_tables(Readme *m)
{
    const char *why = NULL;
    for (const char *at = m->text; !why && (at = strstr(at, readme_open)); ) {
        const char *name = at + strlen(readme_open), *body = strchr(name, '\n'), *made = "";
        name = arena_text(m->a, "%.*s", (int)strcspn(name, " \n"), name);
        const char *close = body ? strstr(body, readme_close) : NULL;
        if (!close)
            return arena_text(m->a, "%s:%d: expected a line '%.*s' after this one", m->path,
                              readme_line(m, at), (int)strlen(readme_close) - 1, readme_close);
        const PaperItem *p = readme_find(&m->own, name);
        if (!p || p->kind != PAPER_TABLE)
            return arena_text(m->a, "%s:%d: there is no table '%s' in %s", m->path,
                              readme_line(m, at), name, README_PARTS);
        why = readme_table(m, p, &made);
        if (why) break;
        const size_t from = (size_t)(++body - m->text), len = (size_t)(close - body);
        readme_compare(m, body, len, made);
        readme_put(m, from, len, made);
        at = m->text + from + strlen(made);
    }
    return why;
}

/* Digits in rows of other tables, outside of `code` */
static void readme_find_typed(Readme *m)
{
    int made = 0, code = 0;
    for (const char *line = m->text; *line; line += strcspn(line, "\n"), line += *line != 0) {
        const int n = (int)strcspn(line, "\n");
        if (!strncmp(line, readme_open, strlen(readme_open))) made = 1;
        if (!strncmp(line, readme_close, strlen(readme_close))) made = 0;
        code = 0;
        for (int i = 0; *line == '|' && !made && i < n; i++) {
            code ^= line[i] == '`';
            if (code || !isdigit((unsigned char)line[i])) continue;
            readme_say(m, line, "'%.*s' is typed in a table; expected it between '%sNAME -->' and "
                                "'%.*s'",
                       (int)strspn(line + i, "0123456789.,"), line + i, readme_open,
                       (int)strlen(readme_close) - 1, readme_close);
            m->left++;
            break;
        }
    }
}

/* ---- sentences ---- */
/* len bytes at `from` of the text are the number that `hole` asks for: "NAME}", "-NAME.low}" */
typedef struct ReadmeSpan { size_t from, len; const char *hole; } ReadmeSpan;

/* Bytes of the number at s: "0.21", "-1,986"; 0: there is none */
static size_t readme_number(const char *s)
{
    const char *from = s;
    s += *s == '-';
    if (!isdigit((unsigned char)*s)) return 0;
    while (isdigit((unsigned char)*s) || (strchr(",.", *s) && isdigit((unsigned char)s[1]))) s++;
    return (size_t)(s - from);
}

/* The numbers of a sentence that stands at t; -1: it does not */
static int readme_match(const Readme *m, const char *sentence, const char *t, ReadmeSpan *span)
{
    int n = 0;
    for (const char *s = sentence; *s; ) {
        if (*s == '{') {
            const size_t len = readme_number(t);
            if (!len || n == README_HOLES) return -1;
            span[n++] = (ReadmeSpan){ (size_t)(t - m->text), len, s + 1 };
            t += len;
            s = strchr(s, '}') + 1;
        } else if (isspace((unsigned char)*s)) {
            if (!isspace((unsigned char)*t)) return -1;
            s += strspn(s, " \n");
            t += strspn(t, " \n");
        } else if (*s++ != *t++)
            return -1;
    }
    return n;
}

/* The value of an item, asked once */
static const char *readme_ask(Readme *m, const Paper *p, PaperValue *of, const PaperItem *item,
                              PaperValue *out)
{
    PaperValue *v = &of[item - p->item];
    const char *why = v->n < 0 ? paper_value(m->db, item, v, m->a) : NULL;
    if (!why && !v->n) why = arena_text(m->a, "%s: %s: there are no records", item->at, item->name);
    *out = *v;
    return why;
}

/* hole: "NAME}", "-NAME.low}", "NAME.high}"; at: of the sentence */
static const char *readme_fill(Readme *m, const PaperItem *sentence, const char *hole,
                               const char **out)
{
    const int minus = *hole == '-';
    char *name = arena_text(m->a, "%.*s", (int)strcspn(hole + minus, "}"), hole + minus),
         *dot = strrchr(name, '.');
    const int low = dot && !strcmp(dot, ".low"), high = dot && !strcmp(dot, ".high");
    if (low || high) *dot = 0;
    const PaperItem *own = readme_find(&m->own, name), *its = readme_find(&m->paper, name);
    const PaperItem *item = own ? own : its;
    PaperValue v;
    if (!item || (item->kind != PAPER_NUMBER && item->kind != PAPER_CLAIM))
        return arena_text(m->a, "%s: %s: there is no number '%s'", sentence->at, sentence->name,
                          name);
    const char *why = own ? readme_ask(m, &m->own, m->own_value, own, &v)
                          : readme_ask(m, &m->paper, m->paper_value, its, &v);
    const double x = low ? v.low : high ? v.high : v.value;
    if (!why) *out = paper_plain(minus ? -x : x, v.decimals, m->a);
    return why;
}

static const char *readme_make_sentence(Readme *m, const PaperItem *p)
{
    ReadmeSpan span[README_HOLES];
    int n = -1;
    const char *at = m->text, *why = NULL, *is = "";
    while (*at && (n = readme_match(m, p->select, at, span)) < 0) at++;
    if (n < 0) {
        readme_say(m, m->text, "the words of '%s' (%s) are not in it", p->name, p->at);
        m->left++;
    }
    while (!why && n-- > 0) {
        const ReadmeSpan *s = &span[n];
        why = readme_fill(m, p, s->hole, &is);
        if (why || (strlen(is) == s->len && !strncmp(m->text + s->from, is, s->len))) continue;
        readme_say(m, m->text + s->from, "'%s': found %.*s, expected %s", p->name, (int)s->len,
                   m->text + s->from, is);
        readme_put(m, s->from, s->len, is);
    }
    return why;
}

/* ---- all of it ---- */
static PaperValue *readme_not_asked(const Paper *p, Arena *a)
{
    PaperValue *v = arena_array(a, (size_t)p->n + 1, sizeof *v);
    for (int i = 0; i < p->n; i++) v[i].n = -1;
    return v;
}

static const char *readme_make_all(Readme *m, const char *was)
{
    const char *why = readme_make_tables(m);
    if (!why) readme_find_typed(m);
    for (int i = 0; !why && i < m->own.n; i++)
        if (m->own.item[i].kind == PAPER_SENTENCE) why = readme_make_sentence(m, &m->own.item[i]);
    if (why || m->check || !strcmp(was, m->text)) return why;
    FILE *f = file_begin(m->path, m->a, &why);
    if (!f) return why;
    fputs(m->text, f);
    return file_commit(f, m->path, m->a);
}

const char *readme_make(const ReadmeQuery *q, int *code, Arena *a)
{
    Readme m = { .a = a, .path = q->text_path, .check = q->check };
    Claims claims;
    size_t len;
    const char *why = claims_load(CLAIMS_FILE, &claims, a), *was = NULL;
    if (!why) why = paper_load(PAPER_FILE, &claims, &m.paper, a);
    if (!why) why = paper_load(q->parts_path, &claims, &m.own, a);
    if (!why) was = m.text = yaml_load(q->text_path, &len, a, &why);
    if (!why) m.db = db_open_read(q->db_path, a, &why);
    if (!why) {
        m.own_value = readme_not_asked(&m.own, a);
        m.paper_value = readme_not_asked(&m.paper, a);
        why = readme_make_all(&m, was);
    }
    db_close(m.db);
    const int left = q->check ? m.differ : m.left;
    if (!why) printf("%s: %d differ from the records%s\n", m.path, m.differ,
                     m.differ > left ? "; written" : "");
    *code = left > 0;
    return why;
}
