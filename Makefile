# SPDX-License-Identifier: GPL-3.0-or-later
# make            build/eightysix            make test     everything under ASan+UBSan, NEON under qemu
# make sweep      the main job: a database    make lint     the include rules, the naming rules
#                 of runs and its figures     make figures  results/*.csv and results/figures/* from the database
# make bench      the kernels and their figures
# make claims     what the literature claims against results/reference and results/results.db
# make paper      paper/eightysix.pdf from results/reference, or RESULTS=my.db; make check-paper: what of it is stale
# make regress    BASE=HEAD~1 HEAD=HEAD: is head slower or worse than base?   make gate-trial: is the gate right about it?
# make deps       installs what is missing    make clean
# A fresh Debian machine needs make, a C compiler, and nothing else.

# Every Debian package, once.
PACKAGES = gcc g++ libc6-dev libgomp1 libgsl-dev libsqlite3-dev libyaml-dev libjansson-dev libpcre2-dev nettle-dev \
           liblzma-dev libcmocka-dev libbenchmark-dev libopenblas0-pthread libdnnl2 gnuplot-nox curl ca-certificates \
           gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user
# only `make paper` asks for these
PAPER_PACKAGES = texlive-latex-base texlive-latex-recommended lmodern latexmk

ifeq ($(MAKELEVEL),0)
MAKEFLAGS += -j$(shell nproc) --no-print-directory
endif
# make V=1 shows the commands
Q       = $(if $(V),,@)
CC     ?= cc
OUT    ?= build
ARCH   := $(if $(findstring aarch64,$(shell $(CC) -dumpmachine)),ARM64,X86_64)
WARN    = -Wall -Wextra -Wconversion -Wno-sign-conversion -Wshadow -Wstrict-prototypes
CFLAGS  = -std=c11 -O2 -g -fopenmp -fno-math-errno -fno-trapping-math -ffp-contract=off $(WARN) $(SAN)
CXXFLAGS = -std=c++17 $(filter-out -std=% -Wstrict-prototypes,$(CFLAGS))
CPPFLAGS = -I. -I$(OUT) -D_GNU_SOURCE -DARCH_$(ARCH)=1 -MMD -MP
LDLIBS  = -lgsl -lgslcblas -lsqlite3 -lyaml -ljansson -lpcre2-8 -lnettle -llzma -lbenchmark -lstdc++ -lpthread -ldl -lm

