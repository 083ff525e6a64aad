/* SPDX-License-Identifier: GPL-3.0-or-later */
/* share.h -- files that come with the program (experiments/, paper/), so commands work from any
 * directory.
 *
 * A relative name is looked for in the current directory, then in EIGHTYSIX_SHARE where it is set;
 * otherwise in the source tree that the program was built in (DIR/.. and DIR/../.., DIR holding the
 * program) and among the installed files (DIR/../share/eightysix). */
#ifndef SHARE_H
#define SHARE_H
#include "kernels/base.h"

/* "experiments/quick.yaml" -> a path that exists; the name itself where there is none */
const char *share_path(const char *name, Arena *);
/* The directory of that list in which `name` is; "." where there is none */
const char *share_dir(const char *name, Arena *);
/* An experiment by its file, or by its name alone: "quick" is experiments/quick.yaml */
const char *share_experiment(const char *file_or_name, Arena *);
#endif
