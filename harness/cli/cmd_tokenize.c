/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The command `tokenize`: filters between text and ids, token files of corpora, downloads. */
#include "harness/cli/cmd.h"
#include "harness/util/clock.h"
#include "harness/util/options.h"
#include "harness/corpus/data_parts.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const char *vocab, *list, *name;     /* name: of a corpus, or of a file */
    long        V;
    int         bin;                     /* ids as uint16 instead of lines */
} TokenizeQuery;

static int tokenize_help(FILE *out, int code)
{
    fputs("usage: eightysix tokenize encode [vocab=gpt2|bytes|words|pieces] [list=FILE]\n"
          "                                 [--bin]\n"
          "       eightysix tokenize decode [vocab=gpt2|bytes|words|pieces] [list=FILE]\n"
          "                                 [--bin]\n"
          "       eightysix tokenize corpus NAME|FILE [V=N]\n"
          "                                 [vocab=auto|gpt2|gpt2-top|words|bytes|pieces]\n"
          "       eightysix tokenize tokens SETTING=VALUE ...\n"
          "       eightysix tokenize fetch NAME\n"
          "       eightysix tokenize SUBCOMMAND --help\n\n"
          "  encode  text on stdin -> ids on stdout\n"
          "  decode  ids on stdin -> text on stdout\n"
          "  corpus  makes token files, prints counts\n"
          "  tokens  where the tokens of a run are, for the programs of other engines\n"
          "  fetch   brings public corpora to this machine\n",
          out);
    return code;
}

static int tokenize_help_filter(void)
{
    fputs("usage: eightysix tokenize encode|decode [vocab=gpt2|bytes|words|pieces]\n"
          "                                        [list=FILE] [--bin]\n\n"
          "Filters. encode reads text and writes one id a line; decode reads ids and writes the\n"
          "text. Any length streams; any bytes are accepted.\n\n"
          "  --bin        ids are little-endian, of two bytes each, or of four where the\n"
          "               vocabulary has more than 65,536\n"
          "  vocab=gpt2   the original GPT-2 vocabulary, from gpt2/ in the data directory;\n"
          "               <|endoftext|> is id 50256\n"
          "  vocab=bytes  256 ids and <|endoftext|>\n"
          "  vocab=words  the word list list=FILE, one word a line in id order (`tokenize corpus`\n"
          "               makes them)\n"
          "  vocab=pieces a published tokenizer (llama, MatMul-free LM): list=FILE is its\n"
          "               tokenizer.json, without it pieces/tokenizer.json of the data directory.\n"
          "               encode begins with <s> where the file says so; decode shows no special\n"
          "               tokens\n\n"
          "Example:  eightysix tokenize encode < story.txt | eightysix tokenize decode | \\\n"
          "          cmp - story.txt\n",
          stdout);
    return 0;
}

static int tokenize_help_corpus(void)
{
    fputs("usage: eightysix tokenize corpus NAME|FILE [V=N]\n"
          "                                 [vocab=auto|gpt2|gpt2-top|words|bytes|pieces]\n\n"
          "Makes the token files of a corpus, or finds them in the cache directory, and prints\n"
          "for each split its tokens, the bytes of its text, hashes and, when made now, the\n"
          "speed. `train`, `eval` and `sweep` do the same on first use.\n\n"
          "  NAME   a directory of the data directory with train.txt[.xz], valid.txt[.xz] and\n"
          "         maybe test.txt[.xz]\n"
          "  FILE   a text (.txt, .txt.xz) or a token file (.tok)\n"
          "  V=N    keeps the N most frequent words of vocab=words; N - 4 ids of vocab=gpt2-top,\n"
          "         beside <pad>, <unk>, <bos> and <eos>\n\n"
          "Example:  eightysix tokenize corpus wikitext-2\n",
          stdout);
    return 0;
}

