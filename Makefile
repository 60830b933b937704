# cordon - receives Defender for Endpoint alerts, isolates the machine when the policy says so.
#
#   make [DEV=1] [V=1]      build/cordon and build/cordon-sim; DEV: warnings are errors; V: show commands
#   make demo               one signed High alert from the sender to the isolated machine and the mail
#   make run [CONFIG=FILE]  build, then serve in the foreground
#   make test [T=name] [SAN=address,undefined | SAN=thread]
#                           build and run every test (or those whose name holds a word of T)
#   make races              the tests with the most threads, and 20 kills, by the thread sanitizer
#   make twice              the tests that act, with every transaction run, taken back and run again
#   make lint               clang-format, cppcheck, clang-tidy; `make advice`: gcc -fanalyzer
#   make fuzz [T=name] [SHORT=1]    the parsers of foreign bytes against libFuzzer
#   make crash [SHORT=1]    kill the server between any two steps; nothing may be lost
#   make bench [SHORT=1]    how much it takes, and how fast
#   make storm              ten thousand alerts at once, by Defender's real limits; some ten minutes
#   make look               every kind of mail, and the console, as pictures: desktop, phone, night; to be looked at
#   make image              the container image
#   make install [DESTDIR=] [PREFIX=/usr/local]
#   make deps               every Debian package that the above need (demo, run, test, lint, fuzz,
#                           crash and bench fetch their own)
#   make clean, make help
#
# Each sanitizer has its own build folder. New files are found by wildcard.
comma := ,
CC ?= gcc
PREFIX ?= /usr/local
O := build$(if $(SAN),/$(subst $(comma),-,$(SAN)))$(if $(FAULTS),/faults)
Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-5s %s\n' '$(1)' '$(2)')

# ---- what is needed -------------------------------------------------------------------------------
# pkg-config names, and the Debian packages that bring them (tests/deps installs what is missing).
PKGS := libmicrohttpd libcjson libcurl libesmtp-1.0 openssl libfyaml libpcre2-8 sqlite3 gnutls libpq
BUILD_DEBS := gcc libc6-dev pkgconf libmicrohttpd-dev libcjson-dev libcurl4-openssl-dev libesmtp-dev \
        libssl-dev libfyaml-dev libpcre2-dev libsqlite3-dev libgnutls28-dev libpq-dev
TEST_DEBS := libcmocka-dev openssl curl jq python3 tzdata
LINT_DEBS := libcmocka-dev clang-format clang-tidy cppcheck
FUZZ_DEBS := clang libclang-rt-dev
CRASH_DEBS := strace sqlite3

PKG_CFLAGS := $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
PKG_LIBS   := $(shell pkg-config --libs $(PKGS) 2>/dev/null)
# Empty, or the end of a compilation that cannot succeed.
need_pkgs = $(if $(PKG_LIBS),,$(error libraries are missing: run `make deps` first))

# ---- how it is compiled ---------------------------------------------------------------------------
WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition \
        -Wformat=2 -Wpointer-arith -Wwrite-strings -Wundef -Wvla -Wnull-dereference
CFLAGS ?= -O2 -g
CPP_FLAGS = -std=c17 -D_GNU_SOURCE -Iserver -Iinclude -Itests $(PKG_CFLAGS)
SAN_FLAGS = -fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer
ALL_FLAGS = $(CPP_FLAGS) $(WARN) $(if $(DEV),-Werror) -fPIE -pthread -fstack-protector-strong \
        $(if $(SAN),$(SAN_FLAGS),-D_FORTIFY_SOURCE=2) $(if $(FAULTS),$(if $(filter $(O)/%,$@),-DCORDON_FAULTS))
ALL_LDFLAGS = -pie -pthread -Wl,-z,relro,-z,now -Wl,--as-needed $(if $(SAN),$(SAN_FLAGS)) $(LDFLAGS)

