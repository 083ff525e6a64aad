/* SPDX-License-Identifier: GPL-3.0-or-later */
/* `help --bash`: completion of commands, their options, settings and the values of settings that
 * are names. Options are those that a command's help mentions; a command takes settings when its
 * usage says key=value. */
#include "harness/cli/help.h"
#include "models/spec.h"
#include <ctype.h>
#include <string.h>

static int bash_option_char(char c)
{
    return islower((unsigned char)c) || c == '-' || c == '_';
}

static size_t bash_option_length(const char *at)
{
    size_t n = 0;
    while (bash_option_char(at[n])) n++;
    return n;
}

/* The next option of the text, its length in *n; not those of other commands, which stand in
 * `...`, nor "--option" */
static const char *bash_option_next(const char *s, size_t *n)
{
    int quoted = 0;
    for (; *s; s++) {
        if (*s == '`') quoted = !quoted;
        if (strncmp(s, "--", 2)) continue;
        *n = bash_option_length(s);
        if (!quoted && *n > 2 && strncmp(s, "--option", *n)) return s;
        s += *n - 1;
    }
    return NULL;
}

/* Whether the option of n bytes at `at` stands earlier in the text */
static int bash_option_seen(const char *text, const char *at, size_t n)
{
    size_t m;
    for (const char *s = text; (s = bash_option_next(s, &m)) && s < at; s += m)
        if (m == n && !memcmp(s, at, n)) return 1;
    return 0;
}

static void bash_options(const char *text, FILE *out)
{
    size_t n;
    for (const char *s = text; (s = bash_option_next(s, &n)); s += n)
        if (!bash_option_seen(text, s, n)) fprintf(out, "%.*s ", (int)n, s);
    fputs("--help", out);
}

static void bash_commands(const Command *c, FILE *out)
{
    fputs("        words=\"", out);
    for (; c->name; c++)
        if (c->brief) fprintf(out, "%s ", c->name);
    fputs("--help --version\"\n", out);
}

static void bash_case(const Command *c, HelpText *text, FILE *out)
{
    for (; c->name; c++) {
        if (!c->brief) continue;
        const char *s = text(c);
        fprintf(out, "        %s) words=\"", c->name);
        bash_options(s, out);
        fprintf(out, "%s\" ;;\n", strstr(s, "key=value") ? " $keys" : "");
    }
}

/* "one of a|b|c" -> key) words="a b c" */
static void bash_values(FILE *out)
{
    static const char one_of[] = "one of ";
    for (const Setting *s = settings; s->key; s++) {
        if (!strcmp(s->type, "flag")) fprintf(out, "        %s) words=\"0 1\" ;;\n", s->key);
        if (strncmp(s->type, one_of, sizeof one_of - 1)) continue;
        fprintf(out, "        %s) words=\"", s->key);
        for (const char *v = s->type + sizeof one_of - 1; *v; v++)
            fputc(*v == '|' ? ' ' : *v, out);
        fputs("\" ;;\n", out);
    }
}

void help_bash(const Command *commands, HelpText *text, FILE *out)
{
    fputs("# bash completion for eightysix, written by `eightysix help --bash`\n"
          "_eightysix()\n{\n"
          "    local cur=\"${COMP_WORDS[COMP_CWORD]}\" before=\"${COMP_WORDS[COMP_CWORD - 1]}\" "
          "words= key= keys=\"",
          out);
    for (const Setting *s = settings; s->key; s++) fprintf(out, "%s= ", s->key);
    fputs("\"\n"
          "    # bash parts key=value at the =\n"
          "    [ \"$cur\" = = ] && key=$before cur=\n"
          "    [ \"$before\" = = ] && key=${COMP_WORDS[COMP_CWORD - 2]}\n"
          "    if [ \"$COMP_CWORD\" = 1 ]; then\n",
          out);
    bash_commands(commands, out);
    fputs("    elif [ -n \"$key\" ]; then\n        case \"$key\" in\n", out);
    bash_values(out);
    fputs("        esac\n    else\n        case \"${COMP_WORDS[1]}\" in\n", out);
    bash_case(commands, text, out);
    fputs("        esac\n    fi\n"
          "    COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
          "    case \"${COMPREPLY[0]}\" in *=) compopt -o nospace 2>/dev/null ;; esac\n"
          "    return 0\n}\n"
          "complete -o default -F _eightysix eightysix\n",
          out);
}
