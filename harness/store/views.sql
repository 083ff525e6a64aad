-- SPDX-License-Identifier: GPL-3.0-or-later
-- The views: all that figures, tables and exports read. They hold no data and follow the program,
-- not user_version. Every view has a column `experiment` and shows the last plan of each.

-- The last plan of every experiment. Words on the command line that change what is measured make an
-- experiment of its own, "quick d=128", unless there is no plan without them; shown: its name
CREATE VIEW current AS
WITH last AS (
    SELECT name, variant, max(id) AS id FROM experiment GROUP BY name, variant),
main AS (
    SELECT name, CASE WHEN min(variant) = '' THEN ''
        ELSE (SELECT variant FROM last l WHERE l.name = last.name ORDER BY id DESC LIMIT 1)
        END AS variant
    FROM last GROUP BY name)
SELECT e.id AS plan,
    e.name || CASE WHEN e.variant = main.variant THEN '' ELSE ' ' || e.variant END AS experiment,
    e.name, e.measures, e.overrides, e.planned, b.sha AS build, b.git, b.dirty, b.compiler, m.rig,
    m.cpu, m.isa, m.cores
FROM last JOIN main ON main.name = last.name JOIN experiment e ON e.id = last.id
JOIN build b ON b.id = e.build JOIN machine m ON m.id = e.machine;

-- counts_tokens: 1 where the budget of a cell counts tokens, not seconds; counts_work: tokens or
-- steps
CREATE VIEW cell_budget AS
SELECT NULL AS experiment, key AS cell,
    rest LIKE 'budget=%' AND substr(rest, 1, instr(rest || ' ', ' ') - 1) LIKE '%tokens'
        AS counts_tokens,
    rest LIKE 'budget=%' AND (substr(rest, 1, instr(rest || ' ', ' ') - 1) LIKE '%tokens'
        OR substr(rest, 1, instr(rest || ' ', ' ') - 1) LIKE '%steps') AS counts_work
FROM (SELECT key, substr(spec, instr(' ' || spec, ' budget=')) AS rest FROM cell);

-- the parts of the program that reads, and of the programs of other engines: as a sweep of this
-- connection found them, else as the last run that used them says
CREATE VIEW part_now AS
SELECT NULL AS experiment, part, sha FROM program
UNION ALL
SELECT NULL, part, sha FROM (
    SELECT substr(t.key, 6) AS part, t.value AS sha, max(t.run) FROM text t
    JOIN run r ON r.id = t.run WHERE t.key GLOB 'part:peer*' GROUP BY t.key)
WHERE part NOT IN (SELECT part FROM program);

-- hashes of parts that compute the same losses as those of the program that reads: its own, and
-- what was certified as equal, directly or by way of others
CREATE VIEW same_part AS
WITH RECURSIVE pair (part, old, new) AS (
    SELECT part, old, new FROM certified UNION ALL SELECT part, new, old FROM certified),
reach (part, sha) AS (
    SELECT part, sha FROM part_now
    UNION SELECT p.part, p.new FROM reach r JOIN pair p ON p.part = r.part AND p.old = r.sha)
SELECT NULL AS experiment, part, sha FROM reach;

-- the rule which run is current. fresh: 1 for a run whose parts are those of the program that
-- reads; of runs that do not name their parts, whose build is. fresh_loss: also where certified as
-- equal
CREATE VIEW run_code AS
SELECT (SELECT name FROM experiment WHERE id = r.experiment) AS experiment, r.id AS run,
    CASE WHEN EXISTS (SELECT 1 FROM text t WHERE t.run = r.id AND t.key GLOB 'part:*')
    THEN NOT EXISTS (SELECT 1 FROM text t WHERE t.run = r.id AND t.key GLOB 'part:*'
        AND (substr(t.key, 6), t.value) NOT IN (SELECT part, sha FROM part_now))
    ELSE ('build', b.sha) IN (SELECT part, sha FROM program) END AS fresh,
    CASE WHEN EXISTS (SELECT 1 FROM text t WHERE t.run = r.id AND t.key GLOB 'part:*')
    THEN NOT EXISTS (SELECT 1 FROM text t WHERE t.run = r.id AND t.key GLOB 'part:*'
        AND (substr(t.key, 6), t.value) NOT IN (SELECT part, sha FROM same_part))
    ELSE ('build', b.sha) IN (SELECT part, sha FROM same_part) END AS fresh_loss
FROM run r JOIN build b ON b.id = r.build;

-- shared: 1 for a run during which another process of ours, or another cell of its sweep, ran on
-- the machine; 0: none; NULL: not recorded, by an older program
CREATE VIEW run_shared AS
SELECT (SELECT name FROM experiment WHERE id = r.experiment) AS experiment, r.id AS run,
    (SELECT max(value) FROM metric WHERE run = r.id AND name = 'shared') AS shared
FROM run r;

-- every run that is valid for a cell, whichever plan, words or machine asked for it: of a speed the
-- same settings, of a loss those but for threads and the like; not of another text. set_name: runs
-- of a speed that can be shown side by side, by one code on one machine class. shared: 1 for an ok
-- run of an experiment that measures speed during which the machine was shared
CREATE VIEW cell_valid AS
WITH asked AS MATERIALIZED (
    SELECT c.plan, c.experiment, c.measures, c.rig, p.position, p.texts, k.key, k.same
    FROM current c JOIN plan p ON p.experiment = c.plan JOIN cell k ON k.key = p.cell),
matching AS MATERIALIZED (
    SELECT a.*, r.id AS run FROM asked a JOIN run r ON r.cell = a.key WHERE a.measures <> 'loss'
    UNION ALL
    SELECT a.*, r.id FROM asked a JOIN cell k ON k.same = a.same JOIN run r ON r.cell = k.key
    WHERE a.measures = 'loss')
SELECT a.experiment, a.plan, a.position, a.measures, r.id AS run, r.status = 'ok' AS ok,
    CASE a.measures WHEN 'loss' THEN f.fresh_loss ELSE f.fresh END AS fresh, m.rig = a.rig AS here,
    a.measures <> 'loss' AND r.status = 'ok'
        AND coalesce((SELECT shared FROM run_shared WHERE run = r.id), 0) > 0 AS shared,
    CASE f.fresh WHEN 1 THEN '' ELSE b.sha END || ' ' || m.rig AS set_name
FROM matching a JOIN run r ON r.id = a.run JOIN run_code f ON f.run = r.id
JOIN build b ON b.id = r.build JOIN machine m ON m.id = r.machine
WHERE a.texts = '' OR NOT EXISTS (SELECT 1 FROM text t WHERE t.run = r.id AND t.key = 'corpus_sha'
    AND t.value <> a.texts);

-- the run that stands for a cell. Of a loss: an ok one before others, of this code before older
-- ones, of this machine class before others, the last. Of a speed: the same within the set that
-- has most cells, this code before older ones, and one that had the machine to itself. A run that
-- shared it shows its loss where its budget counts tokens or steps, and nothing where it counts
-- seconds: the status is `shared` then. A run whose model sees the future (leak=) has the status
-- `unsound`, by which whatever shows runs that are `ok` leaves it out. left_out: how many runs
-- shared the machine; shared: 1 where the run that is shown did, so that its speed is left out.
-- older: 1 where it is of another code
CREATE VIEW cell_run AS
WITH valid AS MATERIALIZED (SELECT * FROM cell_valid),
shared AS MATERIALIZED (
    SELECT plan, position, count(*) AS left_out FROM valid WHERE shared GROUP BY plan, position),
sets AS MATERIALIZED (
    SELECT plan, set_name, row_number() OVER (PARTITION BY plan ORDER BY
        count(DISTINCT CASE WHEN ok AND NOT shared THEN position END) DESC, max(fresh) DESC,
        max(here) DESC, max(run) DESC) AS turn
    FROM valid WHERE measures <> 'loss' GROUP BY plan, set_name),
chosen AS MATERIALIZED (
    SELECT v.plan, v.position, v.run, v.fresh, v.shared,
        EXISTS (SELECT 1 FROM metric WHERE run = v.run AND name = 'unsound' AND value > 0)
            AS unsound, row_number() OVER (
        PARTITION BY v.plan, v.position
        ORDER BY v.ok DESC, v.shared, v.fresh DESC, v.here DESC, v.run DESC) AS turn
    FROM valid v LEFT JOIN sets s ON s.plan = v.plan AND s.set_name = v.set_name
    WHERE (v.measures = 'loss' OR s.turn = 1) AND NOT (v.shared AND NOT (
        SELECT b.counts_work FROM cell_budget b JOIN run r ON r.cell = b.cell WHERE r.id = v.run)))
SELECT c.experiment, c.plan, p.position, p.label, p.seed, p.cell,
    coalesce(m.cpu, c.cpu) AS cpu, coalesce(m.cores, c.cores) AS cores,
    coalesce(b.sha, c.build) AS build, coalesce(b.git, c.git) AS git, r.id AS run,
    CASE WHEN r.status = 'ok' AND h.unsound THEN 'unsound'
        ELSE coalesce(r.status, iif(x.left_out > 0, 'shared', 'new')) END AS status,
    CASE WHEN r.status = 'ok' AND h.unsound
        THEN 'its model looks ahead: its losses are none of a language model'
        WHEN coalesce(h.shared, r.id IS NULL) AND x.left_out > 0
        THEN 'its speed is not measured: ' || x.left_out || iif(x.left_out = 1,
            ' run shared the machine and is left out', ' runs shared the machine and are left out')
        ELSE coalesce(r.error, '') END AS error, r.wall_s, r.peak_rss_kb,
    1 - h.fresh AS older, coalesce(h.shared, 0) AS shared, coalesce(x.left_out, 0) AS left_out
FROM current c JOIN plan p ON p.experiment = c.plan
LEFT JOIN chosen h ON h.plan = p.experiment AND h.position = p.position AND h.turn = 1
LEFT JOIN shared x ON x.plan = p.experiment AND x.position = p.position
LEFT JOIN run r ON r.id = h.run LEFT JOIN machine m ON m.id = r.machine
LEFT JOIN build b ON b.id = r.build;

