#!/bin/sh
# eval.sh - proves: `swage eval` prints the documented keys as JSON, the same figures as CSV and a table with a row per variable, for real
# data, for each part and for data other than those of the training run; `swage plan` and `swage train` print theirs.
# Arguments: path of swage, source folder.
# SPDX-License-Identifier: Apache-2.0
set -u
swage=$1
source=$2
tools=$(dirname "$1")
json=$tools/json
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0
check() { "$@" || { echo "failed: $*"; failures=$((failures + 1)); }; }
# keys FILE KEY...: every key is there.
keys() {
    file=$1
    shift
    "$json" "$file" "$@" >/dev/null || { echo "failed: keys of $file"; failures=$((failures + 1)); }
}
equal() { [ "$1" = "$2" ] || { echo "failed: $3: $1, expected $2"; failures=$((failures + 1)); }; }
get() { "$json" "$1" "$2"; }

"$swage" train swae/mlp data.path="$source/samples/bssn" trainer.epochs=2 run.dir="$work" run.name=run --json 2>"$work/err" >"$work/trained.json"
check [ $? = 0 ]
keys "$work/trained.json" run best last best_loss best_epoch epochs steps skipped early_stop seconds planned_bytes measured_bytes
equal "$(get "$work/trained.json" epochs)" 2 "epochs trained"

"$swage" plan swae/mlp --json >"$work/plan.json"
keys "$work/plan.json" parameters macs peak_bytes.training peak_bytes.inference
equal "$(get "$work/plan.json" parameters)" 145549 "parameters of swae/mlp"
equal "$(get "$work/plan.json" macs)" 144384 "multiply-adds of swae/mlp"

for part in all train val test; do
    "$swage" eval "$work/run" --part $part --json --csv "$work/$part.csv" >"$work/$part.json"
    equal $? 0 "eval of $part"
done
figures="values zeros constant_blocks raw_blocks min max mse mae max_abs_error error_mean error_std error_min error_max psnr_db nrmse correlation
    relative_l2 relative_mean relative_max relative_std relative_rms relative_p50 relative_p95 relative_p99"
for figure in $figures; do
    keys "$work/test.json" $figure normalised.$figure variables.0.$figure variables.23.normalised.$figure
done
keys "$work/test.json" model epoch data part split files arrays seconds variable blocks failed_blocks bytes_in latent_bytes side_bytes raw_bytes ratio \
    ratio_latent variables.0.variable variables.0.blocks variables.0.failed_blocks variables.0.bytes_in variables.0.latent_bytes \
    variables.0.side_bytes variables.0.raw_bytes variables.0.ratio variables.0.ratio_latent
equal "$(get "$work/test.json" part)" test part
equal "$(get "$work/test.json" split)" "split: random (test blocks are neighbours of training blocks)" split
equal "$(get "$work/test.json" variables)" 24 variables
equal "$(get "$work/test.json" variables.7.variable)" U_CHI "name of a variable"
equal "$(get "$work/all.json" blocks)" 26232 blocks
equal $(($(get "$work/trained.json" steps) / 2)) $((($(get "$work/all.json" blocks) * 80 / 100 + 255) / 256)) "batches of 80 % of the blocks"
equal $(($(get "$work/val.json" blocks) + $(get "$work/test.json" blocks) + $(get "$work/train.json" blocks))) 26232 \
    "blocks of the three parts"
case $(get "$work/all.json" normalised.relative_p50) in [0-9]*) ;; *) check false "percentile on the normalised scale" ;; esac

# CSV: a header and two lines for each of 24 variables and for all; the same figures.
equal "$(wc -l <"$work/all.csv")" 51 "lines of the CSV"
column=$(head -1 "$work/all.csv" | tr , '\n' | grep -n '^max_abs_error$' | cut -d: -f1)
equal "$(grep '^U_CHI,original,' "$work/all.csv" | cut -d, -f"$column")" "$(get "$work/all.json" variables.7.max_abs_error)" "max_abs_error in the CSV"

# Table: the split first, a row per variable.
"$swage" eval "$work/run" --part val >"$work/table"
check [ "$(head -1 "$work/table")" = "split: random (test blocks are neighbours of training blocks)" ]
equal "$(grep -c '^U_' "$work/table")" 24 "rows of the table"

# Other data, other variables; a checkpoint instead of a run folder; threads do not matter.
"$swage" eval "$work/run/ckpt/last.safetensors" data.path="$source/samples/bssn/bbh_q1_blocks_64_t5.h5" 'data.vars=[U_CHI, U_K]' --json --threads 1 >"$work/one.json"
equal "$(get "$work/one.json" variables)" 2 "variables chosen"
equal "$(get "$work/one.json" blocks)" 128 "blocks of two variables"
equal "$(get "$work/one.json" ratio_latent)" 7.8125 "ratio of the latents"
"$swage" eval "$work/run/ckpt/last.safetensors" data.path="$source/samples/bssn/bbh_q1_blocks_64_t5.h5" 'data.vars=[U_CHI, U_K]' --json --threads 3 >"$work/three.json"
equal "$(get "$work/three.json" mse)" "$(get "$work/one.json" mse)" "mse with three threads"

