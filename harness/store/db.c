/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Statements are prepared once and kept by the address of their text. Arguments are bound by a word
 * of types: s text, l integer, d real (NaN becomes NULL). */
#include "harness/store/db_parts.h"
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const char *db_path (const Db *db) { return db->path; }
const char *db_build(const Db *db) { return db->build->id; }

void db_close(Db *db)
{
    if (!db) return;
    for (int i = 0; i < KEPT; i++) sqlite3_finalize(db->kept[i].stmt);
    if (db->open) sqlite3_exec(db->sql, "COMMIT", NULL, NULL, NULL);
    sqlite3_close(db->sql);
    sqlite3_close(db->stub);
    memset(db, 0, sizeof *db);
}

const char *db_sentence(Db *db, const char *what)
{
    const int code = sqlite3_errcode(db->sql) & 0xff,
              error = db->os_error ? db->os_error : sqlite3_system_errno(db->sql);
    if (code == SQLITE_NOTADB) return arena_text(db->a, "%s: not an SQLite database", db->path);
    if (code == SQLITE_READONLY)
        return arena_text(db->a, "%s: read-only; expected a database that can be written",
                          db->path);
    if (code == SQLITE_BUSY)
        return arena_text(db->a, "%s: locked by another process for %d s", db->path,
                          BUSY_MS / 1000);
    const int os =
        (code == SQLITE_IOERR || code == SQLITE_FULL || code == SQLITE_CANTOPEN) && error;
    return arena_text(db->a, "%s: cannot be %s: %s%s%s%s", db->path, what, sqlite3_errmsg(db->sql),
                      os ? " (" : "", os ? strerror(error) : "", os ? ")" : "");
}

static _Noreturn void fail(Db *db, const char *what)
{
    const char *why = db_sentence(db, what);
    db->open = 0;                            /* what is not committed is lost, and said to be */
    db_close(db);
    die("%s", why);
}

static sqlite3_stmt *prepared(Db *db, const char *text)
{
    int i = 0;
    while (i < KEPT && db->kept[i].text && db->kept[i].text != text) i++;
    CHECK(i < KEPT);
    if (!db->kept[i].text &&
        sqlite3_prepare_v2(db->sql, text, -1, &db->kept[i].stmt, NULL) == SQLITE_OK)
        db->kept[i].text = text;
    return db->kept[i].stmt;
}

static sqlite3_stmt *bound(Db *db, const char *text, const char *types, va_list ap)
{
    sqlite3_stmt *s = prepared(db, text);
    for (int i = 0; s && types[i]; i++) {
        if (types[i] == 's')
            sqlite3_bind_text(s, i + 1, va_arg(ap, const char *), -1, SQLITE_TRANSIENT);
        else if (types[i] == 'l') sqlite3_bind_int64(s, i + 1, va_arg(ap, long));
        else sqlite3_bind_double(s, i + 1, va_arg(ap, double));
    }
    return s;
}

/* runs a statement to its end; 0: refused */
static int try(Db *db, const char *text, const char *types, ...)
{
    va_list ap;
    va_start(ap, types);
    sqlite3_stmt *s = bound(db, text, types, ap);
    va_end(ap);
    if (!s) return 0;
    int rc;
    errno = 0;
    do rc = sqlite3_step(s); while (rc == SQLITE_ROW);
    /* SQLite does not keep it for a write to its log */
    if (rc != SQLITE_DONE) db->os_error = errno;
    return sqlite3_reset(s) == SQLITE_OK && rc == SQLITE_DONE;
}

/* the first column of the first row; `none` when there is no row */
static long ask(Db *db, long none, const char *text, const char *types, ...)
{
    va_list ap;
    va_start(ap, types);
    sqlite3_stmt *s = bound(db, text, types, ap);
    va_end(ap);
    if (!s) return none;
    const long value = sqlite3_step(s) == SQLITE_ROW ? sqlite3_column_int64(s, 0) : none;
    sqlite3_reset(s);
    return value;
}

static void begin(Db *db)
{
    if (!db->open && !try(db, "BEGIN IMMEDIATE", "")) fail(db, "written");
    db->open = 1;
}

