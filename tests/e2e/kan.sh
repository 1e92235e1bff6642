#!/bin/sh
# kan.sh - proves: a small network of family kan is trained on images, resumed bit for bit, evaluated, and put on images larger than a tile
# without seams; the published switches do what they say; wrong use and bad images are refused with what to do.
# Arguments: path of swage, source folder.
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/common.sh"
data=$source/samples/histology/index.csv
small="model.channels=[24,16,8,8] data.batch_size=4 trainer.epochs=2"
field() { sed -n "s/.*\"$2\": *\\([^,}]*\\).*/\\1/p" "$1" | tail -1; } # field FILE KEY: the last value of a key

if ! "$swage" --version | grep -q '^libpng' || ! "$swage" --version | grep -q '^libtiff'; then
    echo "SKIPPED: built without libpng or libtiff"
    exit 77
fi

# Training, its log, and a run that was cut in two.
expect 0 "run folder" train kan/dae data.path="$data" $small data.augment=flip,rot90,stain run.dir=runs run.name=whole
grep -q '"phase":"quality".*"psnr_db":.*"noisy_psnr_db":.*"z_sd"' runs/whole/log.jsonl || fail "no PSNR in the log"
grep -q '"kan_l1":.*"kan_entropy":.*"kan_outside_encoder"' runs/whole/log.jsonl || fail "no terms of the KAN layers in the log"
expect 0 "run folder" train kan/dae data.path="$data" $small data.augment=flip,rot90,stain run.dir=runs run.name=parts trainer.max_steps=2
expect 0 "run folder" train kan/dae data.path="$data" $small data.augment=flip,rot90,stain run.dir=runs run.name=parts resume=auto data.workers=3
for run in whole parts; do
    sed 's/"t":[^,]*,//; s/,"seconds":[^,}]*//; s/,"samples_per_s":[^,}]*//; s/,"data_ms":[^,}]*//' runs/$run/log.jsonl | grep '"phase":"val"' | tail -1 >$run.val
done
check cmp whole.val parts.val

# Every published form trains: general knots, regularisation with its curriculum, SSIM, recomputation of the KAN layers, bf16.
expect 0 "run folder" train kan/dae-opt data.path="$data" $small run.dir=runs run.name=opt gradient_checkpointing=kan trainer.precision=bf16-mixed \
    loss=mse+ssim loss.kan=1e-4 loss.kan_curriculum=true kan.update_every=2
grep -q '"phase":"grid".*"moved"' runs/opt/log.jsonl || fail "no grid was moved"
expect 0 "run folder" train kan/dae data.path="$data" $small run.dir=runs run.name=auto task=autoencode data.batch_size=auto memory.budget=200MiB trainer.max_steps=1
expect 0 "run folder" train kan/dae data.path="$data" $small run.dir=runs run.name=one data.batch_size=1 model.bam_norm=eval trainer.max_steps=1
for kind in poisson saltpepper rect; do
    expect 0 "run folder" train kan/dae data.path="$data" $small run.dir=runs run.name=$kind noise=$kind trainer.max_steps=1
done
expect 0 "5d75a639" eval runs/whole data.path="$data" data.group=slide noise=none task=autoencode
expect 0 "cmu1" eval runs/whole data.path="$data" data.group=slide noise=gauss noise.sigma=0.1
expect 0 "inf" eval runs/whole data.path="$data" noise=none task=autoencode # the input is the clean image
expect 0 '"psnr_db"' eval runs/whole --part test --json -o figures --arrays
for name in clean noisy decoded; do
    [ "$(wc -c <figures/$name.npy)" = $((128 + 2 * 3 * 128 * 128 * 4)) ] || fail "figures/$name.npy has another size"
done