LIB_SRC  := $(filter-out server/main.c,$(wildcard server/*.c)) $(wildcard handlers/*.c)
# With FAULTS=1 only what has fault points is compiled anew; all else is the other build's.
P := $(patsubst %/faults,%,$(O))
FAULT_SRC := $(if $(FAULTS),$(shell grep -l '"fault\.h"' server/*.c))
objects = $(foreach s,$(1),$(if $(filter $(s),$(FAULT_SRC)),$(O),$(P))/obj/$(s:.c=.o))
LIB_OBJ  := $(call objects,$(LIB_SRC))
SIM_SRC  := $(filter-out tests/sim/main.c tests/sim/test_%,$(wildcard tests/sim/*.c))
SIM_OBJ  := $(call objects,$(SIM_SRC))
SIM_MAIN := $(wildcard tests/sim/main.c)
KIT_SRC  := $(wildcard tests/kit/*.c)
KIT_OBJ  := $(call objects,$(KIT_SRC))
TEST_SRC := $(wildcard tests/server/test_*.c tests/handlers/test_*.c tests/e2e/test_*.c \
        tests/sim/test_*.c)
# tests/server/test_x.c becomes build/test_x, tests/handlers/test_x.c build/handlers/test_x
TEST_BIN := $(patsubst server/%,$(O)/%,$(patsubst tests/%.c,%,$(filter tests/server/%,$(TEST_SRC)))) \
        $(patsubst tests/%.c,$(O)/%,$(filter-out tests/server/%,$(TEST_SRC)))
TEST_PICK = $(if $(T),$(foreach t,$(TEST_BIN),\
        $(if $(strip $(foreach w,$(T),$(findstring $(w),$(notdir $(t))))),$(t))),$(TEST_BIN))
OBJ      := $(LIB_OBJ) $(SIM_OBJ) $(KIT_OBJ) $(call objects,server/main.c $(SIM_MAIN)) \
        $(TEST_SRC:%.c=$(O)/obj/%.o)
SOURCES  := $(wildcard server/*.c handlers/*.c tests/*/*.c)
HEADERS  := $(wildcard server/*.h handlers/*.h include/cordon/*.h tests/*/*.h)

.PHONY: all deps demo run test races twice picked built lint tidy cppcheck format advice fuzz crash bench bench-built storm \
        image install help clean
.SECONDARY: # keep the objects of test programs
.DELETE_ON_ERROR:

all: $(O)/cordon $(if $(SIM_MAIN),$(O)/cordon-sim)

define compile
$(need_pkgs)$(call say,CC,$<)
$(Q)mkdir -p $(@D) && $(CC) $(ALL_FLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<
endef
$(O)/obj/%.o: %.c
	$(compile)
ifneq ($(P),$(O))
$(P)/obj/%.o: %.c
	$(compile)
endif
$(P)/obj/server/connect_assets.o: $(shell find server/connect -type f) # it takes them in as they are
$(O)/libcordon.a: $(LIB_OBJ)
	$(call say,AR,$@)
	$(Q)rm -f $@ && ar rcs $@ $^
$(O)/libsim.a: $(SIM_OBJ)
	$(call say,AR,$@)
	$(Q)rm -f $@ && ar rcs $@ $^
$(O)/cordon: $(call objects,server/main.c) $(O)/libcordon.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS)
$(O)/cordon-sim: $(call objects,$(SIM_MAIN)) $(O)/libsim.a $(O)/libcordon.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS)

link_test = $(Q)mkdir -p $(@D) && $(CC) $(ALL_LDFLAGS) $(WRAPS) -o $@ $^ $(PKG_LIBS) -lcmocka
# Its lives end, and are disturbed, where something is written or asked for.
WEATHER_WRAPS := db_write db_write_loose db_read clock_boot_ms engine_post_begins store_quota_take
$(O)/test_weather: WRAPS := $(WEATHER_WRAPS:%=-Wl,--wrap=%)
$(O)/test_%: $(O)/obj/tests/server/test_%.o $(KIT_OBJ) $(O)/libsim.a $(O)/libcordon.a
	$(call say,LINK,$@)
	$(link_test)
$(filter $(O)/%,$(patsubst tests/%.c,$(O)/%,$(filter-out tests/server/%,$(TEST_SRC)))): \
$(O)/%: $(O)/obj/tests/%.o $(KIT_OBJ) $(O)/libsim.a $(O)/libcordon.a
	$(call say,LINK,$@)
	$(link_test)

$(O)/demo: $(O)/obj/tests/e2e/demo.o $(KIT_OBJ) $(O)/libsim.a $(O)/libcordon.a
	$(call say,LINK,$@)
	$(link_test)

# They kill the real process: tests/crash/run.
CRASH_BIN := $(O)/crash/crash $(O)/crash/points $(O)/crash/replicas $(O)/crash/pauses
$(CRASH_BIN): $(O)/crash/%: $(O)/obj/tests/crash/%.o $(O)/obj/tests/crash/life.o $(KIT_OBJ) $(O)/libsim.a \
$(O)/libcordon.a
	$(call say,LINK,$@)
	$(link_test)
