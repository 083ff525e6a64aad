#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Does the gate deserve its trust on this machine? Times only, five benchmarks of the default set:
#   A/A    gate runs of a build against a copy of itself: whatever is REGRESSED is a false alarm
#   slow   gate runs against the same sources with one kernel, i2_avx2, whose every product takes
#          5 % longer by the CPU's own clock: its benchmark must be REGRESSED, the others SAME or
#          UNKNOWN
# usage: tests/gate_trial.sh [A/A runs (30)] [slow runs (20)]
#        after make; GATE holds more options of regress: --cpu C, another --filter
# Every run goes to results/gate.db and its table to results/gate/. Started again, the script
# continues behind the last run, with the programs that it began with: for those of another commit
# remove build/gate, results/gate and results/gate.db first.
# exit code: 0 all ran, at most one false alarm, and 19 of 20 slow ones found; 1 otherwise
set -eu
cd "$(dirname "$0")/.."
same=${1:-30} slow=${2:-20}
work=build/gate out=results/gate db=results/gate.db
mkdir -p $work $out

prepare() {
    cp build/eightysix $work/base && cp build/eightysix $work/copy
    rm -rf $work/tree && mkdir $work/tree && cp -r Makefile kernels models harness $work/tree
    local kernel=kernels/ternary_i2_avx2.c gemm
    gemm=$(sed -n 's/.*\.gemm = \([a-z0-9_]*\),.*/\1/p' $kernel)
    awk -v name="$gemm" '
         $0 ~ "^static void " name "\\(" { sub(name, "at_full_speed") }
         /^const TernaryKernel/ {
            print "static void " name "(int32_t *y, const void *packed, const void *scratch,"
            print "    int n, int r0, int r1, int rows, int cols, int act_bits)"
            print "{"
            print "    const unsigned long long from = __rdtsc();"
            print "    at_full_speed(y, packed, scratch, n, r0, r1, rows, cols, act_bits);"
            print "    const unsigned long long took = __rdtsc() - from;"
            print "    while (__rdtsc() - from < took + took / 20) continue;"
            print "}\n" }
         { print }' $kernel > $work/tree/$kernel
    make -s -C $work/tree OUT=build build/eightysix >/dev/null
    cp $work/tree/build/eightysix $work/slow
}
[ -x $work/slow ] || prepare

gate() {    # NAME SEED: one run, unless its table is there
    local table=$out/$1-$2.txt code=0
    [ -s "$table" ] && return
    # shellcheck disable=SC2086
    $work/base regress --base $work/base --head $work/$1 --always --times-only \
        --filter '^(ternary|conv|tree)' --seed "$2" --db $db ${GATE:-} \
        >"$table.part" 2>&1 || code=$?
    case $code in 0 | 1 | 3) ;; *) cat "$table.part"; exit 2 ;; esac
    mv "$table.part" "$table"
    echo "$1 $2: $(tail -n 1 "$table")"
}
for ((i = 1; i <= same; i++)); do gate copy $i; done
for ((i = 1; i <= slow; i++)); do gate slow $i; done

# One row per comparison: bench, verdict, and whose head it was
$work/base export gate --db $db --out - | awk -F, -v same="$same" -v slow="$slow" '
    { gsub(/"[^"]*"/, "quoted") }
    NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; next }
    { of = $at["base"] == $at["head"] ? "A/A" : "slow"
      bench = $at["bench"]
      verdict = $at["verdict"]
      hit = of == "slow" && bench ~ /i2_avx2/
      runs[of, $at["run"]] = 1
      if (bench == "all") next
      kind = bench ~ /@canary$/ ? "canaries" : \
             of == "A/A" || bench ~ /@control$/ ? "A/A, and controls" : \
             hit ? "the slow kernel" : "beside the slow kernel"
      n[kind]++; count[kind, verdict]++ }
    END {
      for (r in runs) { split(r, part, SUBSEP); total[part[1]]++ }
      printf "%d A/A runs, %d with the slow kernel\n", total["A/A"], total["slow"]
      for (k in n) printf "%-24s %4d comparisons: %d SAME, %d UNKNOWN, %d IMPROVED, %d REGRESSED\n",
          k, n[k], count[k, "SAME"], count[k, "UNKNOWN"], count[k, "IMPROVED"], \
          count[k, "REGRESSED"]
      all = total["A/A"] >= same && total["slow"] >= slow
      quiet = count["A/A, and controls", "REGRESSED"] <= 1 && \
              !count["beside the slow kernel", "REGRESSED"]
      exit !(all && quiet && count["the slow kernel", "REGRESSED"] >= 0.95 * total["slow"])
    }'
