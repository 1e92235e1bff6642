#!/bin/sh
# bad_input.sh - proves: every bad input to config, plan, train and eval ends with its exit status and a message that says what was found,
# and leaves no run folder behind.
# Arguments: path of swage, source folder.
# SPDX-License-Identifier: Apache-2.0
set -u
swage=$1
make_octants=$(dirname "$1")/make_octants
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0
cd "$work" || exit 1

# expect STATUS TEXT ARGUMENTS...: exit status, and the text in stderr.
expect() {
    status=$1 text=$2
    shift 2
    "$swage" "$@" >out 2>err
    got=$?
    if [ $got != "$status" ] || { [ "$text" ] && ! grep -qF -- "$text" err; }; then
        echo "swage $*: exit $got, expected $status with: $text"
        cat out err
        failures=$((failures + 1))
    fi
}
check() { "$@" || { echo "failed: $*"; failures=$((failures + 1)); }; }
# train STATUS TEXT NAME [OVERRIDES]: a short run on NAME.h5
train() {
    status=$1 text=$2 name=$3
    shift 3
    expect "$status" "$text" train swae/mlp "data.path=$name.h5" run.dir=runs "run.name=$name" trainer.epochs=1 "$@"
}

for kind in octants wide few small nan inf constant zero denormal mesh other plane integers empty; do
    check "$make_octants" $kind $kind.h5
done
printf 'not HDF5, only text\n' >text.h5
: >nothing.h5
head -c 3000 octants.h5 >cut.h5
mkdir folder

# ---- recipes and keys ----
for command in config plan train; do
    expect 2 "recipe 'swae/mpl' on the command line: not found; did you mean swae/mlp?" $command swae/mpl
    expect 2 "optimizer.lr_rate: unknown key on the command line; did you mean optimizer.lr?" $command swae/mlp optimizer.lr_rate=1
    expect 2 "model.latent" $command swae/mlp model.latent=0
    expect 1 "not supported by this build yet" $command swae/mlp trainer.precision=tf32
    expect 1 "no.yaml: cannot open: No such file" $command no.yaml
done
expect 2 "--batch 0: not an integer" plan swae/mlp --batch 0
printf 'optimizer: {lr: fast}\n' >bad.yaml
expect 2 "bad.yaml:1" plan bad.yaml
expect 2 "data.path is not set" train swae/mlp run.dir=runs

# ---- names of modes, kernels, operations, rows: with the nearest that there is ----
expect 2 "did you mean bf16-mixed?" plan swae/mlp trainer.precision=bf16-mixd
expect 2 "did you mean max-autotune?" plan swae/mlp performance.mode=max-autotun
expect 2 "did you mean reduce-overhead?" train swae/mlp performance.mode=reduce-overheat
expect 2 "did you mean onednn?" plan swae/mlp performance.provider=onedn
expect 2 "did you mean avx512?" plan swae/mlp performance.isa=avx51
expect 2 "did you mean lowmem?" plan swae/mlp performance=lowmen
expect 2 "performance.fusion" plan swae/mlp performance.fusion=perhaps
expect 2 "did you mean performance.channels_last?" plan swae/mlp performance.channel_last=true
expect 2 "performance.tune_seconds" plan swae/mlp performance.tune_seconds=0
expect 2 "--isa avx521: unknown; there are scalar sse2 avx2 avx512 avx512_vnni avx512_bf16; did you mean avx512?" plan swae/mlp --isa avx521
expect 2 "matmull: no such operation; \`swage ops\` lists them; did you mean matmul?" ops matmull
expect 0 "" ops 'conv*' relu
check grep -q '^conv_transpose ' out
check test "$(grep -c . out)" -lt 9
expect 2 "did you mean mlp-b16?" bench mlp-b16x
expect 2 "did you mean pytorch?" bench --against pytorhc
expect 2 "tune: give a recipe, or --list, or --clear" tune
expect 2 "did you mean swae/mlp?" tune swae/mpl

# ---- files ----
train 1 "missing.h5" missing
train 1 "text.h5: cannot open as HDF5" text
train 1 "nothing.h5" nothing
train 1 "cut.h5" cut
expect 1 "folder" train swae/mlp data.path=folder run.dir=runs
train 1 "no usable dataset" mesh
train 1 "found: mesh/level (64) integer of 4 bytes" mesh
train 1 'data.vars: nothing matches "U_*"; present: rho' other
train 1 'dataset "U_CHI" has 2 axes (64, 343)' plane
train 1 'dataset "U_CHI" is integer' integers
train 1 'dataset "U_CHI" (0, 7, 7, 7) is empty' empty
train 1 "blocks of 4 values per axis are smaller than the model's 5" small
train 1 "the model takes 7" small data.block=full

# ---- values ----
train 1 'variable "U_CHI": block 17 holds 1 values that are not finite (1 NaN, 0 infinite); data.nonfinite=raw' nan
train 1 'block 9 holds 1 values that are not finite (0 NaN, 1 infinite)' inf
train 1 "no usable sample: all of its 51 blocks are constant" constant
train 1 "no usable sample: all of its 51 blocks are constant" zero
check [ ! -e runs ]
train 0 "" nan data.nonfinite=raw
train 0 "" inf data.nonfinite=raw
train 0 "" zero data.constant=include
train 0 "" denormal
train 0 "" wide
train 0 "a batch of 256 is larger than the training part (6 blocks): one batch per epoch" few
train 1 "runs/few holds a run already; go on with resume=auto" few
train 1 "nowhere.safetensors" octants resume=nowhere.safetensors

# ---- models ----
train 0 "" octants
expect 1 "small.h5" eval runs/octants data.path=small.h5
expect 1 "smaller than the model's 5" eval runs/octants data.path=small.h5
expect 1 "block 17 holds 1 values that are not finite" eval runs/octants data.path=nan.h5
expect 0 "" eval runs/octants data.path=nan.h5 data.nonfinite=raw
expect 0 "" eval runs/octants data.path=zero.h5
check grep -q "n/a" out
expect 1 "missing.h5" eval runs/octants data.path=missing.h5
expect 1 "no usable dataset" eval runs/octants data.path=mesh.h5
expect 1 "runs/none: cannot open: No such file" eval runs/none
expect 1 "neither ckpt/best.safetensors nor ckpt/last.safetensors" eval folder
expect 1 "octants.h5" eval octants.h5
expect 2 "model.latent=8: eval takes the network as it was trained" eval runs/octants model.latent=8
expect 2 "data.layout" eval runs/octants data.layout=sideways
expect 2 "expected all, train, val or test" eval runs/octants --part half
expect 1 "the data are not those" eval runs/octants data.path=few.h5 --part test
expect 1 "no/such" eval runs/octants --csv no/such/e.csv
best=runs/octants/ckpt/best.safetensors
head -c 20000 $best >cut.safetensors
expect 1 "cut.safetensors" eval cut.safetensors
{ head -c 40000 $best; printf 'XXXXXXXX'; tail -c +40009 $best; } >flipped.safetensors
check [ "$(wc -c <flipped.safetensors)" = "$(wc -c <$best)" ]
expect 1 "damaged: checksum" eval flipped.safetensors
cp flipped.safetensors runs/octants/ckpt/last.safetensors
train 1 "damaged: checksum" octants resume=auto
expect 1 "another shape" train swae/mlp data.path=octants.h5 run.dir=runs run.name=deep model.latent=8 resume=$best

# ---- a disk that is full ----
if [ -c /dev/full ]; then
    "$swage" eval runs/octants --json >/dev/full 2>err
    check [ $? = 1 ]
    check grep -qF "cannot write the output" err
fi

[ $failures = 0 ]
