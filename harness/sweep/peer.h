/* SPDX-License-Identifier: GPL-3.0-or-later */
/* peer.h -- another engine as a cell: a program that a level of a factor names (experiment.h). It
 * runs in place of `eightysix cell`, is given the settings of the cell and words of its own as
 * SETTING=VALUE, and writes records to descriptor 3 (harness/util/record.h).
 *
 *   PROGRAM SETTING=VALUE...     one run. Exit code 0: ok; 77: it cannot do that here, and the last
 *                                line on stderr says why: `skip`; others: `fail`
 *   PROGRAM versions             writes "text peer_versions ...", what its results rest on beside
 *                                its own file, and ends; 77 where it cannot run here at all
 *
 * In its environment EIGHTYSIX_PROGRAM is the path of this program, whose command `tokenize tokens`
 * says where the tokens of a corpus are. A program NAME.py is run by the Python of `make peers`
 * (cache/peers), else by python3. */
#ifndef PEER_H
#define PEER_H
#include "models/spec.h"

typedef struct PeerProgram {
    const char *name;                /* as the experiment has it: "peers/flashlm3.py" */
    const char *path;
    const char *interpreter;         /* NULL: it is run as it is */
    const char *why;                 /* why it cannot run here; NULL: it can, as far as is known */
    const char *versions;            /* what it said of itself; "": nothing */
    int         asked;               /* 1: by peer_ask */
    struct PeerProgram *next;
} PeerProgram;
typedef struct Peer {
    PeerProgram *program;
    const char **word;               /* (words) of its own, "mode=compiled", sorted */
    int          words;
} Peer;

/* The program of this name beside the experiment file, else among the installed experiments */
PeerProgram *peer_find(const char *name, const char *file, Arena *);
/* Asks it for its versions, once: a second or a minute at most */
void         peer_ask(PeerProgram *, Arena *);
/* The settings of a cell with the program and its words. peer NULL: of a cell of our own */
const char  *peer_text(const Peer *, const Spec *, Arena *);
/* Its words in argv, behind the interpreter and the path; how many there are now */
int          peer_command(const PeerProgram *, char **argv, Arena *);
/* A part of the program (results/README.md) and its hash: of the file of the program as it is now,
 * "": it cannot be read; of versions, which may differ from those that were asked for */
const char  *peer_part(const PeerProgram *, Arena *);
const char  *peer_file_hash(const PeerProgram *, Arena *);
const char  *peer_versions_part(const PeerProgram *, Arena *);
const char  *peer_versions_hash(const char *versions, Arena *);
#endif