-- head and arithmetic as the experiment labels them, else as the settings say
CREATE VIEW cell_labelled AS
SELECT c.*,
       coalesce((SELECT level FROM label l WHERE l.experiment = c.plan AND l.position = c.position
           AND factor = 'head'),
                (SELECT value FROM config WHERE run = c.run AND key = 'head')) AS head,
       coalesce((SELECT level FROM label l WHERE l.experiment = c.plan AND l.position = c.position
           AND factor = 'arithmetic'),
                CASE (SELECT value FROM config WHERE run = c.run AND key = 'act') WHEN 'f32'
                    THEN 'dense f32'
                ELSE (SELECT value FROM text WHERE run = c.run AND key = 'kernel'
                    ORDER BY rowid DESC LIMIT 1) END) AS arithmetic
FROM cell_run c;

-- The mean seconds per step of each phase, from the raw spans: the first two steps (cold caches,
-- first touch) left out where there are more; to a picosecond. Of one run that is asked for, only
-- the spans of that run are read
CREATE VIEW span_mean_now AS
WITH f AS NOT MATERIALIZED (
    SELECT id AS run, min((SELECT max(step) FROM span WHERE run = run.id), 2 + coalesce((
        SELECT max(value) FROM metric WHERE run = run.id AND name = 'first_step'), 0))
            AS first_step
    FROM run)
SELECT (SELECT name FROM experiment WHERE id = r.experiment) AS experiment, r.id AS run, r.status,
    p.phase, n.first_step, n.steps, round(p.seconds / n.steps, 12) AS seconds
FROM run r
JOIN (SELECT f.run, f.first_step, count(DISTINCT s.step) AS steps
    FROM f JOIN span s ON s.run = f.run AND s.step >= f.first_step GROUP BY f.run) n ON n.run = r.id
JOIN (SELECT f.run, s.phase, total(s.seconds) AS seconds
    FROM f JOIN span s ON s.run = f.run AND s.step >= f.first_step
    GROUP BY f.run, s.phase) p ON p.run = r.id;

-- the same, as it was written when a run ended
CREATE VIEW span_mean AS
SELECT (SELECT name FROM experiment WHERE id = r.experiment) AS experiment, r.id AS run, r.status,
    p.phase, p.first_step, p.steps, p.seconds
FROM run r JOIN phase_mean p ON p.run = r.id;

CREATE VIEW run_phase AS
SELECT experiment, run, steps,
       total(seconds) FILTER (WHERE phase = 'data') AS data,
       total(seconds) FILTER (WHERE phase IN ('core.forward',
           'core.linear.forward', 'core.mix.forward')) AS core_forward,
       total(seconds) FILTER (WHERE phase IN ('core.backward',
           'core.linear.backward', 'core.mix.backward')) AS core_backward,
       total(seconds) FILTER (WHERE phase = 'core.update') AS core_update,
       total(seconds) FILTER (WHERE phase = 'other') AS other,
       total(seconds) FILTER (WHERE phase = 'head.forward') AS head_forward,
       total(seconds) FILTER (WHERE phase = 'head.backward') AS head_backward,
       total(seconds) FILTER (WHERE phase = 'head.update') AS head_update,
       -- of core_forward and core_backward: layers of weights, and what looks along the sequence
       total(seconds) FILTER (WHERE phase = 'core.linear.forward') AS linear_forward,
       total(seconds) FILTER (WHERE phase = 'core.linear.backward') AS linear_backward,
       total(seconds) FILTER (WHERE phase = 'core.mix.forward') AS mix_forward,
       total(seconds) FILTER (WHERE phase = 'core.mix.backward') AS mix_backward,
       total(seconds) AS step_s
FROM span_mean GROUP BY run;

CREATE VIEW phase AS
SELECT c.experiment, c.position, p.run, p.steps, p.data, p.core_forward, p.core_backward,
    p.core_update, p.other, p.head_forward,
       p.head_backward, p.head_update, p.linear_forward, p.linear_backward, p.mix_forward,
       p.mix_backward, p.step_s
FROM cell_run c JOIN run_phase p ON p.run = c.run WHERE NOT c.shared;

-- the numbers of a run as it said them last
CREATE VIEW number AS
SELECT experiment, position, run,
       max(value) FILTER (WHERE name = 'tokens_per_s') AS tokens_per_s,
       max(value) FILTER (WHERE name = 'supervised_per_s') AS supervised_per_s,
       max(value) FILTER (WHERE name = 'nll') AS nll,
       max(value) FILTER (WHERE name = 'nll_floor') AS nll_floor,
       max(value) FILTER (WHERE name = 'unigram') AS unigram,
       max(value) FILTER (WHERE name = 'bits_per_byte') AS bits_per_byte,
       max(value) FILTER (WHERE name = 'test_nll') AS test_nll,
       max(value) FILTER (WHERE name = 'test_nll_floor') AS test_nll_floor,
       max(value) FILTER (WHERE name = 'test_unigram') AS test_unigram,
       max(value) FILTER (WHERE name = 'test_bits_per_byte') AS test_bits_per_byte,
       max(value) FILTER (WHERE name = 'steps') AS steps,
       max(value) FILTER (WHERE name = 'tokens') AS tokens,
       max(value) FILTER (WHERE name = 'supervised') AS supervised,
       max(value) FILTER (WHERE name = 'seconds') AS seconds,
       max(value) FILTER (WHERE name = 'flops') AS flops,
       max(value) FILTER (WHERE name = 'params') AS params,
       max(value) FILTER (WHERE name = 'threads') AS threads,
       max(value) FILTER (WHERE name = 'classes_s') AS classes_s
-- the value of the row with the greatest step
FROM (SELECT c.experiment, c.position, c.run, m.name, m.value, max(m.step)
      FROM cell_run c JOIN metric m ON m.run = c.run
      WHERE NOT (c.shared AND m.name IN ('tokens_per_s', 'supervised_per_s'))
      GROUP BY c.experiment, c.position, m.name)
GROUP BY experiment, position;

-- one row per cell, whatever became of it; db_factors.c adds a column for each factor that is no
-- column yet, with the level of the cell. head_share: head.forward + head.backward of the step;
-- v_share: with head.update. nll, nll_floor, unigram and bits_per_byte are of the text `split`:
-- 'test' where every ok run of the experiment that has a loss has one of the test text, else
-- 'valid', for all of them. valid_nll is what choices are made by
CREATE VIEW result AS
SELECT n.experiment, n.position, n.label, n.seed, n.head, n.arithmetic, n.status, n.error,
       n.tokens_per_s, n.supervised_per_s,
       (p.head_forward + p.head_backward) / p.step_s AS head_share,
       (p.head_forward + p.head_backward + p.head_update) / p.step_s AS v_share,
       CASE WHEN n.tested THEN n.test_nll ELSE n.nll END AS nll,
       CASE WHEN n.tested THEN n.test_nll_floor ELSE n.nll_floor END AS nll_floor,
       CASE WHEN n.tested THEN n.test_unigram ELSE n.unigram END AS unigram,
       CASE WHEN n.tested THEN n.test_bits_per_byte ELSE n.bits_per_byte END AS bits_per_byte,
       CASE WHEN n.tested THEN 'test' ELSE 'valid' END AS split, n.nll AS valid_nll,
       n.steps, n.tokens, n.supervised, n.seconds, n.flops, n.params,
       p.step_s, n.wall_s, n.peak_rss_kb,
       (SELECT value FROM text WHERE run = n.run AND key = 'kernel') AS kernel,
       (SELECT value FROM text WHERE run = n.run AND key = 'gemm') AS gemm,
       (SELECT value FROM text WHERE run = n.run AND key = 'gemm_core') AS gemm_core,
       (SELECT value FROM text WHERE run = n.run AND key = 'isa') AS isa,
       n.cpu, n.cores, n.build, n.git, n.older, n.left_out, n.run, n.cell /* factors */
FROM (SELECT c.*, x.tokens_per_s, x.supervised_per_s, x.nll, x.nll_floor, x.unigram,
          x.bits_per_byte, x.test_nll, x.test_nll_floor, x.test_unigram, x.test_bits_per_byte,
          x.steps, x.tokens, x.supervised, x.seconds, x.flops, x.params,
          min(CASE WHEN c.status = 'ok' AND x.nll IS NOT NULL THEN x.test_nll IS NOT NULL END)
              OVER (PARTITION BY c.experiment) AS tested
      FROM cell_labelled c
      LEFT JOIN number x ON x.experiment = c.experiment AND x.position = c.position) n
LEFT JOIN phase p ON p.experiment = n.experiment AND p.position = n.position
ORDER BY n.experiment, n.position;

-- per ok run: seconds of each phase per step
CREATE VIEW time_split_run AS
SELECT r.experiment, r.position, r.label, r.seed, r.head, r.arithmetic, p.data, p.core_forward,
    p.core_backward, p.core_update,
       p.other, p.head_forward, p.head_backward, p.head_update, p.linear_forward, p.linear_backward,
           p.step_s, p.steps, r.head_share, r.v_share, r.tokens_per_s,
       r.supervised_per_s, r.nll, r.nll_floor, r.split, r.kernel, r.cpu, r.cores, r.run
FROM result r JOIN phase p ON p.experiment = r.experiment AND p.position = r.position
WHERE r.status = 'ok'
ORDER BY r.experiment, r.position;

-- figure 1: per cell without its seed, shares of the step in percent, means over n runs; block:
-- number of the head, for spacing
CREATE VIEW time_split AS
SELECT experiment, head, arithmetic, label,
       dense_rank() OVER (PARTITION BY experiment ORDER BY first) - 1 AS block,
       row_number() OVER (PARTITION BY experiment ORDER BY first, min(position)) - 1 AS bar,
       100 * avg(data / step_s) AS data, 100 * avg(core_forward / step_s) AS core_forward,
       100 * avg(core_backward / step_s) AS core_backward,
           100 * avg(core_update / step_s) AS core_update,
       100 * avg(other / step_s) AS other, 100 * avg(head_forward / step_s) AS head_forward,
       100 * avg(head_backward / step_s) AS head_backward,
           100 * avg(head_update / step_s) AS head_update,
       100 * avg(linear_forward / step_s) AS linear_forward,
           100 * avg(linear_backward / step_s) AS linear_backward,
       100 * avg(head_share) AS head_share, 100 * avg(v_share) AS v_share,
           1000 * avg(step_s) AS step_ms,
       avg(tokens_per_s) AS tokens_per_s, avg(supervised_per_s) AS supervised_per_s, count(*) AS n,
           sum(steps) AS steps,
       max(cpu) AS cpu, max(cores) AS cores
