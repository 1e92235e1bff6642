#!/bin/sh
# quantise.sh - proves: `swage quantise` writes a smaller run folder that info, plan, eval, encode and reconstruct take, on every instruction set with the
# same latents; says what stays f32; compares all precisions; and refuses what it cannot do. Arguments: path of swage, source folder.
# SPDX-License-Identifier: Apache-2.0
set -u
swage=$1
source=$2
json=$(dirname "$1")/json
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0
fail() { echo "failed: $*"; failures=$((failures + 1)); }
equal() { [ "$1" = "$2" ] || fail "$3: $1, expected $2"; }
get() { "$json" "$1" "$2"; }
data=$source/samples/bssn/bbh_q1_uniform_32_t5.h5

"$swage" train swae/mlp data.path="$data" trainer.epochs=2 run.dir="$work" run.name=run >/dev/null 2>&1 || fail "training"
"$swage" quantise "$work/run" mode=int8 --json >"$work/int8.json" || fail "int8"
"$swage" quantise "$work/run" mode=fp8 -o "$work/small" >"$work/fp8.txt" || fail "fp8"
equal "$(get "$work/int8.json" original_bytes)" 582196 "bytes of f32 weights"
equal "$(get "$work/int8.json" quantized_bytes)" 153704 "bytes of int8 weights, scales and biases"
equal "$(get "$work/int8.json" layers.1.stays_float)" "no weight of a product" "why the first bias stays f32"
size=$(wc -c <"$work/run-int8/ckpt/best.safetensors")
equal "$(get "$work/int8.json" file_bytes)" "$size" "bytes of the file"
[ "$size" -lt 162000 ] || fail "the int8 checkpoint has $size bytes"
grep -q '3.79 times smaller' "$work/fp8.txt" || fail "fp8's ratio"

"$swage" info "$work/run-int8" | grep -q '^computes    int8' || fail "info does not say int8"
"$swage" plan "$work/run-int8" --json >"$work/plan.json" || fail "plan"
equal "$(get "$work/plan.json" inference_precision)" int8 "plan's precision"
"$swage" plan swae/mlp inference.precision=int8 --explain | grep -q 'codes: 4 products of 8-bit codes' || fail "the plan has no products of codes"

# On the run's test part all precisions are within what 8 bits may cost.
"$swage" quantise "$work/run" --compare --json >"$work/compare.json" || fail "compare"
for i in 1 2 3 4; do
    delta=$(get "$work/compare.json" compare.precisions.$i.psnr_delta_db)
    awk -v d="$delta" 'BEGIN { exit !(d < 1 && d > -1) }' || fail "precision $i differs by $delta dB"
done
equal "$(get "$work/compare.json" compare.precisions.2.precision)" int8 "third precision"
equal "$("$swage" eval "$work/run-int8" --part test --json | grep -c psnr_db)" "$("$swage" eval "$work/run" --part test --json | grep -c psnr_db)" "figures of eval"

"$swage" encode "$data" -m "$work/run-int8" -o "$work/e" --name a >/dev/null || fail "encode"
"$swage" reconstruct "$work/e/a/all_variables_encoded.h5" -m "$work/run-int8" -o "$work/back" >/dev/null || fail "reconstruct"
"$swage" reconstruct "$work/e/a/all_variables_encoded.h5" -m "$work/run" -o "$work/back2" >/dev/null 2>&1 && fail "another model decoded it"

# expect CODE TEXT ARGUMENTS...: ends with CODE and says TEXT.
expect() {
    code=$1 text=$2
    shift 2
    "$swage" "$@" >"$work/out" 2>&1
    equal $? "$code" "status of $*"
    grep -q "$text" "$work/out" || fail "$*: said $(head -1 "$work/out")"
}
expect 2 "say mode=int8" quantise "$work/run"
expect 2 "expected int8, fp8 or bf16" quantise "$work/run" mode=int4
expect 2 "expected mode=int8" quantise "$work/run" size=8
expect 1 "is the folder of a training run" quantise "$work/run" mode=int8 -o "$work/run"
expect 1 "is of int8 already" quantise "$work/run-int8" mode=fp8
expect 1 "opt.m" train swae/mlp data.path="$data" run.dir="$work" run.name=again resume="$work/run-int8/ckpt/best.safetensors"
[ $failures = 0 ]
