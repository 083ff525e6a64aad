/* SPDX-License-Identifier: GPL-3.0-or-later */
/* fake.h -- sweeps of the program whose cells are a shell script: they say a loss and a speed that
 * follow from their settings and end at once. */
#ifndef FAKE_H
#define FAKE_H
#include "tests/place.h"
#include <sys/stat.h>

/* seed=N and head=tree make other numbers; embed_init=fail fails, embed_init=slow takes 9 s, =brief
 * 5 s. With FAKE_PARTS in the environment they are of other code than this program. */
static const char fake_cell[] =
    "#!/bin/sh\n"
    "seed=1 head=softmax mode=ok\n"
    "for w; do case $w in\n"
    "  seed=*) seed=${w#seed=};; head=*) head=${w#head=};; embed_init=*) mode=${w#embed_init=};;\n"
    "esac; done\n"
    "echo \"$*\" >> started\n"
    "{ [ \"$FAKE_PARTS\" ] && echo \"text part:head:$head 1234\" && echo 'text part:shared 5678'"
    "\n"
    "  for i in 0 1 2 3; do\n"
    "    echo \"num step_s $i 0.25\"; echo \"num loss $i 8.$i\"\n"
    "    echo \"span core.forward $i 0.1\"; echo \"span head.forward $i 0.15\"\n"
    "  done; } >&3\n"
    "[ $mode = slow ] && sleep 9\n"
    "[ $mode = brief ] && sleep 5\n"
    "[ $mode = fail ] && { echo 'eightysix: no room' >&2; exit 2; }\n"
    "{ [ $head = tree ] && echo \"num nll 4 5.$seed\" || echo \"num nll 4 6.$((2 * seed))\"\n"
    "  echo \"num tokens_per_s 4 $((1000 + seed))\"; echo 'num steps 4 4'; } >&3\n";

static inline int fake_make(void **state)
{
    if (place_make(state)) return -1;
    unsetenv("FAKE_PARTS");
    return chmod(place_write(*state, "cell.sh", fake_cell), 0755);
}

/* Runs `eightysix ARGUMENTS` in the directory of the test, which must end with this code; what it
 * prints */
static inline const char *fake_run(Place *p, int code, const char *arguments)
{
    const char *said;
    const int got = place_shell(
        p,
        arena_text(&p->a, "cd %s && EIGHTYSIX_CELL_PROGRAM=%s/cell.sh '%s' %s", p->dir, p->dir,
                   getenv("EIGHTYSIX_BINARY"), arguments),
        &said);
    if (got != code)
        fail_msg("eightysix %s: exit code %d, expected %d: %s", arguments, got, code, said);
    return said;
}

/* place_ask of the database of this name */
static inline const char *fake_ask(Place *p, const char *db, const char *sql)
{
    return place_ask(p, place_in(p, db), sql);
}

/* How many cells were started */
static inline int fake_started(Place *p)
{
    const char *said;
    place_shell(p, arena_text(&p->a, "cat %s/started 2>/dev/null | wc -l", p->dir), &said);
    return atoi(said);
}
#endif