OBJ += $(patsubst %.c,$(O)/obj/%.o,$(wildcard tests/crash/*.c))

# ---- bench: what is measured, what it is compared with, and the load -----------------------------------
BENCH_SRC := $(wildcard tests/bench/*.c)
BENCH_BIN := $(BENCH_SRC:tests/%.c=$(O)/%)
OBJ       += $(BENCH_SRC:%.c=$(O)/obj/%.o)
$(O)/bench/db $(O)/bench/deferring: $(O)/libcordon.a # bare and load stand on no room of cordon
$(O)/bench/latency $(O)/bench/flood $(O)/bench/schemes: $(KIT_OBJ) $(O)/libsim.a $(O)/libcordon.a
$(O)/bench/latency $(O)/bench/flood $(O)/bench/schemes: PKG_LIBS += -lcmocka
$(O)/bench/%: $(O)/obj/tests/bench/%.o
	$(call say,LINK,$@)
	$(Q)mkdir -p $(@D) && $(CC) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS)
bench-built: all $(BENCH_BIN)

# ---- look: letters and pages as pictures -------------------------------------------------------------------------
$(O)/look/look: $(O)/obj/tests/look/look.o $(O)/libcordon.a
	$(call say,LINK,$@)
	$(Q)mkdir -p $(@D) && $(CC) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS)
OBJ += $(O)/obj/tests/look/look.o

# ---- the targets that set themselves up -----------------------------------------------------------
# Packages first; what pkg-config says of them is known to a second make only.
jobs = $(if $(filter -j% --jobserver%,$(MAKEFLAGS)),,-j$(shell nproc))
again = +@$(MAKE) --no-print-directory $(jobs)

deps:
	@tests/deps $(sort $(BUILD_DEBS) $(TEST_DEBS) $(LINT_DEBS) $(FUZZ_DEBS) $(CRASH_DEBS))
	@tests/deps-postfix
	@tests/deps-node
	@tests/deps-postgres
demo:
	@tests/deps $(BUILD_DEBS) $(TEST_DEBS)
	$(again) all $(O)/demo
	@CORDON_BUILD='$(CURDIR)/$(O)' tests/e2e/demo
run:
	@tests/deps $(BUILD_DEBS)
	$(again) all
	@CORDON_LOG_FORMAT=$${CORDON_LOG_FORMAT:-text} exec $(O)/cordon serve $(if $(CONFIG),-c '$(CONFIG)')
test:
	@tests/deps $(BUILD_DEBS) $(TEST_DEBS)
	@tests/deps-postfix
	@tests/deps-node
	@tests/deps-postgres
	$(again) DEV=1 built
	@CORDON_BUILD='$(CURDIR)/$(O)' tests/run $(TEST_PICK)
# What storms, replicas, people, restarts, ways, bursts and hunts do side by side. The sanitizer of gcc 12 wants to
# know where memory is: setarch -R, where a container allows it.
RACES := storm replicas people restart job ways burst hunts work db post notice capability
races:
	@tests/deps $(BUILD_DEBS) $(TEST_DEBS) $(CRASH_DEBS)
	@tests/deps-postgres
	$(again) SAN=thread T='$(RACES)' built build/thread/crash/crash
	@fixed=; setarch -R true 2>/dev/null && fixed='setarch -R'; export TEST_DEADLINE=900 TEST_JOBS=2; \
	CORDON_BUILD='$(CURDIR)/build/thread' $$fixed tests/run \
	    $$($(MAKE) -s --no-print-directory SAN=thread T='$(RACES)' picked) && \
	CORDON_BUILD='$(CURDIR)/build/thread' $$fixed build/thread/crash/crash --kills 20
# What db.h demands of a closure: run again, it does the same. (The tests of the database itself count the runs.)
TWICE := job isolation action ledger releasing people question replicas restart reconcile polling hunts ways notice burst \
        trust console mute silences digest disks
twice:
	@tests/deps $(BUILD_DEBS) $(TEST_DEBS)
	@tests/deps-postgres
	$(again) DEV=1 FAULTS=1 T='$(TWICE)' built
	@CORDON_TWICE=1 CORDON_BUILD='$(CURDIR)/$(O)/faults' tests/run \
	    $$($(MAKE) -s --no-print-directory FAULTS=1 T='$(TWICE)' picked)
picked:
	@echo $(TEST_PICK)
built: all $(TEST_PICK)
fuzz:
	@tests/deps $(BUILD_DEBS) $(FUZZ_DEBS)
	@T='$(T)' SHORT='$(SHORT)' tests/fuzz/run
crash:
	@tests/deps $(BUILD_DEBS) $(TEST_DEBS) $(CRASH_DEBS)
	@tests/deps-postgres
	$(again) all $(O)/crash/crash $(O)/crash/replicas
	$(again) FAULTS=1 all $(O)/faults/crash/points $(O)/faults/crash/pauses
	@CORDON_BUILD='$(CURDIR)/$(O)' SHORT='$(SHORT)' tests/crash/run
bench:
	@tests/deps $(BUILD_DEBS) $(TEST_DEBS)
	$(again) bench-built
	@SHORT='$(SHORT)' tests/bench/run
storm:
	@tests/deps $(BUILD_DEBS) $(TEST_DEBS)
	$(again) all $(O)/e2e/test_storm
	@STORM=1 CORDON_BUILD='$(CURDIR)/$(O)' $(O)/e2e/test_storm
look:
	@tests/deps $(BUILD_DEBS) chromium
	$(again) all $(O)/look/look $(O)/e2e/test_console
	@CORDON_BUILD='$(CURDIR)/$(O)' tests/look/run '$(CURDIR)/$(O)/look/look' \
	    '$(CURDIR)/$(O)/e2e/test_console' '$(CURDIR)/$(O)/look'
image:
	@docker/build

# ---- lint -----------------------------------------------------------------------------------------
lint:
	@tests/deps $(BUILD_DEBS) $(LINT_DEBS)
	$(again) format cppcheck tidy

format:
	$(call say,FORM,$(words $(SOURCES) $(HEADERS)) files)
	$(Q)clang-format --dry-run -Werror $(SOURCES) $(HEADERS)
cppcheck:
	$(call say,CHECK,$(words $(SOURCES)) files)
	$(Q)mkdir -p build/lint/cppcheck
	$(Q)cppcheck --quiet --error-exitcode=1 --std=c11 -D_GNU_SOURCE -D__linux__ -D__x86_64__ \
	    --enable=warning,performance,portability --library=posix --inline-suppr \
	    --suppressions-list=tests/lint/cppcheck.txt --cppcheck-build-dir=build/lint/cppcheck \
	    -Iserver -Iinclude -Itests $(SOURCES)
# The analyzer looks at one function at a time: that a code other than ERR_OK leaves ret_x alone, and ERR_OK
# sets it, is a promise it cannot see through calls, and its warnings would be about little else.
ONE_FUNCTION := -Xclang -analyzer-config -Xclang ipa=none
# One stamp per file: after a change only what may be touched by it is looked at again.
tidy: $(SOURCES:%.c=build/lint/%.tidy)
build/lint/%.tidy: %.c .clang-tidy $(HEADERS)
	$(call say,TIDY,$<)
	$(Q)mkdir -p $(@D) && clang-tidy --quiet $< -- $(CPP_FLAGS) $(ONE_FUNCTION) \
	    $(if $(filter server/err.c,$<),,-include tests/lint/analyzer.h) 2>$@.err || { cat $@.err; exit 1; }
	$(Q)touch $@
advice:
	$(Q)for f in $(LIB_SRC); do \
	    $(CC) $(CPP_FLAGS) -O1 -fanalyzer -c -o /dev/null $$f 2>&1; done | grep -E '^[^ ].*warning:' || true

# ---- the rest -------------------------------------------------------------------------------------
install: all
	install -d '$(DESTDIR)$(PREFIX)/bin' '$(DESTDIR)$(PREFIX)/share/doc/cordon/docs' \
	    '$(DESTDIR)$(PREFIX)/lib/systemd/system' '$(DESTDIR)$(PREFIX)/lib/sysusers.d'
	install -m 755 $(O)/cordon '$(DESTDIR)$(PREFIX)/bin/cordon'
	install -m 644 LICENSE README.md '$(DESTDIR)$(PREFIX)/share/doc/cordon/'
	install -m 644 docs/*.md '$(DESTDIR)$(PREFIX)/share/doc/cordon/docs/'
	for unit in cordon.service cordon.socket; do \
	    sed 's,/usr/local/,$(PREFIX)/,' docker/$$unit >build/$$unit && \
	    install -m 644 build/$$unit '$(DESTDIR)$(PREFIX)/lib/systemd/system/' || exit; done
	install -m 644 docker/cordon.sysusers '$(DESTDIR)$(PREFIX)/lib/sysusers.d/cordon.conf'
help:
	@sed -n '/^#/!q; s/^# \{0,1\}//p' Makefile
clean:
	rm -rf build

-include $(OBJ:.o=.d)
