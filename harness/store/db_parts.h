/* SPDX-License-Identifier: GPL-3.0-or-later */
/* db_parts.h -- what the files db*.c share. Not for other files. */
#ifndef DB_PARTS_H
#define DB_PARTS_H
#include "harness/store/db.h"
#include <sqlite3.h>

#define DB_BRIEF_S 0.2                       /* a wait that a cell which is timed does not feel */
enum {
    DB_PATIENCE_S = 600,                     /* how long to wait for another process */
    DB_SAY_S = 10,                           /* and how often that is said */
    DB_KEPT = 64                             /* more than db*.c have statements for db_prepared */
};
struct Db {
    sqlite3      *sql;
    sqlite3      *stub;                      /* each view as an empty table; NULL: not made yet */
    const char   *path;
    const char   *uri;                       /* of path, as it was opened: db_uri */
    Arena        *a;
    const Host   *host;
    const Build  *build;
    const char   *rig;                       /* as the column of that name in `machine` */
    const char   *place;                     /* host_place */
    long          machine_id, build_id;      /* of this machine and build; only for writing */
    long          plan;                      /* that db_experiment chose last; 0: none yet */
    int           open;                      /* 1: in a transaction */
    int           labelled;                  /* 1: it may have brought a new factor */
    /* seconds to wait for another process; when that began, and was said last */
    double        patience, wait_began, wait_said;
    int           os_error;                  /* errno of the last refusal */
    /* prepared statements, found again by the addresses of their texts, which are string constants;
     * not in the arena, which its owner may reset */
    struct { const char *text; sqlite3_stmt *stmt; } kept[DB_KEPT];
};

/* --- db_sql.c */
/* The message on what SQLite refused last; what: "read", "written" */
const char *db_sentence(Db *, const char *what);
_Noreturn void db_fail (Db *, const char *what);     /* the same, and the end of the program */
sqlite3_stmt *db_prepared(Db *, const char *text);   /* kept for the next time; NULL: refused */
/* Runs a statement to its end; 0: refused. types: of the values bound to it, a letter each: s text,
 * l long, d double (NAN is SQL's NULL) */
int   db_try   (Db *, const char *text, const char *types, ...);
/* The first column of the first row; `none` when there is no row */
long  db_number(Db *, long none, const char *text, const char *types, ...);
void  db_begin (Db *);                               /* a transaction, unless one is open */
int   db_exec  (Db *, const char *text);             /* several statements; 0: refused */
#define DB_NOW "strftime('%Y-%m-%dT%H:%M:%SZ', 'now')"      /* UTC, in SQL */
/* A statement that writes, in the open transaction. Ends the program with an error message when
 * refused */
#define DB_WRITE(db, ...)                                                                          \
    do {                                                                                           \
        db_begin(db);                                                                              \
        if (!db_try(db, __VA_ARGS__)) db_fail(db, "written");                                      \
    } while (0)

/* --- db.c */
/* Every "CREATE VIEW name AS ...;" of views.sql, or only one; temporary: in this connection. 0:
 * refused */
int   db_make_views(Db *, int temporary, const char *only);
/* Writes a record, or the end of a run; 0: refused */
int   db_put_record(Db *, long run, const Record *);
int   db_put_end   (Db *, long run, const char *status, const char *error, double wall_s,
                    long peak_rss_kb);

/* --- db_alive.c */
enum { DB_ALIVE_S = 60 };                            /* six heartbeats */
long  db_own_start  (void);                          /* of this process, ticks since boot */
/* 1: there is a process of this number and start, seen from here, and it has not ended */
int   db_process_is_there(long pid, long start);
/* Why a run that is running is known to be dead; NULL: it may be alive */
const char *db_run_gone(Db *, long run);
int   db_run_is_ours(Db *, long run);                /* 1: this process runs it */
/* Marks as crashed the running runs that are dead. 0: refused */
int   db_recover    (Db *);

/* --- db_identity.c */
extern const char *const db_measures[];              /* of DbMeasures: "speed" "loss" */
/* Of words with blanks between them, those that can change a loss by more than rounding; to has
 * room for all */
void  db_loss_words   (char *to, const char *words);
void  db_add_functions(sqlite3 *);                   /* to SQL: same_losses(words) */
int   db_write_program(Db *);                        /* the table `program`; 0: refused */
/* Of plans that do not say what they measure, as older programs wrote them: losses where the budget
 * of a cell counts tokens, else speeds. 0: refused */
int   db_fill_identity(Db *);
/* The table phase_mean: of a run that ends; of all that have ended and are not in it. 0: refused */
int   db_write_phases (Db *, long run);
int   db_fill_phases  (Db *);

/* --- db_views.c */
const char *db_column  (sqlite3_stmt *, int i);      /* "" for NULL */
/* Gives names and rows of a statement to the callback, and finalizes it. exact: reals with 17
 * digits, not the 15 of SQLite's text. NULL, or an error message */
const char *db_rows    (Db *, sqlite3_stmt *, int exact, DbRow *, void *ctx);

/* --- db_factors.c */
/* A name as SQL writes it: "a""b" */
const char *db_identifier(const char *name, Arena *);
/* A view of views.sql, "NAME AS SELECT ...", with its columns for factors; NULL: refused */
const char *db_view_text(Db *, const char *view, int len);
/* Makes the view `result` anew where its columns are not those of the factors. 0: refused */
int         db_fresh_factors(Db *);
/* The rows of a view that belong to the experiment ?1 (NULL: all); where they are cells of a plan,
 * with columns for the factors of that experiment. NULL: refused */
const char *db_view_select(Db *, const char *view, const char *experiment);

/* --- db_ask.c */
/* Finds the run of every cell, and the phases of runs, once for all questions in this connection:
 * the views that others stand on become tables. 0: refused */
int   db_hold      (Db *);
/* The views see what these views of the names run and experiment show, in place of the tables;
 * NULL: the tables */
void  db_look_through(Db *, const char *create);

/* --- db_foreign.c */
/* path as a URI of SQLite. immutable: nothing changes it, and there is no log beside it */
const char *db_uri(const char *path, int immutable, Arena *);
/* Refuses a database whose tables are not those of schema.sql. NULL, or an error message */
const char *db_check_tables(Db *);
/* From now on no view is read but temporary ones, which are this program's. */
void        db_only_our_views(Db *);

/* --- db_text.c */
enum { DB_TEXT_TABLES = 18 };
/* types: of its columns, a letter each: s text, l long, d double; f, c: the first step and the
 * number of steps that a row stands for. save: a SELECT of its rows; load: the INSERT of one */
typedef struct DbTextTable {
    const char *name, *types, *save, *load;
    int optional;                        /* 1: exports of older programs have no such file */
} DbTextTable;
extern const DbTextTable db_text_tables[DB_TEXT_TABLES];

/* --- db_text_load.c */
/* Fills an empty database from a directory of CSV files. NULL, or an error message: it is empty */
const char *db_load_text(Db *, const char *dir);
#endif
