#!/bin/sh
# cyto.sh - proves: the published command lines train, evaluate and predict on generated data; every experiment does in 2-D and 3-D; predictions do not
# depend on batches and threads, are redone only where they are missing, and leave nothing half-written; types, scales, thresholds, boxes and objects are
# what is asked for; bad stacks are refused by file and row, or trained on as the recipe says.
# Arguments: path of swage, source folder.
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/common.sh"
"$swage" --version | grep -q libtiff || { echo "cyto.sh: this build has no libtiff: skipped"; exit 77; }
export SWAGE_CACHE_DIR="$work/cache"
run() { # run ARGUMENTS...: succeeds, quietly
    "$swage" "$@" >out 2>err || { fail "swage $*"; cat out err; }
}
refused() { # refused STATUS TEXT ARGUMENTS...: as expect; nothing may appear under no/
    expect "$@"
    check [ ! -e no ]
}
number() { "$tools/json" "$1" "$2"; }
holds() { awk "BEGIN { exit !($1) }" || fail "$2: $1"; }

# ---- the published lines ----
run example cells -n 4
run example flat -n 1 --extent 39,256,256
small="data.patch=[4,8,8]" # measuring kernels of larger ones takes long
published() { # published NAME ARGUMENTS...: an epoch of it
    name=$1
    shift
    run train "$@" run.name="$name" trainer.max_epochs=1
    check [ -s "runs/$name/ckpt/last.safetensors" ]
    check [ "$(grep -c . "runs/$name/metrics.csv")" = 2 ]
}
published gpu cyto/segmentation data.path=cells trainer=gpu_optimized performance=gpu_optimized optimizer=adamw_fused $small
check grep -q "trainer.precision  *bf16-mixed  *bf16-mixed" err
check grep -q "performance.tf32  *true  *no " err
check grep -q "optimizer.*name: adamw_fused\|name: adamw_fused" runs/gpu/config.yaml
published compiled cyto/segmentation data.path=cells model.channels_last=true model.compile_model=true model.compile_mode=max-autotune data.batch_size=16 $small
check grep -q "performance.compile.mode  *max-autotune  *max-autotune" err
published mae cyto/mae data.path=cells model.gradient_checkpointing=true data.batch_size=32
check grep -q "gradient_checkpointing  *segments  *segments" err
published labelfree2 cyto/labelfree data.path=flat trainer.max_epochs=100 model.spatial_dims=2
published labelfree cyto/labelfree data.path=cells
published profiled cyto/segmentation data.path=cells debug=profile_gpu data.crops=4 $small
check [ -s runs/profiled/trace.json ]
expect 0 "raw-3" eval cyto/labelfree ckpt_path=runs/labelfree model.inference_args.sw_batch_size=4
expect 0 "wrote predicted/raw/raw-3.tif" predict runs/labelfree input=cells/raw-3.tif output=predicted inference_args.overlap=0.25
expect 2 "recipe cyto/mae of mae" eval cyto/mae ckpt_path=runs/labelfree
expect 2 "data.path is not set" train cyto/segmentation debug=profile_gpu

# ---- every experiment, 2-D and 3-D ----
run example tiny -n 5 --extent 16,64,64
raw="data.source=raw channel=6 normalise"
each() { # each NAME METRIC ARGUMENTS...: trains, evaluates and predicts
    name=$1 metric=$2
    shift 2
    run train "$@" data.path=tiny run.name="$name" trainer.max_epochs=1 trainer.limit_train_batches=2 data.z=8
    cp err train.err
    "$swage" eval "runs/$name" --json >eval.json 2>err || { fail "eval $name"; cat err; }
    check [ "$(number eval.json part)" = test ]
    holds "$(number eval.json "$metric") >= 0" "$name $metric"
    expect 0 "written" predict "runs/$name" "input=tiny/$image-4.tif" "output=all/$name"
}
for d in 2 3; do
    dims="model.spatial_dims=$d"
    image=raw
    each seg$d heads.0.dice cyto/segmentation $dims "data.source=raw channel=5 normalise" "data.target=[seg channel=0]" data.patch="$([ $d = 2 ] && echo [32,32] || echo [8,32,32])"
    each free$d heads.0.mse cyto/labelfree $dims "$raw" "data.target=[raw channel=5 normalise]" data.patch="$([ $d = 2 ] && echo [32,32] || echo [8,32,32])"
    each mae$d loss cyto/mae $dims "$raw"
    each iwm$d loss cyto/iwm $dims "$raw" "data.target=[raw channel=3 normalise]"
    each ijepa$d loss cyto/ijepa $dims "$raw" "data.target=[raw channel=6 normalise]"
    each vit$d heads.0.dice cyto/vit_segmentation $dims "$raw" "data.target=[seg channel=0]" model.encoder_from=runs/mae$d
    check grep -q "encoder: .* arrays of weights taken from runs/mae$d" train.err
    image=seg
    each gan$d heads.0.psnr_db cyto/gan_superres $dims "data.source=seg channel=0 zoom=0.5" "data.target=[raw channel=5 percentile=0.01:99.99 scale=2]" model.scale=2 \
        data.patch="$([ $d = 2 ] && echo [16,16] || echo [8,16,16])"
    check [ -s all/seg$d/seg/raw-4.tif ]
    check [ -s all/gan$d/superres/seg-4.tif ]
    check [ "$(grep -c . all/iwm$d/embeddings.csv)" = 2 ]
