/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the program says of itself: overview, version, help of a command, manual page, completion;
 * and the installed program, which works from any directory. */
#include "harness/store/db.h"
#include "models/spec.h"
#include "tests/place.h"

/* The names in the overview's table, each ended by a zero; how many */
static int commands_of(Place *p, char name[][32], int most)
{
    const char *said;
    int n = 0;
    assert_int_equal(place_command(p, "help", &said), 0);
    const char *line = strstr(said, "\n  list ");
    for (; line && line[1] == ' ' && n < most; line = strchr(line + 1, '\n'))
        if (sscanf(line, "\n  %31[a-z]", name[n]) == 1) n++;
    assert_in_range(n, 18, most - 1);
    return n;
}

static void test_version(void **state)
{
    Place *p = *state;
    const char *said;
    assert_int_equal(place_command(p, "--version", &said), 0);
    assert_says(said, "eightysix ");
    assert_says(said, "\ncommit    ");
    assert_says(said, "\ncompiler  ");
    const char *id = strstr(said, "\nbuild     ");
    assert_non_null(id);
    assert_int_equal(strspn(id + strlen("\nbuild     "), "0123456789abcdef"), 64);
    assert_int_equal(place_shell(p,
                                 arena_text(&p->a, "grep -q '^VERSION = %.*s$' Makefile",
                                            (int)strcspn(said + 10, "\n"), said + 10),
                                 &said),
                     0);
}

static void test_help(void **state)
{
    Place *p = *state;
    const char *said, *other;
    char name[64][32];
    assert_int_equal(place_command(p, "-h", &other), 0);
    assert_int_equal(place_command(p, "help", &said), 0);
    assert_string_equal(said, other);
    for (int i = 0, n = commands_of(p, name, 64); i < n; i++) {
        said = place_expect(p, 0, arena_text(&p->a, "help %s", name[i]));
        other = place_expect(p, 0, arena_text(&p->a, "%s --help", name[i]));
        assert_says(said, arena_text(&p->a, "usage: eightysix %s", name[i]));
        assert_string_equal(said, other);
    }
}

static void test_misspelt(void **state)
{
    Place *p = *state;
    const char *said;
    assert_int_equal(place_command(p, "trian", &said), 2);
    assert_says(said, "no command 'trian'; the nearest is 'train'");
    assert_int_equal(place_command(p, "help swep", &said), 2);
    assert_says(said, "the nearest is 'sweep'");
    assert_int_equal(place_command(p, "xyzzyx", &said), 2);
    assert_says(said, "no command 'xyzzyx'\n");
    assert_int_equal(place_command(p, "help train tune", &said), 2);
    assert_int_equal(place_command(p, "", &said), 2);
}

static void test_man(void **state)
{
    Place *p = *state;
    const char *page, *said;
    char name[64][32];
    assert_int_equal(place_command(p, "help --man", &page), 0);
    for (int i = 0, n = commands_of(p, name, 64); i < n; i++)
        assert_says(page, arena_text(&p->a, "\n.SS %s\n", name[i]));
    for (const Setting *s = settings; s->key; s++)
        assert_says(page, arena_text(&p->a, "\n.B %s", s->key));
    if (place_shell(p, "command -v man && command -v groff", &said)) {
        print_message("no man, or no groff: the page is not rendered\n");
        skip();
    }
    const char *path = place_write(p, "eightysix.1", page);
    assert_int_equal(
        place_shell(
            p,
            arena_text(&p->a,
                       "MANWIDTH=120 MANPAGER=cat man --warnings -E UTF-8 -l %s 2>%s/warnings",
                       path, p->dir),
            &said),
        0);
    assert_says(said, "--benchmark_out FILE");
    assert_says(said, "corpus_seed=1");
    assert_int_equal(place_shell(p, arena_text(&p->a, "cat %s/warnings", p->dir), &said), 0);
    assert_string_equal(said, "");
}

/* What bash offers after these arguments, the last one being completed */
static const char *completes(Place *p, const char *words, int last)
{
    const char *said;
    const char *script = arena_text(
        &p->a,
        "'%s' help --bash > %s/c && bash -c '. %s/c; COMP_WORDS=(%s); COMP_CWORD=%d; "
        "_eightysix; echo \" ${COMPREPLY[*]} \"'",
        getenv("EIGHTYSIX_BINARY"), p->dir, p->dir, words, last);
    assert_int_equal(place_shell(p, script, &said), 0);
    return said;
}

