#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Instructions that each ternary kernel executes, those of ARM beside those of x86: counted, so that
# no machine of either kind is needed, and nothing else on this one changes them.
#   x86    valgrind --tool=callgrind, on AVX2: valgrind knows no AVX-512
#   ARM    qemu-aarch64 -d in_asm,exec,nochain: every block that is executed, times its length
# Of each, a program of two products less one of a single product: what starts and packs is in both.
# usage: tests/counts.sh X86-PROGRAM ARM-PROGRAM [KERNEL...]     (make counts)
set -eu
x86=$1 arm=$2
shift 2
dir=$(mktemp -d "${TMPDIR:-/tmp}/eightysix-counts-XXXXXX")
trap 'rm -rf "$dir"' EXIT
unset EIGHTYSIX_CPU
export OMP_NUM_THREADS=1
qemu="qemu-aarch64 -cpu max -L /usr/aarch64-linux-gnu"

# run KERNEL N TIMES: instructions of the whole program
run_x86() {
    EIGHTYSIX_CPU=avx2 valgrind --tool=callgrind --callgrind-out-file=/dev/null "$x86" "$@" 2>&1 |
        awk '/Collected/ { print $NF }'
}
run_arm() {
    mkfifo "$dir/log"
    $qemu -d in_asm,exec,nochain -D "$dir/log" "$arm" "$@" &
    awk '
        function pc(hex) { sub(/^(0x)?0*/, "", hex); return hex }
        /^IN:/ { first = 1; next }
        /^0x[0-9a-f]+:/ {
            if (first) { at = pc(substr($1, 1, length($1) - 1)); length_of[at] = 0; first = 0 }
            length_of[at]++
            next
        }
        /^Trace/ { split($0, part, "/"); sum += length_of[pc(part[2])] }
        END { printf "%d\n", sum }' < "$dir/log"
    wait $!
    rm "$dir/log"
}
# thousandths of an instruction per multiply-add: of 256 x 256 x N
each() {
    one=$("run_$1" "$2" "$3" 1) two=$("run_$1" "$2" "$3" 2)
    awk -v a="${one:-0}" -v b="${two:-0}" -v n="$3" -v name="$2 on $1" 'BEGIN {
        if (b <= a || a <= 0) {
            print "counts: " name ": nothing was counted" > "/dev/stderr"
            exit 1
        }
        printf "%.1f\n", 1000 * (b - a) / (65536 * n) }'
}
{
    EIGHTYSIX_CPU=avx2 "$x86" | sed 's/^/x86 /'
    $qemu "$arm" | sed 's/^/arm /'
} | while read -r isa kernel; do
    [ $# = 0 ] || case " $* " in *" $kernel "*) ;; *) continue ;; esac
    n1=$(each "$isa" "$kernel" 1) n32=$(each "$isa" "$kernel" 32)
    echo "$isa $kernel $n1 $n32"
done > "$dir/counts"
# one row for a layout; kernels without vector instructions are compiled for both
awk '
    { layout = $2; sub(/_(avx2|neon)$/, "", layout); sub(/_neon_dot$/, " (SDOT)", layout)
      if (!(layout in seen)) { seen[layout] = 1; order[++n] = layout }
      one[$1, layout] = $3; many[$1, layout] = $4 }
    function show(x) { return x == "" ? "-" : x }
    END {
        print "instructions for 1,000 multiply-adds, W 256x256"
        printf "%-14s %10s %10s %10s %10s\n", "layout", "AVX2 n=1", "NEON n=1", "AVX2 n=32",
            "NEON n=32"
        for (i = 1; i <= n; i++) {
            l = order[i]
            printf "%-14s %10s %10s %10s %10s\n", l, show(one["x86", l]), show(one["arm", l]),
                show(many["x86", l]), show(many["arm", l])
        }
    }' "$dir/counts"
