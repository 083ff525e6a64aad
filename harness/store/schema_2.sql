-- SPDX-License-Identifier: GPL-3.0-or-later
-- From user_version 1 to 2: what makes two runs the same.

-- same: the settings without those that leave a loss as it is but for rounding (db_same_losses)
ALTER TABLE cell ADD COLUMN same TEXT NOT NULL DEFAULT '';
UPDATE cell SET same = same_losses(spec);
CREATE INDEX cell_same ON cell (same);

-- measures: 'loss' or 'speed', '' until db_fill_identity finds it; variant: the overrides that
-- change what is measured
ALTER TABLE experiment ADD COLUMN measures TEXT NOT NULL DEFAULT '';
ALTER TABLE experiment ADD COLUMN variant TEXT NOT NULL DEFAULT '';
DROP INDEX experiment_name;
CREATE INDEX experiment_name ON experiment (name, variant, id);

-- texts: SHA-256 of the training text that a plan is about; '': not known
ALTER TABLE plan ADD COLUMN texts TEXT NOT NULL DEFAULT '';

-- the program that opened the database last: the hashes of its parts (host.h), its build
CREATE TABLE program (part TEXT PRIMARY KEY, sha TEXT NOT NULL) STRICT, WITHOUT ROWID;

-- hashes of a part whose losses were found to be equal (`eightysix certify`)
CREATE TABLE certified (
    part TEXT NOT NULL, old TEXT NOT NULL, new TEXT NOT NULL, evidence TEXT NOT NULL,
    decided TEXT NOT NULL,
    PRIMARY KEY (part, old, new)) STRICT, WITHOUT ROWID;

-- what is kept of spans: the mean seconds per step of each phase of a run that has ended, written
-- once, by the view span_mean_now
CREATE TABLE phase_mean (
    run INTEGER NOT NULL REFERENCES run, phase TEXT NOT NULL, first_step INTEGER NOT NULL,
    steps INTEGER NOT NULL, seconds REAL,
    PRIMARY KEY (run, phase)) STRICT, WITHOUT ROWID;