static void test_bash(void **state)
{
    Place *p = *state;
    assert_string_equal(completes(p, "eightysix tr", 1), " train \n");
    assert_says(completes(p, "eightysix \"\"", 1), " regress ");
    assert_silent(completes(p, "eightysix re", 1), "regress-sample");
    assert_string_equal(completes(p, "eightysix train corpus_", 2), " corpus_seed= \n");
    assert_string_equal(completes(p, "eightysix sweep --dry", 2), " --dry-run \n");
    assert_string_equal(completes(p, "eightysix train act = i", 4), " int8 \n");
    assert_silent(completes(p, "eightysix merge \"\"", 2), "--pack");
    assert_string_equal(completes(p, "eightysix plot corpus_", 2), "  \n");
}

/* ---- installed ---- */
static void test_install(void **state)
{
    Place *p = *state;
    const char *said, *binary = getenv("EIGHTYSIX_BINARY"), *root = getenv("EIGHTYSIX_ROOT");
    const char *out = arena_text(&p->a, "%.*s", (int)(strrchr(binary, '/') - binary), binary);
    const char *make = arena_text(
        &p->a, "make -o '%s/eightysix' OUT='%s' DESTDIR=%s/root PREFIX=/usr", out, out, p->dir);
    assert_int_equal(place_shell(p, arena_text(&p->a, "%s install", make), &said), 0);
    const char *from = arena_text(&p->a,
                                  "cd %s && P=root/usr/bin/eightysix && $P merge "
                                  "'%s/results/reference/records' --into t.db",
                                  p->dir, root);
    assert_int_equal(place_shell(p, from, &said), 0);
    Db *empty = db_open(place_in(p, "q.db"), &p->a, &said);   /* a question of it takes no time */
    assert_non_null(empty);
    db_close(empty);
    static const struct {
        const char *words, *says;
        int code;
    } run[] = { { "list models", "flashlm3", 0 },
                { "sweep --dry-run quick --db q.db", "head=softmax", 0 },
                { "sweep --dry-run experiments/quick.yaml --db q.db", "head=softmax", 0 },
                { "plot time_split --db t.db --out .", "time_split.svg", 0 },
                { "paper --check --db q.db", "build/paper/stamps", 1 } };
    for (size_t i = 0; i < sizeof run / sizeof *run; i++) {
        assert_int_equal(place_shell(p,
                                     arena_text(&p->a, "cd %s && root/usr/bin/eightysix %s",
                                                p->dir, run[i].words),
                                     &said),
                         run[i].code);
        assert_says(said, run[i].says);
    }
    place_shell(p, arena_text(&p->a, "cd %s && root/usr/bin/eightysix claims --db t.db", p->dir),
                &said);
    assert_says(said, " held, ");
    assert_int_equal(
        place_shell(p, arena_text(&p->a, "%s uninstall && find %s/root -type f", make, p->dir),
                    &said),
        0);
    assert_silent(said, arena_text(&p->a, "\n%s/root", p->dir));
}

/* EIGHTYSIX_SHARE replaces the other places; the current directory comes first */
static void test_share(void **state)
{
    Place *p = *state;
    const char *said;
    const char *quick = "'%s' sweep --dry-run quick --db q.db",
               *yaml = "question: \"Mine?\"\nfactors: {d: [16]}\n";
    const char *run = arena_text(&p->a, quick, getenv("EIGHTYSIX_BINARY"));
    assert_int_equal(
        place_shell(p,
                    arena_text(&p->a, "cd %s && mkdir -p share/experiments && %s", p->dir, run),
                    &said),
        0);
    assert_says(said, "FlashLM v3");
    place_write(p, "share/experiments/quick.yaml", yaml);
    const char *shared = arena_text(&p->a, "cd %s && EIGHTYSIX_SHARE=%s/share %s", p->dir, p->dir,
                                    run);
    assert_int_equal(place_shell(p, shared, &said), 0);
    assert_says(said, "Mine?");
    assert_int_equal(place_shell(p, arena_text(&p->a, "cd %s/share && %s", p->dir, run), &said),
                     0);
    assert_says(said, "Mine?");
    assert_int_equal(
        place_shell(p, arena_text(&p->a, "cd %s && EIGHTYSIX_SHARE=/nonexistent %s", p->dir, run),
                    &said),
        2);
}