FROM (SELECT *, min(position) OVER (PARTITION BY experiment, head) AS first FROM time_split_run)
GROUP BY experiment, label
ORDER BY experiment, bar;

-- validation loss as it fell, whichever text the experiment reports: one row per evaluation of an
-- ok run; line numbers the runs, colour the cells without their seed
CREATE VIEW curve AS
SELECT n.experiment, n.position, n.label, n.seed, n.head, n.arithmetic,
       dense_rank() OVER (PARTITION BY n.experiment ORDER BY n.first) AS colour,
       dense_rank() OVER (PARTITION BY n.experiment ORDER BY n.position) AS line, m.step,
       coalesce((SELECT max(value) FROM metric WHERE run = n.run AND name = 'eval_seconds'
           AND step = m.step),
                (SELECT max(value) FROM metric WHERE run = n.run AND name = 'seconds'
                    AND step = m.step)) AS seconds,
       coalesce((SELECT max(value) FROM metric WHERE run = n.run AND name = 'eval_tokens'
           AND step = m.step),
                (SELECT max(value) FROM metric WHERE run = n.run AND name = 'tokens'
                    AND step = m.step)) AS tokens,
       m.value AS nll, 'valid' AS split, x.unigram, x.nll_floor,
       (SELECT value FROM config WHERE run = n.run AND key = 'corpus') AS corpus, n.cpu, n.cores,
           n.run
FROM (SELECT *, min(position) OVER (PARTITION BY experiment, label) AS first FROM cell_labelled
    WHERE status = 'ok') n
JOIN metric m ON m.run = n.run AND m.name = 'nll'
JOIN number x ON x.experiment = n.experiment AND x.position = n.position
ORDER BY n.experiment, n.position, m.step;

-- losses of models that see the future beside those of sound ones, and the entropy of the text
-- (nll_floor, of the synthetic language), which no model can be below. row: of the cells without
-- their seed, in the order of the plan
CREATE VIEW leaks AS
SELECT experiment, position, label, seed, dense_rank() OVER (PARTITION BY experiment ORDER BY first)
    AS row, status = 'unsound' AS unsound, split, nll, nll_floor, nll - nll_floor AS above,
    unigram, cpu, cores, run
FROM (SELECT *, min(position) OVER (PARTITION BY experiment, label) AS first FROM result)
WHERE status IN ('ok', 'unsound') AND nll IS NOT NULL;

-- what training of a cell takes: memory, and days for 20 tokens a parameter; line: of the model
CREATE VIEW shapes AS
SELECT r.experiment, r.position, r.label, r.seed, m.value AS model,
    dense_rank() OVER (PARTITION BY r.experiment ORDER BY m.value) AS line, r.params,
    r.tokens_per_s, r.peak_rss_kb / 1024.0 AS peak_mb,
    20 * r.params / r.tokens_per_s / 86400 AS days, r.cpu, r.cores, r.run
FROM result r JOIN config m ON m.run = r.run AND m.key = 'model'
WHERE r.status = 'ok' AND r.tokens_per_s > 0
ORDER BY r.experiment, line, r.params;

-- a step by length of its sequences: percent of its time that attention, recurrences and
-- convolutions take (mix), the layers of weights (linear), and the output layer with its update
-- (head_part). line: of the model
CREATE VIEW length AS
SELECT r.experiment, r.position, r.label, r.seed, m.value AS model, r.head,
    dense_rank() OVER (PARTITION BY r.experiment ORDER BY m.value) AS line,
    CAST(t.value AS INTEGER) AS seq, r.tokens_per_s, r.step_s, r.peak_rss_kb / 1024.0 AS peak_mb,
    100 * (p.mix_forward + p.mix_backward) / p.step_s AS mix,
    100 * (p.linear_forward + p.linear_backward) / p.step_s AS linear,
    100 * (p.head_forward + p.head_backward + p.head_update) / p.step_s AS head_part,
    r.cpu, r.cores, r.run
FROM result r
JOIN config m ON m.run = r.run AND m.key = 'model'
JOIN config t ON t.run = r.run AND t.key = 'seq'
JOIN phase p ON p.experiment = r.experiment AND p.position = r.position
WHERE r.status = 'ok' AND r.tokens_per_s > 0
ORDER BY r.experiment, r.head, line, CAST(t.value AS INTEGER), r.seed;

-- training with fused (line 1) and with naive BitLinears (line 2), by size of the batch
CREATE VIEW bitlinear AS
SELECT r.experiment, r.position, r.label, r.seed, w.value AS bitlinear, CAST(b.value AS INTEGER)
    AS batch, 1 + (w.value = 'naive') AS line, r.tokens_per_s, r.step_s,
    r.peak_rss_kb / 1024.0 AS peak_mb, r.cpu, r.cores, r.run
FROM result r
JOIN config w ON w.run = r.run AND w.key = 'bitlinear'
JOIN config b ON b.run = r.run AND b.key = 'batch'
WHERE r.status = 'ok' AND r.tokens_per_s > 0
ORDER BY r.experiment, line, batch, r.seed;

-- losses on tokens that the synthetic language copied from `lag` tokens ago, within their window,
-- and what its own law loses on them. line: of the cells without their seed
CREATE VIEW context AS
SELECT r.experiment, r.position, r.label, r.seed, dense_rank() OVER (PARTITION BY r.experiment
    ORDER BY r.first) AS line, CAST(substr(m.name, 10) AS INTEGER) AS lag, m.value AS nll,
    f.value AS nll_floor, m.value - f.value AS above, n.value AS positions, r.cpu, r.cores, r.run
FROM (SELECT *, min(position) OVER (PARTITION BY experiment, label) AS first FROM result
    WHERE status = 'ok') r
JOIN metric m ON m.run = r.run AND m.name GLOB 'copy_nll:*'
    AND m.step = (SELECT max(step) FROM metric WHERE run = r.run AND name = m.name)
JOIN metric f ON f.run = r.run AND f.step = m.step AND f.name = 'copy_floor:' || substr(m.name, 10)
JOIN metric n ON n.run = r.run AND n.step = m.step
    AND n.name = 'copy_positions:' || substr(m.name, 10)
ORDER BY r.experiment, r.position, lag;

-- a number of an ok run per row, and its median over seeds
CREATE VIEW measure AS
SELECT r.experiment, r.position, r.label, r.seed, r.run, r.split, j.key AS name,
    CAST(j.value AS REAL) AS value
FROM result r, json_each(json_object(
    'tokens_per_s', tokens_per_s, 'supervised_per_s', supervised_per_s, 'head_share', head_share,
        'v_share', v_share,
    'nll', nll, 'valid_nll', valid_nll, 'nll_floor', nll_floor, 'bits_per_byte', bits_per_byte,
    'step_s', step_s, 'wall_s', wall_s,
    'peak_rss_kb', peak_rss_kb)) j
WHERE r.status = 'ok' AND j.value IS NOT NULL;

CREATE VIEW median AS
SELECT experiment, min(first) AS position, label, max(split) AS split, name,
    avg(value) AS value, n
FROM (SELECT *, row_number() OVER (PARTITION BY experiment, label, name ORDER BY value) AS i,
             count(*) OVER (PARTITION BY experiment, label, name) AS n,
             min(position) OVER (PARTITION BY experiment, label) AS first FROM measure)
WHERE i IN ((n + 1) / 2, (n + 2) / 2)
GROUP BY experiment, label, name;

-- one row per cell without its seed: medians over the n of its seeds that ended ok, not_ok did not
-- (or not yet); NULL where a run has no such number, so that no median is of fewer than n
CREATE VIEW summary AS
WITH planned AS (
    SELECT experiment, label, min(position) AS position, count(*) FILTER (WHERE status = 'ok') AS n,
        count(*) AS seeds
    FROM cell_run GROUP BY experiment, label)
SELECT p.experiment, p.label, p.n, p.seeds, p.seeds - p.n AS not_ok,
       max(m.value) FILTER (WHERE m.name = 'tokens_per_s') AS tokens_per_s,
       max(m.value) FILTER (WHERE m.name = 'supervised_per_s') AS supervised_per_s,
       max(m.value) FILTER (WHERE m.name = 'head_share') AS head_share,
       max(m.value) FILTER (WHERE m.name = 'v_share') AS v_share,
       max(m.value) FILTER (WHERE m.name = 'nll') AS nll,
       max(m.split) AS split,
       max(m.value) FILTER (WHERE m.name = 'valid_nll') AS valid_nll,
       max(m.value) FILTER (WHERE m.name = 'nll_floor') AS nll_floor,
       max(m.value) FILTER (WHERE m.name = 'bits_per_byte') AS bits_per_byte,
       max(m.value) FILTER (WHERE m.name = 'step_s') AS step_s,
       max(m.value) FILTER (WHERE m.name = 'wall_s') AS wall_s,
       max(m.value) FILTER (WHERE m.name = 'peak_rss_kb') AS peak_rss_kb
FROM planned p LEFT JOIN median m
    ON m.experiment = p.experiment AND m.label = p.label AND m.n = p.n
GROUP BY p.experiment, p.label ORDER BY p.experiment, p.position;

-- one row per cell of a run of `eightysix bench`: median over its rounds, beside the limit that
-- binds it; low, high: 95 %; disturbed: why its time is not to be believed, NULL: nothing says so
CREATE VIEW timing AS
SELECT 'bench' AS experiment, t.run, c.value AS kind, t.name, t.n AS rounds, t.ns AS median_ns,
       (SELECT value FROM metric WHERE run = t.run AND name = 'ci_low:' || t.name) AS low_ns,
       (SELECT value FROM metric WHERE run = t.run AND name = 'ci_high:' || t.name) AS high_ns,
       o.value / t.ns AS gops, b.value / t.ns AS gbs, o.value AS ops, b.value AS bytes,
           x.value AS "limit",
       100 * l.value / t.ns AS percent_of_limit, p.value AS prepare_ns, m.cpu, m.cores, r.started,
       d.value AS disturbed
