# SPDX-License-Identifier: GPL-3.0-or-later
# make            build/eightysix                make test       ASan and UBSan, NEON under qemu
# make sweep      the main job: a database of    make lint       includes, names
#                 runs and its figures           make regress    BASE=HEAD~1 HEAD=HEAD: slower?
# make figures    results/figures from it        make gate-trial is the gate right about it?
# make bench      the kernels, their figures     make coverage   lines that the tests run, by room
# make pack       make bench, its records packed make counts     instructions of every kernel
# make split      SET='head=tree': how a step divides among 4 to 64 threads
# make claims     claims of the literature       make fuzz       SECONDS=60 for each loader of files
#                 against the records            make test-long  what takes long; a dated result
# make paper      paper/eightysix.pdf, also of   make install    PREFIX=/usr/local DESTDIR=
#                 RESULTS=my.db                  make uninstall
# make check-paper  what of it and of the numbers of README.md is stale; make readme writes these
# make deps       installs what is missing; make peers: PyTorch for experiments/peers.yaml
# make mutate     MUTATIONS=40 SEED=1: do the tests see a wrong program?
# make clean
# A fresh Debian machine needs make, a C compiler, and nothing else.

# The version, here and nowhere else: `eightysix --version` prints it
VERSION = 0.2.0-dev

# Every Debian package, once.
PACKAGES = gcc g++ libc6-dev libgomp1 libgsl-dev libsqlite3-dev libyaml-dev libjansson-dev \
           libpcre2-dev nettle-dev liblzma-dev libcmocka-dev libbenchmark-dev libopenblas0-pthread \
           libdnnl2 libdnnl-dev gnuplot-nox curl ca-certificates
# the NEON kernels on a machine of another kind
ifneq ($(shell uname -m),aarch64)
PACKAGES += gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user
endif
# only `make paper` asks for these
PAPER_PACKAGES = texlive-latex-base texlive-latex-recommended lmodern latexmk
# only `make fuzz` and `make test-long` ask for these
TEST_LONG_PACKAGES = clang libclang-rt-dev libomp-dev
# only `make counts` asks for this
COUNTS_PACKAGES = valgrind

ifeq ($(MAKELEVEL),0)
MAKEFLAGS += -j$(shell nproc) --no-print-directory
endif
# make V=1 shows the commands
Q       = $(if $(V),,@)
CC     ?= cc
OUT    ?= build
ARCH   := $(if $(findstring aarch64,$(shell $(CC) -dumpmachine)),ARM64,X86_64)
WARN    = -Wall -Wextra -Wconversion -Wno-sign-conversion -Wshadow -Wstrict-prototypes
CFLAGS  = -std=c11 -O2 -g -fopenmp -fno-math-errno -fno-trapping-math -ffp-contract=off \
          $(WARN) $(SAN)
CXXFLAGS = -std=c++17 $(filter-out -std=% -Wstrict-prototypes,$(CFLAGS))
CPPFLAGS = -I. -I$(OUT) -D_GNU_SOURCE -DARCH_$(ARCH)=1 -MMD -MP
LDLIBS  = -lgsl -lgslcblas -lsqlite3 -lyaml -ljansson -lpcre2-8 -lnettle -llzma -lbenchmark \
          -lstdc++ -lpthread -ldl -lm $(WRAP)

