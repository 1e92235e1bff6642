#!/bin/sh
# bench_tfswa.sh - proves: `swage bench tfswa` times inference and training steps with and without peers, takes a peer's times and memory in, writes
# JSON with the published keys, whose real-time factor follows from the time, refuses what it cannot do, and ends when it is interrupted.
# Arguments: path of swage, source folder.
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/bench_common.sh"
tiny="--net small --input-shape 1,2,20,16 --iterations 2 --warmup 1 --threads 1"

# Nobody beside us: 16 frames of 512 samples at 44,100 Hz.
export SWAGE_PEER_PYTHON="$work/no-such-file"
run 0 tfswa $tiny --output "$work/r.json" --markdown
holds '^\| swage f32 \| [0-9.]+ ' out
holds 'tfswa/small, inference, input 1x2x20x16, 0\.1858 s of audio' out
for i in 0 1; do
    for key in avg_time_ms min_time_ms max_time_ms p50_time_ms p95_time_ms p99_time_ms throughput_samples_per_sec real_time_factor size_mb peak_bytes; do
        positive rows.$i.$key
    done
done
[ "$(value kind; value net; value pass; value rows; value rows.0.dtype; value rows.1.dtype; value rows.0.device; value rows.0.num_iterations; value rows.0.warmup_iterations
     value rows.0.shape.2; value rows.0.parameters; value rows.0.std_time_ms | grep -c .)" = "tfswa
small
inference
2
f32
bf16
cpu
2
1
20
1119442
1" ] || fail "another run"
awk "BEGIN { r = $(value rows.0.avg_time_ms) / 1000 / (16 * 512 / 44100) / $(value rows.0.real_time_factor); exit !(r > 0.999 && r < 1.001) }" || fail "another real-time factor"
run 0 tfswa $tiny --training --against all --output "$work/r.json"
holds '^PyTorch: absent; needs' out
[ "$(value pass; value rows)" = "training
2" ] || fail "no training step"

# Peers that answer; one of them cannot do one form.
peer '*\"memory\"*\"chunks\"*\"bf16\":true*'
SWAGE_PEER_PYTHON="$work/peer" run 0 tfswa $tiny --against pytorch,ort -o "$work/r.json"
holds '^ONNX Runtime: 9.9; ABACUS' out
holds '^ONNX Runtime f32, fused attention +3.6e\+06 ' out
holds '^PyTorch bf16, stored scores +no fingers left' out
[ "$(value rows; value rows.2.system; value rows.2.peak_bytes; value rows.7.failure)" = "8
ONNX Runtime
1000000000000
no fingers left" ] || fail "the peers' numbers are not in the JSON"
positive rows.4.times_own_f32

run 2 tfswa --net huge
run 2 tfswa --input-shape 1,2,20
run 2 tfswa --input-shape 1,3,20,16
run 2 tfswa --against tensorflow
run 2 tfswa some.key=1
run 2 cyto --net small
run 2 kan --warmup 3
run 1 tfswa --net small --input-shape 1,2,4,16
holds 'axis frequency' err

# Interrupted while a peer takes its time.
interrupts tfswa $tiny --against pytorch
[ $failures = 0 ]
