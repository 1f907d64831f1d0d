# make             ./xen-virtiod, -virtioctl  make check       everything without Xen, under a minute
# make demo        a guest on real Xen       make check-xen   every scenario on real Xen (emulated)
# make demo-arm64  the same on Arm           make ARM64=1 check-xen   with those on Arm, if not yet there
# make test        check and check-xen       make bench-xen   side by side with Xen's own and QEMU
# make SAN=1 check ASan and UBSan            make coverage    lines of src/virtio and src/ioreq
# make sparse      endian and guest pointers make lint        shell, spelling, man page, cppcheck
# make V=1         show commands             make install     DESTDIR=x prefix=/usr
# make deb         a Debian package          make deb DIST=trixie
# make CROSS_COMPILE=aarch64-linux-gnu-      for Arm; SYSROOT=DIR has its libraries (default: Debian's)

PROG     := xen-virtiod
CTL      := xen-virtioctl
VERSION  := 0.1.0
prefix   ?= /usr/local
sbindir  ?= $(prefix)/sbin
bindir   ?= $(prefix)/bin
mandir   ?= $(prefix)/share/man
unitdir  ?= $(prefix)/lib/systemd/system
compldir ?= $(prefix)/share/bash-completion/completions
confdir  ?= /etc/xen
CC       ?= cc
PKGCONF  ?= pkg-config
Q        := $(if $(V),,@)
TRIPLE   := $(patsubst %-,%,$(CROSS_COMPILE))
BUILD    ?= build$(TRIPLE:%=-%)$(if $(SAN),-san)$(if $(COV),-cov)$(if $(FUZZ),-fuzz)
B        := $(BUILD)
BIN      := $(if $(filter build,$B),$(PROG),$B/$(PROG))
CTL_BIN  := $(if $(filter build,$B),$(CTL),$B/$(CTL))

# The packages that the build needs are installed where they are missing.
ifeq ($(filter clean help deb,$(MAKECMDGOALS)),)
ifneq ($(NEED),no)
ifneq ($(shell tests/need build $(if $(TRIPLE),cross) >&2 || echo missing),)
$(error packages are missing)
endif
endif
endif

# Its tools; its libraries are in a directory of their own.
ifneq ($(TRIPLE),)
SYSROOT  ?= $(shell tests/lab/xenlab sysroot)
ifeq ($(SYSROOT),)
$(error there are no libraries for $(TRIPLE): SYSROOT=DIR says where they are)
endif
CC       := $(CROSS_COMPILE)gcc --sysroot=$(SYSROOT)
AR       := $(CROSS_COMPILE)ar
PKGCONF  := PKG_CONFIG_SYSROOT_DIR=$(SYSROOT) PKG_CONFIG_PATH= \
            PKG_CONFIG_LIBDIR=$(SYSROOT)/usr/lib/$(TRIPLE)/pkgconfig:$(SYSROOT)/usr/share/pkgconfig pkg-config
endif

PKGS     := libevent_core xendevicemodel xenforeignmemory xenevtchn xengnttab xenstore xencontrol xentoolcore liburing libseccomp libconfuse json-c
PKG_C    := $(shell $(PKGCONF) --cflags $(PKGS))
PKG_L    := $(shell $(PKGCONF) --libs $(PKGS))

WARN     := -Wall -Wextra -Wshadow -Wvla -Wstrict-prototypes -Wmissing-prototypes \
            -Wformat=2 -Wpointer-arith -Wundef $(if $(WERROR),-Werror)
ifneq ($(SAN),)
INSTR    := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer \
            -DXVD_SAN
endif
ifneq ($(COV),)
INSTR    := --coverage -DXVD_COV
endif
ifneq ($(FUZZ),)
INSTR    := -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
endif
CFLAGS   ?= -O2 -g
OUR_C     = -std=gnu11 -D_GNU_SOURCE -DXVD_VERSION='"$(VERSION)"' -iquote include \
            -fno-strict-aliasing -fstack-protector-strong -fPIE $(WARN) $(INSTR) $(PKG_C)
