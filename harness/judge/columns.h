/* SPDX-License-Identifier: GPL-3.0-or-later */
/* columns.h -- a table of the records as a person reads it. */
#ifndef COLUMNS_H
#define COLUMNS_H
#include "harness/store/db.h"
#include <stdio.h>

/* The names and the rows in columns, numbers to the right; "-" for NULL. A column without a value
 * is left out. */
void columns_print(const DbTable *, FILE *);
#endif
