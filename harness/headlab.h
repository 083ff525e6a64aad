/* SPDX-License-Identifier: GPL-3.0-or-later */
/* headlab.h -- the command `headlab`: heads refitted on the same frozen hidden states, so that what a head
 * costs in loss is told apart from what trunk and head gain by learning together. */
#ifndef HEADLAB_H
#define HEADLAB_H
int headlab_main(int argc, char **argv);
#endif
