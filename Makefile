# stint: `make help` lists what can be made. Everything built goes below build/.
VERSION  := 0.1.0
PREFIX   ?= /usr/local
DESTDIR  ?=
CC       ?= gcc
VARIANT  ?= release
B        := build/$(VARIANT)

PACKAGES := build-essential pkg-config libmicrohttpd-dev libsqlite3-dev libjansson-dev \
            libcurl4-openssl-dev libarchive-dev libssl-dev libsystemd-dev libinih-dev
TOOLS    := check clang clang-format clang-tidy libclang-rt-14-dev cppcheck shellcheck mandoc spin \
            curl jq python3 mmdebstrap systemd systemd-container valgrind systemtap-sdt-dev gdb \
            gdb-multiarch gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user qemu-system-x86 \
            busybox-static cpio e2fsprogs mount
LIBS     := libmicrohttpd sqlite3 jansson libsystemd inih
LATE     := libcurl libarchive libcrypto# not linked: loaded by the first job that needs them, see jobs/late.h
PKG      := pkg-config

WARN     := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla -Werror
HARDEN   := -fstack-protector-strong -fstack-clash-protection -fPIE -D_FORTIFY_SOURCE=2
LINK     := -pie -Wl,-z,relro,-z,now,-z,noexecstack
OPT      := -O2
# Probes of a large frame are 64 KiB apart there, and our guards 4 KiB.
PROBES.aarch64 = $(if $(findstring gcc,$(CC)),--param=stack-clash-protection-guard-size=12)
SAN.asan := -fsanitize=address,undefined -fno-sanitize-recover=undefined -U_FORTIFY_SOURCE
SAN.tsan := -fsanitize=thread -U_FORTIFY_SOURCE
SAN.fuzz := -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined -U_FORTIFY_SOURCE
SAN      := $(SAN.$(VARIANT))
CFLAGS   += -std=gnu11 -g $(OPT) -fno-omit-frame-pointer -pthread $(WARN) $(HARDEN) $(PROBES.$(ARCH)) $(SAN) -I. \
            -D_GNU_SOURCE -DSTINT_VERSION='"$(VERSION)"' $(shell $(PKG) --cflags $(LIBS) $(LATE) 2>/dev/null)
LDFLAGS  += $(LINK) $(SAN) -pthread
LDLIBS    = $(shell $(PKG) --libs $(LIBS) 2>/dev/null) -lm

