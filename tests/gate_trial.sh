#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Does the gate deserve its trust on this machine?
#
# usage: tests/gate_trial.sh [times [A/A runs (30)] [slow runs (20)] | losses]     after make
#
# times: times only, five benchmarks of the default set
#   A/A    gate runs of a build against a copy of itself: whatever is REGRESSED is a false alarm
#   slow   gate runs against the same sources with one kernel, i2_avx2, whose every product takes
#          5 % longer by the CPU's own clock: its benchmarks must be REGRESSED, the others SAME or
#          UNKNOWN
#   GATE holds more options of regress: --cpu C, another --filter. Every run goes to results/gate.db
#   and its table to results/gate/.
# losses: laws, gradients and losses only; a fault of tests/gate_faults.txt each, in a copy of the
#   tree. All but those of the kind `rounding`, which must pass, must be REGRESSED. A line each in
#   results/gate/losses.txt says which of the three channels saw it.
#
# Started again, the script continues behind the last run, with the programs that it began with: for
# those of another commit remove build/gate, results/gate and results/gate.db first.
# exit code: 0 all ran, at most one false alarm, 19 of 20 slow ones and every fault found; 1 not
set -eu
cd "$(dirname "$0")/.."
what=${1:-all} same=${2:-30} slow=${3:-20}
case $what in all | times | losses) ;; *) sed -n 's/^# usage: //p' "$0" >&2; exit 2 ;; esac
work=build/gate out=results/gate db=results/gate.db
mkdir -p $work $out

# a copy of the sources, without a fault: what a run that was stopped left with one is made anew
sources() {
    [ -e $work/tree/clean ] && return
    rm -rf $work/tree && mkdir $work/tree && cp -r Makefile kernels models harness $work/tree
}

prepare() {
    cp build/eightysix $work/base && cp build/eightysix $work/copy
    rm -f $work/tree/clean
    sources
    local kernel=kernels/ternary_i2_avx2.c gemm
    gemm=$(sed -n 's/.*\.gemm = \(i2_[a-z0-9_]*\),.*/\1/p' $kernel)
    awk -v name="$gemm" '
         $0 ~ "^static void " name "\\(" { sub(name, "at_full_speed") }
         /^const TernaryKernel ternary_i2/ {
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

gate() {    # NAME SEED: one run, unless its table is there
    local table=$out/$1-$2.txt code=0
    [ -s "$table" ] && return
    # shellcheck disable=SC2086
    $work/base regress --base $work/base --head $work/$1 --always --times-only \
        --filter '^(ternary/(best|i2_avx2)/|conv/512|tree/)' --seed "$2" --db $db ${GATE:-} \
        >"$table.part" 2>&1 || code=$?
    case $code in 0 | 1 | 3) ;; *) cat "$table.part"; exit 2 ;; esac
    mv "$table.part" "$table"
    echo "$1 $2: $(tail -n 1 "$table")"
}
times() {
    [ -x $work/slow ] || prepare
    for ((i = 1; i <= same; i++)); do gate copy $i; done
    for ((i = 1; i <= slow; i++)); do gate slow $i; done

    # One row per comparison: bench, verdict, and whose head it was. touched: benchmarks of the slow
    # kernel, that of the best one too where it is the best
    local touched
    touched=$($work/base regress-sample list 3>&1 |
        awk '$2 == "times" && /ternary_i2_avx2\.o/ { printf " %s ", $3 }')
    $work/base export gate --db $db --out - |
        awk -F, -v same="$same" -v slow="$slow" -v touched="$touched" '
        { gsub(/"[^"]*"/, "quoted") }
        NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; next }
        { of = $at["base"] == $at["head"] ? "A/A" : "slow"
          bench = $at["bench"]
          verdict = $at["verdict"]
          hit = of == "slow" && index(touched, " " bench " ")
          runs[of, $at["run"]] = 1
          if (bench == "all") next
          kind = bench ~ /@canary$/ ? "canaries" : \
                 of == "A/A" || bench ~ /@control$/ ? "A/A, and controls" : \
                 hit ? "the slow kernel" : "beside the slow kernel"
          n[kind]++; count[kind, verdict]++ }
        END {
          for (r in runs) { split(r, part, SUBSEP); total[part[1]]++ }
          printf "%d A/A runs, %d with the slow kernel\n", total["A/A"], total["slow"]
          for (k in n) printf "%-24s %4d: %d SAME, %d NOT SLOWER, %d UNKNOWN, %d IMPROVED, " \
              "%d REGRESSED\n", k, n[k], count[k, "SAME"], count[k, "NOT SLOWER"], \
              count[k, "UNKNOWN"], count[k, "IMPROVED"], count[k, "REGRESSED"]
          all = total["A/A"] >= same && total["slow"] >= slow
          quiet = count["A/A, and controls", "REGRESSED"] <= 1 && \
                  !count["beside the slow kernel", "REGRESSED"]
          found = count["the slow kernel", "REGRESSED"] >= 0.95 * n["the slow kernel"]
          exit !(all && quiet && found)
        }'
}

