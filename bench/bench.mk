# Benchmark (included by the top Makefile). bench-tools builds the load generator and the bare
# server; bench-peers installs what the peers need; bench measures everything and writes the report.
BENCH_OUT := build/bench
BENCH_CFLAGS := -std=gnu17 -D_GNU_SOURCE -O2 -g -Wall -Wextra -Wshadow -Wstrict-prototypes \
    -Wmissing-prototypes -Wconversion -Wvla -Werror
BENCH_LOAD_SRC := $(addprefix bench/,load.c case_live.c case_history.c crowd.c client.c stamp.c \
    hist.c proc.c)
BENCH_HEADERS := $(addprefix bench/,cases.h crowd.h client.h stamp.h hist.h proc.h)
BENCH_ARGS ?=

.PHONY: bench bench-tools bench-peers

bench-tools: $(BENCH_OUT)/load $(BENCH_OUT)/bare

$(BENCH_OUT)/load: $(BENCH_LOAD_SRC) $(BENCH_HEADERS)
	@mkdir -p $(BENCH_OUT)
	$(CC) $(BENCH_CFLAGS) -o $@ $(BENCH_LOAD_SRC) -lcrypto

$(BENCH_OUT)/bare: bench/bare.c
	@mkdir -p $(BENCH_OUT)
	$(CC) $(BENCH_CFLAGS) -o $@ bench/bare.c -lcrypto

bench-peers:
	bash bench/peers/install.sh

bench: build bench-tools bench-peers
	node bench/run.mjs $(BENCH_ARGS)
