/* SPDX-License-Identifier: GPL-3.0-or-later */
/* share.h -- files that come with the program (experiments/, paper/), so commands work from any
 * directory.
 *
 * A relative name is looked for in the current directory, then in EIGHTYSIX_SHARE where it is set;
 * where it is not, in the source tree that the program was built in (DIR/.. and DIR/../.., DIR
 * being the program's directory) and among the installed files (DIR/../share/eightysix). */
#ifndef SHARE_H
#define SHARE_H
#include "kernels/base.h"

/* "experiments/quick.yaml" -> a path that exists; the name itself where there is none */
const char *share_path(const char *name, Arena *);
/* The first of these directories that has `name`; "." where none has */
const char *share_dir(const char *name, Arena *);
/* An experiment by its file, or by its name alone: "quick" is experiments/quick.yaml */
const char *share_experiment(const char *file_or_name, Arena *);
#endif
