# SPDX-License-Identifier: GPL-3.0-or-later
# rooms.awk -- the order of the rooms. A file may use what comes earlier in this list, never what
# comes later:
#   kernels models  and in harness: util store corpus laws train convert score bench sweep regress
#   judge cli
# Checked twice: by the includes of the sources, and by the symbols of the objects, which also shows
# a call without an include. Exit code 1 where something was printed.
#   awk -f tests/lint/rooms.awk SOURCE...
#   nm -A OBJECT... | awk -f tests/lint/rooms.awk -v prefix=build/san/ -
BEGIN {
    rooms = "kernels models util store corpus laws train convert score bench sweep regress judge"
    rooms = rooms " cli tests"
    n = split(rooms, order, " ")
    for (i = 1; i <= n; i++) rank[order[i]] = i
}

# "harness/train/session.c" -> "train"
function room(path,    part) {
    split(path, part, "/")
    return part[1] == "harness" ? part[2] : part[1]
}

function known(where, path) {
    if (!(where in rank)) {
        printf "%s: '%s' is not a room of the tree\n", path, where
        bad = 1
    }
    return where in rank
}

function upward(from, to, place, what) {
    if (rank[to] <= rank[from]) return
    printf "%s: %s uses %s of %s, a later room\n", place, from, what, to
    bad = 1
}

# ---- includes ----
prefix == "" && FNR == 1 { mine = room(FILENAME); known(mine, FILENAME) }
prefix == "" && /^[ \t]*#[ \t]*include[ \t]*"(kernels|models|harness|tests)\// {
    split($0, quoted, "\"")
    place = FILENAME ":" FNR
    if (known(room(quoted[2]), place)) upward(mine, room(quoted[2]), place, quoted[2])
}

# ---- symbols: "OBJECT:[ADDRESS] TYPE NAME" ----
prefix != "" {
    object = substr($1, 1, index($1, ":") - 1)
    object = substr(object, length(prefix) + 1)
    type = $(NF - 1)
    if (type ~ /^[TDBRVWC]$/) defined[$NF] = object
    if (type == "U") used[object SUBSEP $NF] = 1
}

END {
    for (pair in used) {
        split(pair, part, SUBSEP)
        if (!(part[2] in defined)) continue
        upward(room(part[1]), room(defined[part[2]]), part[1], part[2])
    }
    exit bad
}
