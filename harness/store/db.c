/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Opening a database, and writing to it. */
#include "harness/store/db_parts.h"
#include "harness/util/clock.h"
#include "harness/util/file.h"
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const char *db_path (const Db *db) { return db->path; }
const char *db_build(const Db *db) { return db->build->id; }

static void db_forget_statements(Db *db)
{
    for (int i = 0; i < DB_KEPT; i++) sqlite3_finalize(db->kept[i].stmt);
    memset(db->kept, 0, sizeof db->kept);
}

void db_close(Db *db)
{
    if (!db) return;
    if (db->open && db->labelled) db_fresh_factors(db);
    db_forget_statements(db);
    if (db->open) sqlite3_exec(db->sql, "COMMIT", NULL, NULL, NULL);
    sqlite3_close(db->sql);
    sqlite3_close(db->stub);
    memset(db, 0, sizeof *db);
}

int db_make_views(Db *db, int temporary, const char *only)
{
    const char *create = "\nCREATE VIEW ";
    for (const char *s = db_views_sql; (s = strstr(s, create)); ) {
        s += strlen(create);
        const int name = (int)strcspn(s, " "), len = (int)strcspn(s, ";");
        const size_t used = db->a->used;
        if (only && (strncmp(only, s, (size_t)name) || only[name])) continue;
        if (!temporary && !db_exec(db, arena_text(db->a, "DROP VIEW IF EXISTS main.%.*s", name, s)))
            return 0;
        const char *text = db_view_text(db, s, len);
        if (!text || !db_exec(db, arena_text(db->a, "CREATE %s VIEW %s",
                                             temporary ? "TEMP" : "", text)))
            return 0;
        arena_reset(db->a, used);
    }
    return 1;
}

static int db_migrate(Db *db, long version)
{
    for (; db_migrations[version]; version++)
        if (!db_exec(db, db_migrations[version]) ||
            !db_exec(db, arena_text(db->a, "PRAGMA user_version = %ld", version + 1)))
            return 0;
    char sha[65];
    sha256_hex(db_views_sql, strlen(db_views_sql), sha);
    if (db_number(db, 0, "SELECT count(*) FROM meta WHERE key = 'views' AND value = ?", "s", sha))
        return db_fresh_factors(db);
    return db_make_views(db, 0, NULL) && db_fill_identity(db) && db_fill_phases(db) &&
           db_try(db,
                  "INSERT INTO meta VALUES ('views', ?) ON CONFLICT (key) DO UPDATE SET "
                  "value = excluded.value",
                  "s", sha);
}

static long db_identify_machine(Db *db)
{
    const Host *h = db->host;
    if (!db_try(db,
                "INSERT OR IGNORE INTO machine (cpu, isa, cores, kernel, hostname, governor, virt, "
                "mem_kb, l1d_kb, l2_kb, l3_kb) VALUES (?,?,?,?,?,?,?,?,?,?,?)",
                "sslssssllll", h->cpu, h->isa, (long)h->cores, h->kernel, h->hostname, h->governor,
                h->virt, h->mem_kb, h->l1d_kb, h->l2_kb, h->l3_kb))
        return 0;
    return db_number(
        db, 0,
        "SELECT id FROM machine WHERE cpu = ? AND isa = ? AND cores = ? AND kernel = ? AND "
        "hostname = ? AND governor = ? AND virt = ? AND mem_kb = ? AND l1d_kb = ? AND l2_kb = ? "
        "AND l3_kb = ?",
        "sslssssllll", h->cpu, h->isa, (long)h->cores, h->kernel, h->hostname, h->governor, h->virt,
        h->mem_kb, h->l1d_kb, h->l2_kb, h->l3_kb);
}

static long db_identify_build(Db *db)
{
    const Build *b = db->build;
    if (!db_try(db,
                "INSERT OR IGNORE INTO build (sha, git, dirty, compiler, flags) VALUES (?,?,?,?,?)",
                "sslss", b->id, b->git, (long)b->dirty, b->compiler, b->flags))
        return 0;
    return db_number(db, 0, "SELECT id FROM build WHERE sha = ? AND git = ? AND dirty = ?", "ssl",
                     b->id, b->git, (long)b->dirty);
}

