#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# How a training step divides its work among 4 to 64 threads, loop by loop: tests/split.c says how
# that is seen. Any machine will do, one with two cores too.
# usage: tests/split.sh [SETTING=VALUE...]     as of `eightysix train`
set -eu
cd "$(dirname "$0")/.."
copy=${OUT:-build}/split
dynamic=-Wl,--wrap=GOMP_loop_nonmonotonic_dynamic_start
runtime=-Wl,--wrap=GOMP_loop_maybe_nonmonotonic_runtime_start

# The sources, their loops visible; what has not changed keeps its date
for f in Makefile tests/split.c kernels/*.[ch] kernels/*.def models/*.[ch] models/*.def \
    harness/*/*.[ch] harness/*/*.cc harness/*/*.def harness/*/*.sql harness/*/*.awk; do
    mkdir -p "$copy/$(dirname "$f")"
    sed -e '/^ *#pragma omp/s/schedule(static)/schedule(runtime)/' -e \
        '/_Pragma("omp/s/schedule(static)/schedule(runtime)/' "$f" > "$copy/new"
    if [ "$f" = kernels/base.h ]; then
        sed -i 's/^static inline void part(/void part(long, int, int, long, long *, long *);\n'\
'static inline void part_plain(/' "$copy/new"
        grep -q part_plain "$copy/new" || { echo "split: $f: no function part" >&2; exit 1; }
    fi
    cmp -s "$copy/new" "$copy/$f" || cp "$copy/new" "$copy/$f"
done
rm -f "$copy/new"
make -C "$copy" --no-print-directory OUT=build SAN= \
    WRAP="-Wl,--wrap=GOMP_parallel $runtime $dynamic" build/tests/split >&2
OMP_SCHEDULE=static OMP_WAIT_POLICY=passive OMP_PROC_BIND=false exec "$copy/build/tests/split" "$@"