done

# ---- prediction: inputs, and what it does not depend on ----
predict() { # predict FOLDER ARGUMENTS...
    to=$1
    shift
    run predict runs/seg3 output="$to" "$@"
}
predict ref input=tiny predict.overlap=0.5 --threads 1
check [ "$(ls ref/seg | tr '\n' ' ')" = "raw-3.tif raw-4.tif " ]
for how in "--threads 3" "sw_batch_size=3 --threads 2" "predict.batch=7" "model.inference_args.sw_batch_size=16 --threads 4"; do
    rm -rf other
    predict other input=tiny predict.overlap=0.5 $how
    check cmp ref/seg/raw-3.tif other/seg/raw-3.tif
    check cmp ref/seg/raw-4.tif other/seg/raw-4.tif
done
rm -rf other
predict other input=tiny/predict.csv inference_args.overlap=0.5 "inference_args.roi_size=[8,32,32]"
check cmp ref/seg/raw-4.tif other/seg/raw-4.tif
predict one input=tiny/raw-4.tif predict.overlap=0.5
check cmp ref/seg/raw-4.tif one/seg/raw-4.tif
run info one/seg/raw-4.tif # a voxel of the result is one of the input, or a larger one where zoom= made it
check grep -q "voxel  *0.29 x 0.108 x 0.108 um" out
predict zoomed input=tiny/raw-4.tif "data.source=raw channel=5 zoom=1x0.5x0.5 normalise"
run info zoomed/seg/raw-4.tif
check grep -q "voxel  *0.29 x 0.216 x 0.216 um" out
mkdir three && cp tiny/raw-0.tif tiny/raw-1.tif tiny/raw-4.tif three
predict folder input=three predict.overlap=0.5
check [ "$(ls folder/seg | wc -l)" = 3 ]
check cmp ref/seg/raw-4.tif folder/seg/raw-4.tif
predict constant input=tiny/raw-4.tif predict.overlap=0.5 inference_args.mode=constant
cmp -s ref/seg/raw-4.tif constant/seg/raw-4.tif && fail "constant weights change nothing"

# ---- outputs that are there ----
before=$(ls -i ref/seg/raw-3.tif)
rm ref/seg/raw-4.tif
expect 0 "2 images: 1 written, 1 there already" predict runs/seg3 input=tiny output=ref predict.overlap=0.5
check [ "$(ls -i ref/seg/raw-3.tif)" = "$before" ]
check cmp ref/seg/raw-4.tif other/seg/raw-4.tif
expect 0 "0 written, 2 there already" predict runs/seg3 input=tiny output=ref predict.overlap=0.5 predict.existing=skip
expect 1 "stands there already" predict runs/seg3 input=tiny output=ref predict.existing=error
expect 1 "another network or with other settings" predict runs/seg3 input=tiny output=ref predict.overlap=0.25
expect 0 "2 written, 0 there already" predict runs/seg3 input=tiny output=ref predict.existing=replace
check [ "$(ls -i ref/seg/raw-3.tif)" != "$before" ]
# an image is complete with all its files: labels that are missing are made
expect 0 "2 written" predict runs/seg3 input=tiny output=ref predict.instances=true
check [ -s ref/seg_instances/raw-3.tif ]
run predict runs/iwm3 input=tiny output=embedded
expect 0 "0 written, 2 there already" predict runs/iwm3 input=tiny output=embedded
expect 1 "is of other images" predict runs/iwm3 input=three output=embedded
expect 1 "stands there already" predict runs/iwm3 input=tiny output=embedded predict.existing=error
expect 0 "3 written" predict runs/iwm3 input=three output=embedded predict.existing=replace
check [ "$(cut -d, -f1 embedded/embeddings.csv | tr '\n' ' ')" = "image raw-0 raw-1 raw-4 " ]

