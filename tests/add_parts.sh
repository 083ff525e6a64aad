#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# What does it take to add a part? In a copy of the tree a kernel, a head, a model with state, an
# experiment and a claim are added, as CONTRIBUTING.md says; each may touch only so many files, and
# the program that is built from the copy must list, check, train, plan and judge them. Part of
# `make test-long`: about two minutes, most of it compilation.
# usage: tests/add_parts.sh [--keep]     --keep: leave the copy, and print where it is
# exit code: 0 all parts were added and seen; 1 otherwise
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
copy=$(mktemp -d "${TMPDIR:-/tmp}/eightysix-parts-XXXXXX")
if [ "${1:-}" = --keep ]; then echo "$copy"; else trap 'rm -rf "$copy"' EXIT; fi
export EIGHTYSIX_ROOT=$copy EIGHTYSIX_CACHE=$copy/cache
unset MAKEFLAGS MAKELEVEL MFLAGS OUT SAN

fail() {
    echo "add_parts: $*" >&2
    exit 1
}

git_in_copy() {
    git -C "$copy" -c user.name=toy -c user.email=toy -c commit.gpgsign=false \
        -c core.hooksPath=/dev/null "$@"
}

# The tracked files as they are now, with the objects of the plain build where there are any
copy_tree() {
    git ls-files | while read -r f; do [ ! -f "$f" ] || echo "$f"; done |
        xargs cp -a --parents -t "$copy"
    for room in kernels models harness deps.ok; do
        [ ! -e "build/$room" ] || cp -a --parents "build/$room" "$copy"
    done
    git_in_copy init -q
    git_in_copy add -A
    git_in_copy commit -qm "before"
}

# PART FILES: since the last part exactly FILES files are new or changed
touched() {
    git_in_copy add -A
    local files
    files=$(git_in_copy diff --cached --name-only | tr '\n' ' ')
    [ "$(echo "$files" | wc -w)" = "$2" ] || fail "$1: expected $2 files, touched $files"
    git_in_copy commit -qm "$1"
    echo "$1: $2 files: $files"
}

# REGISTRY AFTER LINE: the line behind the one that reads AFTER
register() {
    grep -qxF "$2" "$1" || fail "$1: expected a line '$2'"
    sed -i "/^$2\$/a $3" "$1"
}

add_kernel() {
    sed 's/i2_scalar/toy_scalar/g' kernels/ternary_i2_scalar.c >kernels/ternary_toy_scalar.c
    register kernels/variants.def 'V(i2_scalar)' 'V(toy_scalar)'
    touched kernel 2
}

add_head() {
    sed 's/softmax_naive/softmax_toy/g' models/head_softmax_naive.c >models/head_softmax_toy.c
    register models/heads.def 'H(softmax_naive)' 'H(softmax_toy)'
    touched head 2
}

# Its state is the leaky running mean of a fixed random vector per token
add_model() {
    cat >models/model_toy.c <<'END'
/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A toy with state:  s[t] = 0.9 s[t-1] + 0.1 f[tok[t]],  hidden = rmsnorm(embedding[tok] + W s).
 * f is drawn and never trained, so that no gradient goes through s. */
#include "models/model.h"
#include <math.h>

typedef struct { int d; Param *embedding, *fixed, *mix, *norm; } Toy;

static Param *toy_matrix(Params *ps, const char *name, int rows, int d, Group group, uint64_t seed)
{
    Param *p = params_add(ps, name, (int[]){ rows, d, 0 }, group, OWNER_CORE);
    param_normal(p, seed, (uint64_t)ps->n, sqrt(1.0 / d));
    return p;
}

static void *toy_make(const Spec *s, const Exec *e, Params *ps, int V, Arena *a)
{
    Toy *m = arena_get(a, sizeof *m);
    const uint64_t seed = (uint64_t)spec_int(s, "seed");
    (void)e;
    m->d = (int)spec_int(s, "d");
    m->embedding = params_add_embedding(ps, "embedding.weight", V, m->d);
    param_normal(m->embedding, seed, 0, sqrt(1.0 / m->d));
    m->fixed = toy_matrix(ps, "toy.fixed.weight", V, m->d, GROUP_ADAMW, seed);
    m->fixed->trainable = 0;
    m->fixed->frozen = 1;
    m->mix = toy_matrix(ps, "toy.mix.weight", m->d, m->d, GROUP_NORMUON, seed);
    const int shape[] = { m->d, 0 };
    m->norm = params_add(ps, "toy.norm.scale", shape, GROUP_ADAMW_NODECAY, OWNER_CORE);
    param_fill(m->norm, 1);
    return m;
}

static int toy_width(const void *model) { return ((const Toy *)model)->d; }
static Param *toy_embedding(const void *model) { return ((const Toy *)model)->embedding; }

static size_t toy_carry_size(const void *model, long capacity)
{
    (void)capacity;
    return (size_t)((const Toy *)model)->d;
}

/* x (T, d) of one sequence becomes the running mean of its rows. state (d): where it stood */
static void toy_mean(float *x, int T, int d, float *state)
{
    for (int k = 0; k < d; k++) {
        float s = state ? state[k] : 0;
        for (int t = 0; t < T; t++) {
            s = 0.9f * s + 0.1f * x[(size_t)t * (size_t)d + (size_t)k];
            x[(size_t)t * (size_t)d + (size_t)k] = s;
        }
        if (state) state[k] = s;
    }
}

static Var toy_forward(void *model, Tape *t, const int *tok, int B, int T, Carry *const *carry)
{
    const Toy *m = model;
    Var x = op_embed(t, m->embedding, tok, B * T);
    Var s = op_embed(t, m->fixed, tok, B * T);
    const size_t each = (size_t)T * (size_t)m->d;
    for (int b = 0; b < B; b++)
        toy_mean(s.v + (size_t)b * each, T, m->d, carry ? carry[b]->state : NULL);
    x = op_rmsnorm(t, op_add(t, x, op_linear(t, s, m->mix, 1)), m->norm, 1e-6, 0);
    carry_advance(carry, B, T);
    return x;
}

static double toy_flops(const void *model, int T)
{
    const Toy *m = model;
    (void)T;
    return 2.0 * m->d * m->d;
}

const ModelDef model_toy = {
    .name = "toy",
    .brief = "a running mean of random vectors",
    .source = "tests/add_parts.sh",
    .law_words = "d=32",
    .make = toy_make,
    .width = toy_width,
    .embedding = toy_embedding,
    .carry_size = toy_carry_size,
    .forward = toy_forward,
    .flops = toy_flops,
};
END
    register models/models.def 'M(flashlm3, v3)' 'M(toy, absmean)'
    touched model 2
}

