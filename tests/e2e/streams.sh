#!/bin/sh
# streams.sh - proves: `decompress --slice` takes the same values as the whole and reads less of the file; `compress --append` grows streams
# within the bound; a file cut off while it grew is recovered, a damaged one salvaged.
# Arguments: path of swage, source folder.
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/common.sh"
bytes() { wc -c <"$1" | tr -d ' '; }
# part FILE FROM COUNT: bytes of a file
part() { tail -c +$(($2 + 1)) "$1" | head -c "$3"; }

# ---- slices: (20, 6, 40) f32, so a plane is 960 bytes, a row 160, and rows of planes lie together ----
mkdir two
make two/a.h5 U_a:f32:20x6x40:wave U_b:f64:4x5x6:noise
make two/b.h5 time=2.5 U_a:f32:20x6x40:noise
expect 0 "wrote" compress two -e abs:1e-3 --skip-missing -o t.swz
expect 0 "1 arrays, 4800 values" decompress t.swz --slice a.h5:U_a -o whole.raw
check [ "$(bytes whole.raw)" = 19200 ]
slice() { # slice RANGES FROM COUNT: the part of the whole it must be
    expect 0 "1 arrays" decompress t.swz --slice "a.h5:U_a$1" -o s.raw -f
    part whole.raw "$2" "$3" >expected
    check cmp s.raw expected
}
slice '[3:5]' 2880 1920
slice '[-2:, :, :]' 17280 1920
slice '[7]' 6720 960
slice '[7, ..., :]' 6720 960
slice '[-1,-1]' 19040 160
slice '[2,3,10:30]' $((2 * 960 + 3 * 160 + 40)) 80
slice '[2,3,-1]' $((2 * 960 + 3 * 160 + 156)) 4
slice '[::1,:100,:]' 0 19200
slice '[19:1000]' 18240 960
expect 0 "1 arrays, 40 values" decompress t.swz --slice 'a.h5:U_a[1,2]' -o s.npy
check [ "$(bytes s.npy)" = $((128 + 160)) ]
check [ "$(head -c 6 s.npy | tail -c 5)" = NUMPY ]
check grep -aq "'shape': (40,)" s.npy
expect 1 "stands there already" decompress t.swz --slice 'a.h5:U_a' -o s.npy
expect 0 "3 arrays" decompress t.swz --slice 'U_a[0:2,...,5],a.h5:U_b[1]' -o s.h5
if command -v h5dump >/dev/null; then
    h5dump -H s.h5 >heads
    check [ "$(grep -c 'SIMPLE { ( 2, 6 )' heads)" = 2 ]
    check grep -q 'SIMPLE { ( 5, 6 )' heads
    check grep -q origin heads
fi
expect 2 "steps are not supported" decompress t.swz --slice 'U_a[::2]' -o n.h5
expect 2 "index 20 is outside axis 0" decompress t.swz --slice 'U_a[20]' -o n.h5
expect 2 "nothing is left of axis 1" decompress t.swz --slice 'U_a[0,5:2]' -o n.h5
expect 2 "4 axes given" decompress t.swz --slice 'U_a[0,0,0,0]' -o n.h5
expect 2 "only one ... is possible" decompress t.swz --slice 'U_a[...,...]' -o n.h5
expect 2 'expected , or ] at' decompress t.swz --slice 'U_a[0' -o n.h5
expect 2 "expected FROM:TO" decompress t.swz --slice 'U_a[]' -o n.h5
expect 2 "selected twice" decompress t.swz --slice 'a.h5:U_a,a.h5:U_a[0]' -o n.h5
expect 2 "holds one array" decompress t.swz --slice 'U_a' -o n.npy
expect 2 "ends in .h5" decompress t.swz --slice 'a.h5:U_a' -o n.txt
expect 2 "say where the slice goes" decompress t.swz --slice 'U_a'
expect 1 'nothing is called "U_q"' decompress t.swz --slice 'U_q' -o n.h5
check [ ! -e n.h5 ]
make big.h5 U_a:f32:128x128x64:noise
expect 0 "wrote" compress big.h5 -e abs:1e-3 -o big.swz --no-check
"$swage" decompress big.swz --slice 'U_a[3,4]' -o row.raw --json >j.json || fail "slice --json"
check [ "$(($("$tools/json" j.json bytes_read) * 2))" -lt "$(bytes big.swz)" ] # one of four chunks
check [ "$("$tools/json" j.json values)" = 64 ]

