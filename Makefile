# SPDX-License-Identifier: Apache-2.0
# A thin door to CMake. `make demo` and `make test` are all a newcomer needs; both install what is missing first.

JOBS ?= $(shell nproc)
CONFIGURE = cmake --preset
.DEFAULT_GOAL := build
.PHONY: deps build demo test test-slow test-asan test-tsan test-clang fuzz fuzz-afl bench bench-peers bench-codec docs-codec install clean

deps:
	@sh tools/deps.sh

build: deps
	@$(CONFIGURE) release > build-configure.log 2>&1 || { cat build-configure.log; rm -f build-configure.log; exit 1; }
	@rm -f build-configure.log
	@cmake --build --preset release -j $(JOBS) -- --no-print-directory

demo: build
	@sh tools/demo.sh build/swage

# Everything: unit, golden, end-to-end and corpus tests of the optimised build, then the library's own tests under
# AddressSanitizer + UBSan and under ThreadSanitizer, then a build with clang where it is installed and the tests of what a
# compiler can change: kernels, graphs, the codec's bits.
test: build
	@ctest --test-dir build -LE slow -j $(JOBS) --output-on-failure --progress
	@$(MAKE) --no-print-directory test-asan test-tsan test-clang

test-asan: deps
	@$(CONFIGURE) asan > /dev/null && cmake --build --preset asan -j $(JOBS) -- --no-print-directory --quiet
	@ctest --test-dir build-asan -LE slow -j $(JOBS) --output-on-failure --progress

test-tsan: deps
	@$(CONFIGURE) tsan > /dev/null && cmake --build --preset tsan -j $(JOBS) -- --no-print-directory --quiet
	@ctest --test-dir build-tsan -L threads -j $(JOBS) --output-on-failure --progress

test-clang: deps
	@if command -v clang > /dev/null; then \
	    $(CONFIGURE) clang > /dev/null && cmake --build --preset clang -j $(JOBS) -- --no-print-directory --quiet && \
	    ctest --test-dir build-clang -R 'kernel|golden|graph|grad|codec_(grid|coder|bounds|file|network|streams)|fuzz' -j $(JOBS) --output-on-failure --progress; \
	else echo "clang is not installed: the second compiler was not tried"; fi

test-slow: build
	@ctest --test-dir build -L slow --output-on-failure

# Two minutes of each fuzz target (needs clang), and the same with AFL++ (needs afl++).
fuzz: deps
	@$(CONFIGURE) fuzz > /dev/null && cmake --build --preset fuzz -j $(JOBS) --target fuzzers -- --no-print-directory --quiet
	@for t in build-fuzz/fuzz_*; do [ -x $$t ] && mkdir -p build-fuzz/work/$$(basename $$t) && \
	    $$t -max_total_time=$${SECONDS_EACH:-120} build-fuzz/work/$$(basename $$t) tests/fuzz/corpus/$$(basename $$t) || exit 1; done

fuzz-afl: deps
	@command -v afl-clang-fast > /dev/null || { echo "AFL++ is not there: apt-get install afl++"; exit 1; }
	@export AFL_QUIET=1 AFL_LLVM_DENYLIST="$(CURDIR)/tools/fuzz-afl.deny"; $(CONFIGURE) afl > /dev/null && cmake --build --preset afl -j $(JOBS) --target fuzzers -- --no-print-directory --quiet
	@sh tools/fuzz-afl.sh build-afl tests/fuzz/corpus $${SECONDS_EACH:-120}

bench: build
	@build/swage bench --output build/bench.json

# The same work in PyTorch, eager and compiled, and in ONNX Runtime, in a virtual environment of its own (about 1 GB), right after each of our
# rows. Takes about an hour, most of it compiling; PEERS=pytorch or ROWS='c5-* win' make it shorter.
PEERS ?= all
bench-peers: build
	@[ -d bench/peers/.venv ] || { python3 -m venv bench/peers/.venv && bench/peers/.venv/bin/pip install -q \
	    -r bench/peers/pytorch/requirements.txt -r bench/peers/onnxruntime/requirements.txt; }
	@SWAGE_PEER_PYTHON=bench/peers/.venv/bin/python build/swage bench $(ROWS) --against $(PEERS) --output build/bench.json

# The codec beside SZ3, SPERR and zfp: ratios, bounds, speed and targets, into build/bench-codec. DATA holds fields/ and bssn/; samples/ take the
# place of what it lacks. CODEC='--quick --tables fields' makes it shorter. Half an hour. Then `make docs-codec` puts the tables into docs/codec.md.
DATA ?= ../shared/data
bench-codec: build
	@sh tools/bench-codec.sh build/swage $(DATA) $(CODEC)

docs-codec:
	@sh tools/put-block.sh docs/codec.md bench-codec build/bench-codec/tables.md

install: build
	@cmake --install build

clean:
	@rm -rf build build-debug build-clang build-asan build-tsan build-fuzz build-afl demo