FROM (SELECT run, name, n, avg(each) AS ns
      FROM (SELECT run, name, ns / iters AS each, row_number() OVER (PARTITION BY run, name
          ORDER BY ns / iters) AS i,
                   count(*) OVER (PARTITION BY run, name) AS n FROM sample)
      WHERE i IN ((n + 1) / 2, (n + 2) / 2) GROUP BY run, name) t
JOIN run r ON r.id = t.run
JOIN machine m ON m.id = r.machine
JOIN config c ON c.run = t.run AND c.key = 'bench'
LEFT JOIN metric o ON o.run = t.run AND o.name = 'ops:' || t.name
LEFT JOIN metric b ON b.run = t.run AND b.name = 'bytes:' || t.name
LEFT JOIN metric l ON l.run = t.run AND l.name = 'limit_ns:' || t.name
LEFT JOIN metric p ON p.run = t.run AND p.name = 'prepare_ns:' || t.name
LEFT JOIN text x ON x.run = t.run AND x.key = 'limit:' || t.name
LEFT JOIN text d ON d.run = t.run AND d.key = 'disturbed:' || t.name
ORDER BY t.run, t.name;

-- cells of `bench kernels`, the name taken apart:
-- <kernel>/<rows>x<cols>/n<n>/t<threads>[/b<bits>][/cold]; of each the one measured last with the
-- build and the rig of the last such run, one that was not disturbed where there is one; runs that
-- shared the machine are left out. So for either kind of machine: with NEON (`neon` 1) and without
CREATE VIEW kernel_seen AS
WITH last AS MATERIALIZED (
    SELECT r.build, m.rig, instr(m.isa, 'neon') > 0 AS neon, max(r.id)
    FROM run r JOIN config c ON c.run = r.id AND c.key = 'bench' AND c.value = 'kernels'
    JOIN machine m ON m.id = r.machine WHERE r.status = 'ok'
        AND coalesce((SELECT shared FROM run_shared WHERE run = r.id), 0) = 0
    GROUP BY instr(m.isa, 'neon') > 0),
seen AS (
    SELECT t.*, last.neon, max(iif(t.disturbed IS NULL, 1e12, 0) + t.run)
    FROM timing t JOIN run r ON r.id = t.run JOIN machine m
        ON m.id = r.machine JOIN last
    WHERE t.kind = 'kernels' AND r.build = last.build AND m.rig = last.rig AND r.status = 'ok'
        AND coalesce((SELECT shared FROM run_shared WHERE run = r.id), 0) = 0
        GROUP BY t.name, last.neon),
parts AS (
    SELECT *, substr(name, 1, instr(name, '/') - 1) AS kernel, substr(name, instr(name,
        '/') + 1) AS tail FROM seen),
shapes AS (
    SELECT *, substr(tail, 1, instr(tail, '/') - 1) AS shape, substr(tail, instr(tail,
        '/') + 1) || '/' AS rest FROM parts)
SELECT experiment, run, name, kernel, shape, CAST(shape AS INTEGER) AS rows, CAST(substr(shape,
    instr(shape, 'x') + 1) AS INTEGER) AS cols,
       CAST(substr(rest, 2) AS INTEGER) AS n, CAST(substr(rest, instr(rest,
           '/t') + 2) AS INTEGER) AS threads,
       CASE WHEN instr(rest, '/b') THEN CAST(substr(rest, instr(rest, '/b') + 2) AS INTEGER)
           ELSE 8 END AS bits,
       instr(rest, '/cold') > 0 AS cold, median_ns, gops, ops / high_ns AS gops_low,
           ops / low_ns AS gops_high, gbs,
       ops / bytes AS ops_per_byte, "limit", percent_of_limit, prepare_ns, rounds, cpu, cores,
       disturbed, neon, neon = (SELECT min(neon) FROM last) AS shown
FROM shapes;

-- those that figures and tables show: of machines without NEON where there are any, else with it
CREATE VIEW kernel_cell AS
SELECT experiment, run, name, kernel, shape, rows, cols, n, threads, bits, cold, median_ns, gops,
    gops_low, gops_high, gbs, ops_per_byte, "limit", percent_of_limit, prepare_ns, rounds, cpu,
    cores, disturbed
FROM kernel_seen WHERE shown;

-- those of machines with NEON, beside them; layout: i2 of i2_neon and i2_neon_dot, and so on
CREATE VIEW kernel_neon AS
SELECT substr(kernel, 1, instr(kernel || '_', '_') - 1) AS layout, experiment, run, name, kernel,
    shape, rows, cols, n, threads, bits, cold, median_ns, gops,
    gops_low, gops_high, gbs, ops_per_byte, "limit", percent_of_limit, prepare_ns, rounds, cpu,
    cores, disturbed
FROM kernel_seen WHERE neon;

-- what a run of `bench kernels` says of its kernels beside their cells. drawn 1: figures show it;
-- roof 1: the roofline too; sliced 1: its cost falls with the bits of the activations; chosen 1:
-- kernel=auto takes it, or it is the first of the float products. Runs recorded before 2026-12 did
-- not say it: theirs are the kernels that there were then, and no new kernel needs a line here.
CREATE VIEW bench_kernel AS
WITH bench AS (SELECT run FROM config WHERE key = 'bench' AND value = 'kernels'),
said AS MATERIALIZED (
    SELECT b.run, substr(m.name, 7) AS kernel, m.value AS drawn
    FROM bench b JOIN metric m ON m.run = b.run AND m.name GLOB 'drawn:*'),
before (kernel, drawn, roof, sliced, chosen) AS (VALUES
    ('i2_amx', 1, 1, 0, 0), ('i2_avx512', 1, 1, 0, 1), ('i2_avx2', 1, 1, 0, 0),
    ('i2_neon', 1, 1, 0, 1), ('i2_neon_dot', 1, 0, 0, 0), ('i2_scalar', 1, 1, 0, 0),
    ('t5_avx512', 1, 1, 0, 0), ('bits_avx512', 1, 1, 1, 0), ('bits_avx2', 0, 0, 1, 0),
    ('bits_neon', 1, 0, 1, 0), ('lut_avx512', 1, 1, 0, 0), ('lut_neon', 1, 0, 0, 0),
    ('ref', 1, 1, 0, 0), ('i8_amx', 1, 1, 0, 0), ('sgemm_amx', 1, 1, 0, 0),
    ('sgemm_dnnl', 1, 1, 0, 1), ('sgemm_openblas', 1, 1, 0, 0), ('u8s8_dnnl', 1, 0, 0, 0))
SELECT 'bench' AS experiment, s.run, s.kernel, s.drawn,
    s.drawn AND s.kernel NOT GLOB 'u8s8_*' AS roof,
    coalesce((SELECT max(value) FROM metric WHERE run = s.run AND name = 'sliced:' || s.kernel), 0)
        AS sliced,
    coalesce((SELECT max(value) FROM metric WHERE run = s.run AND name = 'chosen:' || s.kernel), 0)
        AS chosen
FROM said s
UNION ALL
SELECT 'bench', b.run, k.kernel, k.drawn, k.roof, k.sliced, k.chosen FROM bench b JOIN before k
WHERE NOT EXISTS (SELECT 1 FROM said WHERE run = b.run);

-- what the machine gave at most, as probed in the runs above: GOP/s, GB/s
CREATE VIEW peak AS
SELECT 'bench' AS experiment, substr(m.name, 6, instr(m.name, '/t') - 6) AS probe,
       CAST(substr(m.name, instr(m.name, '/t') + 2) AS INTEGER) AS threads,
           max(m.value) / 1e9 AS rate, m.run
FROM metric m WHERE m.name LIKE 'peak:%' AND m.run IN (SELECT run FROM kernel_cell) GROUP BY m.name;

-- figure: throughput against n, on all threads, hot; panel: 1 the narrow shape of FlashLM v3's GLU,
-- 2 a wide one; peaks as rows of their own, over all n
CREATE VIEW kernels AS
SELECT 'bench' AS experiment, k.panel, c.shape, dense_rank() OVER (PARTITION BY k.panel
    ORDER BY c.kernel) AS line, c.kernel AS label,
       0 AS is_peak, c.n, c.gops, c.gops_low, c.gops_high, c.threads, c.rounds, c.cpu, c.cores
FROM kernel_cell c JOIN (SELECT 1 AS panel, '683x256' AS shape UNION SELECT 2, '2560x2560') k
    ON k.shape = c.shape
JOIN bench_kernel b ON b.run = c.run AND b.kernel = c.kernel AND b.drawn
WHERE c.cold = 0 AND c.bits = 8 AND c.gops IS NOT NULL AND c.threads = (SELECT max(threads)
    FROM kernel_cell) AND c.disturbed IS NULL
UNION ALL
SELECT 'bench', k.panel, k.shape, 0, p.probe, 1, NULL, p.rate, p.rate, p.rate, p.threads, NULL,
    NULL, NULL
FROM peak p JOIN (SELECT 1 AS panel, '683x256' AS shape UNION SELECT 2, '2560x2560') k
WHERE p.threads = (SELECT max(threads) FROM kernel_cell) AND p.probe IN ('int8_amx', 'int8_vnni512',
    'int8_maddubs256', 'f32_fma512', 'f32_fma256', 'f32_fma_neon')
ORDER BY 2, 4, 7;

-- figure: operations a second against operations per byte of weights read; one row per cell, then
-- the roofs
CREATE VIEW roofline AS
SELECT 'bench' AS experiment, c.kernel AS label, 0 AS is_peak, c.shape, c.n, c.cold, c.ops_per_byte,
    c.gops, c.gbs, c."limit",
       c.percent_of_limit, c.threads, c.cpu, c.cores
FROM kernel_cell c
WHERE c.threads = (SELECT max(threads) FROM kernel_cell) AND c.bits = 8 AND c.gops IS NOT NULL
  AND c.disturbed IS NULL
  AND c.shape IN ('2560x2560', '4096x4096') AND (c.n > 1 OR c.cold OR c.shape = '2560x2560')
  AND EXISTS (SELECT 1 FROM bench_kernel b WHERE b.run = c.run AND b.kernel = c.kernel AND b.roof)
