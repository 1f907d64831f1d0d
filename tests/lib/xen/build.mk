# The stand-in libxen: one shared object with every soname the daemon may ask
# for.  Never instrumented: it is loaded into the daemon as it was built.
# Programs find it with LD_LIBRARY_PATH=$(STANDIN) and FAKE_XEN=directory.

STANDIN  := $B/standin
STANDIN_SONAMES := libxendevicemodel.so.1 libxenforeignmemory.so.1 \
            libxenevtchn.so.1 libxengnttab.so.1 libxentoolcore.so.1 \
            libxenstore.so.4 libxenctrl.so.4.17
STANDIN_C := $(wildcard tests/lib/xen/*.c)
STANDIN_O := $(STANDIN_C:tests/lib/xen/%.c=$(STANDIN)/%.o)

$(STANDIN)/%.o: tests/lib/xen/%.c tests/lib/xen/build.mk
	@mkdir -p $(@D); echo "  CC    $< (stand-in)"
	$(Q)$(CC) $(CPPFLAGS) -std=gnu11 -D_GNU_SOURCE -fPIC $(WARN) -O2 -g -MMD -MP -c -o $@ $<

$(STANDIN)/libxen-standin.so: $(STANDIN_O) tests/lib/xen/libxen.map
	@echo "  LD    $@"
	$(Q)$(CC) -shared -Wl,-soname,libxen-standin.so \
	  -Wl,--version-script=tests/lib/xen/libxen.map -o $@ $(STANDIN_O)
	$(Q)set -e; for n in $(STANDIN_SONAMES); do ln -sf $(@F) $(@D)/$$n; done

# The toy guest and its driver, for everything that drives a daemon.
TOY_O    := $B/tests/lib/toy.o $B/tests/lib/toyblk.o $B/tests/lib/xen/hyp.o

# Path tests: the whole daemon against the stand-in.  Two are also the server
# that they test, so they need the real libraries to link with.
PATHS    := $(patsubst tests/path/%.c,$B/tests/path/%,$(wildcard tests/path/test_*.c))
GRANTING := $(filter %/test_blk %/test_fair %/test_hostile %/test_life %/test_memory %/test_reset,$(PATHS))
PATH_ENV := XEN_VIRTIOD=$(abspath $(BIN)) XEN_VIRTIOCTL=$(abspath $(CTL_BIN)) XEN_STANDIN=$(STANDIN)
PATH_L   := -lcmocka -lpthread

$B/tests/path/test_standin $B/tests/path/test_granting: PATH_L += $(shell $(PKGCONF) --libs xendevicemodel \
            xenforeignmemory xenevtchn xengnttab xenstore xencontrol xentoolcore)

PATH_O   := $B/tests/path/path.o $B/tests/path/slowdisk.o
$(PATHS): %: %.o $(TOY_O) $(PATH_O) | $(STANDIN)/libxen-standin.so
	@echo "  LD    $@"
	$(Q)$(CC) $(OUR_L) $(LDFLAGS) -o $@ $(filter %.o,$^) $(PATH_L)

check-path: $(PATHS) $(BIN) $(CTL_BIN)
	$(Q)set -e; for t in $(PATHS); do echo "# $$t"; $(PATH_ENV) $$t; done
	$(Q)set -e; for t in $(GRANTING); do echo "# $$t, granted"; XEN_TOY_GRANTS=1 $(PATH_ENV) $$t; done

.PHONY: check-path
