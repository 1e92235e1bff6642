#!/bin/sh
# compress.sh - proves: compress, decompress, verify and info keep their promises on real data, on arrays of every kind, on damaged
# files, on full disks and when they are interrupted; their JSON has the keys of docs/cli.md; threads do not change a byte.
# Arguments: path of swage, source folder.
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/common.sh"
mounted=
cleanup() {
    [ -z "$mounted" ] || umount "$mounted"
    rm -rf "$work"
}
trap cleanup EXIT
json() { "$tools/json" "$@"; }
bytes() { wc -c <"$1" | tr -d ' '; }
# holds EXPRESSION: an awk condition
holds() { awk "BEGIN { exit !($1) }" || fail "$1"; }
empty() { [ -z "$(ls -A "$1")" ] || { fail "$1 is not empty:"; ls -lA "$1"; }; }

# near TOLERANCE ORIGINAL RESTORED...: values of the common datasets as judged by HDF5's own tool, where it is installed. Its exit status
# also counts attributes and datasets that are not carried over, its output only values.
near() {
    command -v h5diff >/dev/null || return 0
    tolerance=$1
    shift
    h5diff -d "$tolerance" "$@" >h5diff.out 2>&1
    [ ! -s h5diff.out ] || { fail "h5diff -d $tolerance $*"; head -5 h5diff.out; }
}

