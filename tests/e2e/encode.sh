#!/bin/sh
# encode.sh - proves: encode takes every block of every file, whatever its kind, in memory that does not grow with the files; reconstruct gives
# the same bytes in a new process; constants, raw blocks and kept shells are exact; bad input, full disks and interrupts leave nothing.
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
equal() { [ "$1" = "$2" ] || fail "$3: $1, expected $2"; }
holds() { awk "BEGIN { exit !($1) }" || fail "$1"; }
encoded=all_variables_encoded.h5
restored=all_variables_reconstructed.h5
# counts FILE: what encode and reconstruct must agree in, over all and for the first variable.
counts() {
    for figure in files file_ratio encoded_bytes variables; do json "$1" $figure; done
    for figure in arrays blocks constant_blocks raw_blocks bytes_in latent_bytes side_bytes flag_bytes kept_bytes ratio_latent ratio; do
        json "$1" $figure variables.0.$figure
    done | tr '\n' ' '
}
# round NAME INPUT RUN [ARGUMENTS...]: encode to jobs/NAME, reconstruct to back/NAME, the same bytes; figures in NAME.json.
round() {
    name=$1 input=$2 run=$3
    shift 3
    rm -rf "jobs/$name"
    "$swage" encode "$input" -m "$run" -o jobs --name "$name" --json "$@" >"$name.json" || fail "encode $input $*"
    "$swage" reconstruct "jobs/$name/$encoded" -m "$run" -o "back/$name" --json >back.json || fail "reconstruct of $name"
    equal "$(counts back.json)" "$(counts "$name.json")" "figures of reconstruct for $name"
    check cmp "jobs/$name/$restored" "back/$name/$restored"
    ! grep -qi 'nan' "$name.json" || fail "$name.json holds NaN"
    case $name in kinds*) ;; *) ! grep -qi 'inf"' "$name.json" || fail "$name.json holds infinity" ;; esac # kinds: errors of 1e38 over values of 1e-300
}
# same FILE FILE OBJECT OBJECT: values as judged by HDF5's own tool, where it is installed.
same() {
    command -v h5diff >/dev/null || return 0
    h5diff "$1" "$2" "$3" "$4" >diff.out 2>&1 && [ ! -s diff.out ] || { fail "h5diff $*"; head -3 diff.out; }
}

# ---- networks: an epoch on little data; how good they are does not matter here ----
blocks=$source/samples/bssn/bbh_q1_blocks_64_t5.h5
train() { "$swage" train "$@" trainer.max_epochs=1 run.dir=runs -q || fail "train $*"; }
train swae/mlp data.path="$blocks" run.name=edge5
train swae/mlp data.path="$blocks" data.block=full run.name=edge7
train swae/mlp data.path="$blocks" data.norm=scaleitup run.name=scaled
train swae/mlp data.path="$blocks" data.norm=zscore run.name=zscore
train codec/swae-mlp data.path="$blocks" run.name=block_scale

# ---- real data: blocks and grids in one folder ----
round real "$source/samples/bssn" runs/edge5
equal "$(json real.json blocks)" 36984 "blocks: 24 variables, 64 octants of 8 and 3 grids of 343"
equal "$(json real.json variables)" 24 variables
equal "$(json real.json files)" 4 files
equal "$(json real.json encoded_bytes)" "$(wc -c <jobs/real/$encoded)" "bytes of the encoded file"
holds "$(json real.json ratio_latent) < 7.8125" # padding costs
holds "$(json real.json file_ratio) > 1"
for run in edge7 scaled zscore block_scale; do
    round "n$run" "$source/samples/bssn" runs/$run
