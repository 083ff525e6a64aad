/* SPDX-License-Identifier: GPL-3.0-or-later */
/* db.h -- the records in SQLite. Figures and claims read views only (views.sql).
 *
 * Functions that return const char * return NULL, or an error message, unless a text is named. Once
 * a database is open for writing, what the disk refuses ends the program (die); what was committed
 * before stays. Writes gather in a transaction until db_flush. */
#ifndef DB_H
#define DB_H
#include "harness/util/host.h"
#include "harness/util/record.h"

typedef struct Db Db;
/* Opens or creates a database (with its directory) for writing, brings its schema up to this
 * program's, and marks as 'crash' the runs whose sweep is gone. NULL and an error message in *why
 * (newer schema, not a database, read-only, disk full). */
Db *db_open     (const char *path, Arena *, const char **why);
/* Opens it to read views; changes nothing. NULL and an error message in *why. */
Db *db_open_read(const char *path, Arena *, const char **why);
/* Reads all of it: pages, and that no value is NULL or of a type where its table has none such. For
 * databases from elsewhere. */
const char *db_check_whole(Db *);
void db_close(Db *);                       /* commits; NULL: nothing is done */
const char *db_path (const Db *);
const char *db_build(const Db *);          /* SHA-256 of this program's build, hex */

/* ---- plans ---- */
/* What an experiment measures: speeds, which are those of one machine class and number of threads;
 * or losses, which neither changes by more than rounding */
typedef enum { DB_SPEED, DB_LOSS } DbMeasures;
/* The plan of an experiment under this build and machine: a new row unless the last of its name,
 * and of words that change as much, is the same. text: its file; overrides: the words that changed
 * it. Returns the id. */
long db_experiment(Db *, const char *name, const char *text, const char *overrides, DbMeasures);
/* The same of an experiment that grows by a cell with every run: its one plan, whatever build and
 * machine began it */
long db_experiment_growing(Db *, const char *name, DbMeasures);
/* The plan with this note: itself, or where it has another note already, a new one that is the same
 * otherwise. Returns the id. */
long db_note(Db *, long experiment, const char *note);
/* The name under which views show it: with the overrides that change what is measured, unless it
 * was never planned without them */
const char *db_experiment_name(Db *, long experiment, Arena *);
/* cell: the SHA-256 of spec, hex; label: spec as people read it, without the seed; texts: SHA-256
 * of its training text, "": not known, or none */
void db_plan(Db *, long experiment, int position, const char *cell, const char *spec,
             const char *label, long seed, const char *texts);
/* The same at the end of a plan that grows, unless the cell is in it. */
void db_plan_add(Db *, long experiment, const char *cell, const char *spec, const char *label,
                 long seed);
void db_label(Db *, long experiment, int position, const char *factor, const char *level);

/* ---- runs ---- */
/* A run starts as 'running', committed at once, and ends once. experiment: a name, or NULL. Returns
 * the id. */
long db_run_start(Db *, const char *experiment, const char *cell, const char *spec);
void db_config   (Db *, long run, const char *key, const char *value);
void db_record   (Db *, long run, const Record *);
/* Says that a running run is alive (db_alive.c), within a fifth of a second. 0: refused */
int  db_heartbeat(Db *, long run);
/* A run of this process that another one has given up: what it recorded becomes that of a new run,
 * which is running; the old one stays a crash. Returns the new id; the same where it was not given
 * up; 0: refused */
long db_run_again(Db *, long run);
/* wall_s: seconds; peak_rss_kb: kilobytes of memory */
void db_run_end(Db *, long run, const char *status, const char *error, double wall_s,
                long peak_rss_kb);
void db_flush    (Db *);                   /* commits what was written */

/* ---- a database that cannot be written now: db_spool.c ----
 * What a run says must not be lost because another process holds the database, or the disk is full.
 * db_ready and db_write_lines wait for a fifth of a second at most, and then say why not. */
/* Whether a run could be started now. NULL or an error message */
const char *db_ready(Db *);
/* The file DB.spool/UUID of a run, for its lines that cannot be written now */
const char *db_spool_path(Db *, long run, Arena *);
/* Writes lines of a run, after those of its spool, which is then gone, in one transaction. A line
 * is a record as in record.h, or its end: "end STATUS WALL_S PEAK_RSS_KB ERROR...". NULL, or an
 * error message: nothing is written, the spool stays */
const char *db_write_lines(Db *, long run, const char *spool, const char *lines, size_t n);
/* Appends lines to the spool. NULL, or an error message: it is as it was */
const char *db_spool_lines(const char *spool, const char *lines, size_t n, Arena *);
/* Takes in what this process and those before it could not write; done at every opening. Returns
 * how many files are left, after saying why */
int         db_take_spools(Db *);

/* The hash that a part of another engine has now (peer.h). Of one that was not named to this
 * connection the last run says it */
void db_part(Db *, const char *part, const char *sha);
/* Records that two hashes of a part compute the same losses; evidence: how that was found */
void db_certify(Db *, const char *part, const char *old, const char *new,
                const char *evidence);

/* 1: two settings in canonical text give the same loss but for rounding: all but threads, gemm and
 * kernel are equal */