# ---- growing: steps of a grid, blocks, several variables ----
mkdir steps
for i in 1 2 3 4; do
    make steps/t$i.h5 time=$i U_a:f32:16x16x16:wave U_b:f64:8x8x8:noise
done
expect 1 "take one with --vars" compress steps/t1.h5 -e abs:1e-4 --append a.swz
expect 1 "range of the whole series" compress steps/t1.h5 -e rel:1e-4 --vars U_a --append a.swz
expect 2 "expected LOW:HIGH" compress steps/t1.h5 -e rel:1e-4 --range 5 --vars U_a --append a.swz
expect 1 "without a shape and a bound" compress steps/t1.h5 --vars U_a --append a.swz
expect 2 "--append goes with neither" compress steps/t1.h5 -e abs:1e-4 --append a.swz -o b.swz
check [ ! -e a.swz ]
expect 0 "1 steps added to a.swz, which has 1 now" compress steps/t1.h5 -e rel:1e-4 --range -40:40 --vars U_a --append a.swz
cp a.swz a1.swz
expect 0 "1 steps added to a.swz, which has 2 now" compress steps/t2.h5 --append a.swz
check [ "$(part a.swz 0 "$(bytes a1.swz)" | cmp - a1.swz && echo same)" = same ] # nothing that stood there is touched
expect 0 "4 steps added to a.swz, which has 6 now" compress steps --append a.swz
expect 1 "another bound" compress steps/t2.h5 -e rel:1e-5 --range -40:40 --append a.swz
check [ "$("$swage" info a.swz --json | "$tools/json" /dev/stdin members.0.shape)" = 6x16x16x16 ]
expect 0 "the stored audit are good" verify a.swz
expect 0 "1 arrays" decompress a.swz --slice 'U_a[1]' -o second.raw
expect 0 "1 arrays" decompress a.swz --slice 'U_a[3]' -o fourth.raw # t2.h5 again: in a chunk of its own, the same values
check cmp second.raw fourth.raw
check [ "$(bytes second.raw)" = 16384 ]
expect 0 "2 steps added to series/" compress steps/t1.h5 -e abs:1e-4 --append series/
expect 0 "2 steps added to series/, which has 4 now" compress steps/t3.h5 --append series/
check [ "$(ls series | tr '\n' ' ')" = "U_a.swz U_b.swz " ]
make blocks1.h5 U_o:f32:40x5x5x5:wave
make blocks2.h5 U_o:f32:13x5x5x5:wave
expect 0 "40 steps added" compress blocks1.h5 -e abs:1e-4 --append o.swz
expect 0 "13 steps added to o.swz, which has 53 now" compress blocks2.h5 --append o.swz
expect 0 "1 arrays" decompress o.swz -o blocks
expect 1 "another shape" compress steps/t1.h5 --vars U_a --append o.swz

# ---- cut off while it grew ----
size=$(bytes a.swz)
for cut in 1 64 500; do
    head -c $((size - cut)) a.swz >c.swz
    expect 1 "swage verify --recover may help" decompress c.swz -o cut
    expect 1 "bytes behind the last valid footer are lost" decompress c.swz --salvage -o cut$cut
    check [ -e cut$cut/restored.h5 ]
    expect 0 "were cut off" verify c.swz --recover
    expect 0 "the stored audit are good" verify c.swz
    expect 0 "which has 3 now" compress steps/t4.h5 --append c.swz
done
head -c 100 a.swz >c.swz
expect 1 "no valid footer anywhere" verify c.swz --recover

# ---- damage: the rest is restored ----
cp big.swz d.swz
printf 'XXXX' | dd of=d.swz bs=1 seek=$(($(bytes big.swz) / 2)) conv=notrunc 2>/dev/null
expect 1 "checksum is wrong" decompress d.swz -o damaged
expect 1 "1 arrays have damaged chunks, which are zero" decompress d.swz --salvage -o salvaged
check grep -q "its values are zero" err
check [ -e salvaged/big.h5 ]

[ $failures = 0 ]
