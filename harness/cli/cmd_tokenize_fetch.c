/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The command `tokenize fetch`. */
#include "harness/cli/cmd.h"
#include "harness/corpus/fetch.h"
#include <string.h>

static int fetch_help(FILE *out, int code)
{
    fputs("usage: eightysix tokenize fetch NAME [file=FILE] [url=URL] [sha256=HEX]\n\n"
          "Brings the files of a recipe into the data directory (EIGHTYSIX_DATA, or data/).\n"
          "Downloads resume where they stopped; a file whose SHA-256 is not the expected one is\n"
          "refused. Where the recipe knows no hash, give the one its publisher states.\n\n"
          "  file=FILE   one file of a recipe that has several\n"
          "  url=URL     another place to take it from; file:///path works\n"
          "  sha256=HEX  the SHA-256 that the file must have\n\n",
          out);
    fetch_list(out);
    fputs("\nExamples:  eightysix tokenize fetch gpt2\n"
          "           eightysix tokenize fetch text8 url=file:///mnt/text8.zip\n", out);
    return code;
}

int tokenize_fetch_main(int argc, char **argv)
{
    FetchQuery q = { 0 };
    if (argc < 2) return fetch_help(stderr, 2);
    for (int i = 1; i < argc; i++) {
        const char *v = strchr(argv[i], '=');
        if (!strcmp(argv[i], "--help")) return fetch_help(stdout, 0);
        else if (!strncmp(argv[i], "file=", 5)) q.file = v + 1;
        else if (!strncmp(argv[i], "url=", 4)) q.url = v + 1;
        else if (!strncmp(argv[i], "sha256=", 7)) q.sha256 = v + 1;
        else if (v || q.name || argv[i][0] == '-')
            die("tokenize fetch: '%s': expected NAME, file=, url= or sha256=", argv[i]);
        else q.name = argv[i];
    }
    if (!q.name) die("tokenize fetch: expected the name of a recipe; --help lists them");
    Arena a = arena_new((size_t)1 << 20);
    const char *why = fetch_recipe(&q, &a);
    if (why) die("%s", why);
    arena_drop(&a);
    return 0;
}