add_experiment() {
    cat >experiments/toy.yaml <<'END'
# SPDX-License-Identifier: GPL-3.0-or-later
question: Does an experiment with new parts need more than its file?
expectation: No; it names them.
fixed: {corpus: synth, V: 97, train_tokens: 20000, valid_tokens: 600, d: 32, seq: 24, batch: 2,
        model: toy, act: int8}
factors:
  head: [softmax, softmax_toy]
  kernel: [i2_scalar, toy_scalar]
baseline: {head: softmax, kernel: i2_scalar}
seeds: [1]
budget: 5steps
limits: {seconds: 60, memory: 1GB}
END
    touched experiment 1
}

# The first claim once more, under another name
add_claim() {
    awk '/^[a-z_0-9]+:$/ { block++; if (block == 1) $0 = "toy_claim:" }
         block == 1 && !/^#/' experiments/claims.yaml >claim.part
    cat claim.part >>experiments/claims.yaml
    rm claim.part
    touched claim 1
}

# WHAT EXPECTED... -- COMMAND...: the command's output contains every EXPECTED
sees() {
    local what=$1 expected=() output code=0
    shift
    while [ "$1" != -- ]; do
        expected+=("$1")
        shift
    done
    shift
    output=$("$@" 2>&1) || code=$?
    for e in "${expected[@]}"; do
        grep -qE -- "$e" <<<"$output" || fail "$what: expected '$e' (exit code $code) in:
$(tail -n 30 <<<"$output")"
    done
    echo "$what: seen"
    seen_code=$code
}

copy_tree
cd "$copy"
add_kernel
add_head
add_model
add_experiment
add_claim

make -s lint >lint.log 2>&1 || fail "lint: $(cat lint.log)"
make -s build/eightysix >make.log 2>&1 || fail "make: $(tail -n 30 make.log)"
program=build/eightysix
settings=(model=toy head=softmax_toy act=int8 kernel=toy_scalar corpus=synth V=97 d=32 seq=24
    batch=2 train_tokens=20000 valid_tokens=600 threads=2)
passed='^ok +%s +%s( |$)'

sees list '^ *toy_scalar ' '^ *softmax_toy ' '^ *toy ' -- $program list
# shellcheck disable=SC2059
sees check "$(printf "$passed" kernel toy_scalar)" "$(printf "$passed" head softmax_toy)" \
    "$(printf "$passed" model toy)" -- $program check kernels heads models
[ "$seen_code" = 0 ] || fail "check: exit code $seen_code"
sees train 'validation [0-9.]+ nats' -- \
    $program train "${settings[@]}" budget=5steps --db "$copy/toy.db"
[ "$seen_code" = 0 ] || fail "train: exit code $seen_code"
sees sweep 'softmax_toy' 'toy_scalar' -- \
    $program sweep experiments/toy.yaml --dry-run --db "$copy/toy.db"
[ "$seen_code" = 0 ] || fail "sweep: exit code $seen_code"
sees claims 'toy_claim' -- $program claims --db "$copy/toy.db"
echo "add_parts: 2, 2, 2, 1 and 1 files; every part is seen (${SECONDS} s)"
cd "$root"