done
"$swage" encode "$source/samples/bssn" -m runs/edge5 -o jobs --name one --threads 1 >out && check cmp jobs/one/$encoded jobs/real/$encoded
"$swage" encode "$source/samples/bssn" -m runs/edge5 -o jobs --name small --batch 100 --threads 3 >out
same jobs/small/$restored jobs/real/$restored /var_data /var_data
same jobs/small/$encoded jobs/real/$encoded /U_CHI/latent_vectors /U_CHI/latent_vectors
"$swage" encode "$source/samples/bssn" -m runs/edge5 -o jobs --name three --threads 3 >out && check cmp jobs/three/$restored jobs/real/$restored
"$swage" encode "$source/samples/bssn" -m runs/edge5 -o jobs --name alone --latents-only --json >alone.json
check [ ! -e jobs/alone/$restored ]
equal "$(json alone.json reconstructed psnr_db | tr '\n' ' ')" "null null " "what latents alone cannot say"
expect 0 "wrote" reconstruct jobs/alone/$encoded -m runs/edge5/ckpt/best.safetensors -o back/alone --threads 3 --batch 77 --deflate 0
same jobs/real/$restored back/alone/$restored /var_data /var_data
if command -v h5dump >/dev/null; then
    h5dump -H jobs/real/$restored | grep -qF 'DATASPACE  SIMPLE { ( 24, 64, 7, 7, 7 ) / ( 24, 64, 7, 7, 7 ) }' || fail "var_data is not (24, 64, 7, 7, 7)"
    for attribute in source_folder normalization_method model_arch model_sha256 swage_version latent_dim; do
        h5dump -a /$attribute jobs/real/$encoded >out 2>&1 || fail "no attribute $attribute"
    done
    for attribute in avg_mse avg_psnr avg_mae avg_relative_error processed_variables U_CHI_num_samples reconstruction_method; do
        h5dump -a /$attribute jobs/real/$restored >out 2>&1 || fail "no attribute $attribute"
    done
    for attribute in mse psnr mae mean_relative_error num_samples original_shape processed_shape; do
        h5dump -a /U_CHI/$attribute jobs/real/$encoded >out 2>&1 || fail "U_CHI has no attribute $attribute"
    done
fi
# The folder's name is the time; a second job in the same second gets one of its own.
"$swage" encode "$blocks" -m runs/edge5 -o dated data.vars=U_CHI >out && "$swage" encode "$blocks" -m runs/edge5 -o dated data.vars=U_CHI >out
equal "$(find dated -path 'dated/2*' -name $encoded | wc -l | tr -d ' ')" 2 "jobs with the time as their name"

# ---- shells: exact with keep; what decoding needs is counted ----
round keep "$blocks" runs/edge5 --shell keep
round none "$blocks" runs/edge5 --shell none
round tile "$blocks" runs/edge5 --shell tile
round full "$blocks" runs/edge7
equal "$(json keep.json blocks none.json blocks tile.json blocks 2>/dev/null | head -1)" 1536 "blocks with shell keep"
equal "$(json tile.json blocks)" 12288 "blocks with shell tile"
holds "$(json keep.json ratio) > 1.45 && $(json keep.json ratio) < 1.47"
holds "$(json tile.json ratio) > 2.45 && $(json tile.json ratio) < 2.53"
holds "$(json full.json ratio) > 19.5 && $(json full.json ratio) < 20.2"
holds "$(json none.json ratio_latent) == 7.8125"
if command -v h5dump >/dev/null; then
    h5dump -d /U_CHI -s 0,0,0,0 -c 64,1,7,7 -y "$blocks" | grep '^ *-\?[0-9]' >a # an outer plane of every octant
    h5dump -d /var_data -s 7,0,0,0,0 -c 1,64,1,7,7 -y jobs/keep/$restored | grep '^ *-\?[0-9]' >b
    equal "$(json keep.json variables.7.variable)" U_CHI "variable 7"
    check [ -s a ]
    tr -d ' \n' <a >a1 && tr -d ' \n' <b >b1
    check cmp a1 b1
fi

# ---- kinds of values: constants, NaN, denormals, both types and byte orders, deflated and contiguous ----
mkdir kinds
make kinds/b.h5 time=2 U_wave:f32:40x7x7x7:wave U_noise:f32:33x7x7x7:noise deflate=6 U_zero:f32:20x7x7x7:zero U_const:f64:9x7x7x7:constant \
    U_tiny:f32:12x7x7x7:denormal U_mix:f64be:31x7x7x7:mixed U_odd:f32be:7x7x7x7:nan
make kinds/g.h5 deflate=3 U_wave:f64:11x7x64:wave U_one:f32:1x1x1:wave U_row:f32be:1x1x50:wave group/U_deep:f64be:64x100x3:wave deflate=0 U_zero:f32:5x5x5:zero
make kinds/v.h5 vars=U_wave,U_last var_data:f32:2x13x7x7x7:one_nan
expect 1 'block 0 holds' encode kinds -m runs/edge5 -o jobs --name no data.missing=skip
check [ ! -e jobs/no ]
for shell in tile keep none; do
    round "kinds_$shell" kinds runs/edge5 --shell $shell data.missing=skip data.nonfinite=raw
