/* SPDX-License-Identifier: GPL-3.0-or-later */
/* schema.sql and views.sql as strings of the program, by the assembler's .incbin (found by -I). A
 * later version of the tables is one more script: db_migrations[n] leads from user_version n of a
 * database to n + 1. */
#include "harness/store/db.h"

#define EMBED(name, path)                                                                          \
    __asm__(".section .rodata\n.globl " #name "\n.hidden " #name "\n" #name ":\n.incbin \"" path   \
            "\"\n.byte 0\n.previous\n");                                                           \
    extern const char name[] __attribute__((visibility("hidden")))

EMBED(schema_1, "harness/store/schema.sql");
EMBED(schema_2, "harness/store/schema_2.sql");
EMBED(schema_3, "harness/store/schema_3.sql");
EMBED(schema_views, "harness/store/views.sql");

const char *const db_migrations[] = { schema_1, schema_2, schema_3, NULL };
const char *const db_views_sql = schema_views;
