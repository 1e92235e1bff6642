#!/bin/sh
# resume.sh - proves: a compression that is interrupted or killed at any moment goes on where it was, to the bytes of one that was not;
# other options, changed inputs and damaged leftovers begin anew; how many arrays are worked on at a time does not change a byte.
# Arguments: path of swage, source folder.
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/common.sh"

mkdir in
specs=
for i in 1 2 3 4 5 6 7 8 9 10 11 12; do
    specs="$specs U_w$i:f64:24x24x24:wave U_n$i:f32:24x24x24:noise"
done
make in/a.h5 $specs
make in/b.h5 $specs

# ---- arrays side by side ----
expect 0 "wrote" compress in -e abs:1e-6 -o whole.swz -j 1 --threads 1
for how in "-j 1 --threads 3" "-j 2 --threads 2" "-j 5 --threads 3" "--threads 3" "-j 3 --threads 1"; do
    expect 0 "wrote" compress in -e abs:1e-6 -o other.swz $how
    check cmp whole.swz other.swz
done
expect 2 "not an integer from 1 to" compress in -e abs:1e-6 -o other.swz -j 0

# ---- interrupted and killed ----
resumed=0
go_on() { # go_on SIGNAL: a job that gets the signal after some members, then the same command to the end
    rm -f x.swz*
    "$swage" compress in -e abs:1e-6 -o x.swz --threads 2 -j 2 --no-check >out 2>err &
    job=$!
    for i in $(seq 200); do
        [ -e x.swz.partial ] && [ "$(wc -c <x.swz.partial)" -gt "$2" ] && break
        [ -e x.swz ] && break
        sleep 0.01
    done
    kill -"$1" $job 2>/dev/null
    wait $job 2>/dev/null
    if [ ! -e x.swz ]; then
        [ "$1" = KILL ] || check grep -q "the same command goes on from x.swz.partial" err
        check [ -e x.swz.partial.journal ]
        resumed=$((resumed + 1))
        expect 0 "of 48 arrays are there from before" compress in -e abs:1e-6 -o x.swz
        check [ "$(ls x.swz*)" = x.swz ]
    fi
    check cmp whole.swz x.swz
}
for size in 1000 500000 1500000; do
    go_on KILL $size
    go_on INT $size
done
echo "$resumed jobs were continued"
check [ $resumed -ge 3 ]

# ---- leftovers that are not this job's, or not whole ----
leave() { # a job that was killed
    rm -f x.swz*
    "$swage" compress in -e abs:1e-6 -o x.swz --threads 1 --no-check >out 2>err &
    job=$!
    for i in $(seq 200); do
        [ -e x.swz.partial ] && [ "$(wc -c <x.swz.partial)" -gt 300000 ] && break
        sleep 0.01
    done
    kill -KILL $job 2>/dev/null
    wait $job 2>/dev/null
}
leave
expect 0 "wrote x.swz" compress in -e abs:1e-5 -o x.swz # another bound
grep -q "are there from before" err && fail "went on with another bound"
expect 0 "every value" verify x.swz in
leave
printf 'XXXX' | dd of=x.swz.partial bs=1 seek=100000 conv=notrunc 2>/dev/null # damaged: what is in front of it is kept
expect 0 "wrote x.swz" compress in -e abs:1e-6 -o x.swz
check cmp whole.swz x.swz
leave
head -c 150000 x.swz.partial >cut && mv cut x.swz.partial
expect 0 "wrote x.swz" compress in -e abs:1e-6 -o x.swz
check cmp whole.swz x.swz
leave
head -c 500 x.swz.partial.journal >cut && mv cut x.swz.partial.journal
expect 0 "wrote x.swz" compress in -e abs:1e-6 -o x.swz
check cmp whole.swz x.swz
leave
echo "not a journal" >x.swz.partial.journal
expect 0 "wrote x.swz" compress in -e abs:1e-6 -o x.swz
check cmp whole.swz x.swz
leave
make in/b.h5 $specs U_more:f32:8x8x8:wave # an input changed
expect 0 "wrote x.swz" compress in -e abs:1e-6 -o x.swz --skip-missing
expect 0 "every value" verify x.swz in
check [ "$("$swage" info x.swz --json | "$tools/json" /dev/stdin members)" = 49 ]

# ---- two at a time ----
rm -f x.swz*
"$swage" compress in -e abs:1e-9 -o x.swz --threads 1 --skip-missing >out2 2>err2 &
job=$!
for i in $(seq 200); do
    [ -s x.swz.partial.journal ] && break
    sleep 0.01
done
if [ -e x.swz.partial.journal ]; then
    expect 1 "another process is at work" compress in -e abs:1e-9 -o x.swz --skip-missing
fi
wait $job || fail "the first of two"

# ---- with a network, whose members wait in memory until it pays ----
"$swage" train codec/swae-mlp data.path="$source/samples/bssn/bbh_q1_blocks_64_t5.h5" run.name=net trainer.max_epochs=1 run.dir=runs -q || fail train
mkdir some
make some/a.h5 $specs
set -- compress some -e rel:1e-3 -m runs/net --without stencil,planes,poly,interpolation,blocks --no-check
"$swage" "$@" -o n1.swz --threads 1 -j 1 >out || fail "network"
for cut in 20000 60000 200000; do
    rm -f n2.swz*
    "$swage" "$@" -o n2.swz --threads 2 -j 2 >out 2>err &
    job=$!
    for i in $(seq 400); do
        [ -e n2.swz.partial ] && [ "$(wc -c <n2.swz.partial)" -gt $cut ] && break
        [ -e n2.swz ] && break
        sleep 0.01
    done
    kill -KILL $job 2>/dev/null
    wait $job 2>/dev/null
    expect 0 "wrote n2.swz" "$@" -o n2.swz
    check cmp n1.swz n2.swz
done

[ $failures = 0 ]
