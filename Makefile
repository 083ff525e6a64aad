# SPDX-License-Identifier: GPL-3.0-or-later
# make            build/eightysix            make test     everything under ASan+UBSan, NEON under qemu
# make sweep      the main job: a database    make lint     the include rules, the naming rules
#                 of runs and its figures     make figures  results/*.csv and results/figures/* from the database
# make deps       installs what is missing    make clean
# A fresh Debian machine needs make, a C compiler, and nothing else.

# Every Debian package, once.
PACKAGES = gcc g++ libc6-dev libgomp1 libgsl-dev libsqlite3-dev libyaml-dev libjansson-dev libpcre2-dev nettle-dev \
           liblzma-dev libcmocka-dev libbenchmark-dev libopenblas0-pthread libdnnl2 gnuplot-nox curl ca-certificates \
           gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user

CC     ?= cc
OUT    ?= build
ARCH   := $(if $(findstring aarch64,$(shell $(CC) -dumpmachine)),ARM64,X86_64)
WARN    = -Wall -Wextra -Wconversion -Wno-sign-conversion -Wshadow -Wstrict-prototypes
CFLAGS  = -std=c11 -O2 -g -fopenmp -fno-math-errno -fno-trapping-math -ffp-contract=off $(WARN) $(SAN)
CPPFLAGS = -I. -I$(OUT) -D_GNU_SOURCE -DARCH_$(ARCH)=1 -MMD -MP
LDLIBS  = -lgsl -lgslcblas -lsqlite3 -lyaml -ljansson -lpcre2-8 -lnettle -llzma -ldl -lm

OTHER_X86_64 = %_neon.c %_neon_dot.c
OTHER_ARM64  = %_avx2.c %_avx512.c %_sse2.c
CORE    := $(filter-out $(OTHER_$(ARCH)),$(wildcard kernels/*.c models/*.c))
HARNESS := $(filter-out harness/main.c,$(wildcard harness/*.c))
TESTS   := $(wildcard tests/test_*.c)
OBJ      = $(CORE:%.c=$(OUT)/%.o) $(HARNESS:%.c=$(OUT)/%.o)
SOURCES := $(sort $(wildcard kernels/*.[ch] kernels/*.def models/*.[ch] models/*.def harness/*.[ch] harness/*.cc harness/*.sql))

all: $(OUT)/eightysix

# The file name says the instruction set; nothing else does.
$(OUT)/kernels/%_ref.o $(OUT)/kernels/%_scalar.o: ISA = -fno-tree-vectorize -fno-tree-slp-vectorize
$(OUT)/kernels/f32_%.o:      OPT = -O3 -ffp-contract=fast
$(OUT)/kernels/%_avx2.o:     ISA = -mavx2 -mfma -mf16c -mbmi2 -mpopcnt
$(OUT)/kernels/%_avx512.o:   ISA = -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma -mf16c -mbmi2 -mpopcnt -mprefer-vector-width=512
$(OUT)/kernels/%_neon_dot.o: ISA = -march=armv8.2-a+dotprod

$(OUT)/eightysix: $(OUT)/harness/main.o $(OBJ)
	$(CC) $(CFLAGS) -o $@ $^ $(LDLIBS)
$(OUT)/tests/%: $(OUT)/tests/%.o $(OBJ)
	$(CC) $(CFLAGS) -o $@ $^ $(LDLIBS) -lcmocka
$(OUT)/%.o: %.c | $(OUT)/deps.ok
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(OPT) $(ISA) -c -o $@ $<

# Provenance: what was built, from which commit. `id` names the arithmetic: equal ids compute equal things.
$(OUT)/harness/host.o: $(OUT)/build_id.h
$(OUT)/build_id.h: FORCE | $(OUT)/deps.ok
	@{ echo "#define BUILD_SOURCES \"$$(cat $(SOURCES) | sha256sum | cut -c1-64)\""; \
	   echo "#define BUILD_COMPILER \"$$($(CC) --version | head -n1 | tr -d '\"')\""; \
	   echo "#define BUILD_FLAGS \"$(CFLAGS)\""; \
	   echo "#define BUILD_GIT \"$$(git rev-parse HEAD 2>/dev/null || echo none)\""; \
	   echo "#define BUILD_DIRTY $$(test -z "$$(git status --porcelain 2>/dev/null)" && echo 0 || echo 1)"; } > $@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@

deps:
	@rm -f $(OUT)/deps.ok; $(MAKE) --no-print-directory $(OUT)/deps.ok
$(OUT)/deps.ok:
	@mkdir -p $(OUT); missing=; for p in $(PACKAGES); do \
	  dpkg-query -W -f '$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$p"; done; \
	if [ -n "$$missing" ]; then \
	  if [ "$$(id -u)" = 0 ]; then echo "installing:$$missing"; apt-get update -q && \
	    DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $$missing || exit 1; \
	  else echo "missing packages; run:  sudo apt-get install --no-install-recommends$$missing" >&2; exit 1; fi; fi
	@touch $@

clean:
	rm -rf build
FORCE:
.PHONY: all deps test run-tests lint sweep figures clean FORCE
-include $(shell find $(OUT) -name '*.d' 2>/dev/null)