OTHER_X86_64 = %_neon.c %_neon_dot.c
OTHER_ARM64  = %_avx2.c %_avx512.c %_amx.c %_sse2.c
CORE    := $(filter-out $(OTHER_$(ARCH)),$(wildcard kernels/*.c models/*.c))
HARNESS := $(filter-out harness/cli/main.c,$(wildcard harness/*/*.c))
TESTS   := $(filter-out tests/test_golden.c,$(wildcard tests/test_*.c))
SHIMS   := $(wildcard harness/*/*.cc)
OBJ      = $(CORE:%.c=$(OUT)/%.o) $(HARNESS:%.c=$(OUT)/%.o) $(SHIMS:%.cc=$(OUT)/%.o)
# What the gate hashes: every object that a benchmark, a law or a quality cell executes. All of them but these, so that a
# new file counts until somebody says here that it need not.
NOT_EXECUTED = util/build store/% bench/bench_% sweep/% regress/% judge/% cli/%
EXECUTED := $(CORE:%.c=%.o) harness/regress/regress_work.o harness/cli/main.o harness/cli/cmd_check.o \
            harness/cli/cmd_regress_sample.o $(filter-out $(NOT_EXECUTED:%=harness/%.o),$(HARNESS:%.c=%.o))
SOURCES := $(sort $(wildcard kernels/*.[ch] kernels/*.def models/*.[ch] models/*.def harness/*/*.[ch] harness/*/*.cc harness/corpus/*.def harness/store/schema.sql))

all: $(OUT)/eightysix

# The file name says the instruction set; nothing else does.
$(OUT)/kernels/%_ref.o $(OUT)/kernels/%_scalar.o: ISA = -fno-tree-vectorize -fno-tree-slp-vectorize
$(OUT)/kernels/f32_%.o:      OPT = -O3 -ffp-contract=fast
$(OUT)/kernels/%_avx2.o:     ISA = -mavx2 -mfma -mf16c -mbmi2 -mpopcnt
$(OUT)/kernels/%_avx512.o:   ISA = -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma -mf16c -mbmi2 -mpopcnt -mprefer-vector-width=512
$(OUT)/kernels/%_amx.o:      ISA = -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma -mbmi2 -mamx-tile -mamx-int8 -mamx-bf16 -mprefer-vector-width=512
$(OUT)/kernels/%_neon_dot.o: ISA = -march=armv8.2-a+dotprod

$(OUT)/eightysix: $(OUT)/harness/cli/main.o $(OBJ)
	@echo "LD $@"
	$(Q)$(CC) $(CFLAGS) -o $@ $^ $(LDLIBS)
$(OUT)/tests/%: $(OUT)/tests/%.o $(OBJ)
	@echo "LD $@"
	$(Q)$(CC) $(CFLAGS) -o $@ $^ $(LDLIBS) -lcmocka
$(OUT)/%.o: %.c | $(OUT)/deps.ok
	@mkdir -p $(@D)
	@echo "CC $@"
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) $(OPT) $(ISA) -c -o $@ $<
$(OUT)/%.o: %.cc | $(OUT)/deps.ok
	@mkdir -p $(@D)
	@echo "CXX $@"
	$(Q)$(CXX) $(CPPFLAGS) $(CXXFLAGS) -c -o $@ $<

$(OUT)/harness/store/schema.o: harness/store/schema.sql harness/store/views.sql

# Provenance: what was built, from which commit. `id` names the arithmetic: equal ids compute equal things (views only read).
$(OUT)/harness/util/build.o: $(OUT)/build_id.h
$(OUT)/build_id.h: FORCE | $(OUT)/deps.ok
	@{ echo "#define BUILD_SOURCES \"$$(cat $(SOURCES) | sha256sum | cut -c1-64)\""; \
	   echo "#define BUILD_COMPILER \"$$($(CC) --version | head -n1 | tr -d '\"')\""; \
	   echo "#define BUILD_FLAGS \"$(CFLAGS)\""; \
	   echo "#define BUILD_EXECUTED \"$(EXECUTED)\""; \
	   echo "#define BUILD_GIT \"$$(git rev-parse HEAD 2>/dev/null || echo none)\""; \
	   echo "#define BUILD_DIRTY $$(test -z "$$(git status --porcelain 2>/dev/null)" && echo 0 || echo 1)"; } > $@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@

# ---- tests: everything sanitised, then the NEON kernels under qemu. Memory comes from arenas: the leak checker, which
# cannot run under ptrace and some containers, is off. ----
SANITIZE = -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
test: lint
	+@$(MAKE) golden
	+@$(MAKE) OUT=build/san SAN="$(SANITIZE) -Werror" run-tests
	+@$(MAKE) run-arm
# Golden losses are those of the plain build: a sanitised one rounds otherwise.
golden: $(OUT)/eightysix $(OUT)/tests/test_golden
	@echo "== tests/test_golden"; OMP_WAIT_POLICY=passive EIGHTYSIX_ROOT="$(CURDIR)" EIGHTYSIX_BINARY="$(CURDIR)/$(OUT)/eightysix" \
	  $(OUT)/tests/test_golden
run-tests: lint-links $(OUT)/eightysix $(TESTS:%.c=$(OUT)/%)
	@cd $(OUT) && failed=0; for t in $(TESTS:%.c=%); do echo "== $$t"; \
	  ASAN_OPTIONS=detect_leaks=0 OMP_WAIT_POLICY=passive EIGHTYSIX_ROOT="$(CURDIR)" EIGHTYSIX_BINARY="$(CURDIR)/$(OUT)/eightysix" ./$$t || failed=1; done; exit $$failed

ARM_CC  = aarch64-linux-gnu-gcc
ARM     = $(patsubst %.c,build/arm64/%.o,$(filter-out $(OTHER_ARM64) models/tensors.c models/model%.c models/head%.c \
          models/cutoffs.c models/cooc.c models/embed_init.c models/classes%.c models/softmax_level.c,$(wildcard kernels/*.c models/*.c)) harness/laws/law_kernel.c harness/laws/law_ops.c harness/laws/law_rows.c tests/arm_laws.c)
# The order of the rooms once more, by the symbols of the objects: a call without an include is seen too
lint-links: $(OBJ) $(OUT)/harness/cli/main.o
	@nm -A $^ | awk -f tests/lint/rooms.awk -v prefix=$(OUT)/ -
run-arm:
	+@$(MAKE) CC=$(ARM_CC) OUT=build/arm64 SAN=-Werror build/arm64/arm_laws
	@for cpu in max cortex-a53; do echo "== arm_laws on qemu -cpu $$cpu"; \
	  qemu-aarch64 -cpu $$cpu -L /usr/aarch64-linux-gnu build/arm64/arm_laws || exit 1; done
build/arm64/arm_laws: $(ARM)
	$(Q)$(CC) $(CFLAGS) -o $@ $^ -ldl -lm

HOUSE = $(wildcard kernels/*.[ch] models/*.[ch] harness/*/*.[ch] harness/*/*.cc)
# The rules that keep the house: includes point downwards, one place for memory, for SQL, for architecture.
VARIANTS = $(wildcard kernels/ternary_*.c)
lint:
	@awk -f tests/lint/rooms.awk $(HOUSE)
	@! grep -nE '#include "' $(VARIANTS) | grep -vE '"kernels/(ternary|cpu).h"'
	@! grep -nE '"models/(head|tape_inner)' models/model_*.c
	@! grep -nE '"models/(model|tape)' models/head*.c
	@! grep -nE '^ *# *if' $(VARIANTS) kernels/f32_*.[ch] kernels/f32.c kernels/gemm.c models/*.c
	@! grep -nE '\b(malloc|calloc|realloc|free)\(' $(filter-out kernels/base.c models/tensors.c,$(wildcard kernels/*.c models/*.c))
	@! grep -lE '^#include.*sqlite3' $(filter-out $(wildcard harness/store/*.[ch]),$(wildcard harness/*/*.[ch] kernels/* models/*))
	@! grep -nE 'clock_gettime|gettimeofday' $(filter-out harness/util/clock.c,$(wildcard kernels/*.c models/*.c harness/*/*.c))
	@for f in $(VARIANTS); do v=$${f#kernels/ternary_}; grep -q "^V($${v%.c})" kernels/variants.def || \
	  { echo "$$f: no line in kernels/variants.def"; exit 1; }; done
	@for f in $(wildcard kernels/*.[ch] models/*.[ch] harness/*/*.[ch] harness/*/*.cc tests/*.[ch]) Makefile; do \
	  head -n 1 $$f | grep -q 'SPDX-License-Identifier: GPL-3.0-or-later' || { echo "$$f: line 1: expected the SPDX line"; exit 1; }; done
	@echo "lint: the house is in order"

# ---- the main job ----
sweep: $(OUT)/eightysix
	$(OUT)/eightysix sweep experiments/quick.yaml
	$(MAKE) figures
figures: $(OUT)/eightysix
	$(OUT)/eightysix plot time_split

# ---- the reference runs and one's own; of an experiment the plan made last counts. CLAIMS: more options ----
RECORDS = $(wildcard results/results.db results/reference/records)
claims: $(OUT)/eightysix
	@rm -f $(OUT)/claims.db
	@$(OUT)/eightysix merge $(RECORDS) --into $(OUT)/claims.db
	$(OUT)/eightysix claims --db $(OUT)/claims.db $(CLAIMS)

# ---- the paper; its parts are in build/paper ----
RESULTS ?= $(OUT)/paper/records.db
$(OUT)/paper/records.db: $(OUT)/eightysix $(wildcard results/reference/records/*)
	@mkdir -p $(@D) && rm -f $@
	@$(OUT)/eightysix merge results/reference/records --into $@
paper: $(OUT)/eightysix $(RESULTS) $(OUT)/paper.ok
	$(OUT)/eightysix paper --db $(RESULTS) --out $(OUT)/paper
	@TEXINPUTS=$(OUT)/paper:paper: latexmk -pdf -silent -halt-on-error -interaction=nonstopmode -jobname=eightysix \
	  -outdir=$(OUT)/paper paper/paper.tex >/dev/null 2>&1 || { grep -A4 '^!' $(OUT)/paper/eightysix.log; exit 1; }
	@cp $(OUT)/paper/eightysix.pdf paper/eightysix.pdf
	@grep 'Output written' $(OUT)/paper/eightysix.log; echo paper/eightysix.pdf
check-paper: $(OUT)/eightysix $(RESULTS)
	$(OUT)/eightysix paper --check --db $(RESULTS) --out $(OUT)/paper

# ---- the gate of CI: results/BENCHMARKS.md. REGRESS: more of its options ----
BASE ?= HEAD~1
HEAD ?= HEAD
regress: $(OUT)/eightysix
	@mkdir -p results
	$(OUT)/eightysix regress --base $(BASE) --head $(HEAD) --markdown results/regress.md --junit results/regress.xml $(REGRESS)

# 30 gate runs with nothing changed, 20 with one kernel made 5 % slower; over an hour
gate-trial: $(OUT)/eightysix
	tests/gate_trial.sh

# every kernel beside the peaks and the dense products, about ten minutes of a quiet machine
BENCHED = ((i2|i8|t5|lut|bits)_(avx512|avx2|amx|neon|neon_dot)|i2_scalar|read|(sgemm|u8s8)_(amx|dnnl|openblas))
bench: $(OUT)/eightysix
	$(OUT)/eightysix bench kernels --cold --threads $$(nproc) --filter \
	  '$(BENCHED)/((683x256|2560x2560)/n(1|8|32|128|512|2048)|(4096x4096|11008x4096)/n1/|(256x683|1024x1024)/n512|4096x4096/n512/t[0-9]+(/b|$$))|ref/(683x256|256x683|1024x1024)/n(1|8|32|512)/'
	$(OUT)/eightysix plot kernels && $(OUT)/eightysix plot roofline

deps:
	@rm -f $(OUT)/deps.ok; $(MAKE) $(OUT)/deps.ok
$(OUT)/deps.ok:  NEEDED = $(PACKAGES)
$(OUT)/paper.ok: NEEDED = $(PAPER_PACKAGES)
$(OUT)/deps.ok $(OUT)/paper.ok:
	@mkdir -p $(OUT); missing=; for p in $(NEEDED); do \
	  dpkg-query -W -f '$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$p"; done; \
	if [ -n "$$missing" ]; then \
	  if [ "$$(id -u)" = 0 ]; then echo "installing:$$missing"; apt-get update -q && \
	    DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $$missing || exit 1; \
	  else echo "missing packages; run:  sudo apt-get install --no-install-recommends$$missing" >&2; exit 1; fi; fi
	@touch $@

clean:
	rm -rf build
FORCE:
.SECONDARY:
.PHONY: all deps test golden lint-links run-tests run-arm lint sweep figures bench regress gate-trial claims paper check-paper clean FORCE
-include $(shell find $(OUT) -name '*.d' 2>/dev/null)