UNION ALL
SELECT 'bench', p.probe, 1, NULL, NULL, NULL, NULL, p.rate, p.rate, NULL, NULL, p.threads, NULL,
    NULL FROM peak p
WHERE p.threads = (SELECT max(threads) FROM kernel_cell);

-- figure: bit-sliced cost and model loss against activation bits; kind cost: time of a product
-- relative to the first row's; kind loss: nats above the first run with float activations of the
-- same seed
CREATE VIEW act_bits AS
WITH losses AS MATERIALIZED (
    SELECT experiment, position, seed, run, nll, tokens, cpu, cores FROM result
    WHERE status = 'ok')
SELECT n.experiment, 'loss' AS kind, 'bits ' || b.value AS label, CAST(b.value AS INTEGER) AS bits,
    n.seed,
       n.nll - (SELECT f.nll FROM losses f
                JOIN config a ON a.run = f.run AND a.key = 'act' AND a.value = 'f32'
                WHERE f.experiment = n.experiment AND f.seed = n.seed
                ORDER BY f.position LIMIT 1) AS value,
       NULL AS low, NULL AS high, n.tokens, n.cpu, n.cores
FROM losses n
JOIN config a ON a.run = n.run AND a.key = 'act' AND a.value = 'int8'
JOIN config b ON b.run = n.run AND b.key = 'act_bits'
UNION ALL
SELECT e.experiment, 'cost', c.kernel || ' ' || c.shape || ' n' || c.n, c.bits, NULL, c.gops,
    c.gops_low, c.gops_high, NULL, c.cpu, c.cores
FROM kernel_cell c JOIN (SELECT DISTINCT experiment FROM cell_run) e
JOIN bench_kernel b ON b.run = c.run AND b.kernel = c.kernel AND b.sliced
WHERE c.shape = '2560x2560' AND c.n = 512
    AND NOT c.cold
  AND c.threads = (SELECT max(threads) FROM kernel_cell) AND c.disturbed IS NULL
ORDER BY 1, 2, 3, 4;

-- one row per comparison of a gate (`eightysix regress`): shift, low, high and detectable are of ln
-- (time of head / time of base); NAME@control is base against its copy, NAME@canary against base
-- with a delay, quality:NAME and laws:NAME have none
CREATE VIEW gate AS
SELECT 'regress' AS experiment, r.id AS run, r.started, m.rig, b.value AS base, h.value AS head,
    substr(v.key, 9) AS bench,
       v.value AS verdict,
       (SELECT value FROM metric WHERE run = r.id AND name = 'shift:' || substr(v.key, 9)) AS shift,
       (SELECT value FROM metric WHERE run = r.id AND name = 'low:' || substr(v.key, 9)) AS low,
       (SELECT value FROM metric WHERE run = r.id AND name = 'high:' || substr(v.key, 9)) AS high,
       (SELECT value FROM metric WHERE run = r.id AND name = 'detectable:' || substr(v.key,
           9)) AS detectable,
       (SELECT value FROM metric WHERE run = r.id AND name = 'rounds:' || substr(v.key,
           9)) AS rounds,
       (SELECT value FROM metric WHERE run = r.id AND name = 'budget:' || substr(v.key,
           9)) AS budget
FROM text v
JOIN run r ON r.id = v.run
JOIN machine m ON m.id = r.machine
JOIN config b ON b.run = r.id AND b.key = 'base'
JOIN config h ON h.run = r.id AND h.key = 'head'
WHERE v.key LIKE 'verdict:%'
ORDER BY r.id, v.rowid;

-- the raw samples of gates, from which the same verdicts follow: position counts through the blocks
-- of a round
CREATE VIEW gate_sample AS
SELECT 'regress' AS experiment, run, substr(name, 1, instr(name, '@') - 1) AS bench, substr(name,
    instr(name, '@') + 1) AS side,
       round, position, ns / iters AS ns, iters
FROM sample WHERE instr(name, '@') > 0;

-- tokens/s of a cell over its seeds, which are its rounds: median, and the 95 % interval between
-- order statistics of stats.h. ranks: from how many values on which one from each end; below six no
-- interval covers so much, and all of them are taken. signature: every setting that can change the
-- speed and is not the default, which programs of before may not have had; but the threads: losses
-- can come from one, side by side, speeds from all
CREATE VIEW cell_speed AS
WITH ranks (from_n, low_rank) AS (VALUES (1, 1), (9, 2), (12, 3), (15, 4), (17, 5), (20, 6), (23,
    7), (25, 8), (28, 9), (30, 10),
    (33, 11), (35, 12), (37, 13), (40, 14)),
sorted AS (
    SELECT n.experiment, n.label, n.head, n.run, n.cpu, n.cores, n.build, x.tokens_per_s AS v,
        x.supervised_per_s AS s,
           row_number() OVER (PARTITION BY n.experiment, n.label ORDER BY x.tokens_per_s) AS i,
           row_number() OVER (PARTITION BY n.experiment, n.label ORDER BY x.supervised_per_s) AS j,
           count(*) OVER (PARTITION BY n.experiment, n.label) AS n,
               min(n.position) OVER (PARTITION BY n.experiment, n.label) AS first
    FROM cell_labelled n JOIN number x ON x.experiment = n.experiment AND x.position = n.position
    WHERE n.status = 'ok' AND x.tokens_per_s > 0),
ranked AS (SELECT *, (SELECT max(low_rank) FROM ranks WHERE from_n <= n) AS r FROM sorted),
medians AS (
    SELECT experiment, first AS position, label, head, n, r AS low_rank, min(run) AS one,
           avg(v) FILTER (WHERE i IN ((n + 1) / 2, (n + 2) / 2)) AS tokens_per_s,
           max(v) FILTER (WHERE i = r) AS tokens_low,
               max(v) FILTER (WHERE i = n + 1 - r) AS tokens_high,
           avg(s) FILTER (WHERE j IN ((n + 1) / 2, (n + 2) / 2)) AS supervised_per_s, cpu, cores,
               build
    FROM ranked GROUP BY experiment, label)
SELECT experiment, position, label, head, n, low_rank, tokens_per_s, tokens_low, tokens_high,
    supervised_per_s,
       (SELECT coalesce(group_concat(word, ' '), '') FROM (SELECT config.key || '=' || value AS word
           FROM config
            JOIN run ON run.id = config.run JOIN cell ON cell.key = run.cell
            WHERE run.id = one AND instr(' ' || cell.spec || ' ',
                ' ' || config.key || '=' || value || ' ') AND config.key NOT IN (
            'budget', 'seed', 'schedule', 'warmup', 'decay', 'lr', 'lr_head', 'lr_normuon', 'eval',
                'eval_every', 'valid_tokens', 'from',
            'save', 'save_every', 'resume', 'threads') ORDER BY config.key)) AS signature,
       cpu, cores, build
FROM medians ORDER BY experiment, position;

-- time without noise: losses against tokens, of any experiment and under any load, over the
-- tokens/s of the experiment `speed`, where all settings that can change the speed are the same;
-- the CPU is that of the speeds
CREATE VIEW composed AS
WITH clean AS MATERIALIZED (SELECT * FROM cell_speed WHERE experiment = 'speed'),
     cells AS MATERIALIZED (SELECT experiment, label, signature FROM cell_speed)
SELECT v.experiment, v.position, v.label, v.head, v.seed, v.colour, v.line, v.step, v.tokens, v.nll,
       v.tokens / s.tokens_per_s AS seconds, v.tokens / s.tokens_high AS seconds_low,
           v.tokens / s.tokens_low AS seconds_high,
       v.split, v.seconds AS seconds_measured, s.n AS rounds, v.unigram, v.nll_floor, v.corpus,
           s.cpu,
           s.cores, s.build AS speed_build
FROM curve v JOIN cells c ON c.experiment = v.experiment AND c.label = v.label
JOIN clean s ON s.signature = c.signature
ORDER BY v.experiment, v.position, v.step;

-- mean over the seeds of a cell, evaluation by evaluation, as far as all seeds came; low, high: the
-- least and the most
CREATE VIEW mean_curve AS
WITH numbered AS (
    SELECT v.*, s.seconds AS clean, s.seconds_low AS clean_low, s.seconds_high AS clean_high,
           row_number() OVER (PARTITION BY v.experiment, v.position ORDER BY v.step) AS evaluation
    FROM curve v LEFT JOIN composed s ON s.experiment = v.experiment AND s.position = v.position
        AND s.step = v.step),
means AS (
    SELECT experiment, label, head, min(position) AS position, min(colour) AS line, evaluation,
        count(*) AS n, avg(seconds) AS seconds,
           avg(tokens) AS tokens, avg(nll) AS nll, max(split) AS split,
           min(nll) AS low, max(nll) AS high,
               avg(clean) AS clean_seconds,
           avg(clean_low) AS clean_low, avg(clean_high) AS clean_high, max(unigram) AS unigram,
               max(nll_floor) AS nll_floor,
           max(corpus) AS corpus, max(cpu) AS cpu, max(cores) AS cores
    FROM numbered GROUP BY experiment, label, evaluation)
SELECT * FROM means m WHERE n = (SELECT max(n) FROM means WHERE experiment = m.experiment
    AND label = m.label)
ORDER BY experiment, line, evaluation;

-- figures: loss against seconds, and against tokens
CREATE VIEW equal_time AS SELECT * FROM mean_curve;
CREATE VIEW equal_tokens AS SELECT * FROM mean_curve;

-- figure: what a head costs in loss and gives in speed, one row per cell without its seed; the
-- speed by the experiment `speed` where it measured this cell, else of the runs themselves
CREATE VIEW pareto AS
WITH clean AS MATERIALIZED (SELECT * FROM cell_speed WHERE experiment = 'speed'),
    own AS MATERIALIZED (SELECT * FROM cell_speed)
