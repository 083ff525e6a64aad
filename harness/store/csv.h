/* SPDX-License-Identifier: GPL-3.0-or-later */
/* csv.h -- views of the records as CSV files. */
#ifndef CSV_H
#define CSV_H
#include "harness/store/db.h"

/* A view as a CSV file (RFC 4180; path NULL: stdout), experiment NULL: all. NULL, or a sentence. */
const char *csv_write(Db *, const char *view, const char *experiment, const char *path, Arena *);
#endif
