/* SPDX-License-Identifier: GPL-3.0-or-later */
/* plot.h -- figures from the records. */
#ifndef PLOT_H
#define PLOT_H
#include "harness/store/db.h"

/* Writes the rows of the view `figure` that belong to an experiment (NULL: the last that has some)
 * as STEM.csv, and draws them as STEM.FORMAT by experiments/FIGURE.gp, for each of the formats,
 * which a NULL ends. NULL, or an error message. */
const char *plot_draw(Db *, const char *figure, const char *experiment, const char *stem,
                      const char *const *formats, Arena *);
/* Draws it as figures/FIGURE.svg, png and pdf beside the database, and prints the path, or one
 * sentence why not. */
void plot_beside(const char *db_path, const char *figure, const char *experiment, Arena *);
#endif
