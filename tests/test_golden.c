/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Golden losses: twenty small training steps of every head, activation and quantiser must give the
 * recorded losses and weights, bit for bit on the recorded instruction set.
 * The bits are those of one compiler (first line of the file); the build of another must come
 * within 2 %: the rounding of its loops differs, and a ternary weight may flip.
 *
 * tests/data/golden.txt has one cell a line:
 *     ISA | settings | SHA-256 of the weights | losses, then the validation loss
 * GOLDEN_WRITE=FILE writes the file anew from the built program: only after a change that is meant
 * to change losses. */
#include "harness/util/host.h"
#include "kernels/cpu.h"
#include "models/params.h"
#include "tests/place.h"
#include <math.h>
#include <string.h>

enum { LINE = 4096, ROWS = 256, JOBS = 2 };
#define OTHER_COMPILER 0.02
static const char GOLDEN[] = "tests/data/golden.txt";
static const char COMMON[] =
    "V=512 d=32 dilations=1,4 conv_groups=4 seq=32 batch=2 accum=2 fraction=0.5 "
    "train_tokens=20000 valid_tokens=2048 "
    "cutoffs=40,200 warmup=5 lr=3e-3 budget=20steps gemm=portable kernel=ref";

typedef struct { char isa[16], settings[256], sha[65], losses[LINE]; } Row;
typedef struct { FILE *out; const char *save; } Job;

static Job start(Place *p, const Row *r, int i)
{
    Job j = { .save = place_in(p, arena_text(&p->a, "golden%d.safetensors", i)) };
    unlink(j.save);
    const char *command = "EIGHTYSIX_CPU=%s '%s' cell %s %s save=%s 3>&1 2>&1";
    const char *binary = getenv("EIGHTYSIX_BINARY");
    j.out = popen(arena_text(&p->a, command, r->isa, binary, COMMON, r->settings, j.save), "r");
    assert_non_null(j.out);
    return j;
}

/* The values of every parameter, in the order of the file; moments and averages left out */
static void weights_sha(Place *p, const char *path, char sha[65])
{
    const char *why = "";
    const size_t at = p->a.used;
    TensorFile *f = tensors_open(path, &p->a, &why);
    if (!f) fail_msg("%s", why);
    char *all = arena_raw(&p->a, f->size);
    size_t n = 0;
    for (int i = 0; i < f->n; i++) {
        const Tensor *t = &f->t[i];
        if (strcmp(t->dtype, "F32") || strchr(t->name, '/')) continue;
        memcpy(all + n, t->data, sizeof(float) * (size_t)t->n);
        n += sizeof(float) * (size_t)t->n;
    }
    sha256_hex(all, n, sha);
    tensors_close(f);
    arena_reset(&p->a, at);
}

static void finish(Place *p, const Job *j, const Row *asked, Row *got)
{
    char line[LINE], name[64], value[64], said[LINE] = "";
    *got = *asked;
    *got->losses = 0;
    while (fgets(line, sizeof line, j->out)) {
        if (sscanf(line, "num %63s %*d %63s", name, value) != 2) {
            if (strncmp(line, "span ", 5) && strncmp(line, "text ", 5))
                snprintf(said, sizeof said, "%s", line);
            continue;
        }
        if (strcmp(name, "loss") && strcmp(name, "nll")) continue;
        const size_t used = strlen(got->losses);
        snprintf(got->losses + used, sizeof got->losses - used, "%s%s", used ? " " : "", value);
    }
    if (pclose(j->out)) fail_msg("%s %s: %s", asked->isa, asked->settings, said);
    weights_sha(p, j->save, got->sha);
}

/* compiler: that of the recorded losses */
static int read_golden(Row *rows, char compiler[256])
{
    char path[4096], line[LINE];
    snprintf(path, sizeof path, "%s/%s", getenv("EIGHTYSIX_ROOT"), GOLDEN);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    int n = 0;
    if (fscanf(f, "# %255[^\n]\n", compiler) != 1)
        fail_msg("%s: line 1: expected # and the compiler", path);
    while (fgets(line, sizeof line, f)) {
        assert_true(n < ROWS);
        Row *r = &rows[n++];
        if (sscanf(line, "%15[^|]|%255[^|]|%64[^|]|%4095[^\n]", r->isa, r->settings, r->sha,
                   r->losses) != 4)
            fail_msg("%s: row %d: expected ISA|settings|SHA-256|losses", path, n);
    }
    fclose(f);
    return n;
}

/* The largest relative distance of the numbers of two lists; INFINITY where they are not as many */
static double distance(const char *a, const char *b)
{
    double worst = 0;
    for (;;) {
        char *ea, *eb;
        const double x = strtod(a, &ea), y = strtod(b, &eb);
        if (ea == a || eb == b) return ea == a && eb == b ? worst : INFINITY;
        worst = fmax(worst, fabs(x - y) / fmax(fabs(x), 1e-30));
        a = ea;
        b = eb;
    }
}

static int runs_here(const char *isa)
{
    Arena a = arena_new(1 << 20);
    const char *had = getenv("EIGHTYSIX_CPU");
    unsetenv("EIGHTYSIX_CPU");
    char text[128];
    cpu_text(cpu_read(), text, sizeof text);
    if (had) setenv("EIGHTYSIX_CPU", had, 1);
    cpu_read();
    arena_drop(&a);
    return !strcmp(isa, "sse2") || strstr(text, isa) != NULL;
}

/* "gcc (Debian 12.2.0-14) 12.2.0" is "cc (Debian 12.2.0-14) 12.2.0" */
static int same_compiler(const char *a, const char *b)
{
    return !strcmp(a + strcspn(a, "("), b + strcspn(b, "("));
}

static void every_recorded_loss_repeats(void **state)
{
    Place *p = *state;
    Row *rows = arena_get(&p->a, sizeof *rows * ROWS), got;
    const char *write = getenv("GOLDEN_WRITE");
    FILE *out = write ? fopen(write, "w") : NULL;
    char compiler[256];
    const int n = read_golden(rows, compiler);
    const int same = same_compiler(compiler, build_read(&p->a)->compiler);
    int bad = 0, seen = 0;
    if (out) fprintf(out, "# %s\n", build_read(&p->a)->compiler);
    if (!same) print_message("recorded with %s: compared within %g\n", compiler, OTHER_COMPILER);
    for (int i = 0; i < n; i += JOBS) {
        Job job[JOBS];
        int on[JOBS] = { 0 };
        for (int k = 0; k < JOBS && i + k < n; k++)
            if ((on[k] = runs_here(rows[i + k].isa))) job[k] = start(p, &rows[i + k], k);
        for (int k = 0; k < JOBS && i + k < n; k++) {
            const Row *r = &rows[i + k];
            if (!on[k]) continue;
            finish(p, &job[k], r, &got);
            seen++;
            if (out) fprintf(out, "%s|%s|%s|%s\n", got.isa, got.settings, got.sha, got.losses);
            if (!strcmp(got.losses, r->losses) && !strcmp(got.sha, r->sha)) continue;
            if (!same && distance(got.losses, r->losses) <= OTHER_COMPILER) continue;
            bad++;
            print_message("%s %s: losses differ by %.2g, weights %s\n", r->isa, r->settings,
                          distance(got.losses, r->losses),
                          strcmp(got.sha, r->sha) ? "differ" : "are equal");
        }
    }
    if (out) fclose(out);
    print_message("%d of %d golden cells ran here\n", seen, n);
    assert_true(seen > 0);
    if (!write) assert_int_equal(bad, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_recorded_loss_repeats, place_make, place_drop) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