OTHER_X86_64 = %_neon.c %_neon_dot.c
OTHER_ARM64  = %_avx2.c %_avx512.c %_avx512bf16.c %_amx.c %_sse2.c
CORE    := $(filter-out $(OTHER_$(ARCH)),$(wildcard kernels/*.c models/*.c))
HARNESS := $(filter-out harness/cli/main.c,$(wildcard harness/*/*.c))
# the longest first, so that none is left alone at the end
LONGEST := $(patsubst %,tests/test_%.c,bench pack regress trainer gemm precision kernels)
TESTS   := $(LONGEST) $(filter-out tests/test_golden.c $(LONGEST),$(wildcard tests/test_*.c))
SHIMS   := $(wildcard harness/*/*.cc)
OBJ      = $(CORE:%.c=$(OUT)/%.o) $(HARNESS:%.c=$(OUT)/%.o) $(SHIMS:%.cc=$(OUT)/%.o)
# What the gate hashes: every object that a benchmark, a law or a quality cell executes. All of them
# but these, so that a new file counts until somebody says here that it need not.
NOT_EXECUTED = util/build store/% convert/% bench/bench_% sweep/% regress/% judge/% cli/%
EXECUTED := $(CORE:%.c=%.o) $(SHIMS:%.cc=%.o) \
            harness/regress/regress_work.o harness/regress/regress_bench.o \
            harness/regress/regress_cells.o \
            harness/cli/main.o \
            harness/cli/cmd_check.o harness/cli/cmd_cell.o harness/cli/cmd_regress_sample.o \
            $(filter-out $(NOT_EXECUTED:%=harness/%.o),$(HARNESS:%.c=%.o))
SOURCES := $(sort $(wildcard kernels/*.[ch] kernels/*.def models/*.[ch] models/*.def \
             harness/*/*.[ch] harness/*/*.cc harness/corpus/*.def harness/store/schema*.sql))

all: $(OUT)/eightysix

# The file name says the instruction set; nothing else does.
AVX512 = -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma -mbmi2 -mprefer-vector-width=512
SCALAR = -fno-tree-vectorize -fno-tree-slp-vectorize
$(OUT)/kernels/%_ref.o $(OUT)/kernels/%_scalar.o: ISA = $(SCALAR)
# sanitised, the reference of every law is never timed, and is most of what the tests do
$(OUT)/kernels/ternary_ref.o: ISA = $(if $(findstring sanitize,$(SAN)),-O3,$(SCALAR))
$(OUT)/kernels/f32_%.o:      OPT = -O3 -ffp-contract=fast
$(OUT)/kernels/%_avx2.o:     ISA = -mavx2 -mfma -mf16c -mbmi2 -mpopcnt
$(OUT)/kernels/%_avx512.o:   ISA = $(AVX512) -mf16c -mpopcnt
$(OUT)/kernels/%_avx512bf16.o: ISA = $(AVX512) -mavx512bf16
$(OUT)/kernels/%_amx.o:      ISA = $(AVX512) -mamx-tile -mamx-int8 -mamx-bf16
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

$(OUT)/harness/store/schema.o: $(wildcard harness/store/*.sql)

# The code of a run, by parts: a model, a head, a kernel, a provider of dense products, float
# operations by instruction set, and the rest that trains. Each has a hash of its files' tokens.
SHARED_PART = kernels/base.c kernels/cpu.c kernels/f32.c kernels/gemm.c kernels/ternary.c \
              $(filter-out models/model_% models/head_%,$(wildcard models/*.c)) \
              $(filter-out %/fetch.c %/corpora.c,$(wildcard harness/corpus/*.c)) \
              harness/train/session.c harness/train/trainer.c harness/train/evaluate.c \
              harness/train/classes_file.c
PARTED = $(filter $(CORE) $(HARNESS),$(sort $(SHARED_PART) $(wildcard models/model_*.c \
         models/head_*.c kernels/ternary_*.c kernels/gemm_*.c kernels/f32_*.c)))
# A file of two parts counts for both: i8_amx is in i2_amx.c, and so on, dnnl_plain in gemm_dnnl.c;
# head_full.c is of two softmax heads, head_bit.c of the first of them; gemm_avx512bf16.c is one of
# two files of gemm:bf16
PART_OF = awk '{ name = $$1; sub(/.*\//, "", name); sub(/\.c$$/, "", name); \
    if (name ~ /^(model|head|gemm|f32)_./) sub(/_/, ":", name); \
    else if (name !~ /^ternary_./ || !sub(/^ternary_/, "kernel:", name)) name = "shared"; \
    if (name ~ /^kernel:i2_(amx|avx2|avx512|neon|neon_dot)$$/) \
        print "kernel:i8" substr(name, 10), $$2; \
    if (name == "gemm:dnnl") print "gemm:dnnl_plain", $$2; \
    if (name == "gemm:avx512bf16") name = "gemm:bf16"; \
    if (name == "head:bit") name = "head:softmax"; \
    if (name ~ /^head:(full|filter)$$/) { print "head:softmax", $$2; name = "head:softmax_naive" } \
    print name, $$2 }'
$(OUT)/%.part: $(OUT)/%.o harness/util/part.awk
	$(Q)$(CC) $(filter-out -MMD -MP,$(CPPFLAGS)) -std=c11 -fopenmp -w -D__LINE__=0 \
	  -D__FILE__='""' -E $*.c | awk -f harness/util/part.awk | sha256sum | \
	  awk '{ print "$*.c", substr($$1, 1, 16) }' > $@
$(OUT)/parts.h: $(PARTED:%.c=$(OUT)/%.part) Makefile
	@cat $(filter %.part,$^) | $(PART_OF) | sort > $(OUT)/parts.txt
	@{ echo '#define BUILD_PARTS \'; for p in $$(cut -d' ' -f1 $(OUT)/parts.txt | sort -u); do \
	    echo "    \"$$p=$$(grep "^$$p " $(OUT)/parts.txt | sha256sum | cut -c1-16) \" \\"; \
	  done; echo '    ""'; } > $@

# Provenance: what was built, from which commit. `id` names the arithmetic: equal ids compute equal
# things (views only read).
$(OUT)/harness/util/build.o: $(OUT)/build_id.h $(OUT)/parts.h
$(OUT)/build_id.h: FORCE | $(OUT)/deps.ok
	@{ echo "#define BUILD_VERSION \"$(VERSION)\""; \
	   echo "#define BUILD_SOURCES \"$$(cat $(SOURCES) | sha256sum | cut -c1-64)\""; \
	   echo "#define BUILD_COMPILER \"$$($(CC) --version | head -n1 | tr -d '\"')\""; \
	   echo "#define BUILD_FLAGS \"$(CFLAGS)\""; \
	   echo "#define BUILD_EXECUTED \"$(EXECUTED)\""; \
	   echo "#define BUILD_GIT \"$$(git rev-parse HEAD 2>/dev/null || echo none)\""; \
	   test -z "$$(git status --porcelain 2>/dev/null)" && dirty=0 || dirty=1; \
	   echo "#define BUILD_DIRTY $$dirty"; } > $@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@

# ---- tests: everything sanitised, then the NEON kernels under qemu. Memory comes from arenas: the
# leak checker, which cannot run under ptrace and some containers, is off. ----
TEST_ENV = ASAN_OPTIONS=detect_leaks=0 OMP_WAIT_POLICY=passive EIGHTYSIX_ROOT="$(CURDIR)" \
           EIGHTYSIX_BINARY="$(CURDIR)/$(OUT)/eightysix"
SANITIZE = -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
test: lint
	+@$(MAKE) golden
	+@$(MAKE) OUT=build/san SAN="$(SANITIZE) -Werror" run-tests
	+@$(MAKE) run-arm
# Golden losses are those of the plain build: a sanitised one rounds otherwise.
golden: $(OUT)/eightysix $(OUT)/tests/test_golden
	@echo "== tests/test_golden"; $(TEST_ENV) $(OUT)/tests/test_golden
# Two programs at a time; the output of each is printed when it ends, with its seconds
run-tests: lint-links replay-seeds $(OUT)/eightysix $(TESTS:%.c=$(OUT)/%)
	@cd $(OUT) && printf '%s\n' $(TESTS:%.c=%) | $(TEST_ENV) xargs -P 2 -I TEST sh -c ' \
	    from=$$(date +%s); ./TEST >TEST.log 2>&1; code=$$?; \
	    { echo "== TEST ($$(($$(date +%s) - from)) s)"; cat TEST.log; \
	      [ $$code = 0 ] || echo "FAILED TEST: exit code $$code"; } >TEST.out; \
	    flock tests/out.lock cat TEST.out; [ $$code = 0 ]'

# ---- fuzzing: every loader of outside files. `make test` replays the seeds only. ----
FUZZ    := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
SECONDS ?= 60
$(OUT)/tests/fuzz/lib.a: $(OBJ)
	@echo "AR $@"
	$(Q)rm -f $@ && ar rcs $@ $^
# the libraries' objects are taken where a target needs them
$(OUT)/tests/fuzz/replay_%: $(OUT)/tests/fuzz/fuzz_%.o $(OUT)/tests/fuzz/fuzz.o \
                            $(OUT)/tests/fuzz/replay.o $(OUT)/tests/fuzz/lib.a
	@echo "LD $@"
	$(Q)$(CC) $(CFLAGS) -Wl,--wrap=die -o $@ $^ $(LDLIBS)
$(OUT)/tests/fuzz/run_%: $(OUT)/tests/fuzz/fuzz_%.o $(OUT)/tests/fuzz/fuzz.o \
                         $(OUT)/tests/fuzz/lib.a
	@echo "LD $@"
	$(Q)$(CC) $(CFLAGS) -fsanitize=fuzzer -Wl,--wrap=die -o $@ $^ $(LDLIBS)
replay-seeds: $(FUZZ:%=$(OUT)/tests/fuzz/replay_%)
	@for f in $(FUZZ); do echo "== seeds of $$f"; \
	  $(TEST_ENV) $(OUT)/tests/fuzz/replay_$$f tests/fuzz/seeds/$$f/* || exit 1; done
fuzz: $(OUT)/test-long.ok
	+@$(MAKE) CC=clang CXX=clang++ OUT=build/fuzz run-fuzz \
	  SAN="-fsanitize=fuzzer-no-link $(SANITIZE) -Wno-pass-failed"
# new inputs go to build/fuzz/corpus/NAME, what breaks a loader to build/fuzz/NAME-*
run-fuzz: $(FUZZ:%=$(OUT)/tests/fuzz/run_%)
	@for f in $(FUZZ); do echo "== fuzz $$f, $(SECONDS) s"; mkdir -p $(OUT)/corpus/$$f; \
	  ASAN_OPTIONS=detect_leaks=0 $(OUT)/tests/fuzz/run_$$f -max_total_time=$(SECONDS) \
	    -rss_limit_mb=4096 -max_len=65536 -timeout=20 -verbosity=0 -print_final_stats=1 \
	    -artifact_prefix=$(OUT)/$$f- $(OUT)/corpus/$$f tests/fuzz/seeds/$$f \
	    >$(OUT)/$$f.log 2>&1 || { tail -n 40 $(OUT)/$$f.log; exit 1; }; \
	  grep executed_units $(OUT)/$$f.log; done

# ---- what the tests execute: covered lines of each room, by gcov of gcc ----
COVERED = $(patsubst %.c,build/cov/%.gcno,$(CORE) $(HARNESS) harness/cli/main.c)
coverage:
	@find build/cov -name '*.gcda' -delete 2>/dev/null; true
	+@$(MAKE) OUT=build/cov SAN=--coverage run-tests
	@gcov -n $(COVERED) 2>/dev/null | awk -f tests/coverage.awk | sort

# ---- do the tests see a wrong program? build/mutate/results.txt; an interrupted run goes on ----
MUTATIONS ?= 40
SEED      ?= 1
mutate: $(OUT)/deps.ok
	@tests/mutate.sh $(MUTATIONS) $(SEED)

# ---- what takes long: a dated line a part in build/test-long.txt ----
KILLS ?= 40
FULL  ?= 10
test-long: $(OUT)/eightysix $(OUT)/test-long.ok
	+@failed=0; part() { \
	    name=$$1; shift; begin=$$(date +%s); verdict=ok; echo "=== $$name"; \
	    "$$@" || { verdict=FAILED; failed=1; }; \
	    echo "$$(date -u +%FT%TZ) $$(git rev-parse --short HEAD 2>/dev/null || echo none)" \
	         "$$verdict $$name $$(( $$(date +%s) - begin )) s" >> build/test-long.txt; }; \
	  part test $(MAKE) test EIGHTYSIX_LONG=1; \
	  part laws $(OUT)/eightysix check shapes=500; \
	  part fuzz $(MAKE) fuzz SECONDS=30; \
	  if [ -x tests/add_parts.sh ]; then part add_parts tests/add_parts.sh; fi; \
	  part kill_trial tests/kill_trial.sh $(KILLS) $(FULL); \
	  part split sh -c "tests/split.sh head=tree | grep -E ' gemm +512 +16 .* 1.00 +2.00$$'"; \
	  echo; tail -n 12 build/test-long.txt; exit $$failed

# ---- installation ----
PREFIX  ?= /usr/local
TO       = $(DESTDIR)$(PREFIX)
SHARED   = $(TO)/share/eightysix
MAN      = $(TO)/share/man/man1/eightysix.1
COMPLETE = $(TO)/share/bash-completion/completions/eightysix
install: $(OUT)/eightysix
	@install -d $(TO)/bin $(dir $(MAN)) $(dir $(COMPLETE)) $(SHARED)/experiments/peers \
	  $(SHARED)/views $(SHARED)/paper $(SHARED)/results/reference
	@$(OUT)/eightysix help --man > $(OUT)/eightysix.1
	@$(OUT)/eightysix help --bash > $(OUT)/eightysix.bash
	install -m 755 $(OUT)/eightysix $(TO)/bin/eightysix
	install -m 644 $(OUT)/eightysix.1 $(MAN)
	install -m 644 $(OUT)/eightysix.bash $(COMPLETE)
	@install -m 644 $(wildcard experiments/*.yaml experiments/*.gp) $(SHARED)/experiments
	@install -m 755 $(wildcard experiments/peers/*.py) $(SHARED)/experiments/peers
	@install -m 644 harness/store/*.sql $(SHARED)/views
	@install -m 644 $(addprefix paper/,paper.yaml readme.yaml paper.tex eightysix.sty) \
	  $(SHARED)/paper
	@install -m 644 results/reference/claims.csv $(SHARED)/results/reference
	@echo "experiments, figures, views: $(SHARED)"
uninstall:
	rm -f $(TO)/bin/eightysix $(MAN) $(COMPLETE)
	rm -rf $(SHARED)

ARM_CC  = aarch64-linux-gnu-gcc
NOT_ARM = models/tensors.c models/model%.c models/head%.c models/adaptive_level.c \
          models/cutoffs.c models/cooc.c models/embed_init.c models/classes%.c \
          models/softmax_level.c
ARM     = $(patsubst %.c,build/arm64/%.o, \
            $(filter-out $(OTHER_ARM64) $(NOT_ARM),$(wildcard kernels/*.c models/*.c)) \
            $(addprefix harness/laws/law_,kernel.c ops.c activations.c linear.c rows.c) \
            tests/arm_laws.c)
# The order of the rooms once more, by the symbols of objects: a call without an include is seen too
lint-links: $(OBJ) $(OUT)/harness/cli/main.o
	@nm -A $^ | awk -f tests/lint/rooms.awk -v prefix=$(OUT)/ -
run-arm:
	+@$(MAKE) CC=$(ARM_CC) OUT=build/arm64 SAN=-Werror build/arm64/arm_laws
	@printf '%s\n' max cortex-a53 | xargs -P 2 -I CPU sh -c ' \
	  qemu-aarch64 -cpu CPU -L /usr/aarch64-linux-gnu build/arm64/arm_laws >build/arm64/CPU.log 2>&1; \
	  code=$$?; echo "== arm_laws on qemu -cpu CPU"; cat build/arm64/CPU.log; [ $$code = 0 ]'
build/arm64/arm_laws: $(ARM)
	$(Q)$(CC) $(CFLAGS) -o $@ $^ -ldl -lm

# ---- instructions of the kernels of both architectures, counted: one table ----
KERNEL_OBJ = $(patsubst %.c,$(OUT)/%.o,$(filter kernels/%,$(CORE)) tests/counts.c)
$(OUT)/counts: $(KERNEL_OBJ)
	$(Q)$(CC) $(CFLAGS) -o $@ $^ -ldl -lm
counts: $(OUT)/counts $(OUT)/counts.ok
	+@$(MAKE) CC=$(ARM_CC) OUT=build/arm64 SAN= build/arm64/counts
	@tests/counts.sh $(OUT)/counts build/arm64/counts $(KERNELS)

# ---- how a step divides among 4 to 64 threads, loop by loop: make split SET='head=tree' ----
split: $(OUT)/deps.ok
	+@tests/split.sh $(SET)

HOUSE = $(wildcard kernels/*.[ch] models/*.[ch] harness/*/*.[ch] harness/*/*.cc)
STYLED = $(HOUSE) Makefile $(wildcard kernels/*.def models/*.def harness/*/*.def harness/*/*.sql \
         tests/*.[ch] tests/*.sh tests/lint/*.awk tests/fuzz/*.[ch] experiments/*.gp \
         experiments/*.yaml experiments/peers/*.* paper/*.yaml paper/*.tex paper/*.sty)
# The rules that keep the house: includes point downwards, one place for memory, for SQL, for
# architecture.
VARIANTS = $(wildcard kernels/ternary_*.c)
lint:
	@awk -f tests/lint/rooms.awk $(HOUSE)
	@LC_ALL=C awk -f tests/lint/style.awk $(STYLED)
	@tests/lint/faults.sh
	@! grep -nE '#include "' $(VARIANTS) | grep -vE '"kernels/(ternary|cpu).h"'
	@! grep -nE '"models/(head|tape_inner)' models/model_*.c
	@! grep -nE '"models/(model|tape)' models/head*.c
	@! grep -nE '^ *# *if' $(VARIANTS) kernels/f32_*.[ch] kernels/f32.c kernels/gemm.c models/*.c
	@! grep -nE '\b(malloc|calloc|realloc|free)\(' \
	  $(filter-out kernels/base.c models/tensors.c,$(wildcard kernels/*.c models/*.c))
	@! grep -lE '^#include.*sqlite3' \
	  $(filter-out harness/store/%,$(wildcard harness/*/*.[ch] kernels/* models/*))
	@! grep -nE 'clock_gettime|gettimeofday' \
	  $(filter-out harness/util/clock.c,$(wildcard kernels/*.c models/*.c harness/*/*.c))
	@for f in $(VARIANTS); do v=$${f#kernels/ternary_}; \
	  grep -q "^V($${v%.c})" kernels/variants.def || \
	  { echo "$$f: no line in kernels/variants.def"; exit 1; }; done
	@for f in $(HOUSE) $(wildcard tests/*.[ch] tests/*/*.[ch]) Makefile; do \
	  head -n 1 $$f | grep -q 'SPDX-License-Identifier: GPL-3.0-or-later' || \
	  { echo "$$f: line 1: expected the SPDX line"; exit 1; }; done
	@echo "lint: the house is in order"

# ---- the main job ----
sweep: $(OUT)/eightysix
	$(OUT)/eightysix sweep experiments/quick.yaml
figures: $(OUT)/eightysix
	$(OUT)/eightysix plot time_split

# ---- the reference runs and one's own; of an experiment the plan made last counts. ----
# CLAIMS: more options
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
	@TEXINPUTS=$(OUT)/paper:paper: latexmk -pdf -silent -halt-on-error -interaction=nonstopmode \
	  -jobname=eightysix -outdir=$(OUT)/paper paper/paper.tex >/dev/null 2>&1 || \
	  { grep -A4 '^!' $(OUT)/paper/eightysix.log; exit 1; }
	@cp $(OUT)/paper/eightysix.pdf paper/eightysix.pdf
	@grep 'Output written' $(OUT)/paper/eightysix.log; echo paper/eightysix.pdf
check-paper: $(OUT)/eightysix $(RESULTS) check-readme
	$(OUT)/eightysix paper --check --db $(RESULTS) --out $(OUT)/paper

# The numbers of README.md, of results/reference; readme: writes them
check-readme readme: $(OUT)/eightysix $(OUT)/paper/records.db
	$(OUT)/eightysix paper --readme $(if $(filter check%,$@),--check) --db $(OUT)/paper/records.db

# ---- the gate of CI: results/BENCHMARKS.md. REGRESS: more of its options ----
BASE ?= HEAD~1
HEAD ?= HEAD
regress: $(OUT)/eightysix
	@mkdir -p results
	$(OUT)/eightysix regress --base $(BASE) --head $(HEAD) --markdown results/regress.md \
	  --junit results/regress.xml $(REGRESS)

# 30 gate runs with nothing changed, 20 with one kernel made 5 % slower, 32 faults; two hours
gate-trial: $(OUT)/eightysix
	tests/gate_trial.sh

# every kernel beside the peaks and the dense products, about ten minutes of a quiet machine
SHAPES  := /((683x256|2560x2560)/n(1|8|32|128|512|2048)|(4096x4096|11008x4096)/n1/
SHAPES  := $(SHAPES)|(256x683|1024x1024)/n512|4096x4096/n512/t[0-9]+(/b|$$))
bench: $(OUT)/eightysix
	$(OUT)/eightysix bench kernels --cold --threads $$(nproc) --shapes '$(SHAPES)'
	$(OUT)/eightysix plot kernels && $(OUT)/eightysix plot roofline
# The kernels of this machine as a file for `eightysix merge` on another one, as of an ARM machine
PACK ?= results/kernels-$(shell uname -m).pack
pack: $(OUT)/eightysix
	@mkdir -p $(dir $(PACK)) && rm -f $(OUT)/pack.db
	$(OUT)/eightysix check kernels
	$(OUT)/eightysix bench machine --db $(OUT)/pack.db --quiet-wait 60
	$(OUT)/eightysix bench kernels --cold --threads $$(nproc) --shapes '$(SHAPES)' \
	  --db $(OUT)/pack.db
	@rm -f $(PACK); $(OUT)/eightysix export --db $(OUT)/pack.db --pack $(PACK); echo $(PACK)

# Other engines, in a virtual environment that `make clean` keeps. jemalloc, where it is missing, is
# one package more: libjemalloc2
PEERS    = cache/peers
WANTED   = experiments/peers/requirements.txt
peers:
	@test -x $(PEERS)/bin/python || python3 -m venv $(PEERS) || { rm -rf $(PEERS); exit 1; }
	@for p in $$(grep -v '^[-#]' $(WANTED)); do \
	  $(PEERS)/bin/python -m pip install -q --retries 1 --timeout 30 \
	    $$(grep '^--' $(WANTED)) "$$p" >$(PEERS)/install.log 2>&1 || \
	  { echo "peers: $$p could not be installed ($(PEERS)/install.log says why); cells of"; \
	    echo "  engines that need it are skipped"; }; done
	@for f in $(wildcard experiments/peers/*.py); do \
	  echo "$$f: $$($(PEERS)/bin/python $$f versions 2>&1 3>&1 | sed 's/^text peer_versions //')"; done

deps:
	@rm -f $(OUT)/deps.ok; $(MAKE) $(OUT)/deps.ok
$(OUT)/deps.ok:  NEEDED = $(PACKAGES)
$(OUT)/paper.ok: NEEDED = $(PAPER_PACKAGES)
$(OUT)/test-long.ok: NEEDED = $(TEST_LONG_PACKAGES)
$(OUT)/counts.ok: NEEDED = $(COUNTS_PACKAGES)
$(OUT)/deps.ok $(OUT)/paper.ok $(OUT)/test-long.ok $(OUT)/counts.ok:
	@mkdir -p $(OUT); missing=; for p in $(NEEDED); do \
	  dpkg-query -W -f '$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || \
	    missing="$$missing $$p"; done; \
	if [ -n "$$missing" ]; then \
	  if [ "$$(id -u)" = 0 ]; then echo "installing:$$missing"; apt-get update -q && \
	    DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $$missing || \
	    exit 1; \
	  else echo "missing packages; run:" >&2; \
	    echo "  sudo apt-get install --no-install-recommends$$missing" >&2; exit 1; fi; fi
	@touch $@

clean:
	rm -rf build
FORCE:
.SECONDARY:
.PHONY: all deps test golden mutate lint-links run-tests run-arm lint sweep figures bench regress \
        counts split pack \
        gate-trial claims paper check-paper readme check-readme replay-seeds fuzz run-fuzz \
        coverage test-long install uninstall peers clean FORCE
-include $(shell find $(OUT) -name '*.d' 2>/dev/null)