done
holds "$(json kinds_tile.json constant_blocks) >= 20 * 8 + 9 * 8 + 1"
holds "$(json kinds_tile.json raw_blocks) >= 7 * 8"
round kinds_scaled kinds runs/scaled data.missing=skip data.nonfinite=raw
same kinds/g.h5 jobs/kinds_tile/$restored /U_zero /grids/g.h5/U_zero
if command -v h5dump >/dev/null; then
    h5dump -H jobs/kinds_tile/$restored >out
    check grep -qF 'SIMPLE { ( 11, 7, 64 )' out # grid 11x7x64 comes back in its shape
    check grep -qF 'SIMPLE { ( 64, 100, 3 )' out
fi
mkdir zero && make zero/a.h5 U_A:f32:30x7x7x7:zero U_B:f32:30x7x7x7:constant
round zero zero runs/edge5
equal "$(json zero.json constant_blocks)" 480 "constant blocks"
equal "$(json zero.json psnr_db mse ratio_latent | tr '\n' ' ')" "null null null " "figures of nothing"
expect 0 "constant" encode zero -m runs/edge5 -o jobs --name zero2
! grep -qiw 'nan\|-nan\|inf\|-inf' out || fail "NaN or infinity in a table"
round zero_in zero runs/edge5 data.constant=include

# ---- larger than the memory it may have ----
mkdir large
make large/a.h5 U_A:f32:20000x7x7x7:wave
for copy in b c d e f g h; do ln -s a.h5 large/$copy.h5; done
(
    ulimit -v 400000 2>/dev/null
    "$swage" encode large -m runs/edge5 -o jobs --name large --batch 4096 --threads 2 --json
) >large.json || fail "encode with 400 MB"
equal "$(json large.json bytes_in)" 219520000 "bytes in"
equal "$(json large.json blocks)" 1280000 blocks
holds "$(json large.json peak_bytes) < 64e6" # of 220 MB in and 160 MB out
make one.h5 U_A:f32:500x32x32:wave # one grid that is read in layers
"$swage" encode one.h5 -m runs/edge5 -o jobs --name layers --batch 100 --json >layers.json || fail "encode in layers"
equal "$(json layers.json blocks)" 4900 "blocks of a grid"
rm -rf jobs/large large

