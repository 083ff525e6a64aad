#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Is anything lost, repeated or wrong when a sweep, its cell or a training is killed, or when the
# disk is full? All of it beside other work that keeps every core busy. Part of `make test-long`.
#
# usage: tests/kill_trial.sh [KILLS (200)] [FULL (50)] [SEED (1)]        after make
#
# KILLS  SIGKILL, SIGINT or SIGTERM at a random time, of a sweep, of the cell that it runs, or of a
#        training that saves and is started again
# FULL   sweeps whose disk gets full at a random time, half of them killed meanwhile. The disk is a
#        tmpfs of 16 MB where this user may mount one, if need be in a user namespace of its own;
#        else no file may grow beyond a random size (RLIMIT_FSIZE)
#
# After each, every ok run of before is there as it was, SQLite finds its file whole, and every loss
# is bit for bit that of a sweep or a training that nobody disturbed. In the end no cell has run
# twice, none is missing, and nothing is left beside the database.
# A line each in build/kill/trials.txt, and a table of them in the end.
# exit code: 0 nothing was found; 1 something was
set -eum                                  # m: with job control ^C reaches what runs beside us
cd "$(dirname "$0")/.."
kills=${1:-200} full=${2:-50} seed=${3:-1}
case "$kills$full$seed" in *[!0-9]*) sed -n 's/^# usage: //p' "$0" >&2; exit 2 ;; esac
command -v sqlite3 >/dev/null || { echo "kill_trial: expected the command sqlite3" >&2; exit 2; }
if [ "$full" -gt 0 ] && [ "$(id -u)" != 0 ] && [ -z "${KILL_TRIAL_INSIDE:-}" ] &&
    unshare --user --map-root-user --mount true 2>/dev/null; then
    KILL_TRIAL_INSIDE=1 exec unshare --user --map-root-user --mount "$0" "$kills" "$full" "$seed"
fi
RANDOM=$seed
program=$PWD/build/eightysix work=$PWD/build/kill
unset EIGHTYSIX_CELL_PROGRAM
export EIGHTYSIX_CACHE=$work/cache
mkdir -p "$work/cache" "$work/disk"
cd "$work"
rm -rf trial reference trials.txt
small="V=50 d=32 inner=32 train_tokens=2000 valid_tokens=64 seq=8 batch=1 accum=1 threads=1
       gemm=portable"
cat > x.yaml <<YAML
question: Does a sweep that is killed lose, repeat or change anything?
fixed: {V: 50, d: 32, inner: 32, train_tokens: 2000, valid_tokens: 64, seq: 8, batch: 1, accum: 1,
        threads: 1, gemm: portable}
factors: {head: [softmax, tree, huffman]}
seeds: 2
budget: 100steps
measures: loss
YAML

burners=() mounted=
clean() {
    local pid
    for pid in "${burners[@]}"; do
        kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null || true
    done
    if [ -n "$mounted" ]; then umount "$work/disk" || true; fi
}
trap clean EXIT

# ---- what is asked of a database ----
# The files are copied first: sqlite3 would finish what the killed process left undone.
ask() {     # DB SQL
    rm -rf asked && mkdir asked
    cp "$1" asked/x.db
    if [ -e "$1-wal" ]; then cp "$1-wal" asked/x.db-wal; fi
    sqlite3 asked/x.db "$2"
}
ok_runs="SELECT r.uuid, r.cell, r.wall_s, (SELECT count(*) FROM metric WHERE run = r.id),
    (SELECT count(*) FROM span WHERE run = r.id) FROM run r WHERE status = 'ok' ORDER BY 1"
losses() {  # DB WHERE: every loss, by the settings of its run
    ask "$1" "SELECT c.spec, m.name, m.step, printf('%.17g', m.value) FROM run r JOIN cell c
        ON c.key = r.cell JOIN metric m ON m.run = r.id WHERE m.name IN ('loss', 'nll') AND $2" |
        LC_ALL=C sort -u
}

