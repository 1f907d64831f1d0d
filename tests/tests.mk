# Everything that checks.  "make check" needs no Xen and less than a minute.

include tests/lib/xen/build.mk

# Unit tests link what they call and nothing else: everything but main.c is in
# archives.  Above the seams of include/ fakes answer instead of src/ioreq;
# the tests of src/ioreq itself (test_ioreq_*, fuzz_ioreq) get a fake Xen, and
# those of a throttle make the time themselves.
UNIT     := $(patsubst %.c,$B/%,$(wildcard tests/unit/test_*.c))
TEST_C   := -iquote src -iquote src/virtio -iquote src/ioreq -iquote src/backends/blk -iquote tests/lib
TEST_A   := $B/wiring.a $(LIBS) $B/base.a
TEST_L    = -Wl,--start-group $(TEST_A) -Wl,--end-group $(PKG_L) -lpthread
fake      = $(wildcard $(patsubst %.o,%.c,tests/lib/$(if $(findstring _ioreq,$(1)),fake_xen.o,fake_seams.o)))
fake_o    = $(patsubst %.c,$B/%.o,$(call fake,$(1)))
fake_wrap := -Wl,--wrap=calloc,--wrap=mmap
clock_wrap := -Wl,--wrap=loop_now_ns,--wrap=loop_timer_add,--wrap=loop_timer_set
fake_l    = $(if $(findstring _ioreq,$(1)),$(fake_wrap))$(if $(findstring _throttle,$(1)),$(clock_wrap))

$B/tests/%.o: OUR_C += $(TEST_C)
$B/wiring.a: $(filter-out $B/src/main.o,$(WIRING))
$B/base.a: $(BASE_O)
$B/wiring.a $B/base.a:
	@echo "  AR    $@"; rm -f $@
	$(Q)$(AR) rcs $@ $^

$(UNIT): $B/%: $B/%.o $(call obj,tests/lib/fake_*.c) $(TEST_A)
	@echo "  LD    $@"
	$(Q)$(CC) $(OUR_L) $(LDFLAGS) $(call fake_l,$@) -o $@ $< $(call fake_o,$@) $(TEST_L) -lcmocka

# One of them tests the client, which is a program.
$B/tests/unit/test_ctl.o: OUR_C += -DCTL_BIN='"$(if $(filter build,$B),./)$(CTL_BIN)"'
$B/tests/unit/test_ctl: PKG_L += -lfdt
$B/tests/unit/test_ctl: | $(CTL_BIN)

# Another architecture's programs need somebody to run them.
RUN       := $(if $(TRIPLE),qemu-$(firstword $(subst -, ,$(TRIPLE)))-static -L $(SYSROOT))
check-unit: $(UNIT) $(CTL_BIN)
	$(Q)set -e; for t in $(UNIT); do echo "# $$t"; $(RUN) $$t; done

# Those that qemu-user can run: threads and arithmetic, and no kernel's features.
EMULATED := $(patsubst %,$B/tests/unit/test_%,ring virtqueue vdev virtio_pci virtio_blk virtio_net msix \
            pci_config devices devspec ioreq_irq ioreq_bus ioreq_dma)
check-emulated: $(EMULATED)
	$(Q)set -e; for t in $(EMULATED); do echo "# $$t"; $(RUN) $$t; done

# Fuzz targets: here their corpora are replayed; "make fuzz" searches.
FUZZ_T    := $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_BIN  := $(FUZZ_T:%=$B/tests/fuzz/%)
FUZZ_TIME ?= 60
FUZZ_MAIN  = $(if $(FUZZ),,$B/tests/fuzz/replay.o)

$(FUZZ_BIN): $B/%: $B/%.o $(call obj,tests/lib/fake_*.c) $(TEST_A) $(if $(FUZZ),,$B/tests/fuzz/replay.o)
	@echo "  LD    $@"
	$(Q)$(CC) $(OUR_L) $(if $(FUZZ),-fsanitize=fuzzer) $(LDFLAGS) $(call fake_l,$@) -o $@ $< $(FUZZ_MAIN) \
	  $(call fake_o,$@) $(TEST_L)

