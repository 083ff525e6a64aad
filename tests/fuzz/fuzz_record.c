/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Lines of a cell. */
#include "harness/util/record.h"
#include "tests/fuzz/fuzz.h"
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Arena *a = fuzz_arena();
    char *text = arena_raw(a, size + 1), *rest = text;
    memcpy(text, data, size);
    text[size] = 0;
    for (char *line; (line = strsep(&rest, "\n")); ) {
        Record r;
        if (!record_parse(line, &r)) continue;
        CHECK(strchr("ntsp", r.kind) && r.name && *r.name);
        CHECK(r.kind != 't' || r.text);
    }
    return 0;
}