found=0 verdict=ok
wrong() {
    [ "$verdict" = ok ] && verdict="WRONG: $*" || verdict="$verdict; $*"
    found=$((found + 1))
}
# After a trial: DB REFERENCE WHERE
look() {
    [ -e "$1" ] || return 0
    local said
    said=$(ask "$1" "PRAGMA integrity_check")
    [ "$said" = ok ] || wrong "integrity_check: $said"
    # killed before its tables were made
    if [ ! -s known.txt ] && [ "$(ask "$1" "PRAGMA user_version")" = 0 ]; then return 0; fi
    ask "$1" "$ok_runs" > now.txt
    if [ -n "$(LC_ALL=C comm -23 known.txt now.txt)" ]; then wrong "an ok run is gone"; fi
    cp now.txt known.txt
    losses "$1" "$3" > losses.txt
    if [ -n "$(LC_ALL=C comm -23 losses.txt "$2")" ]; then wrong "another loss"; fi
    said=$(ask "$1" "SELECT count(*) FROM (SELECT 1 FROM run r JOIN experiment e
        ON e.id = r.experiment AND e.name = 'x' WHERE status = 'ok' GROUP BY cell
        HAVING count(*) > 1)")
    [ "$said" = 0 ] || wrong "$said cells ran twice"
}

line() {    # WHAT SIGNAL SECONDS
    printf '%-6s %-5s %7s  %3d ok  %s\n' "$1" "$2" "$3" "$(wc -l < known.txt)" "$verdict" |
        tee -a trials.txt
    verdict=ok
}

milliseconds() { echo $(($1 * (RANDOM * 32768 + RANDOM) / 1073741824)); }   # below $1
pause() { sleep "$(printf '%d.%03d' $(($1 / 1000)) $(($1 % 1000)))"; }
signals=(KILL INT TERM) signal=- what=-

# ---- sweeps and trainings ----
# In a process of its own: (sweep DB), sweep DB & and so on
sweep() { exec "$program" sweep x.yaml --db "$1" >> "$work/said.txt" 2>&1; }
# shellcheck disable=SC2086
train() {   # DIRECTORY
    cd "$1"
    exec "$program" train $small budget=400steps save=saved save_every=20steps --db x.db --quiet \
        >> "$work/said.txt" 2>&1
}

# Kills PID, or at times the cell that it runs, after so long: NAME PID MILLISECONDS. Sets what;
# 1: it had ended before
strike_after() {
    local victim=$2
    pause "$3"
    what=$1 signal=${signals[RANDOM % 3]}
    if [ $((RANDOM % 3)) = 0 ]; then
        victim=$(pgrep -n -P "$2" || echo "$2")
        [ "$victim" = "$2" ] || what=cell
    fi
    kill -s "$signal" "$victim" 2>/dev/null
}
await() {
    wait "$1" 2>/dev/null || true
    pause 100                             # what it ran dies with it
}

# To the end, and once more, which must run nothing
finish_sweep() {    # DB
    local code=0 runs
    (sweep "$1") || code=$?
    [ $code = 0 ] || wrong "the sweep that finishes ended with $code"
    look "$1" reference.txt "r.status = 'ok'"
    cmp -s losses.txt reference.txt || wrong "a loss is missing"
    runs=$(ask "$1" "SELECT count(*) FROM run")
    (sweep "$1") || wrong "the sweep after the last ended with $?"
    [ "$(ask "$1" "SELECT count(*) FROM run")" = "$runs" ] || wrong "a finished cell ran again"
    [ "$(ask "$1" "SELECT count(*) FROM run WHERE status = 'running'")" = 0 ] ||
        wrong "a run is running for ever"
    if [ -n "$(ls "$1.spool" 2>/dev/null)" ]; then wrong "records are left in $1.spool"; fi
}

trial_sweep() {
    local left=$((1 + RANDOM % 4)) at pid
    rm -rf trial && mkdir trial
    : > known.txt
    while [ $left -gt 0 ] && [ "$done_kills" -lt "$kills" ]; do
        left=$((left - 1)) at=$(milliseconds "$sweep_ms")
        sweep trial/x.db & pid=$!
        if strike_after sweep "$pid" "$at"; then
            done_kills=$((done_kills + 1))
            await "$pid"
            look trial/x.db reference.txt "r.status = 'ok'"
            line $what "$signal" "$at ms"
        fi
        await "$pid"
    done
    finish_sweep trial/x.db
    line finish - -
}

