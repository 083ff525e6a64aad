/* SPDX-License-Identifier: GPL-3.0-or-later */
/* host.h -- where a result comes from: which machine, which build. Every result records both. */
#ifndef HOST_H
#define HOST_H
#include "kernels/base.h"

typedef struct Host {                 /* the table `machine` */
    const char *cpu, *isa, *kernel, *hostname, *governor, *virt;   /* isa: cpu_text */
    int         cores;
    long        mem_kb, l1d_kb, l2_kb, l3_kb;
} Host;
typedef struct Build {                /* the table `build` */
    /* SHA-256 of sources, compiler and flags: equal ids compute the same */
    const char *id;
    const char *version;              /* of the Makefile: "0.2.0" */
    const char *git, *compiler, *flags;
    int         dirty;
    /* objects that benchmarks, laws and cells execute, separated by spaces */
    const char *executed;
    /* the code of runs by parts, "head:tree=HASH " and so on: a model, a head, a kernel, a provider
     * of dense products, float operations of an instruction set; "shared": the rest that trains.
     * Equal hashes: the same tokens, whatever changed elsewhere */
    const char *parts;
} Build;
const Host  *host_read (Arena *);
const Build *build_read(Arena *);
/* The hash of a part; NULL: it is none of its own, and belongs to "shared" */
const char  *build_part(const Build *, const char *name, Arena *);
/* What must be equal if two timings are to be compared: the column `rig` of the table `machine`. */
const char  *host_class(const Host *, Arena *);
/* Where the number of a process means this process: the boot of the system and the PID namespace;
 * "": not known */
const char  *host_place(Arena *);
const char  *sha256_hex(const void *data, size_t len, char out[65]);
/* NULL, or an error message, valid until the next call */
const char  *sha256_file(const char *path, char out[65]);
#endif