#define WRITE(db, ...) do { begin(db); if (!try(db, __VA_ARGS__)) fail(db, "written"); } while (0)

void db_flush(Db *db)
{
    if (db->open && !try(db, "COMMIT", "")) fail(db, "written");
    db->open = 0;
}

static int exec(Db *db, const char *text)
{
    return sqlite3_exec(db->sql, text, NULL, NULL, NULL) == SQLITE_OK;
}

/* every "CREATE VIEW name AS ...;" of views.sql; temporary: in this connection only */
static int make_views(Db *db, int temporary)
{
    const char *create = "\nCREATE VIEW ";
    for (const char *s = db_views_sql; (s = strstr(s, create)); ) {
        s += strlen(create);
        const int name = (int)strcspn(s, " "), len = (int)strcspn(s, ";");
        const size_t used = db->a->used;
        if (!temporary && !exec(db, arena_text(db->a, "DROP VIEW IF EXISTS main.%.*s", name, s)))
            return 0;
        if (!exec(db, arena_text(db->a, "CREATE %s VIEW %.*s", temporary ? "TEMP" : "", len, s)))
            return 0;
        arena_reset(db->a, used);
    }
    return 1;
}

static int migrate(Db *db, long version)
{
    for (; db_migrations[version]; version++)
        if (!exec(db, db_migrations[version]) ||
            !exec(db, arena_text(db->a, "PRAGMA user_version = %ld", version + 1)))
            return 0;
    char sha[65];
    sha256_hex(db_views_sql, strlen(db_views_sql), sha);
    if (ask(db, 0, "SELECT count(*) FROM meta WHERE key = 'views' AND value = ?", "s", sha))
        return 1;
    return make_views(db, 0) && try(db,
                                    "INSERT INTO meta VALUES ('views', ?) ON CONFLICT (key) DO "
                                    "UPDATE SET value = excluded.value",
                                    "s", sha);
}

static long identify_machine(Db *db)
{
    const Host *h = db->host;
    if (!try(db,
             "INSERT OR IGNORE INTO machine (cpu, isa, cores, kernel, hostname, governor, virt, "
             "mem_kb, l1d_kb, l2_kb, l3_kb) "
             "VALUES (?,?,?,?,?,?,?,?,?,?,?)",
             "sslssssllll", h->cpu, h->isa, (long)h->cores, h->kernel, h->hostname, h->governor,
             h->virt, h->mem_kb, h->l1d_kb, h->l2_kb, h->l3_kb))
        return 0;
    return ask(
        db, 0,
        "SELECT id FROM machine WHERE cpu = ? AND isa = ? AND cores = ? AND kernel = ? AND "
        "hostname = ? AND "
        "governor = ? AND virt = ? AND mem_kb = ? AND l1d_kb = ? AND l2_kb = ? AND l3_kb = ?",
        "sslssssllll", h->cpu, h->isa, (long)h->cores, h->kernel, h->hostname, h->governor, h->virt,
        h->mem_kb, h->l1d_kb, h->l2_kb, h->l3_kb);
}

static long identify_build(Db *db)
{
    const Build *b = db->build;
    if (!try(db,
             "INSERT OR IGNORE INTO build (sha, git, dirty, compiler, flags) VALUES (?,?,?,?,?)",
             "sslss", b->id, b->git, (long)b->dirty, b->compiler, b->flags))
        return 0;
    return ask(db, 0, "SELECT id FROM build WHERE sha = ? AND git = ? AND dirty = ?", "ssl", b->id,
               b->git, (long)b->dirty);
}

/* When a process began, in ticks since boot (field 22 of /proc/PID/stat); 0: it is gone. With its
 * id it names a process. */
static long process_start(long pid)
{
    char path[64], line[1024], *end;
    snprintf(path, sizeof path, "/proc/%ld/stat", pid);
    FILE *f = fopen(path, "r");
    const size_t n = f ? fread(line, 1, sizeof line - 1, f) : 0;
    if (f) fclose(f);
    line[n] = 0;
    end = strrchr(line, ')');
    for (int field = 2; end && field < 22; field++) end = strchr(end + 1, ' ');
    return end ? strtol(end, NULL, 10) : 0;
}

