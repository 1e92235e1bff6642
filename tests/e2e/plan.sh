#!/bin/sh
# plan.sh - proves: `swage plan` takes the shape of a network's input, plans a training step under several ways of recomputation in one table, and with
# --measure runs them and uses what it planned; wrong shapes and policies are refused. Arguments: path of swage.
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/common.sh"

# field POLICY NUMBER: of the row of the table; the mark of the recipe's own choice is taken off.
field() { sed 's/ \*  */  /' out | awk -v name="$1" -v n="$2" '$1 == name { print $n }'; }
holds() { awk "BEGIN { exit !($1) }" || fail "$2: $1"; }

# Nothing recomputed, and what saves more and more.
expect 0 'gradient_checkpointing' plan cyto/segmentation --input 2x1x16x32x32
check grep -q 'patches of 16x32x32' out
check grep -q '(batch 2)' out
check grep -q '^attention \*' out
check grep -q '^\* what this recipe comes to$' out
off=$(field off 2) attention=$(field attention 2) blocks=$(field blocks 2)
holds "$attention < .8 * $off && $blocks < .7 * $attention" "peaks in MiB"
holds "$(field attention 6) == 0 && $(field blocks 6) > 0 && $(field blocks 6) < 34" "extra work in per cent"

# The published network at full size: its count, 40 per cent off for less than a quarter more work, inference within 1.5 GB.
expect 0 '780635912960' plan tfswa/unet --input 1x2x1025x259 --compare=off,attention,segments:4,budget:60%
check grep -q '^parameters  *15404834$' out
check grep -q '^blocks \*' out
for row in segments:4 budget:60%; do
    holds "$(field $row 2) < .6 * $(field attention 2) && $(field $row 6) < 25" "$row"
done
holds "$(awk '$1 == "peak" { print $4 }' out) * 1.048576 < 1500" "inference in MB"
expect 2 'mono or stereo' plan tfswa/unet --input 1x3x1025x259
expect 2 'expected more than' plan tfswa/unet --input 1x2x1025x2

# The recipe's own way is a row; a budget that cannot be met says so in its row.
expect 0 'segments:3 *' plan cyto/segmentation gradient_checkpointing=segments:3 --input 1x1x16x32x32 --compare=off,budget:1MiB
check grep -q '^budget:1MiB .*cannot be met; the least possible peak is' out

# Planned and used: 2 per cent, and a MiB of the process's own at this size.
expect 0 'measured MiB' plan cyto/segmentation --input 2x1x32x64x64 --compare=off,blocks --measure=1
for row in off blocks; do
    holds "$(field $row 8) >= .98 * $(field $row 2) && $(field $row 8) <= 1.02 * $(field $row 2) + 1" "$row: measured and planned MiB"
    holds "$(field $row 10) > 0" "$row: time of a step"
done
check grep -qE '^off .* 1\.00x$' out

# JSON has the same.
"$swage" plan cyto/segmentation --input 1x1x16x32x32 --compare=off,attention --json >out || fail "--json"
check grep -q '"recompute_policies":' out
check grep -q '"gradient_checkpointing":	"attention"' out
check grep -q '"extra_flops_percent":	0' out
grep -q '"step_seconds"' out && fail "a plan alone has a time"
"$swage" plan swae/mlp --json >out || fail "--json"
grep -q 'recompute_policies' out && fail "a comparison that was not asked for"

expect 0 'tiles' plan kan/dae --input 2x3x64x64 --compare=off,kan
expect 0 '(batch 64)' plan swae/mlp --input 64x125
expect 2 'expected (batch, 125) or (batch, 5, 5, 5)' plan swae/mlp --input 64x124
expect 2 'expected (batch, 1, z, y, x)' plan cyto/segmentation --input 1x16x32x32
expect 2 'data.patch' plan cyto/segmentation --input 1x1x16x32x33
expect 2 'square tiles' plan kan/dae --input 2x3x64x32
for shape in '' x 1x 1xx2 1x0x2 1x-2 2.5 1x2y 1x99999999999999999999 1x1x1x1x1x1x1x1x1; do
    expect 2 "--input" plan cyto/segmentation --input "$shape"
done
expect 2 'did you mean blocks' plan swae/mlp --compare=off,blok
expect 2 '--measure' plan swae/mlp --measure=0
expect 2 '--batch is too much' plan swae/mlp --input 64x125 -b 3
[ $failures = 0 ]
