/* SPDX-License-Identifier: GPL-3.0-or-later */
/* exit.h -- the exit codes. Commands: 0 fine, 1 the answer is no, 2 bad usage or input (die() of
 * base.h), 3 inconclusive, 130 interrupted. */
#ifndef EXIT_H
#define EXIT_H

enum {
    EXIT_SKIP = 77        /* of a cell: what its settings ask for cannot run on this machine */
};
#endif
