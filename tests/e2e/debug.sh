#!/bin/sh
# debug.sh - proves: debug=profile (profile_gpu, profile_time) trains two short epochs and leaves a trace and a page of as many steps as it says;
# debug=profile_memory a peak report, planned and measured, with recomputation on; both of all families. trainer.detect_anomaly acts, published command
# lines of performance, trainer and optimiser run.
# Arguments: path of swage, source folder.
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/common.sh"
json=$tools/json
swae="swae/mlp data.path=$source/samples/bssn model.hidden=[16] data.batch_size=64"
# steps RUN: spans of whole steps in its trace
steps() { grep -o '"name":"step [0-9]*"' "runs/$1/trace.json" | wc -l; }

expect 0 "profile: 6 steps recorded" train $swae run.name=time debug=profile_gpu
check [ "$(steps time)" = 6 ]
check grep -q '"phase":"train","epoch":1,"step":200,' runs/time/log.jsonl
check [ "$("$json" runs/time/trace.json traceEvents.0.ph)" = M ]
for what in '"ph":"X"' '"ph":"C"' '"name":"wait for batch"' '"scope":"encoder/fc1"' '"gflop_per_s":' '"percent_of_floor":'; do
    grep -qF "$what" runs/time/trace.json || fail "trace.json lacks $what"
done
grep -q "live bytes of the arena" runs/time/profile.html || fail "no timeline in profile.html"
expect 0 "profile: this sitting had no step to record: 2 of a full batch" train $swae run.name=few debug=profile_time trainer.limit_train_batches=1 trainer.limit_val_batches=1
check [ ! -e runs/few/trace.json ]

expect 0 "profile: peak of a run planned" train swae/mlp data.path="$source/samples/bssn" run.name=memory debug=profile_memory
check [ "$("$json" runs/memory/memory.json batch gradient_checkpointing | tr '\n' ' ')" = "1 segments " ]
check grep -q '"phase":"train","epoch":0,"step":50,' runs/memory/log.jsonl
"$json" runs/memory/memory.json planned_bytes measured_bytes peak_at saved_bytes alive.0.value alive.0.kind alive.0.bytes >out || fail "memory.json lacks keys"
grep -q "What lives then" runs/memory/memory.html || fail "no list in memory.html"
expect 0 "segments:2" train $swae run.name=two trainer.max_epochs=1 trainer.limit_train_batches=1 trainer.limit_val_batches=1 \
    performance.gradient_checkpointing.enabled=true performance.gradient_checkpointing.checkpoint_segments=2

# The published lines: every key acts, or the table says why not.
expect 0 "this build computes on processors only" train $swae run.name=all trainer=gpu_optimized performance=gpu_optimized optimizer=adamw_fused \
    performance.tune_seconds=0.1 trainer.max_epochs=1 trainer.limit_train_batches=2 trainer.limit_val_batches=1
check grep -q "name: adamw_fused" runs/all/config.yaml
expect 0 "static plan" train $swae run.name=compiled model.channels_last=true model.compile_model=true model.compile_mode=max-autotune data.batch_size=16 \
    performance.tune_seconds=0.1 trainer.max_epochs=1 trainer.limit_train_batches=2 trainer.limit_val_batches=1

# What is not finite is named.
expect 1 "first infinity in" train $swae run.name=bad optimizer=sgd optimizer.lr=1000 trainer.clip_norm=0 trainer.detect_anomaly=true
expect 1 "trainer.detect_anomaly=true names the layer" train $swae run.name=bad2 optimizer=sgd optimizer.lr=1000 trainer.clip_norm=0

if "$swage" --version | grep -q "libpng [0-9]" && "$swage" --version | grep -q "libtiff [0-9]"; then
    kan="kan/dae data.path=$source/samples/histology data.tile=32 data.size=crop model.channels=[8,8,8,4]"
    expect 0 "profile: 4 steps recorded" train $kan run.name=kan data.batch_size=2 debug=profile profiler.active=2 performance.mode=reduce-overhead
    check [ "$(steps kan)" = 4 ]
    expect 0 "profile: peak of a run planned" train $kan run.name=kan2 debug=profile_memory # a batch norm takes two samples
    check [ "$("$json" runs/kan2/memory.json batch)" = 2 ]
fi

# The same code for family cyto; the published line of its document.
make stacks.h5 a:f32:16x32x32:wave b:f32:16x32x32:wave c:f32:16x32x32:noise
printf 'raw,split\nstacks.h5:/a,train\nstacks.h5:/b,train\nstacks.h5:/c,valid\n' >stacks.csv
cyto() { # cyto RUN TEXT ARGUMENTS...
    run=$1 text=$2
    shift 2
    expect 0 "$text" train cyto/segmentation data.path=stacks.csv "data.source=raw layout=ZYX normalise" "data.target=[raw layout=ZYX binary]" run.name="$run" "$@"
}
cyto cyto "profile: 1 step recorded" debug=profile profiler.wait=0 profiler.active=1 profiler.repeat=1 trainer=gpu_optimized performance=gpu_optimized optimizer=adamw_fused \
    performance.tune_seconds=0.1
check grep -q '"name":"step 0"' runs/cyto/trace.json
cyto memory-cyto "profile: peak of a run planned" debug=profile_memory
check [ "$("$json" runs/memory-cyto/memory.json batch gradient_checkpointing | tr '\n' ' ')" = "1 segments " ]
[ $failures = 0 ]