SELECT o.experiment, o.position, o.label, o.head, r.n, r.nll, r.nll_low, r.nll_high, r.split,
       r.valid_nll,
       coalesce(c.tokens_per_s, o.tokens_per_s) AS tokens_per_s, coalesce(c.tokens_low,
           o.tokens_low) AS tokens_low,
       coalesce(c.tokens_high, o.tokens_high) AS tokens_high, c.n AS rounds, r.tokens, r.unigram,
       (SELECT value FROM config WHERE run = r.run AND key = 'corpus') AS corpus, o.cpu, o.cores
FROM own o
JOIN (SELECT experiment, label, count(*) AS n, avg(nll) AS nll, min(nll) AS nll_low,
    max(nll) AS nll_high, max(split) AS split, avg(valid_nll) AS valid_nll, avg(tokens) AS tokens,
             max(unigram) AS unigram, max(run) AS run
      FROM result WHERE status = 'ok' AND nll IS NOT NULL GROUP BY experiment, label) r
          ON r.experiment = o.experiment AND r.label = o.label
LEFT JOIN clean c ON c.signature = o.signature
ORDER BY o.experiment, o.position;

-- figure: the speed of every engine, one row per cell without its seed; task: the levels of the
-- other factors; place, line: numbers of the task and of the engine, in the order of the plan
CREATE VIEW peers AS
SELECT experiment, position, label, task, engine,
    dense_rank() OVER (PARTITION BY experiment ORDER BY first) AS place,
    dense_rank() OVER (PARTITION BY experiment ORDER BY engine_first) AS line,
    n, tokens_per_s, tokens_low, tokens_high, cpu, cores
FROM (
    SELECT *, min(position) OVER (PARTITION BY experiment, task) AS first,
        min(position) OVER (PARTITION BY experiment, engine) AS engine_first
    FROM (
        SELECT s.*, l.level AS engine,
            trim(replace(' ' || s.label || ' ', ' engine=' || l.level || ' ', ' ')) AS task
        FROM cell_speed s JOIN current c ON c.experiment = s.experiment
        JOIN label l ON l.experiment = c.plan AND l.position = s.position
            AND l.factor = 'engine'))
ORDER BY experiment, position;

-- figure: speed and share of the head against the size of the vocabulary, medians over the seeds
CREATE VIEW vocab AS
SELECT s.experiment, s.position, s.label, s.head, dense_rank() OVER (PARTITION BY s.experiment
    ORDER BY s.first) AS line,
       CAST(s.V AS INTEGER) AS V, s.n, s.tokens_per_s, s.tokens_low, s.tokens_high,
       (SELECT value FROM median m WHERE m.experiment = s.experiment AND m.label = s.label
           AND m.name = 'head_share') AS head_share,
       s.cpu, s.cores
FROM (SELECT s.*, min(s.position) OVER (PARTITION BY s.experiment, s.head) AS first,
             (SELECT max(m.value) FROM cell_run c JOIN metric m ON m.run = c.run AND m.name = 'V'
              WHERE c.experiment = s.experiment AND c.label = s.label) AS V FROM cell_speed s) s
ORDER BY s.experiment, line, V;

-- phases of a step against what the rig allows at the peaks probed on it (best rounds of all
-- threads): forward a third and backward two thirds of the FLOPs that model and head count; updates
-- by their bytes, those of AdamW with EMA and of clearing gradients, 40 a parameter, and after them
-- the FLOPs of Newton-Schulz. Means over the runs of a cell; NULL: no probes on this rig, or of
-- updates no FLOPs recorded
CREATE VIEW phase_limit AS
WITH rate AS MATERIALIZED (
    SELECT m.rig, 1e9 * max(s.ops / s.ns) FILTER (WHERE s.name LIKE 'f32_fma%/t' || m.cores)
        AS flops,
           1e9 * max(s.bytes / s.ns) FILTER (WHERE s.name = 'triad_dram/t' || m.cores) AS bytes
    FROM bench_sample s JOIN run r ON r.id = s.run JOIN machine m ON m.id = r.machine
        GROUP BY m.rig),
cell AS MATERIALIZED (
    SELECT n.experiment, n.label, n.head, min(n.position) AS position, count(*) AS n, m.rig, n.cpu,
        n.cores,
           avg(p.core_forward) AS core_forward, avg(p.core_backward) AS core_backward,
               avg(p.head_forward) AS head_forward,
           avg(p.head_backward) AS head_backward, avg(p.core_update + p.head_update) AS updates,
               avg(x.tokens / x.steps) AS tokens,
           avg(x.params) AS params, avg((SELECT value FROM metric WHERE run = n.run
               AND name = 'core_flops')) AS core_flops,
           avg((SELECT value FROM metric WHERE run = n.run AND name = 'head_flops')) AS head_flops,
           avg((SELECT value FROM metric WHERE run = n.run
               AND name = 'update_flops')) AS update_flops
    FROM cell_labelled n JOIN phase p ON p.experiment = n.experiment AND p.position = n.position
    JOIN number x ON x.experiment = n.experiment AND x.position = n.position
    JOIN run r ON r.id = n.run JOIN machine m ON m.id = r.machine
    WHERE n.status = 'ok' GROUP BY n.experiment, n.label, m.rig),
phases AS (
    SELECT 1 AS k, 'core forward' AS phase, core_forward AS seconds,
        core_flops * tokens / 3 AS flops, 0 AS bytes, cell.* FROM cell UNION ALL
    SELECT 2, 'core backward', core_backward, core_flops * tokens * 2 / 3, 0, cell.* FROM cell
        UNION ALL
    SELECT 3, 'head forward', head_forward, head_flops * tokens / 3, 0, cell.* FROM cell UNION ALL
    SELECT 4, 'head backward', head_backward, head_flops * tokens * 2 / 3, 0, cell.* FROM cell
        UNION ALL
    SELECT 5, 'updates', updates, update_flops, 40 * params, cell.* FROM cell)
SELECT p.experiment, p.position, p.label, p.head, p.k, p.phase, p.n, 1000 * p.seconds AS ms,
       1000 * (p.flops / r.flops + p.bytes / r.bytes) AS limit_ms,
       100 * (p.flops / r.flops + p.bytes / r.bytes) / p.seconds AS percent, p.cpu, p.cores
FROM phases p LEFT JOIN rate r ON r.rig = p.rig ORDER BY p.experiment, p.position, p.k;

-- figure: speed-up over the full softmax at all positions, on four clocks: seconds per token read,
-- seconds per supervised position, FLOPs per token read, seconds to the loss that the softmax ends
-- with (clean seconds where there are some; between evaluations by straight lines; NULL: not
-- reached; at_least 1: below it at its first evaluation already). Of the first clock, bound: a head
-- that costs nothing, no update either (Amdahl); roofline: one whose FLOPs run at the best rate of
-- the dense products that `bench` measured on this CPU (NULL: none), with the softmax's update
CREATE VIEW clocks AS
WITH speed AS MATERIALIZED (
    SELECT experiment, label, supervised_per_s / tokens_per_s AS supervised FROM cell_speed),
flops AS MATERIALIZED (
    SELECT c.experiment, c.label, max(m.value) FILTER (WHERE m.name = 'core_flops') AS core_flops,
        max(m.value) FILTER (WHERE m.name = 'head_flops') AS head_flops
    FROM cell_run c JOIN metric m ON m.run = c.run AND m.name IN ('core_flops', 'head_flops')
    GROUP BY c.experiment, c.label),
share AS MATERIALIZED (
    SELECT experiment, label, max(value) FILTER (WHERE name = 'head_share') AS share,
        max(value) FILTER (WHERE name = 'v_share') AS v_share
    FROM median WHERE name IN ('head_share', 'v_share') GROUP BY experiment, label),
cell AS MATERIALIZED (
    SELECT p.*, s.supervised, f.core_flops, f.head_flops
    FROM pareto p
    LEFT JOIN speed s ON s.experiment = p.experiment AND s.label = p.label
    LEFT JOIN flops f ON f.experiment = p.experiment AND f.label = p.label),
base AS MATERIALIZED (
    SELECT c.*, h.share, h.v_share
    FROM cell c LEFT JOIN share h ON h.experiment = c.experiment AND h.label = c.label
    WHERE c.head = 'softmax' AND c.supervised > 0.999),
path AS MATERIALIZED (
    SELECT experiment, label, coalesce(clean_seconds, seconds) AS t, nll,
           lag(coalesce(clean_seconds, seconds)) OVER w AS t0, lag(nll) OVER w AS nll0
    FROM mean_curve WINDOW w AS (PARTITION BY experiment, label ORDER BY evaluation)),
reached AS MATERIALIZED (
    SELECT p.experiment, p.label, p.nll0 IS NULL AS first,
           min(CASE WHEN p.nll0 > b.valid_nll
               THEN p.t0 + (p.nll0 - b.valid_nll) / (p.nll0 - p.nll) * (p.t - p.t0) ELSE p.t END)
               AS t
    FROM path p JOIN base b ON b.experiment = p.experiment WHERE p.nll <= b.valid_nll + 1e-9
        GROUP BY p.experiment, p.label),
rate AS MATERIALIZED (
    SELECT cpu, cores, max(gops) * 1e9 AS flops FROM timing WHERE name LIKE 'sgemm%/t' || cores
        GROUP BY cpu, cores),
clock (clock, name) AS (VALUES (1, 'time per token'), (2, 'time per position'), (3,
    'FLOPs per token'), (4, 'time to equal loss'))
SELECT c.experiment, c.position, c.label, c.head, k.clock, k.name,
       CASE k.clock WHEN 1 THEN c.tokens_per_s / b.tokens_per_s
                    WHEN 2 THEN c.supervised * c.tokens_per_s / (b.supervised * b.tokens_per_s)
                    WHEN 3 THEN (b.core_flops + b.head_flops) / (c.core_flops + c.head_flops)
                    ELSE (SELECT t FROM reached WHERE experiment = b.experiment
                        AND label = b.label) /
                         (SELECT t FROM reached WHERE experiment = c.experiment
                             AND label = c.label) END AS value,
       CASE k.clock WHEN 4 THEN (SELECT first FROM reached WHERE experiment = c.experiment
           AND label = c.label) END AS at_least,
       CASE k.clock WHEN 1 THEN c.tokens_low / b.tokens_high END AS low, CASE k.clock WHEN 1
           THEN c.tokens_high / b.tokens_low END AS high,
       1 / (1 - b.v_share) AS bound,
       1 / (1 - b.share + c.head_flops * b.tokens_per_s / (SELECT flops FROM rate r
           WHERE r.cpu = c.cpu AND r.cores = c.cores)) AS roofline,
       c.corpus, c.cpu, c.cores