static const char *db_check_version(Db *db, long *version)
{
    int newest = 0;
    while (db_migrations[newest]) newest++;
    if ((*version = db_number(db, -1, "PRAGMA user_version", "")) < 0)
        return db_sentence(db, "read");
    if (*version > newest)
        return arena_text(db->a, "%s: schema version %ld; this program knows versions up to %d",
                          db->path, *version, newest);
    if (!*version && db_number(db, 0, "SELECT count(*) FROM sqlite_schema", ""))
        return arena_text(db->a, "%s: a database of another program", db->path);
    return NULL;
}

static const char *db_prepare_write(Db *db)
{
    long version;
    const char *why = db_check_version(db, &version);
    if (why) return why;
    if (sqlite3_db_readonly(db->sql, "main"))
        return arena_text(db->a, "%s: read-only; expected a database that can be written",
                          db->path);
    if (!db_exec(db,
                 "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = "
                 "ON; BEGIN IMMEDIATE"))
        return db_sentence(db, "written");
    /* another process may have written since */
    if ((why = db_check_version(db, &version))) return why;
    if (!db_migrate(db, version) || !db_write_program(db) ||
        !(db->machine_id = db_identify_machine(db)) ||
        !(db->build_id = db_identify_build(db)) || !db_exec(db, "COMMIT"))
        return db_sentence(db, "written");
    db_take_spools(db);
    return db_recover(db) ? NULL : db_sentence(db, "written");
}

/* Another process writes: 1: wait on, and say so now and then; 0: it takes too long */
static int db_wait(void *ctx, int tries)
{
    Db *db = ctx;
    const double now = clock_now();
    if (!tries) db->wait_began = db->wait_said = now;
    if (now - db->wait_began >= db->patience) return 0;
    if (now - db->wait_said >= DB_SAY_S) {
        fprintf(stderr, "%s: locked by another process; waiting for %.0f s, at most %g s\n",
                db->path, now - db->wait_began, db->patience);
        db->wait_said = now;
    }
    usleep(tries < 10 ? 2000 : 20000);
    return 1;
}

static Db *db_connect(const char *path, int flags, int immutable, Arena *a, const char **why)
{
    Db *db = arena_get(a, sizeof *db);
    db->path = arena_text(a, "%s", path);
    db->uri = db_uri(path, immutable, a);
    db->a = a;
    db->host = host_read(a);
    db->build = build_read(a);
    db->rig = host_class(db->host, a);
    db->place = host_place(a);
    if ((*why = file_check(path, a))) return db;
    const int rc = sqlite3_open_v2(db->uri, &db->sql,
                                   flags | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX, NULL);
    *why = rc == SQLITE_OK ? NULL : db_sentence(db, "opened");
    db->patience = DB_PATIENCE_S;
    if (!*why) sqlite3_busy_handler(db->sql, db_wait, db);
    if (!*why) db_add_functions(db->sql);
    return db;
}

static Db *db_opened(Db *db, const char *why)
{
    if (!why) return db;
    db_close(db);
    return NULL;
}

static void db_make_directory_of(const char *path, Arena *a)
{
    char *dir = arena_text(a, "%s", path);
    for (char *s = dir + 1; (s = strchr(s, '/')); *s++ = '/') {
        *s = 0;
        mkdir(dir, 0777);
    }
}

Db *db_open(const char *path, Arena *a, const char **why)
{
    db_make_directory_of(path, a);
    Db *db = db_connect(path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, 0, a, why);
    if (!*why) *why = db_prepare_write(db);
    return db_opened(db, *why);
}

/* An older schema is brought up to date in a copy in memory: the file stays as it is. */
static const char *db_copy_to_memory(Db *db, long version)
{
    sqlite3 *copy = NULL;
    if (sqlite3_open(":memory:", &copy) != SQLITE_OK) die("out of memory");
    sqlite3_backup *b = sqlite3_backup_init(copy, "main", db->sql, "main");
    const int rc = b ? sqlite3_backup_step(b, -1) : SQLITE_ERROR;
    sqlite3_backup_finish(b);
    if (rc != SQLITE_DONE) {
        sqlite3_close(copy);
        return db_sentence(db, "read");
    }
    db_forget_statements(db);                     /* they are of the file */
    sqlite3_close(db->sql);
    db->sql = copy;
    db_add_functions(db->sql);
    return db_migrate(db, version) ? NULL : db_sentence(db, "read");
}