int db_same_losses(const char *spec, const char *other);
typedef struct DbCell { const char *key, *spec, *texts; DbMeasures measures; } DbCell;
/* done: an ok run of the same text by the code of this program (run_code in views.sql), of a speed
 * with the same settings on this machine class, which it had to itself, of a loss with any threads
 * on any machine. running: by a living process. reason: one sentence. wall_s: seconds of the last
 * ok run of any build, NAN when there is none. */
typedef enum { CELL_NEW, CELL_STALE, CELL_DONE, CELL_RUNNING } CellState;
CellState db_cell_state(Db *, const DbCell *, Arena *, const char **reason, double *wall_s);

/* ---- views ---- */
/* Takes a row as texts (NULL: SQL's NULL), valid until it returns. The first row is the names. */
typedef void DbRow(void *ctx, int columns, const char *const *value);
/* The rows of a view that belong to an experiment; NULL: all. Where they are cells of a plan, a
 * column for each factor of that experiment (NULL: of all) that is no column already */
const char *db_view(Db *, const char *view, const char *experiment, DbRow *, void *ctx, Arena *);
int         db_is_view(const char *name, Arena *);
/* The names of all views, sorted; how many */
int         db_views(Db *, const char *const **name, Arena *);
/* The name of the experiment, of those that a view shows, that was planned last; NULL: none */
const char *db_last_experiment(Db *, const char *view, Arena *);
int         db_has_experiment(Db *, const char *name);

/* ---- what runs now, as another process sees it: db_watch.c ---- */
typedef struct DbRunning {
    long        run, seed, step;           /* step: the last that was recorded; -1: none */
    const char *label, *spec;
    /* its turn, "seed 1, 3 of 15"; "": none */
    const char *schedule;
    double      seconds, loss;             /* since it began; NAN: none yet */
} DbRunning;
typedef struct DbSweep {
    int         alive;                     /* 0: it has ended */
    long        pid;
    const char *experiment;                /* with the words that change it; "": of no plan */
    long        cells, ok;                 /* of its plan; for which some run ended ok */
    long        ended, bad;                /* of its own runs; neither ok nor skipped */
    double      mean_s;                    /* of its runs that ended ok; NAN: none */
    DbRunning  *running;
    int         runs;
} DbSweep;
/* The processes that run cells now, the last one first; where there is none, the one that ran last,
 * and *n is 0 where nothing was ever run. host: of this machine. Asks little, writes nothing, and
 * waits for nobody. NULL or an error message */
const char *db_watch(const char *path, const char *host, DbSweep **, int *n, Arena *);

/* ---- questions of claims: db_ask.c ---- */
/* A text as SQL writes it: 'it''s' */
const char *db_quoted(const char *text, Arena *);
/* Refuses a text that is not one SELECT over views. */
const char *db_check (Db *, const char *select, Arena *);
/* Gives its rows to the callback, reals with 17 digits. A question that does not end is refused. */
const char *db_select(Db *, const char *select, DbRow *, void *ctx, Arena *);
/* The same as a table of texts: field is (rows + 1, columns), the first row being the names; more
 * than four million rows are refused. */
typedef struct DbTable { int rows, columns; const char **field; } DbTable;
const char *db_table(Db *, const char *select, DbTable *, Arena *);
/* A text of the table, row from 0; NULL: SQL's NULL */
const char *db_field(const DbTable *, int row, const char *column);
/* From now on views see only these rows, separated by spaces: runs as UUIDs, and plans as
 * experiment@planned@build. NULL: all. The database must be open for reading. */
void        db_restrict(Db *, const char *rows);
/* From now on views see the records as they were: with plan (a number) that plan in place of later
 * ones of its name and variant; with at ("2026-11-30", its end, or "2026-11-30T08:00:00Z") only
 * what was planned and started until then. NULL: not asked for. The database must be open for
 * reading. NULL or an error message */
const char *db_past(Db *, const char *plan, const char *at, Arena *);
/* A verdict of this build on this machine. definition: all it depends on besides rows; rows: as
 * above; numbers NAN: there is none */
typedef struct DbVerdict {
    const char *name, *verdict, *definition, *rows;
    double value, low, high;
} DbVerdict;
void        db_verdict(Db *, const DbVerdict *);

/* ---- packs: db_merge.c, db_text.c ---- */
/* Unites n databases and directories of text in a new one: each run once, told apart by UUID, as
 * the first source that has it gives it; plans, verdicts and artifacts once where all their fields
 * are equal. Ids are given in the order in which things were planned and started. Runs that have
 * not ended are left out. */
typedef struct DbMerged {
    long runs;                             /* in the new database */
    long again;                            /* runs that an earlier source had already */
    long running;                          /* left out */
} DbMerged;
const char *db_merge(const char *const *from, int n, const char *into, DbMerged *, Arena *);
/* The records as CSV files, one for each table, every number to the last bit. Of what a run says at
 * every step only the means of its spans are kept, the view span_mean. dir is new, or an earlier
 * export, which is replaced when all of the new one is written; until then it is as it was. */
const char *db_save_text(Db *, const char *dir, Arena *);

extern const char *const db_migrations[];      /* schema.c */
extern const char *const db_views_sql;
#endif
