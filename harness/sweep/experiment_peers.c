/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Reading the programs that levels of a factor name. */
#include "harness/sweep/experiment_parts.h"
#include <stdlib.h>
#include <string.h>

int experiment_is_of_program(const char *key)
{
    return !strcmp(key, "program") || !strcmp(key, "set");
}

/* The program of this name, found once for all levels */
static PeerProgram *peers_program(ExperimentFile *l, const char *name)
{
    PeerProgram **p = &l->e->programs;
    while (*p && strcmp((*p)->name, name)) p = &(*p)->next;
    if (!*p) *p = peer_find(name, l->doc.file, l->a);
    return *p;
}

static const char *peers_read_word(ExperimentFile *l, const Node *key, const Node *value,
                                   const char **word)
{
    const char *why = yaml_want_name(&l->doc, key, "a word of the program");
    if (!why) why = yaml_want_scalar(&l->doc, value, yaml_text(key));
    if (why) return why;
    const char *name = yaml_text(key);
    if (spec_find(name, strlen(name)) >= 0 || experiment_is_of_program(name))
        return yaml_at(&l->doc, key,
                       "'%s' is a name of this suite's own; expected beside 'set', not in it",
                       yaml_text(key));
    if (!*yaml_text(value) || strpbrk(yaml_text(value), " \t\r\n"))
        return yaml_at(&l->doc, value, "%s '%.40s': expected a value without white space",
                       yaml_text(key), yaml_text(value));
    *word = arena_text(l->a, "%s=%s", yaml_text(key), yaml_text(value));
    return NULL;
}

static int peers_by_name(const void *one, const void *other)
{
    return strcmp(*(const char *const *)one, *(const char *const *)other);
}

static const char *peers_read_set(ExperimentFile *l, const Node *set, Peer *peer)
{
    const char *why = yaml_want_map(&l->doc, set, "set");
    if (why) return why;
    peer->words = yaml_pairs(set);
    peer->word = arena_array(l->a, (size_t)peer->words, sizeof *peer->word);
    for (int i = 0; i < peer->words && !why; i++)
        why = peers_read_word(l, yaml_key(&l->doc, set, i), yaml_value(&l->doc, set, i),
                              &peer->word[i]);
    if (!why && peer->words) qsort(peer->word, (size_t)peer->words, sizeof *peer->word,
                                   peers_by_name);
    return why;
}

static const char *peers_read_program(ExperimentFile *l, const Node *name, const char *owner,
                                      Peer *peer)
{
    const char *why = yaml_want_scalar(&l->doc, name, "program");
    if (why) return why;
    if (!*yaml_text(name) || strpbrk(yaml_text(name), " \t\r\n"))
        return yaml_at(&l->doc, name, "program '%.80s': expected a path without white space",
                       yaml_text(name));
    if (l->program_owner && strcmp(l->program_owner, owner))
        return yaml_at(&l->doc, name, "programs are already named by %s; expected in one factor",
                       l->program_owner);
    l->program_owner = owner;
    peer->program = peers_program(l, yaml_text(name));
    return NULL;
}

const char *experiment_read_peer(ExperimentFile *l, const Node *level, const char *owner,
                                 const Peer **out)
{
    const Node *set = NULL;
    Peer *peer = arena_get(l->a, sizeof *peer);
    const char *why = NULL;
    for (int i = 0; i < yaml_pairs(level) && !why; i++) {
        const Node *key = yaml_key(&l->doc, level, i), *value = yaml_value(&l->doc, level, i);
        if (!strcmp(yaml_text(key), "program")) why = peers_read_program(l, value, owner, peer);
        if (!strcmp(yaml_text(key), "set")) set = key;
        if (!why && set == key) why = peers_read_set(l, value, peer);
    }
    if (!why && set && !peer->program)
        why = yaml_at(&l->doc, set, "set: words of a program; expected a key 'program' beside it");
    *out = peer->program ? peer : NULL;
    return why;
}