FROM cell c JOIN base b ON b.experiment = c.experiment JOIN clock k
WHERE c.label <> b.label ORDER BY c.experiment, c.position, k.clock;

-- figure: loss of heads refitted on the same hidden states (`headlab`), all words (decile 0) and by
-- frequency (1: the most frequent); class: what the first level takes; anchor: 1 for unigram and
-- bigram
CREATE VIEW anatomy AS
WITH fits AS MATERIALIZED (SELECT c.*, min(c.position) OVER (PARTITION BY c.experiment) AS first
    FROM cell_run c WHERE c.status = 'ok'),
rows AS (
    SELECT f.experiment, f.position, f.label, 0 AS anchor, m.step AS decile, m.value AS nll,
           (SELECT value FROM metric WHERE run = f.run AND name = 'decile.class_nll'
               AND step = m.step) AS class_nll,
           (SELECT value FROM metric WHERE run = f.run AND name = 'decile.tokens'
               AND step = m.step) AS tokens, f.run, f.cpu, f.cores
    FROM fits f JOIN metric m ON m.run = f.run AND m.name = 'decile.nll'
    UNION ALL
    SELECT f.experiment, -1, substr(m.name, 8), 1, m.step, m.value, NULL,
           (SELECT value FROM metric WHERE run = f.run AND name = 'decile.tokens'
               AND step = m.step), f.run, f.cpu, f.cores
    FROM fits f JOIN metric m ON m.run = f.run AND m.name IN ('decile.unigram', 'decile.bigram')
        WHERE f.position = f.first)
SELECT experiment, position, label, anchor, dense_rank() OVER (PARTITION BY experiment
    ORDER BY anchor, position, label) AS line, decile,
       nll, class_nll, nll - class_nll AS within_nll, tokens, (SELECT value FROM config
           WHERE run = rows.run AND key = 'corpus') AS corpus, cpu, cores
FROM rows ORDER BY experiment, anchor, position, label, decile;

-- what a run was: one row per run, whatever became of it
CREATE VIEW provenance AS
SELECT coalesce(e.name, '') AS experiment, r.id AS run, r.uuid, r.cell, c.spec, r.status, r.started,
    r.wall_s, b.sha AS build, b.git,
       b.dirty, b.compiler, b.flags, m.rig, m.kernel, m.hostname,
       (SELECT value FROM text WHERE run = r.id AND key = 'corpus_sha'
           ORDER BY rowid DESC LIMIT 1) AS corpus_sha,
       (SELECT value FROM config WHERE run = r.id AND key = 'corpus') AS corpus,
       (SELECT counts_tokens FROM cell_budget WHERE cell = r.cell) AS counts_tokens,
       CASE e.measures WHEN 'loss' THEN f.fresh_loss ELSE f.fresh END AS fresh,
       (SELECT group_concat(substr(t.key, 6), ' ') FROM text t
        LEFT JOIN part_now p ON p.part = substr(t.key, 6)
        WHERE t.run = r.id AND t.key GLOB 'part:*' AND t.value IS NOT p.sha) AS changed_parts
FROM run r JOIN cell c ON c.key = r.cell JOIN run_code f ON f.run = r.id
JOIN build b ON b.id = r.build JOIN machine m ON m.id = r.machine
LEFT JOIN experiment e ON e.id = r.experiment
ORDER BY r.id;

-- every plan, whether views show it (shown) or a later one of its name and variant. ok: cells for
-- which a run of the same settings and text ended ok, by whatever code; failed: those for which
-- runs only failed
CREATE VIEW plan_list AS
WITH matching AS MATERIALIZED (
    SELECT p.experiment AS plan, p.position, p.texts, r.id AS run, r.status
    FROM experiment e JOIN plan p ON p.experiment = e.id JOIN run r ON r.cell = p.cell
    WHERE e.measures <> 'loss'
    UNION ALL
    SELECT p.experiment, p.position, p.texts, r.id, r.status
    FROM experiment e JOIN plan p ON p.experiment = e.id JOIN cell k ON k.key = p.cell
    JOIN cell s ON s.same = k.same JOIN run r ON r.cell = s.key WHERE e.measures = 'loss'),
state AS MATERIALIZED (
    SELECT plan, position, max(status = 'ok') AS ok,
        max(status IN ('fail', 'crash', 'timeout', 'oom')) AS failed
    FROM matching m WHERE texts = '' OR NOT EXISTS (SELECT 1 FROM text t WHERE t.run = m.run
        AND t.key = 'corpus_sha' AND t.value <> m.texts)
    GROUP BY plan, position),
counted AS (SELECT plan, total(ok) AS ok, total(failed AND NOT ok) AS failed FROM state
    GROUP BY plan)
SELECT u.experiment, e.id AS plan, e.name, e.variant, u.plan = e.id AS shown, e.planned, e.note,
    e.measures, substr(b.git, 1, 7) || CASE WHEN b.dirty THEN ' and changes' ELSE '' END
        AS "commit", m.hostname, m.rig,
    (SELECT count(*) FROM plan p WHERE p.experiment = e.id) AS cells,
    CAST(coalesce(c.ok, 0) AS INTEGER) AS ok, CAST(coalesce(c.failed, 0) AS INTEGER) AS failed
FROM experiment e JOIN build b ON b.id = e.build JOIN machine m ON m.id = e.machine
JOIN current u ON u.plan = (SELECT max(id) FROM experiment x WHERE x.name = e.name
    AND x.variant = e.variant)
LEFT JOIN counted c ON c.plan = e.id ORDER BY e.id;

-- a run, whatever became of it, with the numbers that it said last. sitting: the process that ran
-- it; the runs of one follow one another on one machine; NULL: not recorded
CREATE VIEW run_list AS
SELECT coalesce((SELECT name FROM experiment WHERE id = r.experiment), '') AS experiment,
    r.id AS run, r.uuid, r.cell, c.spec,
    (SELECT CAST(value AS INTEGER) FROM config WHERE run = r.id AND key = 'seed') AS seed,
    r.status, r.error, r.started, r.wall_s, r.peak_rss_kb,
    (SELECT value FROM metric WHERE run = r.id AND name = 'nll' ORDER BY step DESC LIMIT 1) AS nll,
    (SELECT value FROM metric WHERE run = r.id AND name = 'tokens_per_s'
        ORDER BY step DESC LIMIT 1) AS tokens_per_s,
    p.step_s, (p.head_forward + p.head_backward) / p.step_s AS head_share,
    (SELECT value FROM text WHERE run = r.id AND key = 'corpus_sha' ORDER BY rowid DESC LIMIT 1)
        AS corpus_sha,
    b.git, m.rig, m.hostname,
    m.hostname || ' ' || nullif(r.sweeper, 0) || ' ' || r.sweeper_start AS sitting
FROM run r JOIN cell c ON c.key = r.cell JOIN build b ON b.id = r.build
JOIN machine m ON m.id = r.machine LEFT JOIN run_phase p ON p.run = r.id ORDER BY r.id;

-- the parts of the program that a run executed, and their hashes
CREATE VIEW run_part AS
SELECT (SELECT name FROM experiment e WHERE e.id = r.experiment) AS experiment, r.id AS run,
    substr(t.key, 6) AS part, t.value AS sha
FROM run r JOIN text t ON t.run = r.id WHERE t.key GLOB 'part:*' ORDER BY r.id, t.rowid;

-- recorded verdicts on claims, and what each follows from
CREATE VIEW judged AS
SELECT 'claims' AS experiment, v.id, v.name, v.verdict, v.value, v.low, v.high,
    v.sentence AS definition, v.runs, b.sha AS build,
       b.git, m.rig, v.decided
FROM verdict v JOIN build b ON b.id = v.build JOIN machine m ON m.id = v.machine
ORDER BY v.id;

-- raw samples of `eightysix bench`: ns of one iteration; rounds of a run are interleaved, so cells
-- of a round are pairs. Not of cells that were disturbed, nor of runs that shared the machine
CREATE VIEW bench_sample AS
SELECT 'bench' AS experiment, s.run, c.value AS kind, s.name, s.round, s.ns / s.iters AS ns,
       (SELECT value FROM metric WHERE run = s.run AND name = 'ops:' || s.name) AS ops,
       (SELECT value FROM metric WHERE run = s.run AND name = 'bytes:' || s.name) AS bytes
FROM sample s JOIN run r ON r.id = s.run AND r.status = 'ok'
JOIN config c ON c.run = s.run AND c.key = 'bench'
WHERE NOT EXISTS (SELECT 1 FROM text d WHERE d.run = s.run AND d.key = 'disturbed:' || s.name)
    AND coalesce((SELECT shared FROM run_shared WHERE run = s.run), 0) = 0
ORDER BY s.run, s.name, s.round;

-- every evaluation on four clocks; supervised positions and FLOPs are in proportion to tokens
-- within a run
CREATE VIEW clock_curve AS
SELECT c.experiment, c.position, c.label, c.seed, c.head, c.step, c.nll, c.split, c.corpus,
    c.seconds, c.tokens,
       c.tokens * x.supervised / x.tokens AS supervised, c.tokens * x.flops / x.tokens AS flops,
           c.run
FROM curve c JOIN number x ON x.experiment = c.experiment AND x.position = c.position;

-- pairs of runs of one experiment, corpus and seed: the last loss of base, and how many times less
-- of each clock the other had spent at its first evaluation at or below that loss; 0: it never got
-- there
CREATE VIEW time_to_loss AS
WITH last AS (SELECT *, max(step) FROM clock_curve GROUP BY experiment, position)
SELECT b.experiment, b.seed, b.corpus, b.label AS base_label, o.label, o.head, b.nll,
    b.split, coalesce(b.seconds / t.seconds, 0) AS by_seconds,
       coalesce(b.tokens / t.tokens, 0) AS by_tokens, coalesce(b.supervised / t.supervised,
           0) AS by_supervised,
       coalesce(b.flops / t.flops, 0) AS by_flops, b.run AS run_base, o.run AS run
