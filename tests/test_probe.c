/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The peaks: every probe counts in proportion to its repetitions, takes the time of what it counts,
 * and stays in its buffer; wider vectors are no slower. Times are compared within wide limits: this
 * machine may be busy. */
#include "kernels/cpu.h"
#include "kernels/probe.h"
#include "harness/util/clock.h"
#include "tests/test.h"
#include <math.h>
#include <string.h>

enum { SMALL = 3 * PROBE_BLOCK, GUARD = 64, TRIES = 5 };

static const Probe *probe_named(const char *name)
{
    const Probe *p = probes;
    while (p->name && strcmp(p->name, name)) p++;
    return p->name && probe_runs_here(p) ? p : NULL;
}

/* what one instruction counts, by its name: lanes of 512, 256 or 128 bits, two operations for a
 * multiply-add; tiles: 16 x 16 sums of 512 bits of them */
static double per_register(const char *name)
{
    if (strstr(name, "_amx")) return 2 * 16 * 16 * (64 / (name[0] == 'b' ? 2 : 1));
    const char *type_end = strrchr(name, '_'), *end = type_end ? type_end : name;
    end += strcspn(end, "0123456789");
    const int bits = *end ? atoi(end) : 128, width = name[0] == 'f' ? 32 : 8,
              adds = strstr(name, "_add") || strchr("sp", name[0]);
    return bits / width * (adds ? 1 : 2);
}

static void counts_in_proportion(void **state)
{
    (void)state;
    for (const Probe *p = probes; p->name; p++) {
        if (!probe_runs_here(p)) continue;
        _Alignas(64) static char room[SMALL + GUARD];
        memset(room, 0, sizeof room);
        const size_t bytes = p->bytes ? SMALL : 0;
        const double one = p->work(1, room, bytes), seven = p->work(7, room, bytes);
        assert_true(one > 0);
        assert_true(seven == 7 * one);
        if (bytes) assert_true(one == SMALL);
        const double registers = one / PROBE_PASSES / per_register(p->name);
        if (!bytes && registers != 12 && registers != 16)
            fail_msg("%s counts %.3g registers in a pass", p->name, registers);
        assert_non_null(strchr(p->unit, '/'));
    }
}

/* under each instruction set: what lies behind the buffer stays; the triad is right; odd sizes are
 * cut, not overrun */
static void stays_in_its_buffer(void **state)
{
    (void)state;
    static const char *const sets[] = { "sse2", "avx2", "avx512", "neon" };
    _Alignas(64) static float room[SMALL / sizeof(float) + GUARD];
    const int n = PROBE_BLOCK / sizeof(float);
    for (size_t s = 0; s < sizeof sets / sizeof *sets; s++) {
        setenv("EIGHTYSIX_CPU", sets[s], 1);
        cpu_read();
        for (const Probe *p = probes; p->name; p++) {
            if (!p->bytes) continue;
            for (size_t i = 0; i < sizeof room / sizeof *room; i++) room[i] = (float)i;
            assert_true(p->work(2, room, SMALL + 17) == 2 * SMALL);
            const int triad = !strncmp(p->name, "triad", 5);
            for (int i = 0; i < n; i++)
                assert_true(room[i] ==
                            (triad ? (float)(n + i) + 0.5f * (float)(2 * n + i) : (float)i));
            for (int i = n; i < 3 * n + GUARD; i++) assert_true(room[i] == (float)i);
        }
    }
    unsetenv("EIGHTYSIX_CPU");
    cpu_read();
}

static double rate(const Probe *p, int iters)      /* per second, the best of a few */
{
    double best = 0;
    for (int i = 0; i < TRIES; i++) {
        const double t = clock_now(), done = p->work(iters, NULL, 0);
        best = fmax(best, done / (clock_now() - t));
    }
    return best;
}

/* nothing is optimised away: no CPU does more than 8 GHz times 4 ports allow, none less than a slow
 * one under a load */
static void takes_its_time(void **state)
{
    (void)state;
    for (const Probe *p = probes; p->name; p++) {
        if (p->bytes || !probe_runs_here(p)) continue;
        const double each = p->work(1, NULL, 0) / PROBE_PASSES;
        const double passes = rate(p, 200) / each;
        if (!(passes < 8e9 * 4 / 12 && passes > 1e6))
            fail_msg("%s: %.3g passes of twelve instructions a second", p->name, passes);
    }
}

static void wider_is_no_slower(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        { "f32_fma128", "f32_fma256" },     { "f32_fma256", "f32_fma512" },
        { "int8_vnni256", "int8_vnni512" }, { "f32_add512", "f32_fma512" },
        { "f32_fma512", "int8_vnni512" },   { "shuffle256", "shuffle512" },
        { "int8_vnni512", "int8_amx" },     { "f32_fma512", "bf16_amx" }
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        const Probe *a = probe_named(pairs[i][0]), *b = probe_named(pairs[i][1]);
        if (a && b && !(rate(b, 200) > 0.7 * rate(a, 200)))
            fail_msg("%s is slower than %s", b->name, a->name);
    }
}

static void narrowed_by_the_environment(void **state)
{
    (void)state;
    setenv("EIGHTYSIX_CPU", "sse2", 1);
    cpu_read();
    for (const Probe *p = probes; p->name; p++) assert_int_equal(probe_runs_here(p), p->cpu == 0);
    unsetenv("EIGHTYSIX_CPU");
    cpu_read();
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(counts_in_proportion),
                                        cmocka_unit_test(stays_in_its_buffer),
                                        cmocka_unit_test(takes_its_time),
                                        cmocka_unit_test(wider_is_no_slower),
                                        cmocka_unit_test(narrowed_by_the_environment) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