/* What cannot be printed is an error of every command, whatever else it would have said. */
static void test_full(void **state)
{
    static const char *const arguments[] = { "list", "list settings", "--version", "help",
                                             "export --help", "help --man", "help --bash" };
    Place *p = *state;
    for (size_t i = 0; i < sizeof arguments / sizeof *arguments; i++)
        assert_says(place_expect(p, 2, arena_text(&p->a, "%s 2>&1 >/dev/full", arguments[i])),
                    "standard output cannot be written");
}

/* A file that may not grow is an error of the write. Figures of CSV are written by the program. */
static void test_limit(void **state)
{
    Place *p = *state;
    const char *said, *binary = getenv("EIGHTYSIX_BINARY");
    const char *db = place_in(p, "t.db"), *pack = place_in(p, "p.db");
    place_expect(p, 0, arena_text(&p->a, "merge results/reference/records --into %s", db));
    const char *run = arena_text(&p->a, "ulimit -c 0; ulimit -f 8; exec '%s'", binary);
    const char *command[] = { arena_text(&p->a, "%s export result --db %s --out %s", run, db,
                                         p->dir),
                              arena_text(&p->a, "%s export --db %s --pack %s", run, db, pack),
                              arena_text(&p->a, "%s export curve --db %s --out - >%s/curve", run,
                                         db, p->dir) };
    for (size_t i = 0; i < sizeof command / sizeof *command; i++) {
        assert_int_equal(place_shell(p, command[i], &said), 2);
        assert_says(said, "File too large");
    }
}

/* A pipe that nobody writes to is refused, where it would block. */
static void test_pipe(void **state)
{
    static const struct { int code; const char *arguments; } run[] = {
        { 2, "sweep %s --dry-run --db %s.db" },
        { 2, "claims --claims %s --db %s.db" },
        { 2, "export result --db %s" },
        { 2, "merge %s --into %s.into" },
        { 2, "replay %s" },
        { 2, "eval %s" },
        { 2, "headlab %s" },
        { 2, "paper --parts %s" },
        { 2, "tokenize encode vocab=words list=%s" },
        { 2, "tokenize corpus vocab=bytes %s" },
        { 1, "train from=%s budget=1s --no-db" },
        { 1, "train corpus=%s vocab=bytes budget=1s --no-db" },
        { 1, "train embed_init=%s budget=1s --no-db" },
    };
    Place *p = *state;
    const char *said, *pipe = place_in(p, "pipe.txt"), *binary = getenv("EIGHTYSIX_BINARY");
    assert_int_equal(place_shell(p, arena_text(&p->a, "mkfifo %s", pipe), &said), 0);
    for (size_t i = 0; i < sizeof run / sizeof *run; i++) {
        char line[512];
        snprintf(line, sizeof line, run[i].arguments, pipe, pipe);
        const int code = place_shell(p,
                                     arena_text(&p->a, "timeout 10 '%s' %s </dev/null", binary,
                                                line),
                                     &said);
        if (code != run[i].code)
            fail_msg("%s: exit code %d, expected %d: %s", line, code, run[i].code, said);
        assert_says(said, "is a pipe; expected a file");
    }
}

/* A directory of the name of an experiment is none: the experiment is meant */
static void test_directory_of_a_name(void **state)
{
    Place *p = *state;
    const char *said;
    const char *command = arena_text(&p->a, "mkdir %s/quick && cd %s && '%s' sweep quick --dry-run",
                                     p->dir, p->dir, getenv("EIGHTYSIX_BINARY"));
    if (place_shell(p, command, &said)) fail_msg("%s", said);
    assert_says(said, "quick: ");
}

#define HELP_TEST(f) cmocka_unit_test_setup_teardown(f, place_make, place_drop)
int main(void)
{
    const struct CMUnitTest tests[] = {
        HELP_TEST(test_version), HELP_TEST(test_help), HELP_TEST(test_misspelt),
        HELP_TEST(test_man),     HELP_TEST(test_bash), HELP_TEST(test_install),
        HELP_TEST(test_share),   HELP_TEST(test_full), HELP_TEST(test_limit),
        HELP_TEST(test_pipe),    HELP_TEST(test_directory_of_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
