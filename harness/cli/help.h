/* SPDX-License-Identifier: GPL-3.0-or-later */
/* help.h -- the program's own documentation: the overview, the version, the manual page, the
 * completion of bash.
 *
 * All of it is made from the commands' own --help and from the settings; nothing is written
 * twice. */
#ifndef HELP_H
#define HELP_H
#include <stdio.h>

typedef struct Command {
    const char *name;
    int       (*run)(int argc, char **argv);
    const char *brief;                   /* NULL: hidden, for other programs */
} Command;

/* commands end with a NULL name; `help` itself is one of them, without a function */
void help_overview(const Command *, FILE *);
/* `help [COMMAND | --man | --bash]`: argv[0] is "help". Returns the exit code */
int  help_main    (const Command *, int argc, char **argv);
/* "eightysix 0.2.0 ..." with commit, compiler and id of the build */
void help_version (FILE *);
const Command *command_find   (const Command *, const char *name);      /* NULL: there is none */
const char    *command_nearest(const Command *, const char *name);      /* NULL: none is near */
/* Formats of `help --man` and `help --bash`: cmd_help_man.c, cmd_help_bash.c */
typedef const char *HelpText(const Command *);      /* what COMMAND --help prints */
void help_man (const Command *, HelpText *, FILE *);
void help_bash(const Command *, HelpText *, FILE *);
#endif
