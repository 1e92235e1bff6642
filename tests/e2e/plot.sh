#!/bin/sh
# plot.sh - proves: a training run leaves its tables and pictures, swage plot draws every kind of them into files that parse and a page that loads
# nothing, alone and together, of a run folder and of a checkpoint, of family kan and of another; what a run does not have is an error with a
# name, or left out of all.
# Arguments: path of swage, source folder.
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/common.sh"

here() { for file; do [ -s "$file" ] || fail "no $file"; done; }
gone() { for file; do [ ! -e "$file" ] || fail "$file is there"; done; }
train() { "$swage" train "$@" run.dir=runs --threads 2 >log 2>&1 || { fail "train $*"; cat log; }; }

if ! "$swage" doctor 2>/dev/null | grep -q 'libpng [0-9]'; then
    echo "skipped: this build reads no PNG"
    exit 77
fi
train kan/dae data.path="$source/samples/histology/index.csv" data.batch_size=2 'model.channels=[24,16,8,8]' trainer.epochs=3 kan.update_every=6 \
    checkpoint.save_top_k=2 run.name=dae
train swae/mlp data.path="$source/samples/bssn" trainer.max_steps=20 trainer.epochs=1 trainer.eval_every=1 run.name=mlp

# What training leaves.
here runs/dae/samples/samples.png runs/dae/samples/sample-1.png runs/dae/ckpt/best.safetensors runs/dae/ckpt/last.safetensors
[ "$(ls runs/dae/ckpt | grep -c '^top-000[1-3]\.safetensors$')" = 2 ] || fail "top checkpoints: $(ls runs/dae/ckpt)"
[ "$(wc -l <runs/dae/metrics.csv)" = 4 ] || fail "metrics.csv: $(cat runs/dae/metrics.csv)"
head -1 runs/dae/metrics.csv | grep -q '^epoch,step,train_loss,.*,val_loss,.*,psnr_db,ssim,.*,noisy_psnr_db,.*,lr,samples_per_s,data_ms,seconds,planned_bytes,measured_bytes$' || fail "header of metrics.csv"
for key in samples_per_s data_share planned_bytes measured_bytes shape batch isa threads device precision; do
    grep -q "\"$key\"" runs/dae/perf.json || fail "perf.json: no $key"
done

# All of it, listed.
"$swage" plot runs/dae --json >files.json 2>err || fail "plot"
all="curves-loss.svg curves-psnr.svg curves-ssim.svg curves-kan.svg curves-lr.svg curves-speed.svg splines-encoder.kan.svg splines-decoder.kan.svg
    splines-decoder.kan_out.svg samples/samples.png samples/sample-1.png z-1.svg z.csv report.html"
for f in $all; do
    here runs/dae/plots/$f
    grep -q "\"runs/dae/plots/$f\"" files.json || fail "$f is not listed"
done
[ "$(tr , "\n" <files.json | grep -c '"runs/')" = "$(find runs/dae/plots -type f | wc -l)" ] || fail "not every file is listed"
cmp runs/dae/samples/samples.png runs/dae/plots/samples/samples.png || fail "the samples of training and of plot differ"
[ "$(wc -l <runs/dae/plots/z.csv)" = 9 ] || fail "z.csv: $(cat runs/dae/plots/z.csv)" # 8 channels
for part in 'Against the clean tiles' 'noisy input' 'Epochs' 'Reconstructions' 'Learned splines' 'Latents' 'tiles/s' 'avx\|sse\|scalar' 'adaptive' 'out [0-9]*, in [0-9]*, tap ('; do
    grep -q "$part" runs/dae/plots/report.html || fail "report.html: no $part"
done
for bad in '<script' '<link' 'href="http' 'src="http' 'url('; do
    ! grep -qF "$bad" runs/dae/plots/report.html || fail "report.html holds $bad"
done
[ "$(grep -c '<g transform' runs/dae/plots/splines-encoder.kan.svg)" = 12 ] || fail "12 edges of the encoder"
[ "$(grep -c '<g transform' runs/dae/plots/splines-decoder.kan_out.svg)" = 9 ] || fail "9 edges of the output"

# One kind alone, elsewhere, of a checkpoint.
expect 0 "one/report.html" plot runs/dae/ckpt/last.safetensors what=splines --edges 5 -o one
[ "$(find one -type f | wc -l)" = 4 ] || fail "what=splines wrote $(find one -type f)"
[ "$(grep -c '<g transform' one/splines-encoder.kan.svg)" = 5 ] || fail "--edges 5"
expect 0 "two/z.csv" plot runs/dae/ what=curves,z -o two
gone two/samples two/splines-encoder.kan.svg
# Data that have moved are the same ones; others are told.
mkdir moved && cp "$source/samples/histology/"* moved
expect 0 "three/samples/samples.png" plot runs/dae what=samples data.path=moved/index.csv -o three
! grep -q "not those of the training run" err || fail "moved data are told"
cmp three/samples/samples.png runs/dae/samples/samples.png || fail "moved data give other samples"
cp moved/cmu1_0.png moved/more.png && tail -1 moved/index.csv | sed 's/^[^,]*/more.png/' >>moved/index.csv
expect 0 "not those of the training run" plot runs/dae what=samples data.path=moved/index.csv -o four

# Another family: curves, and an error for what is of family kan alone.
expect 0 "plots/curves-loss.svg" plot runs/mlp
here runs/mlp/plots/curves-psnr.svg runs/mlp/plots/report.html
gone runs/mlp/plots/samples runs/mlp/samples
expect 1 "what=z is drawn of family kan" plot runs/mlp what=z
expect 2 "expected curves, splines, samples or z" plot runs/mlp what=loss
expect 2 "data.split" plot runs/mlp data.split=random
expect 1 "is it a run folder" plot .

# Data that are gone keep nothing else from being drawn; asked for by name, they are missed.
rm -r moved
expect 0 "no samples and no z: moved/index.csv: no such file" plot runs/dae data.path=moved/index.csv -o gone
here gone/curves-loss.svg gone/splines-encoder.kan.svg gone/report.html
gone gone/z.csv gone/samples
expect 1 "moved/index.csv: no such file" plot runs/dae what=z data.path=moved/index.csv -o gone

# A run without a table is drawn without curves; asked for them by name, it says what is missing. A table cut short is read to its last whole line.
printf '%s' "$(cat runs/dae/metrics.csv)" | sed '$s/,.*//' >cut && cp cut runs/dae/metrics.csv
expect 0 "five/curves-loss.svg" plot runs/dae what=curves -o five
grep -q 'after epoch' five/report.html || fail "figures of a table cut short"
rm runs/dae/metrics.csv runs/dae/perf.json
expect 0 "no curves" plot runs/dae -o six
here six/splines-encoder.kan.svg six/report.html
gone six/curves-loss.svg
expect 1 "metrics.csv: no epochs to draw" plot runs/dae what=curves -o seven

[ $failures = 0 ]
