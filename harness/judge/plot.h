/* SPDX-License-Identifier: GPL-3.0-or-later */
/* plot.h -- figures from the records. */
#ifndef PLOT_H
#define PLOT_H
#include "harness/store/db.h"

/* STEM.csv from the view of a figure's name, STEM.FORMAT by experiments/FIGURE.gp for each format
 * up to a NULL; experiment NULL: the last that has rows. NULL, or a sentence. */
const char *plot_draw(Db *, const char *figure, const char *experiment, const char *stem,
                      const char *const *formats, Arena *);
#endif