/* Runs of this host that say 'running' while their sweeper is gone */
static int recover(Db *db)
{
    long id = 0, pid = 0;
    while ((id = ask(db, 0,
                     "SELECT min(r.id) FROM run r JOIN machine m ON m.id = r.machine "
                     "WHERE r.status = 'running' AND r.id > ? AND m.hostname = ?",
                     "ls", id, db->host->hostname))) {
        pid = ask(db, 0, "SELECT sweeper FROM run WHERE id = ?", "l", id);
        const long start = ask(db, 0, "SELECT sweeper_start FROM run WHERE id = ?", "l", id);
        if (start && process_start(pid) == start) continue;
        if (!try(db, "UPDATE run SET status = 'crash', error = ? WHERE id = ?", "sl",
                 arena_text(db->a, "the sweep that ran it (process %ld) was killed", pid), id))
            return 0;
    }
    return 1;
}

static const char *check_version(Db *db, long *version)
{
    int newest = 0;
    while (db_migrations[newest]) newest++;
    if ((*version = ask(db, -1, "PRAGMA user_version", "")) < 0) return db_sentence(db, "read");
    if (*version > newest)
        return arena_text(db->a, "%s: schema version %ld; this program knows versions up to %d",
                          db->path, *version, newest);
    if (!*version && ask(db, 0, "SELECT count(*) FROM sqlite_schema", ""))
        return arena_text(db->a, "%s: a database of another program", db->path);
    return NULL;
}

static const char *prepare_write(Db *db)
{
    long version;
    const char *why = check_version(db, &version);
    if (why) return why;
    if (sqlite3_db_readonly(db->sql, "main"))
        return arena_text(db->a, "%s: read-only; expected a database that can be written",
                          db->path);
    if (!exec(db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = "
                  "ON; BEGIN IMMEDIATE"))
        return db_sentence(db, "written");
    /* another process may have been first */
    if ((why = check_version(db, &version))) return why;
    if (!migrate(db, version) || !(db->machine_id = identify_machine(db)) ||
        !(db->build_id = identify_build(db)) || !recover(db) || !exec(db, "COMMIT"))
        return db_sentence(db, "written");
    return NULL;
}

static Db *connect(const char *path, int flags, Arena *a, const char **why)
{
    Db *db = arena_get(a, sizeof *db);
    db->path = arena_text(a, "%s", path);
    db->a = a;
    db->host = host_read(a);
    db->build = build_read(a);
    db->rig = host_class(db->host, a);
    const int rc = sqlite3_open_v2(path, &db->sql, flags | SQLITE_OPEN_NOMUTEX, NULL);
    *why = rc == SQLITE_OK ? NULL : db_sentence(db, "opened");
    if (!*why) sqlite3_busy_timeout(db->sql, BUSY_MS);
    return db;
}

static Db *opened(Db *db, const char *why)
{
    if (!why) return db;
    db_close(db);
    return NULL;
}

static void make_directory_of(const char *path, Arena *a)
{
    char *dir = arena_text(a, "%s", path);
    for (char *s = dir + 1; (s = strchr(s, '/')); *s++ = '/') {
        *s = 0;
        mkdir(dir, 0777);
    }
}

Db *db_open(const char *path, Arena *a, const char **why)
{
    make_directory_of(path, a);
    Db *db = connect(path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, a, why);
    if (!*why) *why = prepare_write(db);
    return opened(db, *why);
}

static const char *prepare_read(Db *db)
{
    long version;
    int newest = 0;
    const char *why = check_version(db, &version);
    while (db_migrations[newest]) newest++;
    if (why) return why;
    if (version < newest)
        return arena_text(
            db->a,
            "%s: schema version %ld, this program reads %d; `eightysix sweep` brings it up to date",
            db->path, version, newest);
    return exec(db, "PRAGMA temp_store = MEMORY") && make_views(db, 1) ? NULL
                                                                       : db_sentence(db, "read");
}

