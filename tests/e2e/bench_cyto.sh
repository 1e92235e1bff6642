#!/bin/sh
# bench_cyto.sh - proves: `swage bench cyto` times the published switches alone and together in the published forms of the command, takes a peer's
# times and memory in, says which switches cannot act, holds losses against the baseline's, lists batch sizes that do not fit without trying them,
# writes JSON with the published keys and a picture, and ends when it is interrupted.
# Arguments: path of swage, source folder.
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/bench_common.sh"
export SWAGE_CACHE_DIR="$work/cache"
small="--iterations 2 --threads 1"
tiny="$small --input-shape 1,1,8,8,8"

# Nobody beside us. Rows of training: baseline, autotune, tf32, channels_last, compile, cuda_graphs, bf16, fused optimiser, checkpointing, all, all +
# checkpointing; of inference without the optimiser and checkpointing; six ways of recomputing.
export SWAGE_PEER_PYTHON="$work/no-such-file"
run 0 cyto/labelfree --compare-opts $tiny --output "$work/r.json" --chart "$work/r.svg"
holds '^PyTorch: absent; needs' out
holds '^tf32 +effective: no, ' out
holds '^all together, times the baseline|training step: all together, times the baseline.* not judged$' out
[ "$(value schema; value kind; value experiment; value rows)" = "1
cyto compare-opts
labelfree
25" ] || fail "another run: $(value kind) $(value experiment) $(value rows)"
for i in 0 1 3 4 5 6 7 8 9 10 11 12 14 15 16 17 18 19 20 21 22 23; do
    for key in avg_latency_ms p50_ms p95_ms p99_ms throughput_fps batches_per_s total_time_ms num_iterations speedup peak_bytes_planned peak_bytes_measured parameters; do
        positive rows.$i.$key
    done
done
[ "$(value rows.0.name; value rows.0.parameters; value rows.0.losses; value rows.0.input_shape; value rows.2.effective; value rows.9.name; value rows.11.pass; value rows.19.pass)" = \
"baseline
342321
10
5
false
all together
inference
checkpointing" ] || fail "other rows"
# Fusion, replay and recomputing change no bit of f32; the others agree to what the row allows, or it has failed.
for i in 4 5 8 20 21 22 23; do [ "$(value rows.$i.loss_difference)" = 0 ] || fail "row $i: other bits"; done
[ "$(value rows.10.peak_bytes_planned)" -lt "$(value rows.9.peak_bytes_planned)" ] || fail "checkpointing plans no less memory"
grep -q '^<svg .*' "$work/r.svg" && grep -q '</svg>' "$work/r.svg" && grep -q 'all + checkpointing' "$work/r.svg" || fail "no picture"

# In two dimensions, as Markdown; the adversarial one.
run 0 cyto --experiment segmentation --input-shape 2,1,16,16 $small --markdown
holds '^\| all together \| [0-9.]+ ' out
run 0 cyto/gan_superres --input-shape 1,1,16,16 $small --output "$work/r.json"
[ "$(value rows.0.parameters)" = 129110 ] || fail "generator and discriminator have $(value rows.0.parameters) parameters"

# Batch sizes, one of which nothing can hold.
run 0 cyto/segmentation --batch-sizes 1,2,4194304 --input-shape 1,1,16,16,16 $small --output "$work/r.json" --chart "$work/b.svg"
holds '^batch 2 +[0-9.]+ ' out
holds '^batch 4194304 +does not fit: planned [0-9.]+ MiB, ' out
[ "$(value kind; value rows; value rows.1.input_shape.0; value rows.2.avg_latency_ms)" = "cyto batch-sizes
6
2
null" ] || fail "batch sizes are not in the JSON"
positive rows.2.peak_bytes_planned
grep -q 'planned peak' "$work/b.svg" || fail "no picture of batch sizes"

# A peer that answers, and cannot do one form.
peer '*\"memory\"*\"channels-last\"*'
SWAGE_PEER_PYTHON="$work/peer" run 0 cyto $tiny -o "$work/r.json"
holds '^PyTorch: 9.9; ABACUS' out
holds '^PyTorch bf16 +3.6e\+06 ' out
holds '^PyTorch f32 channels-last +no fingers left' out
holds 'times the best of PyTorch eager bf16: [0-9.]+' out
[ "$(value rows.11.system; value rows.11.peak_bytes_measured; value rows.12.failure)" = "PyTorch
1000000000000
no fingers left" ] || fail "the peer's numbers are not in the JSON"

run 2 cyto/segmentations $tiny
holds 'expected segmentation, labelfree or gan_superres' err
run 2 cyto/labelfree --experiment segmentation $tiny
run 2 cyto --input-shape 1,1,8
run 2 cyto --input-shape 1,1,8,8,x
run 2 cyto --input-shape 1,3,8,8
run 2 cyto --compare-opts --batch-sizes 1
run 2 cyto --grid 3
run 2 cyto some.key=1
run 2 kan --chart x.svg
run 1 cyto --input-shape 1,1,10,10
holds 'does not divide' err

# Interrupted while a peer takes its time.
interrupts cyto $tiny
[ $failures = 0 ]
