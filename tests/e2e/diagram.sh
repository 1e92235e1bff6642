#!/bin/sh
# diagram.sh - proves: `swage diagram`, `swage plan` and `swage info` show the network of a recipe and of a trained model; wrong use is refused.
# Arguments: path of swage, source folder.
# SPDX-License-Identifier: Apache-2.0
set -u
swage=$1
tools=$(cd "$(dirname "$swage")" && pwd)
swage=$tools/$(basename "$swage")
source=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0
cd "$work" || exit 1

expect() {
    status=$1 text=$2
    shift 2
    "$swage" "$@" >"$work/out" 2>"$work/err"
    got=$?
    if [ $got != "$status" ] || ! cat "$work/out" "$work/err" | grep -qF -- "$text"; then
        echo "swage $*: exit $got, expected $status with: $text"
        cat "$work/out" "$work/err"
        failures=$((failures + 1))
    fi
}
check() { "$@" || { echo "failed: $*"; failures=$((failures + 1)); }; }

expect 2 "say where to: -o FILE.svg" diagram swae/conv
expect 2 "must end in .svg or .mmd" diagram swae/conv -o conv.png
expect 2 "did you mean swae/conv" diagram swae/comv -o a.svg
expect 1 "missing/a.svg" diagram swae/conv -o missing/a.svg
expect 2 "data.block=full" diagram swae/conv7 data.block=center -o a.svg
check "$swage" diagram swae/conv -o conv.svg
check grep -q "swae/conv: 4,743,825 parameters, 76,021,312 FLOP" conv.svg
check "$swage" diagram swae/gmlp model.latent=8 -o gmlp.mmd
check grep -qF 'fc2: linear<br/>8<br/>2,056 parameters' gmlp.mmd

expect 0 "76021312  (encoder 57343552, decoder 18677760)" plan swae/conv
expect 0 "(decoder 24902144:" plan swae/conv
expect 0 "encoder/stage4/conv2     conv            256x2x2x2      1769728" plan swae/conv --layers
expect 0 '"macs_by_output":	12451072' plan swae/conv --json

"$swage" train swae/conv7 "data.path=$source/samples/bssn" data.vars=U_CHI "model.hidden=[4,6]" trainer.epochs=1 run.dir=runs run.name=c7 >/dev/null 2>log ||
    { cat log; failures=$((failures + 1)); }
expect 0 "network     conv7, blocks of 343 values, latent 16" info runs/c7
expect 0 "decoder/stage2/deconv    deconv            1x8x8x8" info runs/c7
expect 0 '"network":	"conv7"' info runs/c7 --json
check "$swage" diagram runs/c7 -o c7.svg
check grep -q "conv1: conv 3, stride 2" c7.svg
expect 2 "is a trained model; settings (model.latent=3) are for recipes" diagram runs/c7 model.latent=3 -o a.svg
expect 1 "neither ckpt/best.safetensors" diagram runs -o a.svg
check test ! -e a.svg
[ $failures = 0 ]
