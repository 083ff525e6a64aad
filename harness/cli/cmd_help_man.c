/* SPDX-License-Identifier: GPL-3.0-or-later */
/* `help --man`: the manual page as source for man(7), from the help of the commands and the
 * settings. */
#include "harness/cli/help.h"
#include "harness/util/host.h"
#include "models/spec.h"
#include <string.h>

/* Text as roff prints it unchanged: backslashes, hyphens, accents, and what a line begins with */
static void man_text(const char *s, FILE *out)
{
    int begin = 1;
    for (; *s; s++) {
        if (begin && (*s == '.' || *s == '\'')) fputs("\\&", out);
        begin = *s == '\n';
        switch (*s) {
        case '\\': fputs("\\e", out); break;
        case '-': fputs("\\-", out); break;
        case '`': fputs("\\(ga", out); break;
        case '\'': fputs("\\(aq", out); break;
        case '^': fputs("\\(ha", out); break;
        case '~': fputs("\\(ti", out); break;
        default: fputc(*s, out);
        }
    }
}

static void man_commands(const Command *c, HelpText *text, FILE *out)
{
    fputs(".SH COMMANDS\n", out);
    for (; c->name; c++) {
        if (!c->brief) continue;
        fputs(".SS ", out);
        man_text(c->name, out);
        fputc('\n', out);
        man_text(c->brief, out);
        fputs("\n.PP\n.nf\n", out);
        man_text(text(c), out);
        fputs("\n.fi\n", out);
    }
}

static void man_settings(FILE *out)
{
    fputs(".SH SETTINGS\nCommands that train or load a model take them as key=value.\n", out);
    for (const Setting *s = settings; s->key; s++) {
        fputs(".TP\n.B ", out);
        man_text(s->key, out);
        if (*s->value) {
            fputs("=", out);
            man_text(s->value, out);
        }
        fputc('\n', out);
        man_text(s->doc, out);
        fputs("\n(", out);
        man_text(s->type, out);
        fputs(")\n", out);
    }
}

static void man_rest(FILE *out)
{
    fputs(".SH ENVIRONMENT\n"
          ".TP\n.B EIGHTYSIX_DATA\nThe directory of corpora (data/).\n"
          ".TP\n.B EIGHTYSIX_CPU\n"
          "Narrows the CPU: a comma list of sse2 avx2 avx512 vnni popcnt512 vbmi bf16 amx "
          "neon dotprod.\n"
          ".TP\n.B EIGHTYSIX_SHARE\n"
          "Where experiments/ and paper/ are, when the current directory has none: instead of "
          "the source tree and\n"
          "PREFIX/share/eightysix.\n"
          ".SH EXIT STATUS\n"
          "0 fine, 1 the answer is no, 2 bad usage or input, 3 inconclusive, 130 interrupted.\n"
          ".SH FILES\n"
          ".TP\n.B results/results.db\nThe records, an SQLite database, below the current "
          "directory.\n"
          ".TP\n.B PREFIX/share/eightysix\nInstalled experiments, figures and views.\n"
          ".SH SEE ALSO\n.BR sqlite3 (1),\n.BR gnuplot (1)\n",
          out);
}

void help_man(const Command *commands, HelpText *text, FILE *out)
{
    Arena a = arena_new(1 << 20);
    fprintf(out, ".TH EIGHTYSIX 1 \"\" \"eightysix %s\" \"User Commands\"\n",
            build_read(&a)->version);
    fputs(".SH NAME\neightysix \\- benchmark and ablation suite for ternary language models on "
          "CPUs\n"
          ".SH SYNOPSIS\n.B eightysix\n.I COMMAND\n[\\fIkey\\fR=\\fIvalue\\fR ...] "
          "[\\fB\\-\\-option\\fR ...]\n.br\n"
          ".B eightysix \\-\\-version\n"
          ".SH DESCRIPTION\nMeasures where the time of a ternary language model goes: kernels, "
          "output heads and models\n"
          "are checked, timed, trained over grids of settings and recorded in SQLite; figures "
          "and verdicts are drawn\n"
          "from the records.\n",
          out);
    man_commands(commands, text, out);
    man_settings(out);
    man_rest(out);
    arena_drop(&a);
}
