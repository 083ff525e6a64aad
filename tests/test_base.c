/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Memory: what has no room ends with a message, never with memory that is too small; arenas under a
 * limit of address space; an arena that lies in its own memory. */
#include "kernels/base.h"
#include "tests/test.h"
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SMALL = 1 << 20 };
static const size_t HUGE_SIZE = (size_t)64 << 30;      /* what a session asks for, twice */

/* Runs `work` in a child; its exit status, and the start of its stderr in `text`. */
static int in_child(void (*work)(void), char *text, size_t size)
{
    int ends[2], status = 0;
    assert_int_equal(pipe(ends), 0);
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (!pid) {
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        work();
        _exit(0);
    }
    close(ends[1]);
    size_t used = 0;
    for (ssize_t n; used < size - 1 && (n = read(ends[0], text + used, size - 1 - used)) > 0;)
        used += (size_t)n;
    text[used] = 0;
    close(ends[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void dies_of_memory(void (*work)(void))
{
    char text[512];
    assert_int_equal(in_child(work, text, sizeof text), 2);
    assert_non_null(strstr(text, "out of memory"));
}

static void ask_nearly_all(void)
{
    Arena a = arena_new(SMALL);
    arena_raw(&a, SIZE_MAX - 10);
}

static void ask_more_than_left(void)
{
    Arena a = arena_new(SMALL);
    arena_raw(&a, SMALL - 64);
    arena_raw(&a, 65);
}

static void ask_product_that_wraps(void)
{
    Arena a = arena_new(SMALL);
    arena_array(&a, SIZE_MAX / 8 + 2, 8);
}

static void no_room_is_an_error(void **state)
{
    (void)state;
    dies_of_memory(ask_nearly_all);
    dies_of_memory(ask_more_than_left);
    dies_of_memory(ask_product_that_wraps);
}

static void all_of_it_is_given(void **state)
{
    (void)state;
    Arena a = arena_new(SMALL);
    arena_raw(&a, SMALL - 64);
    memset(arena_raw(&a, 64), 1, 64);
    assert_int_equal(a.used, SMALL);
    arena_raw(&a, 0);
    arena_drop(&a);
}

static void arrays_are_zeros(void **state)
{
    (void)state;
    Arena a = arena_new(SMALL);
    memset(arena_raw(&a, 4096), 1, 4096);
    arena_reset(&a, 0);
    const char *p = arena_array(&a, 512, 8);
    for (int i = 0; i < 4096; i++) assert_int_equal(p[i], 0);
    arena_drop(&a);
}

/* Limits what may be taken from now on. */
static void limit_to(size_t bytes)
{
    unsigned long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (!f || fscanf(f, "%lu", &pages) != 1) _exit(3);
    fclose(f);
    const rlim_t all = pages * (size_t)sysconf(_SC_PAGESIZE) + bytes;
    const struct rlimit limit = { all, all };
    if (setrlimit(RLIMIT_AS, &limit)) _exit(3);
}

static void two_large_arenas(void)
{
    const size_t room = (size_t)2 << 30;
    limit_to(room);
    Arena a = arena_new(HUGE_SIZE), b = arena_new(HUGE_SIZE), c = arena_new(SMALL);
    if (a.size > room / 4 || b.size > a.size || b.size < room / 8 || c.size != SMALL) _exit(4);
    memset(arena_raw(&a, SMALL), 1, SMALL);
    memset(arena_raw(&b, SMALL), 1, SMALL);
}

static void arenas_fit_a_limit(void **state)
{
    char text[512];
    (void)state;
    assert_int_equal(in_child(two_large_arenas, text, sizeof text), 0);
}

static void no_more_than_the_machine(void **state)
{
    (void)state;
    Arena a = arena_new(SIZE_MAX - 10);      /* rounded up to pages it would wrap */
    assert_true(a.size >= SMALL && a.size < SIZE_MAX / 2);
    arena_drop(&a);
}

static void boot_holds_itself(void **state)
{
    (void)state;
    Arena *a = arena_boot(SMALL);
    assert_true((char *)a >= a->mem && (char *)(a + 1) <= a->mem + a->used);
    memset(arena_raw(a, 1000), 7, 1000);
    assert_int_equal(a->size, SMALL);
    arena_drop(a);
}

static void pages_read_as_zeros(void **state)
{
    (void)state;
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    Arena a = arena_new(4 * page);
    char *p = arena_raw(&a, 4 * page);
    memset(p, 1, 4 * page);
    pages_return(p + 1, 3 * page);           /* whole pages: the second and the third */
    assert_int_equal(p[page - 1], 1);
    assert_int_equal(p[page], 0);
    assert_int_equal(p[3 * page - 1], 0);
    assert_int_equal(p[3 * page], 1);
    arena_drop(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_room_is_an_error), cmocka_unit_test(all_of_it_is_given),
        cmocka_unit_test(arrays_are_zeros), cmocka_unit_test(arenas_fit_a_limit),
        cmocka_unit_test(no_more_than_the_machine), cmocka_unit_test(boot_holds_itself),
        cmocka_unit_test(pages_read_as_zeros),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