Db *db_open_read(const char *path, Arena *a, const char **why)
{
    if (access(path, F_OK)) {
        *why = arena_text(a, "%s: no such database; `eightysix sweep` makes it", path);
        return NULL;
    }
    Db *db = connect(path, SQLITE_OPEN_READONLY, a, why);
    if (!*why) *why = prepare_read(db);
    if (!*why || access(arena_text(a, "%s-wal", path), F_OK) == 0) return opened(db, *why);
    /* a directory where SQLite cannot make its shared memory; with no log it is not needed */
    db_close(db);
    db = connect(arena_text(a, "file:%s?immutable=1", path), SQLITE_OPEN_READONLY | SQLITE_OPEN_URI,
                 a, why);
    db->path = arena_text(a, "%s", path);
    if (!*why) *why = prepare_read(db);
    return opened(db, *why);
}

#define NOW "strftime('%Y-%m-%dT%H:%M:%SZ', 'now')"

long db_experiment(Db *db, const char *name, const char *text, const char *overrides)
{
    char sha[65];
    sha256_hex(text, strlen(text), sha);
    const long last = ask(db, 0,
                          "SELECT e.id FROM experiment e JOIN build b ON b.id = e.build JOIN "
                          "machine m ON m.id = e.machine "
                          "WHERE e.id = (SELECT max(id) FROM experiment WHERE name = ?) AND e.sha "
                          "= ? AND e.overrides = ? AND "
                          "b.sha = ? AND m.rig = ?",
                          "sssss", name, sha, overrides, db->build->id, db->rig);
    if (last) return last;
    WRITE(db,
          "INSERT INTO experiment (name, sha, text, overrides, build, machine, planned) VALUES "
          "(?,?,?,?,?,?," NOW ")",
          "ssssll", name, sha, text, overrides, db->build_id, db->machine_id);
    return sqlite3_last_insert_rowid(db->sql);
}

void db_plan(Db *db, long experiment, int position, const char *cell, const char *spec,
             const char *label, long seed)
{
    WRITE(db, "INSERT OR IGNORE INTO cell VALUES (?,?)", "ss", cell, spec);
    WRITE(db, "INSERT OR IGNORE INTO plan VALUES (?,?,?,?,?)", "llssl", experiment, (long)position,
          cell, label, seed);
}

void db_plan_add(Db *db, long experiment, const char *cell, const char *spec, const char *label,
                 long seed)
{
    if (ask(db, 0, "SELECT count(*) FROM plan WHERE experiment = ? AND cell = ?", "ls", experiment,
            cell))
        return;
    const long next =
        ask(db, 0, "SELECT coalesce(max(position), -1) + 1 FROM plan WHERE experiment = ?", "l",
            experiment);
    db_plan(db, experiment, (int)next, cell, spec, label, seed);
}

void db_label(Db *db, long experiment, int position, const char *factor, const char *level)
{
    WRITE(db, "INSERT OR IGNORE INTO label VALUES (?,?,?,?)", "llss", experiment, (long)position,
          factor, level);
}

long db_run_start(Db *db, const char *experiment, const char *cell, const char *spec)
{
    const long pid = getpid();
    WRITE(db, "INSERT OR IGNORE INTO cell VALUES (?,?)", "ss", cell, spec);
    WRITE(db,
          "INSERT INTO run (uuid, cell, experiment, build, machine, status, started, sweeper, "
          "sweeper_start) VALUES "
          "(lower(hex(randomblob(16))), ?, (SELECT max(id) FROM experiment WHERE name = ?), ?, ?, "
          "'running', " NOW ", ?, ?)",
          "ssllll", cell, experiment ? experiment : "", db->build_id, db->machine_id, pid,
          process_start(pid));
    const long run = sqlite3_last_insert_rowid(db->sql);
    db_flush(db);
    return run;
}

void db_config(Db *db, long run, const char *key, const char *value)
{
    WRITE(db, "INSERT INTO config VALUES (?,?,?)", "lss", run, key, value);
}