# ---- bad input ----
mkdir shapes lack ints dup none
make shapes/a.h5 U_A:f32:8x7x7x7:wave
make shapes/b.h5 U_A:f32:8x9x9x9:wave
expect 1 'mixed shapes: blocks of "U_A" in shapes/a.h5 have 7 values per axis, those of "U_A" in shapes/b.h5 9' encode shapes -m runs/edge5 -o jobs --name no
make lack/a.h5 U_A:f32:8x7x7x7:wave U_B:f32:8x7x7x7:wave
make lack/b.h5 U_A:f32:5x7x7x7:noise
expect 1 'lack/b.h5: variable "U_B" is missing but other files have it; data.missing=skip' encode lack -m runs/edge5 -o jobs --name no
round lack lack runs/edge5 data.missing=skip
equal "$(json lack.json variables.0.blocks lack.json variables.1.blocks 2>/dev/null | head -1)" 104 "blocks of U_A"
make ints/a.h5 U_A:i32:8x7x7x7:noise
expect 1 'ints/a.h5: dataset "U_A" is integer of 4 bytes; only f32 and f64 are read' encode ints -m runs/edge5 -o jobs --name no
make dup/a.h5 x/U_A:f32:8x7x7x7:wave y/U_A:f32:8x7x7x7:wave
expect 1 'variable "U_A" is there twice (x/U_A, y/U_A)' encode dup -m runs/edge5 -o jobs --name no
make none/a.h5 U_A:f32:0x7x7x7:wave
expect 1 'dataset "U_A" (0, 7, 7, 7) is empty: 0 blocks' encode none -m runs/edge5 -o jobs --name no
mkdir other && make other/a.h5 U_A:f32:8x7x7x7:wave && echo text >other/notes.txt && mkdir other/sub.h5.d && : >other/.hidden.h5
round other other runs/edge5 # the files of others are left alone
mkdir listed && make listed/a.h5 vars:f32:8x7x7x7:wave arrays:f32:8x7x7x7:wave
expect 1 'may not be called' encode listed -m runs/edge5 -o jobs --name no 'data.vars=[arrays]'
make small.h5 U_A:f32:8x4x4x4:wave
expect 1 "smaller than the model's 5" encode small.h5 -m runs/edge5 -o jobs --name no --shell keep
echo "not hdf5" >text.h5
mkdir empty
expect 1 "text.h5: cannot open as HDF5" encode text.h5 -m runs/edge5 -o jobs --name no
expect 1 "no *.h5 or *.hdf5" encode empty -m runs/edge5 -o jobs --name no
expect 1 "no such file" encode nowhere -m runs/edge5 -o jobs --name no
expect 2 "-m RUN" encode lack
expect 2 "expected tile, keep or none" encode other -m runs/edge5 --shell half -o jobs --name no
expect 2 "it reads data.vars" encode other -m runs/edge5 -o jobs --name no model.latent=3
expect 1 "cannot create folder" encode other -m runs/edge5 -o jobs --name other
expect 1 "text.h5" encode other -m runs/edge5 -o text.h5
check [ ! -e jobs/no ]
expect 1 "was encoded by another network" reconstruct jobs/other/$encoded -m runs/scaled
expect 1 "not an encoded file of swage encode" reconstruct other/a.h5 -m runs/edge5
expect 1 "cannot open as HDF5" reconstruct text.h5 -m runs/edge5
expect 1 "no such file" reconstruct nowhere.h5 -m runs/edge5
expect 2 "-m RUN" reconstruct jobs/other/$encoded
# Cut short, and every so often a byte changed: a message, never a crash, never a half-written file.
bytes=$(wc -c <jobs/other/$encoded)
head -c $((bytes / 2)) jobs/other/$encoded >cut.h5
expect 1 "cut.h5" reconstruct cut.h5 -m runs/edge5 -o damaged
for at in 60 900 2100 4200 7000 9000 12000 15000 20000 30000; do
    [ $at -lt "$bytes" ] || continue
    { head -c $at jobs/other/$encoded; printf '\377\001\377'; tail -c +$((at + 4)) jobs/other/$encoded; } >bent.h5
    "$swage" reconstruct bent.h5 -m runs/edge5 -o damaged >out 2>err
    got=$?
    [ $got = 0 ] || [ $got = 1 ] || fail "a byte changed at $at: exit $got"
done

# ---- interrupts and full disks leave nothing ----
mkdir wide && make wide/a.h5 U_A:f32:60000x7x7x7:noise
"$swage" encode wide -m runs/edge5 -o jobs --name stopped --threads 1 >out 2>err &
pid=$!
tries=0
while [ ! -e jobs/stopped ] && [ $tries -lt 100 ]; do
    sleep 0.05
    tries=$((tries + 1))
done
kill -INT $pid
wait $pid
got=$?
[ $got = 130 ] || fail "interrupted encode: exit $got"
check grep -q "interrupted; nothing was left behind" err
check [ ! -e jobs/stopped ]
mkdir full
if [ "$(id -u)" = 0 ] && mount -t tmpfs -o size=300k tmpfs full 2>/dev/null; then
    mounted=$work/full
    expect 1 "No space left" encode "$source/samples/bssn" -m runs/edge5 -o full
    [ -z "$(ls -A full)" ] || { fail "full is not empty"; ls -lAR full; }
    expect 1 "No space left" reconstruct jobs/real/$encoded -m runs/edge5 -o full
    [ -z "$(ls -A full)" ] || { fail "full is not empty"; ls -lAR full; }
    umount full && mounted=
fi
(
    trap '' XFSZ
    ulimit -f 200
    "$swage" encode "$source/samples/bssn" -m runs/edge5 -o full --name f >/dev/null 2>full.err
    [ $? = 1 ]
) || fail "encode with a limit on file sizes"
check grep -q "cannot write: File too large" full.err
[ -z "$(ls -A full)" ] || { fail "full is not empty"; ls -lAR full; }

[ $failures = 0 ]
