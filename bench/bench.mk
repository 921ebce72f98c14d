# Benchmark (included by the top Makefile). bench-tools builds the load generator and the bare
# server; bench-peers installs what the peers need; bench measures everything and writes the report.
BENCH_OUT := build/bench
BENCH_CFLAGS := -std=gnu17 -D_GNU_SOURCE -O2 -g -Wall -Wextra -Wshadow -Wstrict-prototypes \
    -Wmissing-prototypes -Wconversion -Wvla -Werror
BENCH_LOAD_SRC := bench/load.c bench/crowd.c bench/client.c bench/stamp.c bench/hist.c bench/proc.c
BENCH_HEADERS := bench/crowd.h bench/client.h bench/stamp.h bench/hist.h bench/proc.h
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
