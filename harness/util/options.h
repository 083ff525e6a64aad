/* SPDX-License-Identifier: GPL-3.0-or-later */
/* options.h -- the words of a command: "--name VALUE", "--name=VALUE", "--flag", --help, and the rest. */
#ifndef OPTIONS_H
#define OPTIONS_H

typedef struct Option {
    const char  *name;           /* "--db"; NULL ends the table */
    const char **value;          /* one of these two */
    int         *flag;
} Option;
/* Moves the other words to argv[1..], returns how many; dies on an unknown option or one without its value.
 * --help prints help to stdout and exits 0. */
int options_read(int argc, char **argv, const Option *, const char *help);
#endif
