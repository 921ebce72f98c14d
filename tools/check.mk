# The targets people type: run, test and its pieces, fuzz, lint. Included by the Makefile.
# They call make again for each mode, so that what they build can be built in parallel while the
# pieces themselves keep their order.

T ?= 60
submake = $(MAKE) $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(JOBS))
run_unit = $(submake) MODE=$(1) unit-bins && tools/run-unit $(1)
run_e2e = $(submake) MODE=$(1) build faults && tools/run-e2e $(1)

.PHONY: run test test-unit test-asan test-tsan test-fuzz test-e2e test-crash test-faults test-damage test-attack fuzz lint format
run:
	@tools/install-deps build
	@$(submake) MODE=release build
	@exec build/parlor $(ARGS)

test:
	@tools/install-deps build test
	@rm -rf build/results
	@$(MAKE) test-unit
	@$(MAKE) test-asan
	@$(MAKE) test-tsan
	@$(MAKE) test-fuzz
	@$(MAKE) test-e2e
	@tools/test-summary

test-unit:
	@$(call run_unit,debug)

test-asan:
	@$(call run_unit,asan)
	@$(call run_e2e,asan)

test-tsan:
	@$(call run_unit,tsan)
	@$(call run_e2e,tsan)

test-e2e:
	@$(call run_e2e,release)

# The crash test alone, with more kills than `make test` has time for.
test-crash: export CRASH_ROUNDS ?= 100
test-crash:
	@tools/install-deps build test
	@$(submake) MODE=release build
	@tools/run-e2e release crash.test.js
	@grep -ho 'crash total: .*' build/results/e2e-release.log

# Memory and files that fail at every place, not only at some as in `make test`.
test-faults: export FAULTS_ALL = 1
test-faults: export E2E_TIMEOUT := 7200
test-faults:
	@tools/install-deps build test
	@$(submake) MODE=release build faults
	@tools/run-e2e release faults.test.js
	@$(submake) MODE=asan build faults
	@tools/run-e2e asan faults.test.js

# The attack test alone, for an hour.
test-attack: export ATTACK_SECONDS ?= 3600
test-attack: export E2E_TIMEOUT := 7200
test-attack:
	@tools/install-deps build test
	@$(submake) MODE=release build
	@tools/run-e2e release attack.test.js
	@grep -ho 'attack total: .*' build/results/e2e-release.log

# Each file of the database damaged in each way.
test-damage: export DAMAGE_CASES ?= 200
test-damage:
	@tools/install-deps build test
	@$(submake) MODE=release build
	@tools/run-e2e release damage_files.test.js
	@grep -ho 'damage total: .*' build/results/e2e-release.log

test-fuzz:
	@$(submake) MODE=fuzz CC=clang fuzz-bins
	@tools/run-fuzz replay

fuzz:
	@tools/install-deps build test
	@$(submake) MODE=fuzz CC=clang fuzz-bins
	@tools/run-fuzz search $(T)

format:
	@find src tests bench tools -name node_modules -prune -o -name '*.[ch]' -print | xargs -r clang-format -i

lint:
	@tools/install-deps build lint
	@tools/lint

help:
	@echo 'make run          install what is missing, build, serve on port 8000 (ARGS="--help" passes options)'
	@echo 'make test         install what is missing, then every test below'
	@echo '  test-unit       unit tests'
	@echo '  test-asan       unit and end-to-end tests under AddressSanitizer and UBSan'
	@echo '  test-tsan       unit and end-to-end tests under ThreadSanitizer'
	@echo '  test-fuzz       replay of the fuzz corpora'
	@echo '  test-e2e        end-to-end tests against the release build'
	@echo 'make test-crash   kill -9 under load 100 times (CRASH_ROUNDS), then count what was lost: nothing'
	@echo 'make test-faults  the n-th allocation and use of a file fails, every n, over all that is asked of the server'
	@echo 'make test-attack  one address does its worst for an hour (ATTACK_SECONDS), 200 members notice nothing'
	@echo 'make test-damage  damage the files of the database 200 times (DAMAGE_CASES): nothing is silent'
	@echo 'make build        build/parlor; MODE=debug, asan or tsan: build/<mode>/parlor'
	@echo 'make fuzz T=60    search with every fuzz target, T seconds each'
	@echo 'make lint         format, static analysis, architecture, limits; both compilers'
	@echo 'make format       clang-format in place'
	@echo 'make bench        measure against other servers'
	@echo 'make clean        remove build/'
