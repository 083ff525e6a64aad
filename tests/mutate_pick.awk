# SPDX-License-Identifier: GPL-3.0-or-later
# Prints mutations of C files that a program found: FILE, line, what it says, what it shall say; tabs
# between them. One change a line: an operator exchanged, a bound moved by one, a check removed.
#   awk -v seed=1 -v n=40 -f mutate_pick.awk FILE...
BEGIN {
    # operators: from, to
    pairs = 0
    pair(" < ", " <= "); pair(" <= ", " < "); pair(" > ", " >= "); pair(" >= ", " > ")
    pair(" == ", " != "); pair(" != ", " == "); pair(" + ", " - "); pair(" - ", " + ")
    pair(" * ", " + "); pair(" && ", " || "); pair(" += ", " -= "); pair(" + 1", "")
    pair(" - 1", ""); pair("++", "--")
    srand(seed)
}
function pair(a, b) { from[pairs] = a; to[pairs++] = b }
function keep(text) {
    found++
    if (found <= n) kept[found] = text
    else if ((k = int(rand() * found) + 1) <= n) kept[k] = text
}
FNR == 1 { comment = 0; braces = 0 }
{
    line = $0
    if (comment) { if (line ~ /\*\//) comment = 0; next }
    if (line ~ /^ *\/\*/) { if (line !~ /\*\//) comment = 1; next }
    code = line
    sub(/\/\*.*/, "", code)
    # inside of functions only, and not within texts: those have no mutations worth a test
    if (line ~ /^{/) braces = 1
    if (line ~ /^}/) braces = 0
    if (!braces || code ~ /"|^ *#|CHECK\(/ || code ~ /^ *(const |static )?[A-Za-z_]+ \**[a-z_]+;/)
        next
    for (i = 0; i < pairs; i++)
        if (at = index(code, from[i])) {
            changed = substr(line, 1, at - 1) to[i] substr(line, at + length(from[i]))
            keep(FILENAME "\t" FNR "\t" line "\t" changed)
        }
    if (code ~ /^ +if \(.*\) (return|continue|break)/) {
        changed = line
        sub(/if \(/, "if (0 \\&\\& ", changed)
        keep(FILENAME "\t" FNR "\t" line "\t" changed)
    }
    if (code ~ /^ +[a-z_]+\(.*\);$/) keep(FILENAME "\t" FNR "\t" line "\t    ;")
}
END { for (i = 1; i <= found && i <= n; i++) print kept[i] }
