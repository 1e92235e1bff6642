#!/bin/sh
# fuzz-afl.sh - runs every fuzz target of a build for so many seconds under AFL++ and counts crashes and hangs.
# Usage: fuzz-afl.sh BUILD CORPUS SECONDS. Exit status 1 if any input crashed; what did lies in BUILD/work/TARGET/default/crashes.
# SPDX-License-Identifier: Apache-2.0
set -u
build=$1 corpus=$2 seconds=$3 status=0
export AFL_NO_UI=1 AFL_SKIP_CPUFREQ=1 AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES=1 AFL_NO_AFFINITY=1 AFL_AUTORESUME=1 AFL_FORKSRV_INIT_TMOUT=30000
for target in "$build"/fuzz_*; do
    [ -x "$target" ] || continue
    name=$(basename "$target")
    mkdir -p "$build/work"
    if ! afl-fuzz -V "$seconds" -t 5000+ -i "$corpus/$name" -o "$build/work/$name" -- "$target" > "$build/work/$name.log" 2>&1; then
        echo "$name: afl-fuzz stopped:"
        tail -5 "$build/work/$name.log"
        status=1
        continue
    fi
    stats=$build/work/$name/default/fuzzer_stats
    value() { sed -n "s/^$1 *: //p" "$stats"; }
    crashes=$(value saved_crashes) hangs=$(value saved_hangs)
    echo "$name: $(value execs_done) runs, $(value corpus_count) inputs, coverage $(value bitmap_cvg), $crashes crashes, $hangs hangs"
    [ "$crashes" = 0 ] || status=1
done
exit $status