# results below the images are no images
expect 0 "3 images: 3 written" predict runs/seg3 input=three output=three/results
expect 0 "3 images: 0 written, 3 there already" predict runs/seg3 input=three output=three/results/
rm -r three/results

# ---- nothing is silent, nothing is half-written ----
mkdir empty
printf 'raw,seg\n' >none.csv
printf 'raw\ntiny/raw-0.tif\nnope.tif\n' >gone.csv
refused 1 "the folder holds no file" predict runs/seg3 input=empty output=no
refused 1 "none.csv" predict runs/seg3 input=none.csv output=no
refused 1 "row 2 (line 3), column \"raw\"" predict runs/seg3 input=gone.csv output=no
refused 1 "no such file" predict runs/seg3 "input=tiny/nope*.tif" output=no
refused 2 "say input=" predict runs/seg3 output=no
"$swage" predict runs/seg3 input=cells/raw-0.tif output=late predict.overlap=0.9 -q 2>err &
job=$!
for i in $(seq 3000); do
    [ -n "$(ls late/seg 2>/dev/null)" ] && break
    sleep 0.01
done
check [ -n "$(ls late/seg)" ] # it has begun, and is not done
check [ "$(ls late/seg)" != raw-0.tif ]
kill -INT $job
wait $job
check [ $? = 130 ]
check [ -z "$(ls -A late/seg)" ]

# ---- what files hold (values: test_predict_stacks) ----
holds_type() { # holds_type TYPE ARGUMENTS...
    type=$1
    shift
    predict "typed-$type" input=tiny/raw-4.tif predict.existing=replace "$@"
    expect 0 "C 1, Z 16, Y 64, X 64 of $type" info "typed-$type/seg/raw-4.tif"
}
holds_type u8
holds_type u16 predict.type=u16
holds_type f32 predict.type=f32
holds_type u8 predict.scale=minmax
holds_type u8 predict.threshold=0.5
holds_type u16 predict.instances=true predict.type=u16
expect 0 "of u16" info typed-u16/seg_instances/raw-4.tif
expect 1 "need predict.scale=minmax" predict runs/free3 input=tiny/raw-4.tif output=no predict.type=u8
check [ ! -e no ]
# windows outside the box are left out; an axis taken whole, whatever its length
expect 0 "1 written, 0 there already; 2 windows" predict runs/seg3 input=tiny/raw-4.tif output=boxed "predict.box=[0,16,0,32,0,32]"
expect 0 "1 written, 0 there already; 1 windows" predict runs/seg3 input=tiny/raw-4.tif output=entire "predict.roi=[0,0,0]"
expect 2 "has 3" predict runs/seg3 input=tiny/raw-4.tif output=no "predict.roi=[0,0]"
expect 2 "does not divide by 4" predict runs/seg3 input=tiny/raw-4.tif output=no "predict.roi=[8,30,32]"
expect 2 "takes its patch" predict runs/mae3 input=tiny/raw-4.tif output=no "predict.roi=[8,32,32]"

# ---- bad stacks ----
npy() { # npy FILE TYPE SHAPE: the array on stdin, in a file that says so
    { printf '\223NUMPY\001\000\166\000'; printf "%-117s\n" "{'descr': '$2', 'fortran_order': False, 'shape': ($3), }"; cat; } >"$1"
}
zeros() { head -c "$1" /dev/zero; }
ones() { zeros "$1" | tr '\0' '\001'; }
noise() { head -c "$1" "$swage"; }
mkdir bad
for i in 0 1 2 3; do
    noise 8192 | npy bad/x$i.npy '|u1' '8, 32, 32'
    zeros 8192 | npy bad/m$i.npy '|u1' '8, 32, 32'
