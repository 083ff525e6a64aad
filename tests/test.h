/* SPDX-License-Identifier: GPL-3.0-or-later */
/* test.h -- what every test needs of cmocka, and a printed seed (EIGHTYSIX_SEED sets it). */
#ifndef TEST_H
#define TEST_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static inline uint64_t test_seed(void)
{
    const char *s = getenv("EIGHTYSIX_SEED");
    const uint64_t seed = s ? strtoull(s, NULL, 10) : 1;
    printf("# seed %llu (EIGHTYSIX_SEED replays another)\n", (unsigned long long)seed);
    return seed;
}

/* Fails the test with a law's error message, if there is one. */
static inline void holds(const char *why)
{
    if (why) fail_msg("%s", why);
}

/* The directory of data, or NULL after saying why the test is skipped. */
static inline const char *test_data(const char *what)
{
    const char *dir = getenv("EIGHTYSIX_DATA");
    if (!dir) printf("# skipped: EIGHTYSIX_DATA is not set, and this test needs %s\n", what);
    return dir;
}
#endif
