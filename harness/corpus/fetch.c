/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Downloads by recipe: curl writes FILE.part and resumes it, the SHA-256 is compared, then the file
 * gets its name. A hash that is not known here must come from the user; nothing is ever kept
 * unverified. */
#include "harness/corpus/cache.h"
#include "harness/corpus/data_parts.h"
#include "harness/util/host.h"
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

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

static int help(FILE *out, int code)
{
    fputs(
        "usage: eightysix tokenize fetch NAME [file=FILE] [url=URL] [sha256=HEX]\n\n"
        "Brings the files of a recipe into the data directory (EIGHTYSIX_DATA, or data/). "
        "Downloads resume where they\n"
        "stopped; a file whose SHA-256 is not the expected one is refused. Where the recipe knows "
        "no hash, give the one\n"
        "its publisher states as sha256=HEX. file= picks one file of a recipe that has several, "
        "url= another place to\n"
        "take it from (file:///path works), both of which a recipe of one file does not need.\n\n",
        out);
    for (const Recipe *r = recipes; r->name; r++)
        fprintf(out, "  %-13s %-34s %s\n", r->name, r->file, *r->sha256 ? "" : "needs sha256=HEX");
    fputs("\nExamples:  eightysix tokenize fetch gpt2\n"
          "           eightysix tokenize fetch text8 url=file:///mnt/text8.zip\n", out);
    return code;
}

/* curl's exit code; 127 when it cannot be run. */
static int curl(const char *url, const char *part)
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

static const char *fetch(const char *path, const char *url, const char *sha256, Arena *a)
{
    enum { CURL_NOTHING_LEFT = 33 };     /* the server has no range beyond a complete part */
    const char *part = arena_text(a, "%s.part", path), *why;
    char hash[65];
    if (!access(path, R_OK)) {
        if ((why = sha256_file(path, hash))) return arena_text(a, "%s", why);
        if (!strcmp(hash, sha256)) return NULL;
        return arena_text(a, "%s: there is a file with SHA-256 %s, expected %s; move it away first",
                          path, hash, sha256);
    }
    fprintf(stderr, "%s <- %s\n", path, url);
    const int code = curl(url, part);
    if (code == 127)
        return "curl: cannot be run: expected the program curl (`make deps` installs it)";
    if (code && code != CURL_NOTHING_LEFT)
        return arena_text(a,
                          "%s: curl failed with exit code %d; what came is kept in %s and the next "
                          "try resumes it",
                          url, code, part);
    if ((why = sha256_file(part, hash))) return arena_text(a, "%s", why);
    if (strcmp(hash, sha256)) {
        unlink(part);
        return arena_text(a, "%s: SHA-256 is %s, expected %s; the file is not kept", url, hash,
                          sha256);
    }
    return rename(part, path) ? arena_text(a, "%s: cannot be written: %s", path, strerror(errno))
                              : NULL;
}

static int is_hash(const char *s) { return strlen(s) == 64 && strspn(s, "0123456789abcdef") == 64; }

typedef struct { const char *name, *file, *url, *sha256; } Wanted;

static void fetch_line(const Recipe *r, const Wanted *w, Arena *a)
{
    const char *sha256 = w->sha256 ? w->sha256 : r->sha256,
               *path = arena_text(a, "%s/%s", data_dir(), r->file);
    if (!*sha256)
        die("%s: no SHA-256 is known here: expected `tokenize fetch %s file=%s sha256=HEX` with "
            "the one its publisher states",
            r->file, r->name, r->file);
    char *dir = arena_text(a, "%s", path);
    *strrchr(dir, '/') = 0;
    mkdir(data_dir(), 0777);
    if (mkdir(dir, 0777) && errno != EEXIST) die("%s: cannot be made: %s", dir, strerror(errno));
    const char *why = fetch(path, w->url ? w->url : r->url, sha256, a);
    if (why) die("%s", why);
    printf("%s  %s\n", sha256, path);
    if (*r->then) printf("  now, in %s: %s\n", data_dir(), r->then);
}

int fetch_main(int argc, char **argv)
{
    Arena a = arena_new((size_t)1 << 20);
    Wanted w = { NULL, NULL, NULL, NULL };
    int lines = 0, known = 0;
    if (argc < 2) return help(stderr, 2);
    for (int i = 1; i < argc; i++) {
        const char *v = strchr(argv[i], '=');
        if (!strcmp(argv[i], "--help")) return help(stdout, 0);
        else if (!strncmp(argv[i], "file=", 5)) w.file = v + 1;
        else if (!strncmp(argv[i], "url=", 4)) w.url = v + 1;
        else if (!strncmp(argv[i], "sha256=", 7)) w.sha256 = v + 1;
        else if (v || w.name || argv[i][0] == '-')
            die("tokenize fetch: '%s': expected NAME, file=, url= or sha256=", argv[i]);
        else w.name = argv[i];
    }
    if (w.sha256 && !is_hash(w.sha256)) die("sha256=%s: expected 64 digits of 0-9a-f", w.sha256);
    for (const Recipe *r = recipes; r->name; r++) {
        if (!w.name || strcmp(r->name, w.name)) continue;
        known++;
        lines += !w.file || !strcmp(r->file, w.file);
    }
    if (!known)
        die("no recipe '%s': `eightysix tokenize fetch --help` lists them", w.name ? w.name : "");
    if (!lines)
        die("recipe %s has no file %s: `eightysix tokenize fetch --help` lists them", w.name,
            w.file);
    if (lines > 1 && (w.url || w.sha256))
        die("recipe %s has %d files: expected file=FILE beside url= or sha256=", w.name, lines);
    for (const Recipe *r = recipes; r->name; r++)
        if (!strcmp(r->name, w.name) && (!w.file || !strcmp(r->file, w.file)))
            fetch_line(r, &w, &a);
    arena_drop(&a);
    return 0;
}
