/* SPDX-License-Identifier: GPL-3.0-or-later */
/* db.h -- the records in SQLite; only db*.c know SQL's library. Figures and claims read views only.
 *
 * Opening answers with a sentence; afterwards a refusal of the disk ends the program (die), with
 * everything committed before it intact. Writes gather in a transaction until db_flush. */
#ifndef DB_H
#define DB_H
#include "harness/util/host.h"
#include "harness/util/record.h"

typedef struct Db Db;
/* Opens or creates (with its directory) for writing, migrates to this program's user_version, marks
 * as 'crash' the runs whose sweeper is gone. NULL and a sentence in *why (newer schema, not a
 * database, read-only, disk full). */
Db *db_open     (const char *path, Arena *, const char **why);
/* to read views; changes nothing */
Db *db_open_read(const char *path, Arena *, const char **why);
void db_close(Db *);
const char *db_path (const Db *);
const char *db_build(const Db *);          /* sha of this program's build */

/* The plan of an experiment under this build and machine: a new row unless the last of its name is
 * the same. */
long db_experiment(Db *, const char *name, const char *text, const char *overrides);
void db_plan(Db *, long experiment, int position, const char *cell, const char *spec,
             const char *label, long seed);
/* The same at the end of a plan that grows, unless the cell is in it. */
void db_plan_add(Db *, long experiment, const char *cell, const char *spec, const char *label,
                 long seed);
void db_label     (Db *, long experiment, int position, const char *factor, const char *level);

/* A run: starts as 'running' (committed at once), ends once. experiment: a name, or NULL. */
long db_run_start(Db *, const char *experiment, const char *cell, const char *spec);
void db_config   (Db *, long run, const char *key, const char *value);
void db_record   (Db *, long run, const Record *);
void db_run_end(Db *, long run, const char *status, const char *error, double wall_s,
                long peak_rss_kb);
void db_flush    (Db *);

/* done: an ok run of this build on this rig, or, where the budget counts tokens, on any: such runs
 * are read for their losses, which no machine changes by more than rounding; running: by a living
 * process. reason: one sentence. wall_s: of the last ok run of any build, NAN when there is none.
 */
typedef enum { CELL_NEW, CELL_STALE, CELL_DONE, CELL_RUNNING } CellState;
CellState db_cell_state(Db *, const char *cell, Arena *, const char **reason, double *wall_s);

/* The rows of a view as text (NULL: SQL's NULL), the first call being the names of the columns.
 * experiment NULL: all. NULL, or a sentence when there is no such view. */
typedef void DbRow(void *ctx, int columns, const char *const *value);
const char *db_view(Db *, const char *view, const char *experiment, DbRow *, void *ctx, Arena *);
/* The names of all views, sorted; how many */
int         db_views(Db *, const char *const **name, Arena *);
/* planned last of those it shows; NULL: none */
const char *db_last_experiment(Db *, const char *view, Arena *);
int         db_has_experiment(Db *, const char *name);

/* ---- questions of claims: db_ask.c ---- */
/* Why a text is not one SELECT over views; NULL: it is. */
const char *db_check (Db *, const char *select, Arena *);
/* Its rows, as db_view gives them. NULL, or a sentence. */
const char *db_select(Db *, const char *select, DbRow *, void *ctx, Arena *);
/* The same as a table of texts, row i being field + i * columns; the first row is the names. */
/* rows: without the names */
typedef struct DbTable { int rows, columns; const char **field; } DbTable;
const char *db_table(Db *, const char *select, DbTable *, Arena *);
/* row from 0; NULL: SQL's NULL */
const char *db_field(const DbTable *, int row, const char *column);
/* For many questions of one reader: the phases of all runs are summed here, once, not in every
 * question. NULL, or a sentence. The database must be open to be read. */
const char *db_hold(Db *);
/* From now on views see these rows only, words that a verdict keeps: UUIDs of runs, and plans as
 * experiment@planned@build. NULL: all. The database must be open to be read. */
void        db_restrict(Db *, const char *rows);
/* A verdict, of this build on this machine. definition: what it follows from; rows as above. NAN:
 * none */
typedef struct DbVerdict {
    const char *name, *verdict, *definition, *rows;
    double value, low, high;
} DbVerdict;
void        db_verdict(Db *, const DbVerdict *);

/* ---- packs: db_merge.c, db_text.c ---- */
/* Unites databases and directories of text in a new one: runs by UUID (the first that has it gives
 * all of it), plans, verdicts and artifacts by what they say. Ids follow the times at which things
 * were planned and started. Runs that have not ended are left out. */
/* taken; had already; left out */
typedef struct DbMerged { long runs, again, running; } DbMerged;
const char *db_merge(const char *const *from, int n, const char *into, DbMerged *, Arena *);
/* The records as CSV, one file per table, every number as it is to the last bit. Of what a run says
 * at every step only the means of its spans are kept, the view span_mean. */
const char *db_save_text(Db *, const char *dir, Arena *);

extern const char *const db_migrations[];      /* schema.c */
extern const char *const db_views_sql;
#endif
