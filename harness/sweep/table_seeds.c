/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The answer in few rows: a cell without its seed, medians over its seeds, and what it costs and
 * gives against the baseline, seed by seed. */
#include "harness/sweep/table.h"
#include "harness/util/stats.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* From six pairs on an interval of 95 % needs no assumption (stats_median); below, it stands on
 * differences that are about normal. */
enum { SEEDS_SURE = 6, SEEDS_COLUMNS = 6 };
static const double seeds_level = 0.95;
typedef struct SeedsTable {
    Arena            *a;
    const Experiment *exp;
    DbTable           rows, pairs;       /* of the views summary and baseline_pair */
} SeedsTable;

static const char *seeds_number(const DbTable *t, int row, const char *column, int digits, Arena *a)
{
    const char *value = db_field(t, row, column);
    return value ? arena_text(a, "%.*f", digits, strtod(value, NULL)) : "-";
}

/* The values of a column of the pairs of this label. Returns how many */
static int seeds_gather(const SeedsTable *t, const char *label, const char *column, double *x)
{
    int n = 0;
    for (int i = 0; i < t->pairs.rows; i++) {
        const char *value = db_field(&t->pairs, i, column);
        if (!strcmp(db_field(&t->pairs, i, "label"), label) && value) x[n++] = strtod(value, NULL);
    }
    return n;
}

/* "-0.570 [-0.590, -0.550], n 3, provisional"; as_ratio: x are logarithms */
static const char *seeds_compared(const double *x, int n, int as_ratio, Arena *a)
{
    if (!n) return "-";
    const double *zero = arena_array(a, (size_t)n, sizeof *zero);
    Range r = { x[0], x[0], x[0] };
    if (n > 1) r = stats_paired_t(x, zero, n, seeds_level, a);
    if (as_ratio) r = (Range){ exp(r.value), exp(r.low), exp(r.high) };
    const char *value = arena_text(a, as_ratio ? "%.2f" : "%+.3f", r.value), *limits = "";
    if (n > 1)
        limits = arena_text(a, as_ratio ? " [%.2f, %.2f]" : " [%+.3f, %+.3f]", r.low, r.high);
    return arena_text(a, "%s%s, n %d%s", value, limits, n, n < SEEDS_SURE ? ", provisional" : "");
}

static void seeds_fill(const SeedsTable *t, int row, const char **cell)
{
    const DbTable *s = &t->rows;
    double *x = arena_array(t->a, (size_t)t->pairs.rows + 1, sizeof *x);
    const char *label = db_field(s, row, "label");
    cell[0] = label;
    cell[1] = arena_text(t->a, "%s of %s", db_field(s, row, "n"), db_field(s, row, "seeds"));
    cell[2] = seeds_number(s, row, "tokens_per_s", 0, t->a);
    cell[3] = seeds_number(s, row, "nll", 3, t->a);
    cell[4] = cell[5] = "baseline";
    if (!strcmp(label, t->exp->baseline)) return;
    cell[4] = seeds_compared(x, seeds_gather(t, label, "nats", x), 0, t->a);
    const int n = seeds_gather(t, label, "speed_ratio", x);
    for (int i = 0; i < n; i++) x[i] = log(x[i]);
    cell[5] = seeds_compared(x, n, 1, t->a);
}

static void seeds_print(const SeedsTable *t, FILE *out)
{
    static const char *const titles[] = { "cell", "ok", "tokens/s", "NLL", "nats above baseline",
                                          "tokens/s over its" };
    const int columns = *t->exp->baseline ? SEEDS_COLUMNS : SEEDS_COLUMNS - 2, rows = t->rows.rows;
    const char **cell =
        arena_array(t->a, (size_t)(rows + 1) * SEEDS_COLUMNS, sizeof *cell), *row[SEEDS_COLUMNS];
    for (int r = 0; r <= rows; r++) {
        if (r) seeds_fill(t, r - 1, row);
        for (int i = 0; i < columns; i++) cell[r * columns + i] = r ? row[i] : titles[i];
    }
    fprintf(out, "\nmedians over the seeds that ended ok:\n");
    table_align(cell, rows + 1, columns, "llrrll", out);
    if (columns < SEEDS_COLUMNS) return;
    fprintf(out,
            "\nbaseline: %s; compared seed by seed: mean of n pairs [%g %%, Student's t], of "
            "tokens/s the geometric one;\nprovisional: of fewer than %d pairs\n",
            t->exp->baseline, 100 * seeds_level, SEEDS_SURE);
}

const char *table_print_seeds(Db *db, const Experiment *e, const char *experiment, FILE *out,
                              Arena *a)
{
    SeedsTable t = { .a = a, .exp = e };
    if (e->seeds < 2 && !*e->baseline) return NULL;
    const char *of = arena_text(a, "WHERE experiment = %s", db_quoted(experiment, a));
    const char *cells =
        arena_text(a, "SELECT label, n, seeds, tokens_per_s, nll FROM summary %s", of);
    const char *pairs = arena_text(a, "SELECT label, nats, speed_ratio FROM baseline_pair %s", of);
    const char *why = db_table(db, cells, &t.rows, a);
    if (!why) why = db_table(db, pairs, &t.pairs, a);
    if (!why) seeds_print(&t, out);
    return why;
}
