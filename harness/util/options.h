/* SPDX-License-Identifier: GPL-3.0-or-later */
/* options.h -- the arguments of a command: "--name VALUE", "--name=VALUE", "--flag", --help or -h,
 * and the rest. */
#ifndef OPTIONS_H
#define OPTIONS_H

typedef struct Option {
    const char  *name;           /* "--db"; NULL ends the table */
    /* one of these two. Both: the value, a number, may be left out, and then stays as it is */
    const char **value;
    int         *flag;
} Option;
/* Moves the other arguments to argv[1..] and returns how many; dies on an unknown option or one
 * whose value is missing. --help and -h print help to stdout and exit 0. */
int options_read(int argc, char **argv, const Option *, const char *help);

/* The value of an option as a number within these bounds; dies on any other text. */
long   option_int   (const char *option, const char *text, long least, long most);
double option_number(const char *option, const char *text, double least, double most);
/* The same of a word "name=number" */
long   word_int     (const char *word, long least, long most);
#endif
