/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Downloads by recipe: curl writes FILE.part and resumes it, the SHA-256 is compared, then the file
 * gets its name. A hash that is not known here must come from the user; nothing is ever kept
 * unverified. */
#include "harness/corpus/fetch.h"
#include "harness/corpus/cache.h"
#include "harness/corpus/data_parts.h"
#include "harness/util/host.h"
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* of recipes.def */
#define WIKITEXT_2                                                                                 \
    "https://raw.githubusercontent.com/pytorch/examples/77f55b912142e11fcfdf5b530231fb9c52f181e8/" \
    "word_language_model/data/wikitext-2/"
#define TINYSTORIES "https://huggingface.co/datasets/roneneldan/TinyStories/resolve/main/"
const Recipe recipes[] = {
#define R(name, file, url, sha256, then, vocab) { name, file, url, sha256, then, vocab },
#include "harness/corpus/recipes.def"
#undef R
    { NULL, NULL, NULL, NULL, NULL, NULL }
};

void fetch_list(FILE *out)
{
    for (const Recipe *r = recipes; r->name; r++)
        fprintf(out, "  %-13s %-34s %s\n", r->name, r->file, *r->sha256 ? "" : "needs sha256=HEX");
}

/* curl's exit code; 127: it cannot be run; 128: it was killed */
static int fetch_curl(const char *url, const char *part)
{
    const pid_t pid = fork();
    if (pid < 0) return 127;
    if (!pid) {
        execlp("curl", "curl", "-fL", "-C", "-", "--retry", "3", "--progress-bar", "-o", part, "--",
               url, (char *)NULL);
        _exit(127);
    }
    int status;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {}
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

/* Downloads to `part`, or goes on with what is there; the SHA-256 of it all into hash. NULL or an
 * error message */
static const char *fetch_part(const char *url, const char *part, char hash[65], Arena *a)
{
    /* 33: the server has no range beyond a complete part */
    enum { CURL_NOTHING_LEFT = 33 };
    const int code = fetch_curl(url, part);
    if (code == 127)
        return "curl: cannot be run: expected the program curl (`make deps` installs it)";
    if (code && code != CURL_NOTHING_LEFT)
        return arena_text(a,
                          "%s: curl failed with exit code %d; what came is kept in %s and the next "
                          "try resumes it",
                          url, code, part);
    const char *why = sha256_file(part, hash);
    return why ? arena_text(a, "%s", why) : NULL;
}

/* What an earlier try left may be no beginning of the file: then once more, from its start */
static const char *fetch_verified(const char *url, const char *part, const char *sha256,
                                  char hash[65], Arena *a)
{
    struct stat before = { 0 }, after = { 0 };
    const int resumes = !stat(part, &before) && before.st_size > 0;
    const char *why = fetch_part(url, part, hash, a);
    if (!why && !strcmp(hash, sha256)) return NULL;
    /* an error that brought nothing, or bytes that do not fit what was there */
    if (!resumes || (why && (stat(part, &after) || after.st_size != before.st_size))) return why;
    fprintf(stderr, "%s: no beginning of this file; it is downloaded anew\n", part);
    const char *aside = arena_text(a, "%s.old", part);
    if (rename(part, aside)) return why;
    const char *again = fetch_part(url, part, hash, a);
    if (again && why) rename(aside, part);
    else unlink(aside);
    return again && why ? why : again;
}

/* Downloads what is not there yet, and verifies it. */
static const char *fetch_file(const char *path, const char *url, const char *sha256, Arena *a)
{
    const char *part = arena_text(a, "%s.part", path), *why;
    char hash[65];
    if (!access(path, R_OK)) {
        if ((why = sha256_file(path, hash))) return arena_text(a, "%s", why);
        if (!strcmp(hash, sha256)) return NULL;
        return arena_text(a, "%s: there is a file with SHA-256 %s, expected %s; move it away first",
                          path, hash, sha256);
    }
    fprintf(stderr, "%s <- %s\n", path, url);
    if ((why = fetch_verified(url, part, sha256, hash, a))) return why;
    if (strcmp(hash, sha256)) {
        unlink(part);
        return arena_text(a, "%s: SHA-256 is %s, expected %s; the file is not kept", url, hash,
                          sha256);
    }
    return rename(part, path) ? arena_text(a, "%s: cannot be written: %s", path, strerror(errno))
                              : NULL;
}

static const char *fetch_make_directories(const char *path, Arena *a)
{
    char *dir = arena_text(a, "%s", path);
    *strrchr(dir, '/') = 0;
    mkdir(data_dir(), 0777);
    if (!mkdir(dir, 0777) || errno == EEXIST) return NULL;
    return arena_text(a, "%s: cannot be made: %s", dir, strerror(errno));
}

/* One file of a recipe */
static const char *fetch_one(const Recipe *r, const FetchQuery *q, Arena *a)
{
    const char *sha256 = q->sha256 ? q->sha256 : r->sha256,
               *path = arena_text(a, "%s/%s", data_dir(), r->file);
    if (!*sha256)
        return arena_text(a,
                          "%s: no SHA-256 is known here: expected `tokenize fetch %s file=%s "
                          "sha256=HEX` with the one its publisher states",
                          r->file, r->name, r->file);
    const char *why = fetch_make_directories(path, a);
    if (!why) why = fetch_file(path, q->url ? q->url : r->url, sha256, a);
    if (why) return why;
    printf("%s  %s\n", sha256, path);
    if (*r->then) printf("  now, in %s: %s\n", data_dir(), r->then);
    return NULL;
}

static int fetch_is_asked(const Recipe *r, const FetchQuery *q)
{
    return !strcmp(r->name, q->name) && (!q->file || !strcmp(r->file, q->file));
}

static const char *fetch_check(const FetchQuery *q, Arena *a)
{
    int files = 0, known = 0;
    for (const Recipe *r = recipes; r->name; r++) {
        known += !strcmp(r->name, q->name);
        files += fetch_is_asked(r, q);
    }
    if (q->sha256 && (strlen(q->sha256) != 64 || strspn(q->sha256, "0123456789abcdef") != 64))
        return arena_text(a, "sha256=%s: expected 64 digits of 0-9a-f", q->sha256);
    if (!known)
        return arena_text(a, "no recipe '%s': `eightysix tokenize fetch --help` lists them",
                          q->name);
    if (!files)
        return arena_text(a,
                          "recipe %s has no file %s: `eightysix tokenize fetch --help` lists them",
                          q->name, q->file);
    if (files > 1 && (q->url || q->sha256))
        return arena_text(a, "recipe %s has %d files: expected file=FILE beside url= or sha256=",
                          q->name, files);
    return NULL;
}

const char *fetch_recipe(const FetchQuery *q, Arena *a)
{
    const char *why = fetch_check(q, a);
    for (const Recipe *r = recipes; r->name && !why; r++)
        if (fetch_is_asked(r, q)) why = fetch_one(r, q, a);
    return why;
}