check-fuzz: $(FUZZ_BIN)
	$(Q)set -e; for t in $(FUZZ_T); do echo "# $$t"; $B/tests/fuzz/$$t tests/fuzz/corpus/$${t#fuzz_}; done

fuzz:
	$(Q)$(MAKE) FUZZ=1 CC=clang fuzz-run
fuzz-run: $(FUZZ_BIN)
	$(Q)set -e; for t in $(FUZZ_T); do mkdir -p $B/corpus/$${t#fuzz_}; echo "# $$t"; \
	  $B/tests/fuzz/$$t -max_total_time=$(FUZZ_TIME) -timeout=10 -print_final_stats=1 \
	    $B/corpus/$${t#fuzz_} tests/fuzz/corpus/$${t#fuzz_}; done

check-layers:
	$(Q)BASE="$(BASE)" tests/check-layers.sh
check-headers:
	$(Q)set -e; for h in $(wildcard include/*.h src/*.h src/*/*.h src/backends/*/*.h); do \
	  $(CC) $(OUR_C) -iquote src -fsyntax-only -x c $$h; done; echo "  headers ok"

check-service: $(PATHS) $(BIN)
	$(Q)PROG=$(BIN) TESTS=$B/tests/path STANDIN=$(STANDIN) tests/check-service.sh

check: check-layers check-headers check-unit check-fuzz check-path check-service check-lab

# Where a package is built: no root, no time, nobody else's libxen.
check-build: check-layers check-headers check-unit check-fuzz

check-lab:
	$(Q)tests/lab/xenlab selftest

# Real Xen.
check-xen: $(BIN)
	$(Q)tests/need lab emulator kernel
	$(Q)r=0; if tests/lab/xenlab arm64; then $(MAKE) for-arm64 || { r=1; export ARM64=0; }; fi; \
	  tests/lab/xenlab prepare && tests/lab/xenlab run && exit $$r
demo: $(BIN)
	$(Q)tests/need lab && tests/lab/xenlab run demo
demo-arm64: for-arm64
	$(Q)tests/lab/xenlab run demo+arm64
for-arm64:
	$(Q)tests/need lab kernel arm64 && \
	  $(MAKE) CROSS_COMPILE=aarch64-linux-gnu- BUILD=build-aarch64-linux-gnu SAN= COV= FUZZ= for-lab check-emulated

# What the lab's Arm machine is handed; see tests/lab/arm64.
for-lab: all $B/filler
$B/filler: $B/tests/lab/arm64/filler.o
	@echo "  LD    $@"
	$(Q)$(CC) $(OUR_L) $(LDFLAGS) -o $@ $< $(PKG_L)
bench-xen: $(BIN)
	$(Q)tests/need lab emulator kernel && tests/lab/xenlab prepare && tests/lab/xenlab bench

test:
	$(Q)$(MAKE) check
	$(Q)$(MAKE) check-xen

# Static checks and coverage.
# Rings have neither wire structures nor guest pointers, and <liburing.h>
# itself makes sparse complain; so do macros of <json-c/json.h>.
SPARSE_C := $(filter-out %/uring.c %/ring.c src/command.c src/ctl/%,$(wildcard src/*.c src/*/*.c src/backends/*/*.c))
sparse:
	$(Q)tests/need dev && sparse -Wno-decl -D_GNU_SOURCE -DXVD_VERSION='"$(VERSION)"' \
	  -Iinclude $(PKG_C) $(SPARSE_C) 2>&1 | tee $(or $(TMPDIR),/tmp)/xvd-sparse.$$$$ ; \
	  ! test -s $(or $(TMPDIR),/tmp)/xvd-sparse.$$$$; r=$$?; rm -f $(or $(TMPDIR),/tmp)/xvd-sparse.$$$$; exit $$r

lint:
	$(Q)tests/need dev
	$(Q)cppcheck --quiet --enable=warning,portability --inline-suppr --error-exitcode=1 \
	  --suppress=missingInclude -D__x86_64__ -Iinclude src
	$(Q)mandoc -T lint -W warning man/*.[1-8]
	$(Q)codespell -q 3 -L nin,nd,inflight,hda --skip "*corpus*" include src tests man completion systemd debian README.md HACKING.md
	$(Q)shellcheck $$(grep -rlE '^#!/bin/(ba)?sh' tests .ci) completion/xen-virtioctl
	@echo "  lint ok"

coverage:
	$(Q)tests/need dev && $(MAKE) COV=1 CFLAGS='-O0 -g' check-unit check-fuzz check-path
	$(Q)gcovr -r . --object-directory build-cov -f 'src/virtio/' -f 'src/ioreq/' --exclude-throw-branches

.PHONY: check check-emulated check-build check-service check-unit check-fuzz fuzz fuzz-run check-layers check-headers check-lab \
        check-xen demo demo-arm64 for-arm64 for-lab bench-xen test sparse lint coverage
