/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "harness/sweep/table.h"
#include "harness/util/progress.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *table_duration(double s, char out[32])
{
    if (isnan(s)) return "?";
    if (s < 100) snprintf(out, 32, "%.0f s", s);
    else if (s < 6000) snprintf(out, 32, "%.0f min", s / 60);
    else snprintf(out, 32, "%.1f h", s / 3600);
    return out;
}

const char *table_name(const Experiment *e, const Cell *c, Arena *a)
{
    return e->seeds > 1 ? arena_text(a, "%s seed=%ld", c->label, c->seed) : c->label;
}

void table_see(void *progress, const Record *l)
{
    Progress *p = progress;
    if (l->kind != 'n') return;
    if (!strcmp(l->name, "loss")) p->loss = l->value;
    if (!strcmp(l->name, "tokens_per_s")) p->tokens_per_s = l->value;
    if (!strcmp(l->name, "nll")) p->nll = l->value;
    if (!strcmp(l->name, "step_s")) p->steps = l->step + 1;
}

void table_now(int at, int of, const char *name, double seconds, const Progress *p, double eta)
{
    char left[32], loss[32] = "";
    if (!progress_terminal()) return;
    if (!isnan(p->loss)) snprintf(loss, sizeof loss, "  loss %.3f", p->loss);
    progress_say("[%d/%d] %s  %.0f s%s  (%s left)", at, of, name, seconds, loss,
                 table_duration(eta, left));
}

void table_done(int at, int of, const char *name, const Outcome *o, const Progress *p, double eta)
{
    char left[32];
    progress_clear();
    fprintf(stderr, "[%*d/%d] %-7s %s  %.1f s",
            of < 10    ? 1
            : of < 100 ? 2
                       : 3,
            at, of, o->status, name, o->wall_s);
    if (!isnan(p->tokens_per_s)) fprintf(stderr, "  %.0f tokens/s", p->tokens_per_s);
    if (!isnan(p->nll)) fprintf(stderr, "  nll %.3f", p->nll);
    if (*o->error) fprintf(stderr, "  %s", o->error);
    if (at < of) fprintf(stderr, "  (%s left)", table_duration(eta, left));
    fputc('\n', stderr);
}

/* The columns of the table; digits -1: text, otherwise a number times scale */
static const struct { const char *column, *title; int digits; double scale; } table_column[] = {
    { "label", "cell", -1, 1 }, { "seed", "seed", 0, 1 }, { "status", "status", -1, 1 },
    { "tokens_per_s", "tokens/s", 0, 1 }, { "supervised_per_s", "supervised/s", 0, 1 },
    { "head_share", "head %", 1, 100 }, { "v_share", "V-sized %", 1, 100 }, { "nll", "NLL", 3, 1 },
    { "nll_floor", "floor", 3, 1 },
};
enum { SHOWN = sizeof table_column / sizeof *table_column, MAX_ROWS = EXPERIMENT_MAX_CELLS + 1 };

typedef struct Table {
    Arena      *a;
    int         from[SHOWN], error, left_out, rows, split_from;
    long        shared;              /* runs that are left out */
    const char *split;               /* the text that the losses are of: one for all rows */
    const char *(*cell)[SHOWN];      /* row 0: titles */
    const char **why;                /* per row, "" */
} Table;

static void table_take_row(void *ctx, int columns, const char *const *value)
{
    Table *t = ctx;
    if (t->rows == MAX_ROWS) return;
    for (int i = 0; i < SHOWN && !t->rows; i++)
        for (int c = 0; c < columns; c++) {
            if (!strcmp(value[c], table_column[i].column)) t->from[i] = c;
            if (!strcmp(value[c], "error")) t->error = c;
            if (!strcmp(value[c], "left_out")) t->left_out = c;
            if (!strcmp(value[c], "split")) t->split_from = c;
        }
    for (int i = 0; i < SHOWN; i++) {
        const char *v = value[t->from[i]];
        const int digits = table_column[i].digits;
        const char **to = &t->cell[t->rows][i];
        if (!t->rows) *to = table_column[i].title;
        else if (!v) *to = "-";
        else if (digits < 0) *to = arena_text(t->a, "%s", v);
        else
            *to = arena_text(t->a, "%.*f", digits, strtod(v, NULL) * table_column[i].scale);
    }
    t->why[t->rows] = t->rows && value[t->error] ? arena_text(t->a, "%s", value[t->error]) : "";
    t->shared += t->rows && value[t->left_out] ? strtol(value[t->left_out], NULL, 10) : 0;
    if (t->rows) t->split = arena_text(t->a, "%s", value[t->split_from]);
    t->rows++;
}

/* The losses say in their title of which text they are */
static void table_name_losses(Table *t)
{
    for (int i = 0; i < SHOWN; i++)
        if (!strcmp(table_column[i].column, "nll"))
            t->cell[0][i] = arena_text(t->a, "%s %s", t->split, table_column[i].title);
}

void table_print_left_out(long runs, FILE *out)
{
    if (runs == 1) fputs("1 run shared the machine and is left out\n", out);
    if (runs > 1) fprintf(out, "%ld runs shared the machine and are left out\n", runs);
}

void table_align(const char *const *cell, int rows, int columns, const char *side, FILE *out)
{
    int width[TABLE_COLUMNS] = { 0 };
    CHECK(columns <= TABLE_COLUMNS);
    for (int i = 0; i < rows * columns; i++) {
        const int n = (int)strlen(cell[i]);
        if (n > width[i % columns]) width[i % columns] = n;
    }
    for (int i = 0; i < rows * columns; i++) {
        const int at = i % columns, last = at == columns - 1, left = side[at] == 'l';
        fprintf(out, "%*s%s", !left ? width[at] : last ? 0 : -width[at], cell[i],
                last ? "\n" : "  ");
    }
}

const char *table_print(Db *db, const char *experiment, FILE *out, Arena *a)
{
    Table t = { .a = a, .split = "valid" };
    t.cell = arena_raw(a, sizeof *t.cell * MAX_ROWS);
    t.why = arena_raw(a, sizeof *t.why * MAX_ROWS);
    const char *why = db_view(db, "result", experiment, table_take_row, &t, a);
    if (why) return why;
    table_name_losses(&t);
    char side[SHOWN + 1] = "";
    for (int i = 0; i < SHOWN; i++) side[i] = table_column[i].digits < 0 ? 'l' : 'r';
    fputc('\n', out);
    table_align(*t.cell, t.rows, SHOWN, side, out);
    fputs("\nhead %: (head.forward + head.backward) / step; V-sized %: (head.forward + "
          "head.backward + head.update) / step;\n",
          out);
    fprintf(out, "%s NLL, floor: nats per token of the %s text, and of the true model where it is "
                 "known\n",
            t.split, !strcmp(t.split, "test") ? "test" : "validation");
    table_print_left_out(t.shared, out);
    for (int r = 1; r < t.rows; r++)
        if (*t.why[r]) fprintf(out, "%s: %s: %s\n", t.cell[r][0], t.cell[r][2], t.why[r]);
    return NULL;
}