ROOMS    := base scheduler storage jobs api
ARCH     ?= $(shell uname -m)
source    = $(wildcard $(1)/*.c) $(wildcard $(1)/*_$(ARCH).S)
objects   = $(patsubst %,$(B)/%.o,$(basename $(1)))
HOUSE    := $(call objects,$(foreach r,$(ROOMS),$(call source,$(r))))
DAEMON   := $(call objects,$(call source,daemon))
CLI      := $(call objects,$(call source,cli))
TESTS    := $(patsubst %.c,$(B)/%,$(wildcard tests/unit/test_*.c tests/fault/test_*.c tests/sim/test_*.c tests/schedule/test_*.c))
TESTLIB  := $(call objects,$(wildcard tests/lib/*.c)) $(filter-out %/main.o,$(DAEMON) $(CLI))
BENCHES  := $(patsubst %.c,$(B)/%,$(wildcard tests/bench/*.c))
FUZZERS  := $(patsubst %.c,$(B)/%,$(wildcard tests/fuzz/fuzz_*.c))

.PHONY: all deps tools demo check lint tidy asan tsan bench bench-scheduler fuzz fuzzers fuzz-programs soak install uninstall clean help tests
.SECONDARY:
all: $(B)/stintd $(B)/stint ## build the daemon and the command line

$(B)/stintd: $(DAEMON) $(B)/libstint.a
	@echo "  link  $@"
	@$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)
$(B)/stint: $(CLI) $(B)/libstint.a
	@echo "  link  $@"
	@$(CC) $(LDFLAGS) -o $@ $(CLI) $(shell $(PKG) --libs libcurl jansson) $(B)/libstint.a
$(B)/libstint.a: $(HOUSE)
	@rm -f $@ && ar rcs $@ $^
$(B)/%.o: %.c
	@mkdir -p $(@D)
	@echo "  cc    $@"
	@$(CC) $(CFLAGS) -MMD -MP -c -o $@ $<
$(B)/api/openapi.o: api/openapi.json
$(B)/%.o: %.S
	@mkdir -p $(@D)
	@echo "  as    $@"
	@$(CC) -g -I. -MMD -MP -c -o $@ $<
$(B)/tests/bench/%: $(B)/tests/bench/%.o $(B)/libstint.a
	@echo "  link  $@"
	@$(CC) $(LDFLAGS) -Wl,--as-needed -o $@ $^ $(LDLIBS)
$(B)/libtest.a: $(TESTLIB)
	@rm -f $@ && ar rcs $@ $^
$(B)/tests/%: $(B)/tests/%.o $(B)/libtest.a $(B)/libstint.a
	@echo "  link  $@"
	@$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS) $(shell $(PKG) --libs check $(LATE))
include tests/schedule/rules.mk
$(B)/tests/fuzz/%: $(B)/tests/fuzz/%.o $(B)/tests/lib/chan_play.o $(B)/libstint.a
	$(CC) $(LDFLAGS) -fsanitize=fuzzer -o $@ $^ $(LDLIBS)
-include $(shell find $(B) -name '*.d' 2>/dev/null)

deps: ## install what building and running needs (Debian packages)
	@tests/lib/deps.sh $(PACKAGES)
tools: ## install what the tests need besides
	@tests/lib/deps.sh $(PACKAGES) $(TOOLS)
demo: ## run real jobs of each kind on a scratch daemon and show them
	@tests/lib/deps.sh $(PACKAGES) curl procps python3
	@$(MAKE) --no-print-directory -j$$(nproc) all
	@tests/integration/demo.sh $(B)
tests: all $(TESTS) ## build the tests without running them
check: tools ## install, build, run every test and lint
	@$(MAKE) --no-print-directory -j$$(nproc) tests
	@tests/run.sh check $(B)
lint: ## the layers, headers alone, format, words, units, man pages
	@tests/run.sh lint $(B)
tidy: ## clang-tidy over the whole house
	@clang-tidy --quiet $(foreach r,$(ROOMS) daemon cli,$(wildcard $(r)/*.c)) -- $(filter-out -Werror,$(CFLAGS))
asan tsan: ## the C tests under ASan and UBSan, or under TSan
	@$(MAKE) --no-print-directory VARIANT=$@ -j$$(nproc) tests
	@tests/run.sh san build/$@
bench: all $(BENCHES) ## figures of the whole daemon beside the machine's floors (BENCH=-quick)
	@tests/bench/run.sh $(BENCH) $(B)
bench-scheduler: all $(BENCHES) ## figures of the scheduler beside its peers
	@tests/bench/scheduler.sh $(B)
fuzzers: ## build the fuzzers without running them
	@$(MAKE) --no-print-directory CC=clang VARIANT=fuzz fuzz-programs
fuzz-programs: $(FUZZERS)
fuzz: fuzzers ## every parser, T seconds each (T=60)
	@tests/run.sh fuzz build/fuzz $(or $(T),60)
soak: tests ## the long ones: 200 kill -9 rounds, many seeds
	@tests/run.sh soak $(B)
install: all ## into DESTDIR and PREFIX, with unit files and manual
	@systemd/install.sh install "$(DESTDIR)" "$(PREFIX)" $(B)
uninstall: ## take away what install put there; jobs stay
	@systemd/install.sh uninstall "$(DESTDIR)" "$(PREFIX)" $(B)
clean: ## remove build/
	rm -rf build
help: ## this list
	@sed -n 's/^\([a-z][a-z -]*\):.*## /\1\t/p' Makefile | expand -t 18