OUR_L     = -pie -Wl,--as-needed -Wl,-z,relro,-z,now $(INSTR)

# src/ holds two kinds of file; the lists say which is which.
BASE     := log journal loop iov state notify     # may include only include/
BASE     := $(filter $(BASE),$(patsubst src/%.c,%,$(wildcard src/*.c)))
LAYERS   := virtio ioreq backends/blk backends/net
obj       = $(patsubst %.c,$B/%.o,$(wildcard $(1)))
LIBS     := $(foreach l,$(LAYERS),$(if $(wildcard src/$l/*.c),$B/$(subst /,-,$l).a))
BASE_O   := $(BASE:%=$B/src/%.o)
WIRING   := $(filter-out $(BASE_O),$(call obj,src/*.c))

all: $(BIN) $(CTL_BIN)

$(BIN): $(WIRING) $(LIBS) $(BASE_O)
	@echo "  LD    $@"
	$(Q)$(CC) $(OUR_L) $(LDFLAGS) -o $@ $(WIRING) -Wl,--start-group $(LIBS) -Wl,--end-group $(BASE_O) $(PKG_L)

# The client has nothing of the daemon's but how it writes lines, and what words
# a device is described in.
CTL_O    := $(call obj,src/ctl/*.c) $(patsubst %,$B/src/%.o,log journal devspec spec spec_blk spec_net)
$B/src/ctl/%.o: OUR_C += -iquote src
$(CTL_BIN): $(CTL_O)
	@echo "  LD    $@"
	$(Q)$(CC) $(OUR_L) $(LDFLAGS) -o $@ $(CTL_O) $(shell $(PKGCONF) --libs json-c) -lfdt

define layer
$B/$(subst /,-,$(1)).a: $(call obj,src/$(1)/*.c)
	@echo "  AR    $$@"; rm -f $$@
	$(Q)$(AR) rcs $$@ $$^
endef
$(foreach l,$(LAYERS),$(eval $(call layer,$l)))

$B/%.o: %.c Makefile
	@mkdir -p $(@D); echo "  CC    $<"
	$(Q)$(CC) $(CPPFLAGS) $(OUR_C) $(CFLAGS) -MMD -MP -c -o $@ $<

include tests/tests.mk

install: $(BIN) $(CTL_BIN)
	install -D -m 755 $(BIN) $(DESTDIR)$(sbindir)/$(PROG)
	install -D -m 755 $(CTL_BIN) $(DESTDIR)$(sbindir)/$(CTL)
	install -D -m 644 man/$(PROG).8 $(DESTDIR)$(mandir)/man8/$(PROG).8
	install -D -m 644 man/$(PROG).conf.5 $(DESTDIR)$(mandir)/man5/$(PROG).conf.5
	install -D -m 644 man/$(CTL).1 $(DESTDIR)$(mandir)/man1/$(CTL).1
	install -D -m 644 completion/$(CTL) $(DESTDIR)$(compldir)/$(CTL)
	test -e $(DESTDIR)$(confdir)/$(PROG).conf || \
	  install -D -m 644 systemd/$(PROG).conf $(DESTDIR)$(confdir)/$(PROG).conf
ifneq ($(unitdir),)
	install -D -m 644 systemd/$(PROG).service $(DESTDIR)$(unitdir)/$(PROG).service
	sed -i 's,/usr/sbin/,$(sbindir)/,' $(DESTDIR)$(unitdir)/$(PROG).service
endif

# A package for DIST=bookworm, trixie, or this system.
deb:
	$(Q)NEED=$(NEED) tests/deb-build $(DIST)

clean:
	rm -rf build build-san build-cov build-fuzz build-clang build-aarch64-linux-gnu $(PROG) $(CTL)

help:
	@sed -n '/^#/!q; s/^# *//p' Makefile

-include $(shell test -d $B && find $B -name '*.d')
.PHONY: all install deb clean help
.DELETE_ON_ERROR:
