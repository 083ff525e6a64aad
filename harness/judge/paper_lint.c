/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Refuses a paper in which a number is typed. */
#include "harness/util/share.h"
#include "harness/util/yaml.h"
#include "harness/judge/paper.h"
#include <regex.h>
#include <string.h>

/* Their arguments are names, in which digits may stand. */
static const char *const lint_named[] = { "\\val{",  "\\with{",  "\\claimed{",  "\\verdict{",
                                     "\\fig{",  "\\tab{",   "\\ref{",      "\\label{",
                                     "\\cite{", "\\input{", "\\measured{", "\\shownin{",
                                     "\\nof{" };
/* Decimals; whole numbers before a unit */
static const char lint_typed[] =
    "[0-9][.][0-9]|[0-9]([\\]?[, ]|~|[{}])*([\\]%|percent|times|[GTM]?(FLOP|OP)|[GMK]B|"
    "(milli|nano)?seconds?|ms|ns|tokens|nats|bits per|positions per)";

static void lint_blank(char *from, const char *to) { memset(from, ' ', (size_t)(to - from)); }

/* Blanks comments and the arguments of lint_named. */
static void lint_clean(char *line)
{
    for (char *s = line; *s; s++)
        if (*s == '%' && (s == line || s[-1] != '\\')) *s = 0, s--;
    for (size_t i = 0; i < sizeof lint_named / sizeof *lint_named; i++)
        for (char *at = line; (at = strstr(at, lint_named[i])); at++) {
            const char *end = strchr(at, '}');
            lint_blank(at, end ? end : at + strlen(at));
        }
}

const char *paper_lint(const char *path, Arena *a)
{
    size_t len;
    int inside = 0, number = 0;
    regex_t re;
    const char *why;
    char *text = yaml_load(share_path(path, a), &len, a, &why);
    if (!text) return why;
    CHECK(!regcomp(&re, lint_typed, REG_EXTENDED));
    for (char *line; !why && (line = strsep(&text, "\n")); ) {
        regmatch_t m;
        number++;
        if (strstr(line, "\\begin{document}")) inside = 1;
        if (strstr(line, "\\begin{thebibliography}")) inside = 0;
        lint_clean(line);
        if (inside && !regexec(&re, line, 1, &m, 0))
            why = arena_text(
                a, "%s:%d: '%.*s' is typed; expected a macro of a number (" PAPER_FILE ")", path,
                number, (int)(m.rm_eo - m.rm_so), line + m.rm_so);
    }
    regfree(&re);
    return why;
}