/* 1: --help was asked for */
static int tokenize_read(int argc, char **argv, TokenizeQuery *o)
{
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--help")) return 1;
        else if (!strcmp(argv[i], "--bin")) o->bin = 1;
        else if (!strncmp(argv[i], "vocab=", 6)) o->vocab = argv[i] + 6;
        else if (!strncmp(argv[i], "list=", 5)) o->list = argv[i] + 5;
        else if (!strncmp(argv[i], "V=", 2)) o->V = word_int(argv[i], 2, TOKEN_IDS_MOST);
        else if (argv[i][0] == '-' || strchr(argv[i], '=') || o->name)
            die("tokenize %s: '%s' is not understood; see `eightysix tokenize %s --help`", argv[0],
                argv[i], argv[0]);
        else o->name = argv[i];
    }
    return 0;
}

static Vocab *tokenize_vocab(const TokenizeQuery *o, Arena *a)
{
    const char *why = NULL;
    Vocab *v = NULL;
    if (!strcmp(o->vocab, "bytes")) v = vocab_bytes(a);
    else if (!strcmp(o->vocab, "gpt2")) v = gpt2_find(a, &why);
    else if (!strcmp(o->vocab, "pieces"))
        v = o->list ? vocab_pieces(o->list, 0, a, &why) : pieces_find(a, &why);
    else if (strcmp(o->vocab, "words"))
        die("vocab=%s: expected gpt2, bytes, words or pieces", o->vocab);
    else if (!o->list)
        die("vocab=words: expected list=FILE, a list that `eightysix tokenize corpus` made");
    else v = vocab_words(o->list, a, &why);
    if (!v) die("%s", why);
    return v;
}

/* width: bytes of an id; 0: one line each */
static void tokenize_write(const int *id, long n, int width)
{
    for (long i = 0; i < n && width; i++) {
        const unsigned char bytes[4] = { (unsigned char)id[i], (unsigned char)(id[i] >> 8),
                                         (unsigned char)(id[i] >> 16), 0 };
        fwrite(bytes, 1, (size_t)width, stdout);
    }
    for (long i = 0; i < n && !width; i++) {
        char line[12], *p = line + sizeof line;
        unsigned x = (unsigned)id[i];
        *--p = '\n';
        do *--p = (char)('0' + x % 10); while (x /= 10);
        fwrite(p, 1, (size_t)(line + sizeof line - p), stdout);
    }
}

static void tokenize_flush(void)
{
    if (fflush(stdout) || ferror(stdout))
        die("standard output cannot be written: %s", strerror(errno));
}

static int tokenize_encode(Vocab *v, int bin, Arena *a)
{
    const char *piece, *why = NULL;
    long n, pieces = 0;
    Text *t = text_open("-", a, &why);
    while (t && (n = text_piece(t, &piece, &why)) > 0) {
        const long room = (long)vocab_room((size_t)n);
        Arena ids = arena_new((size_t)room * sizeof(int));
        int *id = arena_raw(&ids, (size_t)room * sizeof *id);
        const long m = pieces++ ? vocab_encode_more(v, piece, (size_t)n, id, room)
                                : vocab_encode(v, piece, (size_t)n, id, room);
        tokenize_write(id, m, bin ? token_ids_width(vocab_size(v)) : 0);
        arena_drop(&ids);
    }
    if (why) die("%s", why);
    if (!pieces) {                       /* what comes before every text */
        int id[8];
        tokenize_write(id, vocab_encode(v, "", 0, id, 8), bin ? token_ids_width(vocab_size(v)) : 0);
    }
    text_close(t);
    tokenize_flush();
    return 0;
}

/* The next id of `width` bytes; -1 at the end */
static int tokenize_next_bytes(int width, int V, long where)
{
    unsigned id = 0;
    for (int i = 0; i < width; i++) {
        const int c = getchar_unlocked();
        if (c == EOF && !i) return -1;
        if (c == EOF)
            die("standard input: id %ld is cut short: expected %d bytes for each", where, width);
        id |= (unsigned)c << 8 * i;
    }
    if (id >= (unsigned)V)
        die("standard input: id %ld is %u, expected less than %d", where, id, V);
    return (int)id;
}

