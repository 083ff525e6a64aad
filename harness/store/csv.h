/* SPDX-License-Identifier: GPL-3.0-or-later */
/* csv.h -- views of the records as CSV files. */
#ifndef CSV_H
#define CSV_H
#include "harness/store/db.h"

/* A field of CSV (RFC 4180): quoted, with quotes doubled, if it has a comma, quote or line end */
void        csv_put(FILE *, const char *text);
/* The rows of a view that belong to an experiment (NULL: all) as a CSV file; path NULL: stdout.
 * NULL, or an error message: then the file is as it was. */
const char *csv_write(Db *, const char *view, const char *experiment, const char *path, Arena *);
#endif