# round FOLDER BOUND [ARGUMENTS...]: there and back; leaves x.swz and restored/.
round() {
    folder=$1 bound=$2
    shift 2
    rm -rf x.swz restored
    expect 0 "wrote x.swz" compress "$folder" -e "$bound" -o x.swz "$@"
    expect 0 "restored to restored" decompress x.swz -o restored
    expect 0 "every value is within its bound" verify x.swz "$folder"
    expect 0 "every value is within its bound" verify x.swz restored
    expect 0 "the stored audit are good" verify x.swz
    [ "$bound" != lossless ] || for f in "$folder"/*.h5; do near 0 "$f" "restored/$(basename "$f")"; done
}

# ---- models: one epoch on little data; how good they are does not matter here ----
train() { "$swage" train "$@" trainer.max_epochs=1 run.dir=runs -q || fail "train $*"; }
blocks=$source/samples/bssn/bbh_q1_blocks_64_t5.h5
train codec/swae-mlp data.path="$blocks" run.name=edge5
train codec/swae-mlp data.path="$blocks" data.block=full run.name=edge7
train swae/mlp data.path="$blocks" data.vars=U_CHI run.name=pos_log

# ---- real data ----
round "$source/samples/bssn" abs:1e-6
round "$source/samples/bssn" rel:1e-4 -m runs/edge5
round "$source/samples/bssn" lossless
if command -v h5diff >/dev/null; then # the bound, measured by somebody else
    "$swage" compress "$source/samples/bssn" -e abs:1e-3 --vars U_CHI -o u.swz >out && "$swage" decompress u.swz -o u >out
    near 0.0010000001 "$source/samples/bssn/bbh_q1_uniform_32_t1.h5" u/bbh_q1_uniform_32_t1.h5
    h5diff -d 0.0009 "$source/samples/bssn/bbh_q1_uniform_32_t1.h5" u/bbh_q1_uniform_32_t1.h5 /U_CHI >out
    check [ -s out ] # and the bound is made use of
fi

# ---- layouts, types, byte orders, kinds of values ----
mkdir kinds
specs=
for type in f32 f64 f32be f64be; do
    for pattern in wave noise zero constant nan inf denormal one_nan mixed bits; do
        specs="$specs U_${pattern}_$type:$type:9x8x11:$pattern"
    done
done
make kinds/grid.h5 time=1.25 $specs U_one:f32:1x1x1:wave U_one64:f64:1x1x1:noise U_row:f32:1x1x50:wave group/U_deep:f64:3x4x5:wave
make kinds/blocks.h5 U_wave_f32:f32:40x5x5x5:wave U_mixed_f64be:f64be:11x7x7x7:mixed U_noise_f32:f32:6x9x9x9:noise U_zero_f64:f64:1x3x3x3:zero
make kinds/vars.h5 time=-3 vars=U_wave_f64be,U_one_nan_f32,U_last var_data:f64be:3x13x7x7x7:one_nan
for bound in abs:1e-3 rel:1e-4 lossless; do
    round kinds $bound --skip-missing
done
if command -v h5dump >/dev/null; then # byte order, type, time, place in the file, order of the variables
    for f in grid blocks vars; do
        h5dump -H kinds/$f.h5 | grep -v ATTRIBUTE | sort >a && h5dump -H restored/$f.h5 | grep -v ATTRIBUTE | sort >b
        grep 'DATASET\|F32\|F64BE\|DATASPACE  SIMPLE' a >c && grep 'DATASET\|F32\|F64BE\|DATASPACE  SIMPLE' b >e
        check cmp c e
    done
    h5dump -d vars kinds/vars.h5 | tail -n +2 >a && h5dump -d vars restored/vars.h5 | tail -n +2 >b
    check cmp a b
fi
# One network for all, whatever its edge: tiles are clipped at the border of a grid or a block.
for edge in edge5 edge7; do
    expect 0 "network" compress kinds -e rel:1e-3 -m runs/$edge --without stencil,planes,poly,interpolation,blocks --skip-missing -o n.swz
    expect 0 "every value is within its bound" verify n.swz kinds
done
# The order in the file is not that of the originals where some members wait for the network: names come back in order all the same.
make order.h5 vars=U_a,U_b,U_c,U_d,U_e var_data:f32:5x300x7x7x7:wave
round order.h5 rel:1e-3 -m runs/edge7 --without stencil,planes,poly,interpolation,blocks
check [ "$("$swage" info x.swz --json | json /dev/stdin members)" = 5 ]
near 0.01 order.h5 restored/order.h5

# ---- never much larger than the data ----
mkdir noise
make noise/a.h5 U_a:f32:40x40x40:bits U_b:f64:20x40x40:bits U_c:f32:1x1x1:bits
for bound in abs:1e-30 rel:1e-30 lossless; do
    expect 0 "wrote" compress noise -e $bound -m runs/edge5 -o z.swz
    "$swage" verify z.swz noise --json >v.json || fail "verify noise"
    for i in 0 1 2; do
        set -- $(json v.json arrays.$i.bytes_in arrays.$i.bytes_out)
        holds "$2 <= $1 + 1024"
    done
    holds "$(bytes z.swz) <= $(json v.json bytes_in) + 3 * 1024 + 1024"
done

# ---- variables that some files lack ----
mkdir lack
make lack/a.h5 U_A:f32:8x8x8:wave U_B:f32:8x8x8:wave
make lack/b.h5 U_A:f32:8x8x8:noise
expect 1 'variable "U_B" is missing' compress lack -e abs:1 -o m.swz
expect 1 'nothing matches "U_Q"' compress lack -e abs:1 -o m.swz --vars U_Q
check [ ! -e m.swz ]
expect 0 "wrote" compress lack -e abs:1 -o m.swz --skip-missing
check [ "$("$swage" info m.swz --json | json /dev/stdin members)" = 3 ]
expect 1 'nothing matches "U_B"' verify m.swz lack/b.h5
expect 1 'has no "U_A" of file "b.h5"' verify m.swz lack/a.h5
expect 1 "no such file" verify m.swz nowhere
expect 0 "every value" verify m.swz lack

# ---- wrong input ----
echo "not hdf5" >text.h5
make ints.h5 U_A:i32:8x8x8:noise
make flat.h5 U_A:f32:64:wave
make none.h5 U_A:f32:0x5x5x5:wave
expect 2 "say how large an error may be" compress lack
expect 2 'bound "tight": expected abs:NUMBER' compress lack -e tight
expect 2 "expected a number above 0" compress lack -e abs:0
expect 2 "expected a number above 0" compress lack -e rel:nan
expect 2 "expected a number above 0" compress lack -e abs:1e-3x
expect 2 "expected a list of" compress lack -e abs:1 --without magic
expect 2 "--effort" compress lack -e abs:1 --effort 10
expect 2 "--effort" compress lack -e abs:1 --effort 0
expect 2 "tries no models" compress lack -e abs:1 --effort 1 --train
expect 2 "tries no models" compress lack -e abs:1 --effort 4 -m nowhere
expect 2 "not for a target" compress lack --target-psnr 60 --train
expect 1 "no such file" compress nowhere.h5 -e abs:1
expect 1 "text.h5" compress text.h5 -e abs:1
expect 1 "only f32 and f64 are read" compress ints.h5 -e abs:1 --vars '*'
expect 1 "no usable dataset" compress flat.h5 -e abs:1 --vars '*'
expect 1 "is empty" compress none.h5 -e abs:1
expect 1 "there is no folder no/where/" compress lack -e abs:1 --skip-missing -o no/where/x.swz
expect 1 "is a folder" compress lack -e abs:1 --skip-missing -o lack
expect 1 "is one of the files to compress" compress lack -e abs:1 --skip-missing -o lack/b.h5
expect 1 "trained with data.norm=pos_log" compress lack -e abs:1 --skip-missing -m runs/pos_log -o p.swz
expect 1 "train codec/swae-mlp" compress lack -e abs:1 --skip-missing -m runs/pos_log -o p.swz
expect 1 "is it a run folder?" compress lack -e abs:1 --skip-missing -m lack -o p.swz
expect 1 "No such file" decompress nowhere.swz
expect 1 "text.h5" decompress text.h5
expect 1 "text.h5" verify text.h5
expect 1 "text.h5" info text.h5
expect 1 "x.swz: cannot create folder" decompress m.swz -o x.swz/sub
expect 2 "--report compares with the originals" verify m.swz --report r.html
check [ ! -e p.swz ]
make other.h5 U_A:f32:8x8x9:wave
expect 0 "wrote other.swz" compress other.h5 -e abs:1
expect 1 "another type or shape" verify other.swz lack/b.h5
make changed.h5 U_A:f32:8x8x9:noise
expect 0 "wrote" compress other.h5 -e abs:1e-3
cp other.h5 renamed.h5
expect 0 "every value" verify other.swz renamed.h5
expect 1 "values are outside the bound" verify other.swz changed.h5

# ---- the report ----
expect 0 "report r.html" verify other.swz other.h5 --report r.html --run runs/edge5
check grep -q "<svg" r.html
expect 0 "report r.html" compress kinds/blocks.h5 -e rel:1e-3 -m runs/edge5/ckpt/best.safetensors -o b.swz --report r.html
check grep -q "middle planes of 40 of 40 blocks" r.html
check grep -q "validation, total" r.html
check grep -q "the autoencoder alone" r.html
cp runs/edge5/ckpt/best.safetensors lone.safetensors
expect 0 "report r.html" verify m.swz lack --report r.html --run lone.safetensors
check grep -q "No curve: lone.safetensors has no log" r.html
expect 1 "is it a run folder?" verify m.swz lack --report r.html --run lack
expect 1 "nowhere: cannot open" verify m.swz lack --report r.html --run nowhere
check [ -s r.json ]
expect 0 "report deep/r" compress "$source/samples/bssn" -e rel:1e-3 -o d.swz --report deep/r --slices 3
for f in report.html report.json U_ALPHA.vti; do check [ -s "deep/r/$f" ]; done
check [ "$(json deep/r/report.json violations shown bssn shown.0.error_histogram | tr '\n' ' ')" = "0 3 4 40 " ]
for i in 0 3; do # nothing is lost to speak of: the constraints grow to the bound's order, not beyond
    holds "$(json deep/r/report.json bssn.$i.det_before) < 1e-5 && $(json deep/r/report.json bssn.$i.det_after) < 5e-3"
    holds "$(json deep/r/report.json bssn.$i.trace_before) < 1e-4 && $(json deep/r/report.json bssn.$i.trace_after) < 5e-2"
done
check [ "$(json deep/r/report.json shown.0.curve)" = 5 ]
for word in "error histogram" "power spectrum" "mode of each chunk" "PSNR over bits per value" "Constraints of the evolution"; do
    check grep -q "$word" deep/r/report.html
done
"${PYTHON:-python3}" "$source/tests/tools/check_vti.py" deep/r/U_ALPHA.vti >vti.out 2>&1
vti=$?
[ $vti = 0 ] || [ $vti = 77 ] || { fail "VTK cannot read U_ALPHA.vti"; cat vti.out; }
expect 1 "x.swz" verify other.swz other.h5 --report x.swz

# ---- JSON ----
keys="values fill_values bytes_in bytes_out ratio bound max_abs_error max_error_over_bound violations psnr_db compress_mb_s decompress_mb_s chunks"
number() { # number FILE PATH...: all are finite numbers
    file=$1
    shift
    for path in "$@"; do
        value=$(json "$file" "$path")
        case $value in '' | *[!0-9.e+-]*) fail "$file: $path is '$value'" ;; esac
    done
}
"$swage" compress kinds/blocks.h5 -e rel:1e-3 -o j.swz --json >c.json || fail "compress --json"
"$swage" verify j.swz kinds/blocks.h5 --json >v.json || fail "verify --json"
"$swage" verify j.swz --json >a.json || fail "verify --json without originals"
"$swage" compress kinds/blocks.h5 -e rel:1e-3 -o k.swz --no-check --json >k.json || fail "compress --no-check --json"
"$swage" decompress j.swz --json -o j >d.json || fail "decompress --json"
for f in c v a k d; do
    check [ "$(json $f.json .)" = "variable $keys model_bytes model_saved_bytes variables arrays" ]
    check [ "$(json $f.json variables.0)" = "variable $keys" ]
    check [ "$(json $f.json arrays.0)" = "source variable $keys" ]
    check [ "$(json $f.json variables arrays | tr '\n' ' ')" = "4 4 " ]
    for row in "" variables.3. arrays.2.; do
        number $f.json ${row}values ${row}bytes_in ${row}bytes_out ${row}ratio ${row}bound ${row}max_abs_error ${row}chunks.constant
        set -- $(json $f.json ${row}bytes_in ${row}bytes_out ${row}ratio)
        holds "$1 / $2 - $3 < 1e-6 && $3 - $1 / $2 < 1e-6"
    done
done
for f in c v; do
    check [ "$(json $f.json violations arrays.0.violations)" = "0
0" ]
    check [ "$(json $f.json variables.2.variable)" = U_wave_f32 ]
    number $f.json variables.2.psnr_db arrays.2.psnr_db variables.2.max_error_over_bound decompress_mb_s variables.2.decompress_mb_s
    holds "$(json $f.json variables.2.max_abs_error) <= $(json $f.json variables.2.bound)"
    check [ "$(json $f.json psnr_db variables.3.psnr_db)" = "null
null" ] # units differ; a range of 0
done
number c.json compress_mb_s variables.0.compress_mb_s arrays.0.compress_mb_s
check [ "$(json a.json violations variables.0.psnr_db compress_mb_s)" = "null
null
null" ]
check [ "$(json c.json bytes_out)" = "$(bytes j.swz)" ]
check cmp j.swz k.swz
check [ "$("$swage" info j.swz --json | json /dev/stdin members.0)" = "source variable type shape bound_as_given bound bytes_in bytes_out max_error_over_bound psnr_db fill_value fill_above chunks" ]
"$swage" verify other.swz changed.h5 --json >v.json 2>err
check [ $? = 1 ]
holds "$(json v.json violations) > 0"

# ---- the number of threads and the instruction set do not change a byte ----
expect 0 "wrote" compress kinds -e rel:1e-4 -m runs/edge5 --skip-missing -o t1.swz --threads 1
expect 0 "wrote" compress kinds -e rel:1e-4 -m runs/edge5 --skip-missing -o t2.swz --threads 2
expect 0 "wrote" compress "$source/samples/bssn" -e rel:1e-4 --vars 'U_GT*' -o t3.swz --threads 1
expect 0 "wrote" compress "$source/samples/bssn" -e rel:1e-4 --vars 'U_GT*' -o t4.swz --threads 3 --isa scalar
check cmp t1.swz t2.swz
check cmp t3.swz t4.swz

# ---- damage: found, or without effect; never a crash, never other values ----
make small.h5 U_wave:f32:12x12x12:wave U_mixed:f64:5x5x5:mixed U_blocks:f32:4x4x4:noise
mkdir damaged good
expect 0 "bytes in" compress small.h5 -e abs:1e-3 -m runs/edge5 --without stencil -o s.swz
expect 0 "restored" decompress s.swz -o good
size=$(bytes s.swz)
caught=0
judge() { # judge WHAT: one damaged file d.swz
    rm -rf damaged
    "$swage" decompress d.swz -o damaged >out 2>err
    got=$?
    if [ $got = 1 ] && grep -q '^swage: .' err; then
        caught=$((caught + 1))
        [ ! -d damaged ] || empty damaged
    elif [ $got != 0 ] || ! cmp -s good/small.h5 damaged/small.h5; then
        fail "$1: decompress gave $got"
        cat err
    fi
    "$swage" verify d.swz small.h5 >out 2>err
    check [ $? -le 1 ]
}
awk -v n="$size" 'BEGIN { srand(20); for (i = 0; i < 30; i++) printf "%d %d\n", int(rand() * n), 2 ^ int(rand() * 8) }' >flips
while read -r at bit; do
    cp s.swz d.swz
    old=$(od -An -tu1 -j "$at" -N 1 s.swz | tr -d ' ')
    if [ $((old / bit % 2)) = 1 ]; then new=$((old - bit)); else new=$((old + bit)); fi
    printf "\\$(printf %o $new)" | dd of=d.swz bs=1 seek="$at" conv=notrunc 2>err
    judge "bit $bit of byte $at flipped"
done <flips
for cut in 0 1 15 16 100 $((size / 3)) $((size / 2)) $((size - 64)) $((size - 1)); do
    head -c "$cut" s.swz >d.swz
    judge "cut to $cut bytes"
done
cat s.swz text.h5 >d.swz
judge "bytes appended"
echo "damage: $caught of 40 refused"
check [ $caught -ge 38 ]

# ---- disk full: exit 1, nothing left ----
mkdir full
full() { # full WHAT: both directions into full/, which has no room
    expect 1 "$1" compress "$source/samples/bssn" -e abs:1e-6 -o full/x.swz
    empty full
    expect 1 "$1" decompress t3.swz -o full
    empty full
    expect 1 "$1" verify b.swz kinds/blocks.h5 --report full/r.html
    empty full
}
if [ "$(id -u)" = 0 ] && mount -t tmpfs -o size=16k tmpfs full 2>/dev/null; then
    mounted=$work/full
    full "No space left"
    umount full && mounted=
fi
(
    trap '' XFSZ
    ulimit -f 16
    "$swage" compress "$source/samples/bssn" -e abs:1e-6 -o full/x.swz >/dev/null 2>full.err
    [ $? = 1 ] && "$swage" decompress t3.swz -o full >/dev/null 2>>full.err
    [ $? = 1 ]
) || fail "file size limit"
check [ "$(grep -c "cannot write: File too large" full.err)" = 2 ]
empty full

# ---- interrupted: exit 130, what stood there stays (how it goes on: resume.sh) ----
mkdir long stop
specs=
for i in 1 2 3 4 5 6 7 8; do
    specs="$specs U_$i:f64:64x64x64:noise"
done
make long/a.h5 $specs
make long/b.h5 $specs
echo "here before" >stop/x.swz
for signal in INT TERM; do
    rm -f stop/x.swz.*
    "$swage" compress long -e abs:1e-9 -o stop/x.swz --threads 1 >out 2>err &
    job=$!
    for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do # until it has begun to write
        [ "$(ls -A stop | wc -l)" -gt 1 ] && break
        sleep 0.05
    done
    kill -$signal $job
    wait $job
    got=$?
    check [ $got = $([ $signal = INT ] && echo 130 || echo 143) ]
    check grep -q "stopped; " err
    check [ "$(cat stop/x.swz)" = "here before" ]
done
rm -f stop/x.swz.*
expect 0 "wrote" compress long -e abs:1e-9 -o stop/x.swz --no-check
"$swage" decompress stop/x.swz -o stop/d --threads 1 >out 2>err &
job=$!
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    [ -e stop/d ] && break
    sleep 0.02
done
kill -INT $job
wait $job
got=$?
if [ $got = 130 ]; then
    check grep -q "stopped" err
    check [ -z "$(find stop/d -name '*.tmp')" ]
else
    check [ $got = 0 ] # it was faster than the signal
fi

[ $failures = 0 ]