# Images of any size: one tile, part of one, and a region of several, whose result does not depend on the batch.
"$tools/make_images" || fail "make_images"
expect 0 "1 tile" predict runs/whole input=small.png output=small.out.png latent=z.npy
expect 0 "37x29 pixels in 1 tile of 40x32" predict runs/whole input=small.png output=small2.png
expect 0 "in 12 tiles of 128x128" predict runs/whole input=large.png output=large.out.png
expect 0 "in 12 tiles of 128x128" predict runs/whole input=large.png output=again.png predict.batch=1
check cmp large.out.png again.png
"$swage" predict runs/whole input=large.png output=a.tif --json >large.json && "$swage" predict runs/whole input=tall.png output=b.tif --json >tall.json || fail "predict --json"
[ -n "$(field large.json planned_bytes)" ] && [ "$(field large.json planned_bytes)" = "$(field tall.json planned_bytes)" ] || fail "memory grows with the height of an image"
expect 0 "in 12 tiles of 128x128" predict runs/whole input=large.png output=int8.png inference.precision=int8
cmp -s large.out.png int8.png && fail "inference.precision=int8 changes nothing"
expect 1 "stands there already" predict runs/whole input=large.png output=again.png
expect 0 "12 images, 12 written, 0 there already" predict runs/whole input="$data" output=many
expect 0 "12 images, 0 written, 12 there already" predict runs/whole input="$data" output=many
# Lists: names that would collide are told first; what cannot be read is named and left out, or stops; results are not taken for inputs.
mkdir -p twins/a twins/b && cp small.png twins/a/1.png && cp small.png twins/b/1.png && cp bad/deep.png twins/a/x..y.png
printf 'Image\n%s/twins/a/1.png\n%s/twins/b/1.png\n' "$PWD" "$PWD" >twins.csv
expect 1 "would both be written to" predict runs/whole input=twins.csv output=twins.out
[ -e twins.out ] && fail "something was written before names were checked"
expect 0 "3 images, 3 written" predict runs/whole input=twins output=twins/out latent=twins/z
expect 0 "3 images, 0 written, 3 there already" predict runs/whole input=twins output=twins/out latent=twins/z
expect 1 "broken.png" predict runs/whole input=bad output=bad.out
expect 0 "1 unreadable" predict runs/whole input=bad output=bad.out data.unreadable=skip
grep -q "skipped: .*broken.png" err || fail "a skipped image is not named"
expect 0 '"skipped":	1' eval runs/whole data.path=bad data.size=crop data.small=pad data.unreadable=skip --json
grep -q "broken.png" err || fail "eval does not name what it skips"
expect 1 "outside [0,1]" predict runs/whole input=float.tif output=f.tif
expect 0 "$((3 * 200 * 150)) input values lie outside" predict runs/whole input=float.tif output=f.tif data.scale=1
expect 1 "nan" predict runs/whole input=nan.tif output=n.tif
expect 0 "replaced by 0" predict runs/whole input=nan.tif output=n.tif data.nonfinite=zero
expect 1 "search compares networks of family swae" search kan/dae data.path="$data" optimizer.lr=1e-3,1e-4 -o s
expect 2 "say input=IMAGE_OR_FOLDER" predict runs/whole output=x.png
expect 1 "cannot open" predict runs/whole input=none.png output=x.png
[ -e x.png ] && fail "an output without an input"

# What the settings say has a meaning or is refused.
expect 2 "there is nothing to remove" train kan/dae data.path="$data" noise=none
expect 2 "batch norm has no variance" train kan/dae data.path="$data" data.batch_size=1
expect 2 "it must divide by 8" train kan/dae data.path="$data" data.tile=100
expect 2 "a setting of family swae" train kan/dae data.path="$data" loss.lambda=1
expect 1 "data-parallel runs are not in this build" train kan/dae data.path="$data" trainer.devices=0,1
expect 1 "data.size=" train kan/dae data.path=large.png
expect 1 "broken.png" train kan/dae data.path=bad $small data.size=crop run.dir=runs run.name=bad
expect 0 "broken.png" train kan/dae data.path=bad $small data.size=crop data.unreadable=skip data.small=pad run.dir=runs run.name=bad trainer.max_steps=1
expect 1 "one of family swae is needed here" encode "$source/samples/bssn" -m runs/whole
expect 1 "family swae, whose integer decoder" compress "$source/samples/bssn" -m runs/whole -e rel:1e-3 -o x.swz
[ $failures = 0 ]