/* The next id of stdin; -1 at the end. where counts lines, or ids with bin. */
static int tokenize_next(int bin, int V, long *where)
{
    ++*where;
    if (bin) return tokenize_next_bytes(token_ids_width(V), V, *where);
    char line[32];
    size_t n = 0;
    int c;
    while ((c = getchar_unlocked()) != EOF && c != '\n')
        if (n < sizeof line - 1) line[n++] = (char)c;
    line[n] = 0;
    if (c == EOF && !n) return -1;
    char *end;
    const long id = strtol(line, &end, 10);
    if (end == line || (*end && *end != '\r') || id < 0 || id >= V)
        die("standard input: line %ld is '%s', expected an id from 0 to %d", *where, line, V - 1);
    return (int)id;
}

static int tokenize_decode(Vocab *v, int bin)
{
    long where = 0;
    int begun = 0;
    for (int id; (id = tokenize_next(bin, vocab_size(v), &where)) >= 0; ) {
        size_t len;
        const char *s = vocab_text_of(v, id, &begun, &len);
        fwrite(s, 1, len, stdout);
    }
    tokenize_flush();
    return 0;
}

static int tokenize_corpus(const TokenizeQuery *o, Arena *a)
{
    const char *why = NULL;
    if (!o->name) return tokenize_help(stderr, 2);
    if (!strcmp(o->name, "synth")) die("corpus synth needs no text: train, eval and sweep make it");
    const Files *f = files_open(o->name, o->vocab, o->V, a, &why);
    if (!f) die("%s", why);
    const TokenFile *first = f->file[0];
    printf("corpus %s  vocab %s  V %d  vocab_sha256 %s\n", o->name, first->vocab, first->V,
           first->vocab_hash);
    for (int i = 0; i < 3; i++) {
        const TokenFile *t = f->file[i];
        if (!t) continue;
        printf("%-5s  tokens %ld  bytes %ld  sha256 %s  %s", split_names[i], t->n, t->bytes,
               t->source_hash, t->path);
        if (f->seconds[i] > 0) printf("  %.1f MB/s", (double)t->bytes / f->seconds[i] / 1e6);
        putchar('\n');
    }
    return 0;
}

int tokenize_main(int argc, char **argv)
{
    if (argc < 2) return tokenize_help(stderr, 2);
    const char *what = argv[1];
    if (!strcmp(what, "--help")) return tokenize_help(stdout, 0);
    if (!strcmp(what, "fetch")) return tokenize_fetch_main(argc - 1, argv + 1);
    if (!strcmp(what, "tokens")) return tokenize_tokens_main(argc - 1, argv + 1);
    const int filter = !strcmp(what, "encode") || !strcmp(what, "decode"),
              files = !strcmp(what, "corpus");
    if (!filter && !files) {
        fprintf(stderr, "eightysix: no subcommand '%s' of tokenize\n", what);
        return tokenize_help(stderr, 2);
    }
    TokenizeQuery o = { .vocab = filter ? "gpt2" : "auto", .V = 50257 };
    if (tokenize_read(argc - 1, argv + 1, &o))
        return filter ? tokenize_help_filter() : tokenize_help_corpus();
    if (filter && o.name) die("tokenize %s: '%s': it reads standard input", what, o.name);
    Arena a = arena_new((size_t)1 << 30);
    int code;
    if (files) code = tokenize_corpus(&o, &a);
    else
        code = *what == 'e' ? tokenize_encode(tokenize_vocab(&o, &a), o.bin, &a)
                            : tokenize_decode(tokenize_vocab(&o, &a), o.bin);
    arena_drop(&a);
    return code;
}