# prints yes where a line of the report says that this channel found something, else no
saw() { grep -qE "^$1 .* REGRESSED " "$2" && echo yes || echo no; }

# KIND NAME FILE EXPRESSION: one fault, unless its line is there
fault() {
    local kind=$1 name=$2 file=$3 expression=$4 code=0 verdict table=$out/losses-$2.txt
    grep -q "^[a-z]* *$name " $out/losses.txt && return
    rm -f $work/tree/clean
    sed -E "$expression" "$file" >$work/tree/"$file"
    if cmp -s "$file" $work/tree/"$file"; then
        echo "$name: $file has no line that the expression changes" >&2
        exit 2
    fi
    make -s -C $work/tree OUT=build build/eightysix >$work/make.log 2>&1 ||
        { tail -n 5 $work/make.log; exit 2; }
    cp $work/tree/build/eightysix $work/faulty
    cp "$file" $work/tree/"$file" && touch $work/tree/clean
    $work/base regress --base $work/base --head $work/faulty --always --losses-only --no-db \
        >"$table" 2>$work/said || code=$?
    case $code in 0 | 1) ;; *) cat "$table" $work/said; exit 2 ;; esac
    verdict=$([ $code = 0 ] && echo PASS || echo REGRESSED)
    printf '%-9s %-26s %-5s %-9s %-7s %s\n' "$kind" "$name" "$(saw laws "$table")" \
        "$(saw gradients "$table")" "$(saw quality "$table")" "$verdict" >>$out/losses.txt
    tail -n 1 $out/losses.txt
}

losses() {
    local kind name file expression
    [ -x $work/base ] || cp build/eightysix $work/base
    sources
    [ -s $out/losses.txt ] || printf '%-9s %-26s %-5s %-9s %-7s %s\n' kind fault laws gradients \
        quality verdict >$out/losses.txt
    while read -r kind name file expression; do
        case $kind in '' | '#'*) continue ;; esac
        fault "$kind" "$name" "$file" "$expression" </dev/null
    done <tests/gate_faults.txt
    awk 'NR > 1 { n[$1]++; if (($6 == "PASS") != ($1 == "rounding")) wrong[$1]++ }
         NR > 1 && $1 != "rounding" { laws += $3 == "yes"; numbers += $4 == "yes" || $5 == "yes" }
         END { for (k in n) { printf "%-9s %2d, %d judged wrongly\n", k, n[k], wrong[k]
                              bad += wrong[k] }
               printf "seen by laws %d, by gradients or quality %d\n", laws, numbers
               exit bad > 0 }' $out/losses.txt
}

code=0
[ $what = losses ] || times || code=1
[ $what = times ] || losses || code=1
exit $code