void db_record(Db *db, long run, const Record *l)
{
    switch (l->kind) {
    case 'n':
        WRITE(db, "INSERT INTO metric VALUES (?,?,?,?)", "lsld", run, l->name, l->step, l->value);
        break;
    case 's':
        WRITE(db, "INSERT INTO span VALUES (?,?,?,?)", "llsd", run, l->step, l->name, l->value);
        break;
    case 't': WRITE(db, "INSERT INTO text VALUES (?,?,?)", "lss", run, l->name, l->text); break;
    case 'p':
        WRITE(db, "INSERT INTO sample VALUES (?,?,?,?,?,?)", "lslldl", run, l->name, l->step,
              l->position, l->value, l->iters);
        break;
    default: CHECK(l->kind == 'p');
    }
}

void db_run_end(Db *db, long run, const char *status, const char *error, double wall_s,
                long peak_rss_kb)
{
    WRITE(db, "UPDATE run SET status = ?, error = ?, wall_s = ?, peak_rss_kb = ? WHERE id = ?",
          "ssdll", status, error, wall_s, peak_rss_kb, run);
    db_flush(db);
}

void db_verdict(Db *db, const DbVerdict *v)
{
    WRITE(db,
          "INSERT INTO verdict (name, verdict, sentence, value, low, high, runs, build, machine, "
          "decided) "
          "VALUES (?,?,?,?,?,?,?,?,?," NOW ")",
          "sssdddsll", v->name, v->verdict, v->definition, v->value, v->low, v->high, v->rows,
          db->build_id, db->machine_id);
}

const char *db_column(sqlite3_stmt *s, int i)
{
    const char *text = (const char *)sqlite3_column_text(s, i);
    return text ? text : "";
}

/* What one row, newer ones having been seen, adds to the state */
static CellState judge(Db *db, sqlite3_stmt *s, CellState state, Arena *a, const char **last,
                       const char **elsewhere)
{
    const char *status = db_column(s, 0), *error = db_column(s, 1);
    const char *sha = db_column(s, 2), *rig = db_column(s, 3);
    const int same_build = !strcmp(sha, db->build->id),
              same_rig = !strcmp(rig, db->rig) || sqlite3_column_int(s, 8);
    if (!strcmp(status, "running")) {
        const long pid = sqlite3_column_int64(s, 5);
        const int here = !strcmp(db_column(s, 7), db->host->hostname);
        if (!here || process_start(pid) == sqlite3_column_int64(s, 6)) {
            *last = arena_text(a, "running now in process %ld", pid);
            return CELL_RUNNING;
        }
        error = "the sweep that ran it was killed";
        status = "crash";
    }
    if (!strcmp(status, "ok") && same_build && same_rig) return CELL_DONE;
    if (strcmp(status, "ok") && !*last)
        *last = arena_text(a, "no ok run; the last one ended with %s: %s", status, error);
    if (!strcmp(status, "ok") && !*elsewhere)
        *elsewhere = same_build
                         ? arena_text(a, "ok run on another machine class (%s)", rig)
                         : arena_text(a, "ok run by build %.8s, now %.8s", sha, db->build->id);
    return state == CELL_NEW ? CELL_STALE : state;
}

CellState db_cell_state(Db *db, const char *cell, Arena *a, const char **reason, double *wall_s)
{
    sqlite3_stmt *s = prepared(
        db,
        "SELECT r.status, r.error, b.sha, m.rig, r.wall_s, r.sweeper, r.sweeper_start, m.hostname, "
        "k.counts_tokens FROM run r JOIN build b ON b.id = r.build JOIN machine m ON m.id = "
        "r.machine "
        "JOIN cell_budget k ON k.cell = r.cell "
        "WHERE r.cell = ?1 ORDER BY r.id DESC");
    if (!s) fail(db, "read");
    sqlite3_bind_text(s, 1, cell, -1, SQLITE_TRANSIENT);
    CellState state = CELL_NEW;
    const char *last = NULL, *elsewhere = NULL;
    *wall_s = NAN;
    while (state != CELL_DONE && state != CELL_RUNNING && sqlite3_step(s) == SQLITE_ROW) {
        if (isnan(*wall_s) && !strcmp(db_column(s, 0), "ok")) *wall_s = sqlite3_column_double(s, 4);
        state = judge(db, s, state, a, &last, &elsewhere);
    }
    sqlite3_reset(s);
    *reason = state == CELL_NEW    ? "no run yet"
              : state == CELL_DONE ? "ok"
              : last               ? last
                                   : elsewhere;
    return state;
}