FROM last b JOIN last o ON o.experiment = b.experiment AND o.seed = b.seed AND o.corpus = b.corpus
    AND o.position <> b.position
LEFT JOIN clock_curve t ON t.experiment = o.experiment AND t.position = o.position AND t.step = (
    SELECT min(step) FROM clock_curve WHERE experiment = o.experiment AND position = o.position
        AND nll <= b.nll);

-- cells of `bench heads`, <head>/V<V>/d<d>/n<n>/t<threads>: forward and backward of n positions; of
-- each the one measured last with the build and the rig of the last such run; over_sgemm3: times
-- the three bare products of the same run. One that was not disturbed where there is one; runs that
-- shared the machine are left out
CREATE VIEW head_cell AS
WITH last AS (
    SELECT r.build, m.rig FROM run r JOIN config c ON c.run = r.id AND c.key = 'bench'
        AND c.value = 'heads'
    JOIN machine m ON m.id = r.machine WHERE r.status = 'ok'
        AND coalesce((SELECT shared FROM run_shared WHERE run = r.id), 0) = 0
    ORDER BY r.id DESC LIMIT 1),
seen AS MATERIALIZED (
    SELECT t.*, substr(t.name, 1, instr(t.name, '/') - 1) AS head, substr(t.name, instr(t.name,
        '/n') + 2) || '/' AS rest, max(iif(t.disturbed IS NULL, 1e12, 0) + t.run)
    FROM timing t JOIN run r ON r.id = t.run JOIN machine m ON m.id = r.machine JOIN last
    WHERE t.kind = 'heads' AND r.build = last.build AND m.rig = last.rig AND r.status = 'ok'
        AND coalesce((SELECT shared FROM run_shared WHERE run = r.id), 0) = 0
        GROUP BY t.name)
SELECT 'bench heads' AS experiment, s.run, s.name, s.head, CAST(s.rest AS INTEGER) AS n,
       CAST(substr(s.rest, instr(s.rest, '/t') + 2) AS INTEGER) AS threads, s.median_ns / 1e6 AS ms,
           s.low_ns / 1e6 AS ms_low,
       s.high_ns / 1e6 AS ms_high, s.gops, s.median_ns / g.median_ns AS over_sgemm3,
       (SELECT value FROM metric WHERE run = s.run AND name = 'memory:' || s.name) AS memory,
           s.rounds, s.cpu, s.cores, s.disturbed
FROM seen s LEFT JOIN seen g ON g.run = s.run AND g.head LIKE 'sgemm3%' AND g.rest = s.rest
ORDER BY s.name;

-- the runs that the figures and tables of an experiment show
CREATE VIEW figure_runs AS
SELECT experiment, run FROM cell_run WHERE run IS NOT NULL
UNION SELECT experiment, run FROM kernel_cell
UNION SELECT experiment, run FROM head_cell
UNION SELECT experiment, run FROM gate WHERE run = (SELECT max(run) FROM gate);

-- one row per plan that is shown: what became of its cells, by which commit, when and where;
-- left_out: runs of speeds that shared the machine; disturbed: cells of bench that were, and that
-- figures leave out
CREATE VIEW records AS
SELECT u.experiment, u.planned, substr(u.git, 1, 7) || CASE WHEN u.dirty THEN ' and changes'
    ELSE '' END AS "commit", u.cpu, u.cores,
       count(c.position) AS cells, count(*) FILTER (WHERE c.status = 'ok') AS ok,
           count(DISTINCT c.seed) AS seeds,
       (SELECT count(*) FROM figure_runs b WHERE b.experiment = u.experiment) AS runs,
           total(c.wall_s) AS seconds,
       CASE u.name WHEN 'bench' THEN (SELECT count(*) FROM run_shared s JOIN run r ON r.id = s.run
               WHERE s.experiment = 'bench' AND s.shared > 0 AND r.status = 'ok')
           ELSE coalesce(sum(c.left_out), 0) END AS left_out,
       CASE u.name WHEN 'bench' THEN (SELECT count(*) FROM kernel_cell WHERE disturbed IS NOT NULL)
               + (SELECT count(*) FROM head_cell WHERE disturbed IS NOT NULL) ELSE 0 END
           AS disturbed
FROM current u LEFT JOIN cell_run c ON c.plan = u.plan
GROUP BY u.experiment ORDER BY u.plan;

-- figure: what the rounds of a run of `bench kernels` took, each cell over its own median; kind
-- ratio: dense over ternary of the same round, over the median of that
CREATE VIEW rounds AS
WITH pair AS MATERIALIZED (
    SELECT t.run, substr(t.name, instr(t.name, '/') + 1) AS cell, t.round, t.ns AS ternary,
        d.ns AS dense, d.ns / t.ns AS ratio,
           (SELECT max(threads) FROM kernel_cell) AS threads
    FROM bench_kernel k JOIN bench_sample t
        ON t.run = k.run AND t.name LIKE k.kernel || '/683x256/n512/t%'
    JOIN bench_kernel f ON f.run = k.run AND f.chosen AND f.kernel GLOB 'sgemm_*'
    JOIN bench_sample d ON d.run = t.run AND d.round = t.round
     AND d.name = f.kernel || substr(t.name, instr(t.name, '/'))
    WHERE t.kind = 'kernels' AND k.chosen AND k.kernel NOT GLOB 'sgemm_*'
      AND t.run IN (SELECT run FROM kernel_cell WHERE name = t.name AND disturbed IS NULL
          AND threads = (SELECT max(threads) FROM kernel_cell))),
long AS (
    SELECT run, cell, round, 1 AS line, 'ternary' AS label, ternary AS value, threads FROM pair
    UNION ALL SELECT run, cell, round, 2, 'dense', dense, threads FROM pair
    UNION ALL SELECT run, cell, round, 3, 'their ratio', ratio, threads FROM pair),
ranked AS (
    SELECT *, row_number() OVER (PARTITION BY run, label ORDER BY value) AS i,
        count(*) OVER (PARTITION BY run, label) AS n FROM long),
middle AS (SELECT run, label, avg(value) AS value FROM ranked WHERE i IN ((n + 1) / 2, (n + 2) / 2)
    GROUP BY run, label)
SELECT 'bench' AS experiment, r.run, r.cell, r.line, r.label, r.round,
    r.value / m.value AS relative, r.n, r.threads,
       (SELECT max(cpu) FROM kernel_cell) AS cpu, (SELECT max(cores) FROM kernel_cell) AS cores
FROM ranked r JOIN middle m ON m.run = r.run AND m.label = r.label
ORDER BY r.run, r.line, r.round;

-- figure: recorded verdicts on claims, the last of each name, over what was claimed (where that is
-- a range, over its near end; least, most: of what is claimed, with its tolerance). Beside them the
-- host that decided
CREATE VIEW claim_ratio AS
WITH last AS (SELECT *, max(id) FROM judged GROUP BY name),
parts AS (
    SELECT *, json_extract(definition, '$.claimed.from') AS a, json_extract(definition,
        '$.claimed.to') AS b,
           json_extract(definition, '$.tolerance') AS tolerance FROM last)
SELECT 'claims' AS experiment, name AS label, verdict, value, low, high, value / coalesce(a,
    b) AS ratio, low / coalesce(a, b) AS ratio_low,
       high / coalesce(a, b) AS ratio_high, (a - tolerance) / coalesce(a, b) AS least,
           (b + tolerance) / coalesce(a, b) AS most, rig
FROM parts WHERE verdict <> 'not tested' ORDER BY id;

-- two cells of the same round of `bench kernels` that were not disturbed, in the run that stands
-- for the first: how many times the second takes, and the rate at which the first reads its weights
-- over that of the second
CREATE VIEW kernel_pair AS
SELECT 'bench' AS experiment, a.run, a.round, a.name, b.name AS base, b.ns / a.ns AS times,
    a.bytes / a.ns / (b.bytes / b.ns) AS of_rate
FROM bench_sample a JOIN bench_sample b ON b.run = a.run AND b.round = a.round
WHERE a.run = (SELECT run FROM kernel_cell k WHERE k.name = a.name AND k.disturbed IS NULL)
  AND NOT EXISTS (SELECT 1 FROM text WHERE run = b.run AND key = 'disturbed:' || b.name);

-- two cells of one experiment, seed by seed: nats above the second, and how many times faster its
-- steps are
CREATE VIEW seed_pair AS
SELECT h.experiment, h.seed, h.label, b.label AS base, h.nll, h.nll - b.nll AS nats,
    h.split, h.valid_nll, h.valid_nll - b.valid_nll AS valid_nats,
    b.step_s / h.step_s AS faster, h.run, b.run AS run_base
FROM result h JOIN result b ON b.experiment = h.experiment AND b.seed = h.seed
    AND b.position <> h.position
WHERE h.status = 'ok' AND b.status = 'ok';

-- a cell and the baseline of its experiment, seed by seed: nats above it, tokens/s over its; n: how
-- many pairs its label has
CREATE VIEW baseline_pair AS
SELECT o.experiment, o.position, o.label, o.seed, b.label AS base,
    count(*) OVER (PARTITION BY o.experiment, o.label) AS n, o.nll, o.nll - b.nll AS nats,
    o.tokens_per_s, o.tokens_per_s / b.tokens_per_s AS speed_ratio, o.run, b.run AS run_base
FROM result o JOIN current c ON c.experiment = o.experiment
JOIN label m ON m.experiment = c.plan AND m.factor = 'baseline'
JOIN result b ON b.experiment = o.experiment AND b.position = m.position AND b.seed = o.seed
    AND b.position <> o.position
WHERE o.status = 'ok' AND b.status = 'ok'
ORDER BY o.experiment, o.position;

-- the same views under their names of before: recorded definitions of claims and queries of users
-- have them
CREATE VIEW named AS SELECT * FROM cell_labelled;
CREATE VIEW chosen AS SELECT * FROM cell_run;
CREATE VIEW behind AS SELECT * FROM figure_runs;
CREATE VIEW reach AS SELECT * FROM time_to_loss;
