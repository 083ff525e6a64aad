-- SPDX-License-Identifier: GPL-3.0-or-later
-- The tables. This is user_version 1; a change is a new script in schema.c, never an edit of this
-- one. Nothing recorded is ever deleted, and a finished run is never changed: the triggers say so.

CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;

-- rig: what must be equal for two timings to be compared
CREATE TABLE machine (
    id INTEGER PRIMARY KEY,
    cpu TEXT NOT NULL, isa TEXT NOT NULL, cores INTEGER NOT NULL,
    kernel TEXT NOT NULL, hostname TEXT NOT NULL, governor TEXT NOT NULL, virt TEXT NOT NULL,
    mem_kb INTEGER NOT NULL, l1d_kb INTEGER NOT NULL, l2_kb INTEGER NOT NULL,
        l3_kb INTEGER NOT NULL,
    rig TEXT NOT NULL GENERATED ALWAYS
        AS (cpu || ' | ' || isa || ' | ' || cores || ' cores') STORED,
    UNIQUE (cpu, isa, cores, kernel, hostname, governor, virt, mem_kb, l1d_kb, l2_kb,
        l3_kb)) STRICT;

-- sha names the arithmetic (sources, compiler, flags); the same sources may be built at several
-- commits
CREATE TABLE build (
    id INTEGER PRIMARY KEY,
    sha TEXT NOT NULL, git TEXT NOT NULL, dirty INTEGER NOT NULL, compiler TEXT NOT NULL,
        flags TEXT NOT NULL,
    UNIQUE (sha, git, dirty)) STRICT;

-- one row per plan: a file, the words that changed it, the build and the machine it was swept with;
-- the last row of a name is the one that views show
CREATE TABLE experiment (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL, sha TEXT NOT NULL, text TEXT NOT NULL, overrides TEXT NOT NULL,
    build INTEGER NOT NULL REFERENCES build, machine INTEGER NOT NULL REFERENCES machine,
    planned TEXT NOT NULL) STRICT;
CREATE INDEX experiment_name ON experiment (name, id);

-- key: SHA-256 of spec, the canonical text of the settings
CREATE TABLE cell (key TEXT PRIMARY KEY, spec TEXT NOT NULL) STRICT, WITHOUT ROWID;

-- the cells of a plan, in the order of the grid; label is without the seed
CREATE TABLE plan (
    experiment INTEGER NOT NULL REFERENCES experiment, position INTEGER NOT NULL,
    cell TEXT NOT NULL REFERENCES cell, label TEXT NOT NULL, seed INTEGER NOT NULL,
    PRIMARY KEY (experiment, position)) STRICT, WITHOUT ROWID;
CREATE TABLE label (
    experiment INTEGER NOT NULL, position INTEGER NOT NULL, factor TEXT NOT NULL,
        level TEXT NOT NULL,
    PRIMARY KEY (experiment, position, factor),
    FOREIGN KEY (experiment, position) REFERENCES plan) STRICT, WITHOUT ROWID;

-- one row per child process; sweeper and sweeper_start name the process that runs it
CREATE TABLE run (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    uuid TEXT NOT NULL UNIQUE,
    cell TEXT NOT NULL REFERENCES cell,
    experiment INTEGER REFERENCES experiment,
    build INTEGER NOT NULL REFERENCES build,
    machine INTEGER NOT NULL REFERENCES machine,
    status TEXT NOT NULL CHECK (status IN ('running', 'ok', 'fail', 'crash', 'timeout', 'oom',
        'skip')),
    error TEXT NOT NULL DEFAULT '',
    started TEXT NOT NULL,
    wall_s REAL, peak_rss_kb INTEGER,
    sweeper INTEGER NOT NULL, sweeper_start INTEGER NOT NULL) STRICT;
CREATE INDEX run_cell ON run (cell);
CREATE INDEX run_running ON run (status) WHERE status = 'running';
CREATE TRIGGER run_final BEFORE UPDATE ON run WHEN old.status <> 'running'
    BEGIN SELECT RAISE(ABORT, 'a finished run is never changed'); END;
CREATE TRIGGER run_kept BEFORE DELETE ON run
    BEGIN SELECT RAISE(ABORT, 'a run is never deleted'); END;

-- every setting of a run, defaults included
CREATE TABLE config (
    run INTEGER NOT NULL REFERENCES run, key TEXT NOT NULL, value TEXT NOT NULL,
    PRIMARY KEY (run, key)) STRICT, WITHOUT ROWID;

-- what a run says of itself, as rec.h names it; a value that is not a number is NULL
CREATE TABLE metric (run INTEGER NOT NULL REFERENCES run, name TEXT NOT NULL, step INTEGER NOT NULL,
    value REAL) STRICT;
CREATE INDEX metric_run ON metric (run, name, step);
CREATE TABLE span (run INTEGER NOT NULL REFERENCES run, step INTEGER NOT NULL, phase TEXT NOT NULL,
    seconds REAL) STRICT;
CREATE INDEX span_run ON span (run, step);
CREATE TABLE sample (
    run INTEGER NOT NULL REFERENCES run, name TEXT NOT NULL, round INTEGER NOT NULL,
        position INTEGER NOT NULL,
    ns REAL, iters INTEGER NOT NULL) STRICT;
CREATE INDEX sample_run ON sample (run, name);
CREATE TABLE text (run INTEGER NOT NULL REFERENCES run, key TEXT NOT NULL,
    value TEXT NOT NULL) STRICT;
CREATE INDEX text_run ON text (run, key);

-- what was concluded, and what was made, from which rows
CREATE TABLE verdict (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL, verdict TEXT NOT NULL, sentence TEXT NOT NULL,
    value REAL, low REAL, high REAL, runs TEXT NOT NULL,
    build INTEGER NOT NULL REFERENCES build, machine INTEGER NOT NULL REFERENCES machine,
        decided TEXT NOT NULL) STRICT;
CREATE TABLE artifact (
    id INTEGER PRIMARY KEY, path TEXT NOT NULL, sha TEXT NOT NULL, rows_sha TEXT NOT NULL,
        script_sha TEXT NOT NULL,
    build INTEGER NOT NULL REFERENCES build, made TEXT NOT NULL) STRICT;