trial_train() {
    local left=$((1 + RANDOM % 4)) at pid
    rm -rf trial && mkdir trial
    : > known.txt
    while [ $left -gt 0 ] && [ "$done_kills" -lt "$kills" ]; do
        left=$((left - 1)) at=$(milliseconds "$train_ms")
        train trial & pid=$!
        if strike_after train "$pid" "$at"; then
            done_kills=$((done_kills + 1))
            await "$pid"
            look trial/x.db training.txt 1
            line $what "$signal" "$at ms"
        fi
        await "$pid"
    done
    # one that had ended is begun again, and has no steps left
    (train trial) || wrong "the training that finishes ended with $?"
    look trial/x.db training.txt 1
    cmp -s losses.txt training.txt || wrong "a loss of the training is missing"
    line finish - -
}

# ---- full disks ----
trial_full() {
    local at filled limit pid db=disk/x.db
    rm -rf disk/* disk/.[!.]*
    : > known.txt
    at=$(milliseconds $((sweep_ms / 2))) signal=-
    if [ -n "$mounted" ]; then
        sweep $db & pid=$!
        pause "$at"
        cat /dev/zero > disk/filler 2>/dev/null || true
    else
        limit=$((300 + RANDOM % 700))
        (ulimit -f $limit; sweep $db) & pid=$!
        pause "$at"
    fi
    filled=$at at=$((500 + $(milliseconds 3000)))
    if [ $((RANDOM % 2)) = 0 ] || [ -z "$mounted" ]; then
        strike_after sweep "$pid" "$at" || signal=-
    else
        pause "$at"
    fi
    rm -f disk/filler
    await "$pid"
    look $db reference.txt "r.status = 'ok'"
    line full "$signal" "$filled ms"
    finish_sweep $db
    line finish - -
}

# ---- the undisturbed ones, the load, the trials ----
now_ms() { date +%s%3N; }
: > known.txt
: > said.txt
mkdir reference
began=$(now_ms)
(sweep reference/x.db) || { tail -n 5 said.txt >&2; exit 1; }
sweep_ms=$(($(now_ms) - began)) began=$(now_ms)
losses reference/x.db "r.status = 'ok'" > reference.txt
mkdir reference/train
(train reference/train) || { tail -n 5 said.txt >&2; exit 1; }
train_ms=$(($(now_ms) - began))
losses reference/train/x.db 1 > training.txt
for _ in $(seq "$(nproc)"); do
    nice -n 5 sh -c 'while :; do :; done' &
    burners+=($!)
done
if [ "$full" -gt 0 ] && mount -t tmpfs -o size=16m tmpfs disk 2>/dev/null; then mounted=1; fi
echo "undisturbed: a sweep $sweep_ms ms, $(wc -l < reference.txt) losses; a training $train_ms ms"
[ "$full" = 0 ] ||
    echo "full disks: $([ -n "$mounted" ] && echo "a tmpfs of 16 MB" || echo RLIMIT_FSIZE)"
sweep_ms=$((2 * sweep_ms)) train_ms=$((2 * train_ms)) done_kills=0
while [ "$done_kills" -lt "$kills" ]; do
    if [ $((RANDOM % 3)) = 0 ]; then trial_train; else trial_sweep; fi
done
for _ in $(seq "$full"); do trial_full; done
echo
awk '{ key = sprintf("%-8s %-6s", $1, $2); n[key]++; if (/WRONG/) bad[key]++ }
     END { printf "%-8s %-6s %6s %6s\n", "what", "signal", "times", "wrong"; fflush()
           for (key in n) printf "%s %6d %6d\n", key, n[key], bad[key] | "sort" }' trials.txt
[ $found = 0 ] || { echo "$found faults; see build/kill/trials.txt" >&2; exit 1; }
