/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The command `help`, and what `--version` prints. */
#include "harness/cli/help.h"
#include "harness/util/host.h"
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const char help[] =
    "usage: eightysix help [COMMAND]\n"
    "       eightysix help --man | --bash\n\n"
    "The overview, or what `eightysix COMMAND --help` prints.\n\n"
    "  --man   the manual page, as source for man(7)\n"
    "  --bash  the completion for bash: source <(eightysix help --bash)\n\n"
    "exit code: 0 fine, 2 bad usage\n";

const Command *command_find(const Command *c, const char *name)
{
    while (c->name && strcmp(c->name, name)) c++;
    return c->name ? c : NULL;
}

enum { LONGEST = 32 };

static int min3(int a, int b, int c)
{
    const int least = a < b ? a : b;
    return least < c ? least : c;
}

/* Levenshtein's distance of two names no longer than LONGEST */
static int name_distance(const char *a, const char *b)
{
    int row[LONGEST + 1];
    const int n = (int)strlen(b);
    for (int j = 0; j <= n; j++) row[j] = j;
    for (int i = 1; a[i - 1]; i++) {
        int diagonal = row[0];
        row[0] = i;
        for (int j = 1; j <= n; j++) {
            const int above = row[j];
            row[j] = min3(above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1]));
            diagonal = above;
        }
    }
    return row[n];
}

const char *command_nearest(const Command *c, const char *name)
{
    const char *best = NULL;
    int least = (int)strlen(name) / 2 + 1; /* so many edits are no misspelling any more */
    if (strlen(name) > LONGEST) return NULL;
    for (; c->name; c++) {
        const int d = c->brief ? name_distance(name, c->name) : least;
        if (d >= least) continue;
        least = d;
        best = c->name;
    }
    return best;
}

void help_overview(const Command *c, FILE *out)
{
    fputs("eightysix: where does the time of a ternary language model go, "
          "and what gets rid of it?\n\n"
          "usage: eightysix COMMAND [key=value ...] [--option ...]      eightysix COMMAND --help\n"
          "       eightysix --version\n\n", out);
    for (; c->name; c++)
        if (c->brief) fprintf(out, "  %-9s %s\n", c->name, c->brief);
    fputs("\nFirst steps:  eightysix check\n"
          "              eightysix train head=tree budget=30s\n"
          "              eightysix sweep experiments/quick.yaml && eightysix plot time_split\n",
          out);
}

void help_version(FILE *out)
{
    Arena a = arena_new(1 << 20);
    const Build *b = build_read(&a);
    fprintf(out, "eightysix %s\ncommit    %s%s\ncompiler  %s\nbuild     %s\n", b->version, b->git,
            b->dirty ? ", with changes that are not committed" : "", b->compiler, b->id);
    arena_drop(&a);
}

/* A command prints its help and ends the process: a child runs it, into a file that this process
 * reads. */
static const char *help_text(const Command *c)
{
    enum { MOST = 1 << 16 };
    static char text[MOST];
    char name[LONGEST + 1], option[] = "--help", *argv[] = { name, option, NULL };
    FILE *f = tmpfile();
    if (!c->run) return help;
    if (!f) die("help: no temporary file");
    snprintf(name, sizeof name, "%s", c->name);
    fflush(NULL);
    const pid_t pid = fork();
    if (pid < 0) die("help: no child process");
    if (pid == 0) {
        if (dup2(fileno(f), STDOUT_FILENO) < 0) _exit(2);
        exit(c->run(2, argv));
    }
    int status;
    if (waitpid(pid, &status, 0) != pid) die("help: lost the child process that runs `%s`", name);
    if (status) die("help: `%s --help` ended with status %d", name, status);
    rewind(f);
    text[fread(text, 1, MOST - 1, f)] = 0;
    fclose(f);
    return text;
}

int help_main(const Command *commands, int argc, char **argv)
{
    if (argc < 2) {
        help_overview(commands, stdout);
        return 0;
    }
    if (argc > 2) die("help: expected one command; `eightysix help` shows them");
    if (!strcmp(argv[1], "--help")) {
        fputs(help, stdout);
        return 0;
    }
    if (!strcmp(argv[1], "--man")) {
        help_man(commands, help_text, stdout);
        return 0;
    }
    if (!strcmp(argv[1], "--bash")) {
        help_bash(commands, help_text, stdout);
        return 0;
    }
    const Command *c = command_find(commands, argv[1]);
    const char *near = command_nearest(commands, argv[1]);
    if (!c && near) die("help: no command '%s'; the nearest is '%s'", argv[1], near);
    if (!c) die("help: no command '%s'; `eightysix help` shows them", argv[1]);
    if (!c->run) {
        fputs(help, stdout);
        return 0;
    }
    char option[] = "--help", *words[] = { argv[1], option, NULL };
    return c->run(2, words);
}