int db_views(Db *db, const char **name, int max, Arena *a)
{
    sqlite3_stmt *s =
        prepared(db, "SELECT name FROM temp.sqlite_schema WHERE type = 'view' UNION "
                     "SELECT name FROM main.sqlite_schema WHERE type = 'view' ORDER BY name");
    int n = 0;
    if (!s) fail(db, "read");
    while (sqlite3_step(s) == SQLITE_ROW) {
        if (n == max) die("%s: more than %d views", db->path, max);
        name[n++] = arena_text(a, "%s", db_column(s, 0));
    }
    sqlite3_reset(s);
    return n;
}

const char *db_rows(Db *db, sqlite3_stmt *s, int exact, DbRow *row, void *ctx)
{
    enum { MAX = 64 };
    const char *value[MAX];
    char number[MAX][32];
    const int columns = sqlite3_column_count(s);
    int rc;
    if (columns > MAX) {
        sqlite3_finalize(s);
        return arena_text(db->a, "%d columns; expected %d at most", columns, MAX);
    }
    for (int i = 0; i < columns; i++) value[i] = sqlite3_column_name(s, i);
    row(ctx, columns, value);
    while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
        for (int i = 0; i < columns; i++) {
            const int real = exact && sqlite3_column_type(s, i) == SQLITE_FLOAT;
            if (real) snprintf(number[i], sizeof number[i], "%.17g", sqlite3_column_double(s, i));
            value[i] = real ? number[i] : (const char *)sqlite3_column_text(s, i);
        }
        row(ctx, columns, value);
    }
    const char *why = rc == SQLITE_DONE ? NULL : db_sentence(db, "read");
    sqlite3_finalize(s);
    return why;
}

const char *db_view(Db *db, const char *view, const char *experiment, DbRow *row, void *ctx,
                    Arena *a)
{
    enum { MAX = 64 };
    const char *value[MAX], *names = "";
    int known = 0;
    const int n = db_views(db, value, MAX, a);
    for (int i = 0; i < n; i++) {
        known |= !strcmp(value[i], view);
        names = arena_text(a, "%s%s%s", names, i ? ", " : "", value[i]);
    }
    if (!known) return arena_text(a, "there is no view '%s'; expected one of %s", view, names);
    sqlite3_stmt *s = NULL;
    const char *text = arena_text(a, "SELECT * FROM %s WHERE ?1 IS NULL OR experiment = ?1", view);
    if (sqlite3_prepare_v2(db->sql, text, -1, &s, NULL) != SQLITE_OK)
        return db_sentence(db, "read");
    sqlite3_bind_text(s, 1, experiment, -1, SQLITE_TRANSIENT);
    return db_rows(db, s, 0, row, ctx);
}

const char *db_last_experiment(Db *db, const char *view, Arena *a)
{
    sqlite3_stmt *s = NULL;
    const char *text = arena_text(
        a,
        "SELECT e.name FROM experiment e JOIN (SELECT DISTINCT experiment FROM \"%s\") v "
        "ON v.experiment = e.name ORDER BY e.id DESC LIMIT 1",
        view);
    if (sqlite3_prepare_v2(db->sql, text, -1, &s, NULL) != SQLITE_OK) return NULL;
    const char *name = sqlite3_step(s) == SQLITE_ROW ? arena_text(a, "%s", db_column(s, 0)) : NULL;
    sqlite3_finalize(s);
    return name;
}

int db_has_experiment(Db *db, const char *name)
{
    return (int)ask(db, 0, "SELECT count(*) FROM experiment WHERE name = ?", "s", name);
}
