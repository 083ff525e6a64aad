# SPDX-License-Identifier: GPL-3.0-or-later
# coverage.awk -- covered lines of each room, from `gcov -n OBJECT...`:
#   File 'harness/util/record.c'
#   Lines executed:93.33% of 45
/^File / {
    split($0, quoted, "'")
    known = quoted[2] ~ /^(kernels|models|harness)\/.*\.c$/
    n = split(quoted[2], part, "/")
    room = n > 2 ? part[1] "/" part[2] : part[1]
}
/^Lines executed:/ && known {
    split($0, number, /[:%]| of /)
    lines[room] += number[4]
    hit[room] += number[2] * number[4] / 100
    known = 0
}
END {
    for (room in lines) {
        share = lines[room] ? 100 * hit[room] / lines[room] : 0
        printf "%-16s %6d of %6d lines  %5.1f %%\n", room, hit[room] + 0.5, lines[room], share
    }
}
