# Parlor's build. Everything is made from here; `make help` lists what there is.
#
# One mode is one set of flags and one directory, build/<mode>/, so a sanitizer build never mixes with
# a plain one. All of src/ but main.c goes into build/<mode>/libparlor.a: the server is main.c plus that
# library, a unit test is its own file plus that library. The list of sources and the flags are kept in
# stamp files, so a removed file or another compiler rebuilds what it has to.
#
#   MODE=release|debug|asan|tsan|fuzz   CC=gcc|clang   WERROR=1   JOBS=<n>

MODE ?= release
JOBS ?= $(shell nproc 2>/dev/null || echo 1)
ifeq ($(origin CC),default)
CC := $(if $(filter fuzz,$(MODE)),clang,gcc)
endif

.DEFAULT_GOAL := build
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory --no-builtin-rules

# V=1 shows the commands themselves.
ifeq ($(V),)
Q := @
say = @printf '  %-5s %s\n' $(1) $(2)
else
say = @:
endif

# ---- flags ----

hardening := -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2
asan := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
mode_release := -O2 -g $(hardening)
mode_debug := -Og -g3 -DPARLOR_DEBUG $(hardening)
mode_asan := -O1 -g -DPARLOR_DEBUG -DPARLOR_SEQ_STEP=7 $(asan)
mode_tsan := -O1 -g -DPARLOR_DEBUG -fsanitize=thread -fno-omit-frame-pointer
mode_fuzz := -O1 -g -DPARLOR_DEBUG $(asan) -fsanitize=fuzzer-no-link
mode_flags := $(mode_$(MODE))
$(if $(mode_flags),,$(error MODE=$(MODE): it has to be release, debug, asan, tsan or fuzz))

warnings := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wconversion -Wvla \
            $(if $(WERROR),-Werror)
cc_flags := -std=gnu17 -D_GNU_SOURCE -Isrc $(warnings) -fPIE -fstack-protector-strong -pthread \
            $(mode_flags) $(CFLAGS)
ld_flags := -pie -pthread -Wl,-z,relro,-z,now -Wl,--as-needed $(mode_flags) $(LDFLAGS)

libs := $(shell pkg-config --libs libcrypto zlib inih jansson libcurl sqlite3 icu-i18n icu-uc 2>/dev/null || \
          echo -lcrypto -lz -linih -ljansson -lcurl -lsqlite3 -licui18n -licuuc -licudata) \
        -lhttp_parser
# The server's malloc, before libc's (docs/decisions/0005-allocator.md); `make build ALLOCATOR=` keeps libc's.
# Sanitizers bring their own.
ALLOCATOR := $(if $(filter release debug,$(MODE)),-lmimalloc)

# ---- the server and its library ----

B ?= build/$(MODE)
sources := $(filter-out src/main.c,$(wildcard src/*.c src/*/*.c src/*/*/*.c))
objects := $(sources:%.c=$(B)/%.o) $(B)/web_assets.o
web_folders := $(shell find web -type d)
assets := $(filter-out %.test.js %.md,$(wildcard $(web_folders:=/*.*)))
library := $(B)/libparlor.a
server := $(B)/parlor

.PHONY: build lib help clean
build: $(server) $(if $(filter build/release,$(B)),build/parlor)
lib: $(library)

build/parlor: build/release/parlor
	$(Q)ln -sfn release/parlor $@

$(server): $(B)/src/main.o $(library)
	$(call say,LINK,$@)
	$(Q)$(CC) $(ld_flags) -o $@ $^ $(ALLOCATOR) $(libs)

$(library): $(objects) $(B)/sources.stamp
	$(call say,AR,$@)
	$(Q)rm -f $@
	$(Q)ar rcs $@ $(objects)

# An object file remembers its headers (-MMD), and the flags it was made with.
$(B)/%.o: %.c $(B)/flags.stamp
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(Q)$(CC) $(cc_flags) -MMD -MP -c -o $@ $<

$(B)/web_assets.o: $(B)/web_assets.c $(B)/flags.stamp
	$(call say,CC,$@)
	$(Q)$(CC) $(cc_flags) -MMD -MP -c -o $@ $<

# The folders are prerequisites too: their time changes when a file is added or removed.
$(B)/web_assets.c: tools/embed-web $(web_folders) $(assets)
	@mkdir -p $(@D)
	$(call say,EMBED,web/)
	$(Q)tools/embed-web $(assets) > $@

# $(call stamp,text): rewrites the target only if its text changed.
stamp = @mkdir -p $(@D); echo '$(1)' | cmp -s - $@ || echo '$(1)' > $@

.PHONY: always
$(B)/flags.stamp: always
	$(call stamp,$(CC) $(cc_flags) / $(ld_flags) $(ALLOCATOR))
$(B)/sources.stamp: always
	$(call stamp,$(sources))

clean:
	rm -rf build

# ---- unit tests: one executable for each tests/unit/test_*.c ----

unit_sources := $(wildcard tests/unit/test_*.c)
unit_helpers := $(patsubst %.c,$(B)/%.o,$(filter-out $(unit_sources),$(wildcard tests/unit/*.c)))
unit_tests := $(unit_sources:tests/unit/%.c=$(B)/unit/%)
wrap_alloc := -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=free

.PHONY: unit-bins
unit-bins: $(unit_tests)
.SECONDARY:
$(B)/unit/%: $(B)/tests/unit/%.o $(unit_helpers) $(library)
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) $(ld_flags) $(wrap_alloc) -o $@ $^ $(libs) -lssl -lcmocka

$(B)/tests/%.o: private cc_flags += -I. -Itests/unit

# ---- what lets the server's memory and files fail, for tests/e2e/faults.test.js ----

.PHONY: faults
faults: $(B)/faults.so
$(B)/faults.so: tests/faults/faults.c $(B)/flags.stamp
	$(call say,LINK,$@)
	$(Q)$(CC) -std=gnu17 -D_GNU_SOURCE -O2 -g $(warnings) -shared -fPIC -o $@ $< -ldl

# ---- fuzz targets: the whole library built again by clang in MODE=fuzz ----

fuzz_targets := $(patsubst tests/fuzz/%.c,build/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))

.PHONY: fuzz-bins
fuzz-bins: $(fuzz_targets)
build/fuzz/fuzz_%: build/fuzz/tests/fuzz/fuzz_%.o build/fuzz/libparlor.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(ld_flags) -fsanitize=fuzzer -o $@ $^ $(libs)

# Everything that can be compiled, without linking: for lint, with both compilers.
.PHONY: objects
objects: $(objects) $(patsubst %.c,$(B)/%.o,$(wildcard src/main.c tests/unit/*.c tests/fuzz/*.c))

include tools/check.mk
-include bench/bench.mk
-include $(patsubst %.o,%.d,$(objects) $(B)/src/main.o) $(wildcard $(B)/tests/*/*.d)