static const char *db_prepare_read(Db *db)
{
    long version;
    int newest = 0;
    const char *why = db_check_version(db, &version);
    while (db_migrations[newest]) newest++;
    if (!why && version < newest) why = db_copy_to_memory(db, version);
    if (why) return why;
    if ((why = db_check_tables(db))) return why;
    db_only_our_views(db);
    if (db_exec(db, "PRAGMA temp_store = MEMORY; "
                    "CREATE TEMP TABLE program (part TEXT PRIMARY KEY, sha TEXT)") &&
        db_write_program(db) && db_make_views(db, 1, NULL) && db_hold(db))
        return NULL;
    return db_sentence(db, "read");
}

Db *db_open_read(const char *path, Arena *a, const char **why)
{
    if (access(path, F_OK)) {
        *why = arena_text(a, "%s: no such database; `eightysix sweep` makes it", path);
        return NULL;
    }
    Db *db = db_connect(path, SQLITE_OPEN_READONLY, 0, a, why);
    if (!*why) *why = db_prepare_read(db);
    if (!*why || access(arena_text(a, "%s-wal", path), F_OK) == 0) return db_opened(db, *why);
    /* In a directory that cannot be written SQLite cannot make the file of its shared memory. Where
     * there is no log, it does without one if told that nothing changes. */
    db_close(db);
    db = db_connect(path, SQLITE_OPEN_READONLY, 1, a, why);
    if (!*why) *why = db_prepare_read(db);
    return db_opened(db, *why);
}

long db_run_start(Db *db, const char *experiment, const char *cell, const char *spec)
{
    DB_WRITE(db, "INSERT OR IGNORE INTO cell VALUES (?1, ?2, same_losses(?2))", "ss", cell, spec);
    DB_WRITE(db,
             "INSERT INTO run (uuid, cell, experiment, build, machine, status, started, sweeper, "
             "sweeper_start, sweeper_place) VALUES (lower(hex(randomblob(16))), ?, "
             "(SELECT id FROM experiment WHERE name = ? ORDER BY id = ? DESC, id DESC LIMIT 1), "
             "?, ?, 'running', " DB_NOW ", ?, ?, ?)",
             "ssllllls", cell, experiment ? experiment : "", db->plan, db->build_id,
             db->machine_id, (long)getpid(), db_own_start(), db->place);
    const long run = sqlite3_last_insert_rowid(db->sql);
    db_flush(db);
    return run;
}

void db_config(Db *db, long run, const char *key, const char *value)
{
    DB_WRITE(db, "INSERT INTO config VALUES (?,?,?)", "lss", run, key, value);
}

int db_put_record(Db *db, long run, const Record *l)
{
    switch (l->kind) {
    case 'n':
        return db_try(db, "INSERT INTO metric VALUES (?,?,?,?)", "lsld", run, l->name, l->step,
                      l->value);
    case 's':
        return db_try(db, "INSERT INTO span VALUES (?,?,?,?)", "llsd", run, l->step, l->name,
                      l->value);
    case 't':
        return db_try(db, "INSERT INTO text VALUES (?,?,?)", "lss", run, l->name, l->text);
    default:
        CHECK(l->kind == 'p');
        return db_try(db, "INSERT INTO sample VALUES (?,?,?,?,?,?)", "lslldl", run, l->name,
                      l->step, l->position, l->value, l->iters);
    }
}

void db_record(Db *db, long run, const Record *l)
{
    db_begin(db);
    if (!db_put_record(db, run, l)) db_fail(db, "written");
}

int db_put_end(Db *db, long run, const char *status, const char *error, double wall_s,
               long peak_rss_kb)
{
    return db_try(db,
                  "UPDATE run SET status = ?, error = ?, wall_s = ?, peak_rss_kb = ? WHERE id = ?",
                  "ssdll", status, error, wall_s, peak_rss_kb, run) &&
           db_write_phases(db, run);
}

void db_run_end(Db *db, long run, const char *status, const char *error, double wall_s,
                long peak_rss_kb)
{
    db_begin(db);
    if (!db_put_end(db, run, status, error, wall_s, peak_rss_kb)) db_fail(db, "written");
    db_flush(db);
}

void db_verdict(Db *db, const DbVerdict *v)
{
    DB_WRITE(db,
             "INSERT INTO verdict (name, verdict, sentence, value, low, high, runs, build, "
             "machine, decided) VALUES (?,?,?,?,?,?,?,?,?," DB_NOW ")",
             "sssdddsll", v->name, v->verdict, v->definition, v->value, v->low, v->high, v->rows,
             db->build_id, db->machine_id);
}