done
noise 20160 | npy bad/x1.npy '|u1' '12, 40, 42'     # mixed sizes
ones 20160 | npy bad/m1.npy '|u1' '12, 40, 42'
noise 3150 | npy bad/small.npy '|u1' '5, 30, 21'    # smaller than a patch, and divided by nothing
ones 3150 | npy bad/msmall.npy '|u1' '5, 30, 21'
{ zeros 8188 && printf '\000\000\300\177'; zeros 24576; } | npy bad/nan.npy '<f4' '8, 32, 32'
table() { # table NAME ROWS...: a row is x and m, without .npy
    bad=$1 to=bad/$1.csv
    shift
    echo "raw,seg,split" >"$to"
    for row in "$@"; do
        echo "${row%,*}.npy,${row#*,}.npy" >>"$to"
    done
    sed -i -E '1!s/$/,train/; $s/train$/valid/' "$to"
    tail -1 "$to" | sed 's/valid$/test/' >>"$to"
}
stacks() { # stacks ARGUMENTS...: those of a training on the table of $bad
    "$@" train cyto/segmentation data.path=bad/$bad.csv "data.source=raw layout=ZYX" "data.target=[seg layout=ZYX binary]" data.augment=none trainer.log_every=1 run.name=bad-$bad \
        trainer.max_epochs=2 resume=none "data.patch=$patch" data.pad=$pad data.nonfinite=$nonfinite
}
patch=[8,16,16] pad=none nonfinite=error
table mixed x0,m0 x1,m1 x2,m2 x1,m1
patch=[8,18,16] stacks expect 2 "does not divide by 4"
stacks run
table empty x0,m0 x2,m2 x3,m3
stacks run
check grep -q "without an object" err
check [ "$(grep -c '"phase":"step"' runs/bad-empty/log.jsonl)" = 4 ]
check [ "$(awk -F, 'NR > 1 && $3 > 1 && $6 > 1 && $3 < 9 && $6 < 9' runs/bad-empty/metrics.csv | wc -l)" = 2 ] # training and validation loss
table small x0,m0 small,msmall x2,m2
stacks expect 1 "data.pad=reflect"
check grep -q "small.csv: row 2 (line 3)" err
pad=zero stacks run
rm -r runs/bad-small
pad=reflect stacks run
for roi in predict.roi=null "predict.roi=[0,0,0]"; do
    rm -rf odd
    expect 0 "1 written" predict runs/bad-small input=bad/small.npy output=odd $roi
    expect 0 "Z 5, Y 30, X 21 of u8" info odd/seg/small.tif
done
table nan x0,m0 nan,m2 x2,m2
stacks expect 1 "nan.npy"
check grep -q "1 value" err
check grep -q "data.nonfinite=zero" err
nonfinite=zero stacks run
check grep -q "1 values that are not finite became 0, in 1 image" err
expect 1 "nan.npy" predict runs/bad-mixed input=bad/nan.npy output=no
check [ -z "$(find no -type f 2>/dev/null)" ]
expect 1 "there are 7, from 0" train cyto/segmentation data.path=tiny "data.source=raw channel=9" "data.target=[seg channel=0]" "data.patch=[8,16,16]" run.name=no
expect 1 "say which, as channel=0" train cyto/segmentation data.path=tiny data.source=raw "data.target=[seg channel=0]" "data.patch=[8,16,16]" run.name=no
expect 1 "7 channels; the network takes 1" predict runs/bad-mixed data.source=raw input=tiny/raw-0.tif output=no
expect 1 "7 channels; the network takes 1" eval runs/seg3 data.source=raw
expect 1 "\"seg\" has 4 channels, expected 1" eval runs/seg3 "data.target=[seg]"
check [ -z "$(find no -type f 2>/dev/null)" ]
expect 1 "labels" eval runs/seg3 "data.labels=nuclei normalise"
expect 0 "AP@.5" eval runs/seg3 data.labels=nuclei
# ids above 65535 stay apart: 70000 and 70000 - 65536 side by side are two objects
row() { for k in 1 2 3 4; do printf "$1$1$1$1"; done; }
{ for z in 1 2 3 4 5 6 7 8; do for y in $(seq 32); do row '\160\021\001\000' && row '\160\021\000\000'; done; done; } | npy bad/ids.npy '<u4' '8, 32, 32'
printf 'raw,seg,ids,split\nx2.npy,m2.npy,ids.npy,test\n' >bad/ids.csv
"$swage" eval runs/bad-mixed data.path=bad/ids.csv "data.labels=ids labels layout=ZYX" predict.threshold=0.999999 predict.min_size=100000 --json >eval.json 2>err || { fail "eval of labels"; cat err; }
check [ "$(number eval.json heads.0.count_bias)" = -2 ]
[ $failures = 0 ]
