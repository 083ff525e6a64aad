#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Do the tests see a wrong program? Changes one line at a time in a copy of the tree, builds it and
# runs tests, those of its room first, until one fails.
#
#   usage: tests/mutate.sh [N [SEED]]        (make mutate MUTATIONS=N SEED=S)
#
# Mutations: those of tests/mutations.txt (FILE, text, other text, with tabs between them), and N
# that tests/mutate_pick.awk draws. build/mutate/results.txt has a line for each, by which an
# interrupted run goes on: VERDICT, FILE, LINE, test, seconds, old, new. VERDICT is killed,
# survived, stillborn (it does not compile) or equal (tests/mutations_equal.txt says why).
set -u
cd "$(dirname "$0")/.."
N=${1:-40} SEED=${2:-1}
OUT=build/mutate TREE=$OUT/tree RESULTS=$OUT/results.txt EQUAL=tests/mutations_equal.txt
TAB=$'\t'
export EIGHTYSIX_ROOT="$PWD/$TREE" EIGHTYSIX_BINARY="$PWD/$TREE/build/eightysix"
export OMP_WAIT_POLICY=passive
unset MAKEFLAGS MAKELEVEL MFLAGS

fail() { echo "mutate: $*" >&2; exit 2; }

# What is drawn from: files that this CPU executes and whose results a test can judge
sources() {
    git ls-files 'kernels/*.c' 'kernels/*.h' 'models/*.c' 'harness/*/*.c' |
        grep -vE '_(neon|neon_dot|amx|avx512)\.c|gemm_amx|/cli/|_report|_machine' |
        grep -vE 'gbench|fetch|progress'
}

# The tests of a file's room, in the order in which they are tried
tests_of() {
    case $1 in
    kernels/ternary*)           echo kernels ;;
    kernels/gemm*)              echo gemm laws step ;;
    kernels/f32*)               echo laws step optim heads ;;
    kernels/*)                  echo base kernels probe ;;
    models/head* | models/softmax_level* | models/cutoffs*)
                                echo heads huffman cutoffs step golden ;;
    models/classes* | models/svd* | models/cooc* | models/embed*) echo classes svd heads ;;
    models/optim* | models/normuon* | models/step*)
                                echo optim step trainer golden ;;
    models/spec*)               echo spec settings experiment ;;
    models/tensors* | models/params*) echo tensors params laws step ;;
    models/*)                   echo laws step params golden ;;
    harness/util/*)             echo base stats db ;;
    harness/store/*)            echo db views identity machine factors runs pack headlab ;;
    harness/corpus/*)           echo data vocab vocab_top words synth tokenize ;;
    harness/laws/*)             echo laws kernels heads step ;;
    harness/train/*)            echo trainer step checkpoint evaluate headlab classes_file golden ;;
    harness/bench/*)            echo bench probe ;;
    harness/sweep/*)            echo experiment sweep grid machine peers runs ;;
    harness/regress/*)          echo regress certify ;;
    harness/convert/*)          echo convert gguf pieces ;;
    harness/judge/*)            echo claims pack paper ;;
    esac
}

# Every test once: those of the room, then the others, quick ones first
order() {
    local others="base spec stats step optim views words tensors params huffman gemm db laws
        tokenize experiment probe svd cutoffs classes trainer synth data vocab classes_file heads
        kernels headlab pack bench settings claims sweep golden regress paper"
    local all
    all=$(git ls-files 'tests/test_*.c' | sed 's|tests/test_||; s|\.c$||')
    printf '%s\n' $(tests_of "$1") $others $all | awk '!seen[$0]++'
}

copy_tree() {
    mkdir -p $TREE
    git ls-files | grep -vE '^results/.*\.(svg|png)$' | tar -c -T - | tar -x -C $TREE ||
        fail "the tree cannot be copied to $TREE"
}

build() { make -s -C $TREE CC="${CC:-cc}" SAN=-O1 "$@" >$OUT/make.log 2>&1 </dev/null; }

# $1 file: the first red test's name, "survived" or "stillborn" in $verdict
try() {
    local t
    for t in $(order "$1"); do
        [ -f $TREE/tests/test_$t.c ] || continue
        build build/eightysix build/tests/test_$t || { verdict=stillborn by=-; return; }
        # a limit of its own time, so that a busy machine kills no test
        (cd $TREE/build && ulimit -t 300 &&
            timeout 3000 ./tests/test_$t >../../test.log 2>&1 </dev/null) ||
            { verdict=killed by=$t; return; }
    done
    verdict=survived by=-
}

# One mutation: file, line, old line, new line
mutate() {
    local file=$1 line=$2 old=$3 new=$4 began=$SECONDS
    cut -f2,3,6,7 $RESULTS | grep -qxF "$file$TAB$line$TAB$old$TAB$new" && return
    awk -v at="$line" 'NR == at { print ENVIRON["NEW"]; next } { print }' "$file" >$TREE/$file
    if grep -qF "$file$TAB$old$TAB$new" $EQUAL; then verdict=equal by=-
    else try "$file"; fi
    cp "$file" $TREE/$file
    printf '%s\t%s\t%s\t%s\t%s\t%s\t%s\n' "$verdict" "$file" "$line" "$by" $((SECONDS - began)) \
        "$old" "$new" >>$RESULTS
    count=$((count + 1))
    printf '%3d of %d  %-9s %s:%s  %s, %d s\n' $count $total "$verdict" "$file" "$line" "$by" \
        $((SECONDS - began)) >&2
}

# FILE, line, old line, new line of every mutation
list() {
    grep -vE '^(#|$)' tests/mutations.txt | while IFS=$TAB read -r file from to; do
        FROM=$from TO=$to awk -v file="$file" 'BEGIN { from = ENVIRON["FROM"]; to = ENVIRON["TO"] }
            !done && (at = index($0, from)) {
                print file "\t" FNR "\t" $0 "\t" substr($0, 1, at - 1) to \
                    substr($0, at + length(from))
                done = 1
            }
            END { exit !done }' "$file" ||
            fail "tests/mutations.txt: $file does not have: $from"
    done
    awk -v seed="$SEED" -v n="$N" -f tests/mutate_pick.awk $(sources)
}

table() {
    echo "room        killed survived equal stillborn"
    awk -F'\t' '{ split($2, path, "/"); room = path[1] == "harness" ? path[2] : path[1]
                  n[room, $1]++; n["all", $1]++; rooms[room] }
        function row(r) { printf "%-10s %7d %8d %5d %9d\n", r, n[r, "killed"], n[r, "survived"],
                          n[r, "equal"], n[r, "stillborn"] }
        END { for (r in rooms) row(r); row("all")
              judged = n["all", "killed"] + n["all", "survived"]
              share = judged ? n["all", "killed"] / judged : 0
              printf "killed: %.1f %% of %d\n", 100 * share, judged
              exit share < 0.95 }' $RESULTS
}

git rev-parse HEAD >/dev/null 2>&1 || fail "expected a git clone"
mkdir -p $OUT
touch $RESULTS
copy_tree
build build/eightysix || fail "the tree does not build: $OUT/make.log"
list >$OUT/list.txt || exit 2
total=$(wc -l <$OUT/list.txt) count=0
while IFS=$TAB read -r file line old new; do
    export NEW=$new
    mutate "$file" "$line" "$old" "$new"
done <$OUT/list.txt
grep '^survived' $RESULTS | awk -F'\t' '{ print "survived: " $2 ":" $3 "\n  -" $6 "\n  +" $7 }'
table