# Relative errors as published: over all values, with a floor.
"$swage" eval "$work/run" data.path="$source/samples/bssn/bbh_q1_blocks_64_t5.h5" --relative-floor 1e-12 --json >"$work/floor.json"
check awk "BEGIN { exit !($(get "$work/floor.json" relative_mean) > 0) }"
"$swage" eval "$work/run" --relative-floor -1 2>"$work/err"
equal $? 2 "a floor below 0"
"$swage" eval "$work/run" --speed --batch 0 2>"$work/err"
equal $? 2 "a batch of 0"

# A folder of results: metrics, image data and figures for every variable.
"$swage" eval "$work/run" -o "$work/results" --speed --batch 256 --csv "$work/again.csv" >"$work/table"
equal $? 0 "eval into a folder"
check grep -q "batch 256, copies inside: encode .* GB/s, decode" "$work/table"
check cmp "$work/results/metrics.csv" "$work/again.csv"
keys "$work/results/metrics.json" speed.batch speed.threads speed.dtype speed.device speed.copies_inside speed.encode_gb_s speed.decode_gb_s mse normalised.mse
equal "$(get "$work/results/metrics.json" mse)" "$(get "$work/all.json" mse)" "mse in the folder"
for variable in U_ALPHA U_CHI U_SYMAT5; do
    for file in $variable.vti ${variable}_original.svg ${variable}_normalised.svg; do
        check [ -s "$work/results/$file" ]
    done
    check grep -q "x = 16: reconstruction" "$work/results/${variable}_original.svg"
done
equal "$(ls "$work/results" | wc -l | tr -d ' ')" 74 "files in the folder"
"${PYTHON:-python3}" "$source/tests/tools/check_vti.py" "$work/results/U_CHI.vti" "$source/samples/bssn/bbh_q1_uniform_32_t5.h5" U_CHI
case $? in 0) ;; 77) echo "eval.sh: not checked: image data with VTK's own reader" ;; *) check false "VTK" ;; esac
"$swage" eval "$work/run" data.path="$source/samples/bssn/bbh_q1_blocks_64_t5.h5" data.vars=U_K -o "$work/blocks" >"$work/table"
check grep -q 'WholeExtent="0 19 0 19 0 19"' "$work/blocks/U_K.vti" # 4 x 4 x 4 blocks of 5 x 5 x 5

# Names are the file's: none leads out of the folder, and no two share a file.
"$tools/make_h5" "$work/names.h5" 'vars=../../evil,.dot' var_data:f32:2x20x7x7x7:wave
"$swage" train swae/mlp data.path="$work/names.h5" "data.vars=['*']" trainer.epochs=1 run.dir="$work" run.name=names 2>"$work/err" >"$work/out"
equal $? 0 "training on odd names"
"$swage" eval "$work/names" -o "$work/deep/er" >"$work/table" 2>"$work/err"
equal $? 0 "eval of odd names into a folder"
for name in _._.._evil _dot; do
    check [ -s "$work/deep/er/$name.vti" ]
    check [ -s "$work/deep/er/${name}_normalised.svg" ]
done
equal "$(find "$work" -name 'evil*' | wc -l | tr -d ' ')" 0 "files outside the folder"
"$tools/make_h5" "$work/escape.h5" "vars=$(printf 'U_\033[31m')" var_data:f32:1x20x7x7x7:wave
"$swage" train swae/mlp data.path="$work/escape.h5" trainer.epochs=1 run.dir="$work" run.name=escape 2>"$work/err" >"$work/out"
"$swage" eval "$work/escape" >"$work/table"
check grep -qF 'U_?[31m' "$work/table"
"$tools/make_h5" "$work/equal.h5" 'vars=a/b,a_b' var_data:f32:2x20x7x7x7:wave
"$swage" train swae/mlp data.path="$work/equal.h5" "data.vars=['*']" trainer.epochs=1 run.dir="$work" run.name=equal 2>"$work/err" >"$work/out"
"$swage" eval "$work/equal" -o "$work/equal.out" >"$work/table" 2>"$work/err"
equal $? 1 "eval of two names that become one"
check grep -qF 'variables "a/b" and "a_b" would both be written to a_b.vti' "$work/err"
check [ ! -e "$work/equal.out/a_b.vti" ]

[ $failures = 0 ]
