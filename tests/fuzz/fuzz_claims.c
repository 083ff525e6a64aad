/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A file of claims. */
#include "harness/judge/claims.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Claims claims = { 0 };
    Arena *a = fuzz_arena();
    const char *why = claims_load(fuzz_file(data, size), &claims, a);
    fuzz_want(why ? NULL : &claims, why);
    for (int i = 0; !why && i < claims.n; i++) {
        Claim again;
        const Claim *c = &claims.claim[i];
        if (claim_from_definition(c->name, claim_definition(c, a), &again, a))
            CHECK(0 && "a definition reads back");
    }
    return 0;
}
