# cordon - receives Defender for Endpoint alerts, isolates the machine when the policy says so.
#
#   make [DEV=1] [V=1]      build into build/; DEV: warnings are errors; V: show the commands
#   make deps               install the Debian packages that building and testing need
#   make test [T=name] [SAN=address,undefined | SAN=thread]
#                           build and run every test (or those whose name holds T)
#   make help               this text
#
# Each sanitizer has its own build folder. New files are found by wildcard.
comma := ,
CC ?= gcc
O := build$(if $(SAN),/$(subst $(comma),-,$(SAN)))
Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-5s %s\n' '$(1)' '$(2)')

PKGS := libmicrohttpd libcjson libcurl libesmtp-1.0 openssl libfyaml libpcre2-8 sqlite3 gnutls

WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition \
        -Wformat=2 -Wpointer-arith -Wwrite-strings -Wundef -Wvla -Wnull-dereference
CFLAGS ?= -O2 -g
ALL_FLAGS = -std=c17 -D_GNU_SOURCE -Iserver -Iinclude $(WARN) $(if $(DEV),-Werror) -fPIE -pthread \
        -fstack-protector-strong $(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer,-D_FORTIFY_SOURCE=2) \
        $(PKG_CFLAGS)
ALL_LDFLAGS = -pie -pthread -Wl,-z,relro -Wl,--as-needed $(if $(SAN),-fsanitize=$(SAN)) $(LDFLAGS)
PKG_CFLAGS := $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
PKG_LIBS := $(shell pkg-config --libs $(PKGS) 2>/dev/null)

LIB_SRC  := $(filter-out server/main.c,$(wildcard server/*.c)) $(wildcard handlers/*.c)
LIB_OBJ  := $(LIB_SRC:%.c=$(O)/obj/%.o)
SIM_SRC  := $(wildcard tests/sim/*.c)
SIM_OBJ  := $(SIM_SRC:%.c=$(O)/obj/%.o)
KIT_SRC  := $(wildcard tests/kit/*.c)
KIT_OBJ  := $(KIT_SRC:%.c=$(O)/obj/%.o)
TEST_SRC := $(wildcard tests/server/test_*.c tests/handlers/test_*.c tests/sim/../e2e/test_*.c)
TEST_BIN := $(patsubst %.c,$(O)/%,$(notdir $(TEST_SRC)))
OBJ      := $(LIB_OBJ) $(SIM_OBJ) $(KIT_OBJ) $(O)/obj/server/main.o

.PHONY: all test help clean
all: $(O)/cordon $(if $(SIM_SRC),$(O)/cordon-sim)

$(O)/obj/%.o: %.c
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(CC) $(ALL_FLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<
$(O)/libcordon.a: $(LIB_OBJ)
	$(call say,AR,$@)
	$(Q)rm -f $@ && ar rcs $@ $^
$(O)/cordon: $(O)/obj/server/main.o $(O)/libcordon.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS)
$(O)/cordon-sim: $(SIM_OBJ) $(O)/libcordon.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS)
vpath test_%.c tests/server tests/handlers tests/e2e
$(O)/test_%: $(O)/obj/tests/server/test_%.o $(KIT_OBJ) $(O)/libcordon.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS) -lcmocka

help:
	@sed -n '/^#/!q; s/^# \{0,1\}//p' Makefile
clean:
	rm -rf build
-include $(OBJ:.o=.d)
