# SPDX-License-Identifier: GPL-3.0-or-later
# style.awk -- the look of the sources. Prints FILE:LINE: what was expected; exit code 1 where
# something was printed.
#   LC_ALL=C awk -f tests/lint/style.awk FILE...
#   -v only=columns,functions,statements,commas,files    some of the rules; all without it
#
#   columns     every file: a line has at most 100 characters (of UTF-8, not bytes)
#   functions   C and C++ outside tests/: at most 40 lines from "{" to "}", both in the first column
#   statements  C and C++: one statement a line; a one-line function or struct is one, so is
#               "case X: y; break;"
#   commas      C: no "a = 1, b = 2;" in place of two statements; a declaration may have several
#               names
#   files       C and C++ outside tests/: at most 400 lines
BEGIN {
    COLUMNS = 100
    FUNCTION = 40
    FILE = 400
    CONTROL = "^[ \t]*((if|while|switch|loop) *@?|else|do|(case [^:?]*|default) *:)[ \t]+"
    DECLARATION = "^[A-Za-z_][A-Za-z0-9_]*@? +[*@]*(const |restrict )*[A-Za-z_@]"
    n = split(only == "" ? "columns,functions,statements,commas,files" : only, rules, ",")
    for (i = 1; i <= n; i++) {
        if (rules[i] !~ /^(columns|functions|statements|commas|files)$/) {
            printf "style.awk: only=%s: expected columns,functions,statements,commas,files\n", only
            bad = 2
            exit
        }
        checks[rules[i]] = 1
    }
}

function report(line, what) {
    printf "%s:%d: %s\n", FILENAME, line, what
    bad = 1
}

# The characters of a line: the bytes of UTF-8 but those that continue a character
function characters(line) {
    gsub(/[\200-\277]/, "", line)
    return length(line)
}

# The rest of a line behind the string or character constant that begins before it
function after_quote(line, quote,    c) {
    while (match(line, "[" quote "\\\\]")) {
        c = substr(line, RSTART, 1)
        line = substr(line, RSTART + 1)
        if (c == quote) return line
        line = substr(line, 2)
    }
    return ""
}

# The line without comments; strings and character constants are empty
function code_of(line,    code, token) {
    code = ""
    while (line != "") {
        if (in_comment) {
            if (!match(line, /\*\//)) return code
            line = substr(line, RSTART + 2)
            in_comment = 0
        }
        if (!match(line, /["']|\/\*|\/\//)) return code line
        token = substr(line, RSTART, RLENGTH)
        code = code substr(line, 1, RSTART - 1)
        line = substr(line, RSTART + RLENGTH)
        if (token == "//") return code
        if (token == "/*") in_comment = 1
        else {
            code = code token token
            line = after_quote(line, token)
        }
    }
    return code
}

# The line behind as many ")" as close `open` of them; `pending` are still open in the next line
function after_parens(line, open) {
    while (open > 0) {
        if (!match(line, /[()]/)) {
            pending = open
            return ""
        }
        open += substr(line, RSTART, 1) == "(" ? 1 : -1
        line = substr(line, RSTART + 1)
    }
    pending = 0
    return line
}

# The code without the headers of its for loops
function without_for(code,    head) {
    if (pending) code = after_parens(code, pending)
    while (match(code, /(^|[^A-Za-z0-9_])for *\(/)) {
        head = substr(code, 1, RSTART + RLENGTH - 2)
        code = head " " after_parens(substr(code, RSTART + RLENGTH), 1)
        sub(/for  /, "loop ", code)
    }
    return code
}

function is_control(code) {
    return code ~ /^[ \t]*(} *)?(if|else|loop|while|do|switch|case|default)([^A-Za-z0-9_]|$)/
}

function check_statements(code) {
    if (code ~ /^[ \t]*do /) sub(/;[ \t]*while \(.*;[ \t]*$/, ";", code)
    if (!is_control(code)) while (sub(/{[^{}]*}/, "", code)) continue
    sub(/[ \t]*break;[ \t]*$/, "", code)
    if (gsub(/;/, ";", code) > 1) report(FNR, "expected one statement a line")
}

# A line that is a whole statement, behind its if (...), else, case X: and loops
function check_commas(code,    was, is_whole) {
    was = ended
    is_whole = depth == 0
    if (code ~ /[^ \t]/) ended = code
    depth += gsub(/\(/, "(", code) - gsub(/\)/, ")", code)
    if (!is_whole || depth != 0 || code !~ /;[ \t]*$/ || was !~ /([;{}:)]|else|do)[ \t]*$/) return
    while (sub(/\([^()]*\)/, "@", code) || sub(/\[[^\[\]]*\]/, "", code) ||
           sub(/{[^{}]*}/, "", code)) continue
    if (code ~ /[{}]/ || code !~ /,/) return
    while (sub(CONTROL, "", code)) continue
    sub(/^[ \t]+/, "", code)
    if (code ~ /^(static|const|extern|typedef|struct|union|enum|volatile|unsigned) /) return
    if (code !~ /^return / && code ~ DECLARATION) return
    report(FNR, "expected statements, found a comma expression")
}

FNR == 1 {
    finish()
    name = FILENAME
    is_c = name ~ /\.(c|h|cc)$/
    is_test = name ~ /(^|\/)tests\//
    in_comment = pending = depth = directive = open_line = 0
    ended = ";"
}
{ lines = FNR }
checks["columns"] && length($0) > COLUMNS && characters($0) > COLUMNS {
    report(FNR, "expected at most " COLUMNS " columns, found " characters($0))
}
!is_c { next }

/^{/ { open_line = FNR }
/^}/ && open_line {
    if (checks["functions"] && !is_test && FNR - open_line + 1 > FUNCTION)
        report(open_line, "expected a function of at most " FUNCTION " lines, found " \
               FNR - open_line + 1)
    open_line = 0
}
{
    code = code_of($0)
    if (directive || code ~ /^[ \t]*#/) {         # with the lines that continue it
        directive = code ~ /\\$/
        next
    }
    code = without_for(code)
    if (checks["statements"]) check_statements(code)
    if (checks["commas"] && name !~ /\.cc$/) check_commas(code)
}

# Long files are listed behind everything else
function finish() {
    if (!checks["files"] || !is_c || is_test || lines <= FILE) return
    long[++n_long] = sprintf("%s:%d: expected a file of at most %d lines, found %d", \
                             name, FILE + 1, FILE, lines)
}

END {
    if (bad == 2) exit 2
    finish()
    for (i = 1; i <= n_long; i++) print long[i]
    exit bad || n_long > 0
}
