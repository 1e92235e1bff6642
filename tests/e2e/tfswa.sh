#!/bin/sh
# tfswa.sh - proves: made-up songs are trained on, by either loss, any mask, one stem or all, mono and stereo; a run that is stopped and resumed, or has other
# threads, has the same bits; whole songs that were left out are scored beside the mixture, which scores as arithmetic says, and the ideal ratio mask, which is better; the
# network learns; bad settings and bad songs are refused by name.
# Arguments: path of swage, source folder.
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/common.sh"
"$swage" --version | grep -q libsndfile || { echo "tfswa.sh: this build has no libsndfile: skipped"; exit 77; }
export SWAGE_CACHE_DIR="$work/cache"
run() { # run ARGUMENTS...: succeeds, quietly
    "$swage" "$@" >out 2>err || { fail "swage $*"; cat out err; }
}
number() { "$tools/json" "$1" "$2"; }
holds() { awk "BEGIN { exit !($1) }" || fail "$2: $1"; }
tensors() { tail -c "+$((9 + $(od -An -tu8 -N8 "$1")))" "$1"; }
same() { # same RUN RUN: tensors of the last checkpoints
    tensors "runs/$1/ckpt/last.safetensors" >a
    tensors "runs/$2/ckpt/last.safetensors" >b
    check [ -s a ]
    check cmp a b
}

run example songs --songs 4 --seconds 3 --rate 8000
check [ "$(ls songs/song-3 | tr '\n' ' ')" = "bass.wav drums.wav mixture.wav other.wav vocals.wav " ]
expect 2 "of songs" example no --seconds 3
expect 1 "other things" example . --songs 1
tiny="data.path=songs data.rate=8000 data.segment=4096 data.n_fft=256 data.hop=64 data.segments_per_track=4 model.depths=[1,1] model.dims=[8,16] model.attention_heads=2"

# ---- training: the same bits however it is cut ----
train() { # train NAME ARGUMENTS...
    name=$1
    shift
    run train tfswa/small $tiny run.name="$name" "$@"
    check [ -s "runs/$name/ckpt/last.safetensors" ]
}
train whole trainer.max_epochs=3 data.leave_out=[song-3] --threads 2
check grep -q "3 tracks\|4 tracks" err
check [ "$(grep -c . runs/whole/metrics.csv)" = 4 ]
check grep -q "sdr_db" runs/whole/metrics.csv
train one trainer.max_epochs=3 data.leave_out=[song-3] --threads 1
same whole one
train parts trainer.max_epochs=3 data.leave_out=[song-3] trainer.max_steps=7
run train tfswa/small $tiny run.name=parts trainer.max_epochs=3 data.leave_out=[song-3] resume=auto
check [ -s runs/parts/ckpt/last.safetensors ]
expect 1 "trained with model.mask=sigmoid, and it is complex now" train tfswa/small $tiny run.name=parts trainer.max_epochs=4 data.leave_out=[song-3] resume=auto model.mask=complex
for policy in off attention blocks segments:3 budget:60%; do
    train "by-$policy" trainer.max_epochs=3 data.leave_out=[song-3] "gradient_checkpointing=$policy"
    same whole "by-$policy"
done
train wave loss=wave loss.mrstft=0.5 trainer.max_epochs=1 data.augment=all
check grep -q "mrstft" runs/wave/log.jsonl
peak() { run plan tfswa/small $tiny "data.augment=$1" --json && number out peak_bytes.training; }
check [ "$(peak all)" -gt "$(peak gain)" ] # masks are inputs of the step
check [ "$(peak all,remix)" = "$(peak all)" ]
train stereo model.in=4 model.out=4 trainer.max_epochs=1 model.mask=complex
train four model.out=8 trainer.max_epochs=1 model.mask=published model.window_mask=all
train both data.channels=2 data.stems=[drums,other] trainer.max_epochs=1 model.window_mask=shift trainer.precision=bf16-mixed
check grep -q "drums and other" err

# ---- whole songs ----
"$swage" eval runs/whole --json >eval.json 2>err || { fail "eval"; cat err; }
check [ "$(number eval.json part)" = test ]
check [ "$(number eval.json songs.0.song)" = song-3 ]
of() { number eval.json "songs.0.stems.vocals.$1.track.$2"; }
holds "$(of ratio_mask sdr) > $(of mixture sdr) + 3" "the ideal mask"
holds "$(of separated sdr) > -100 && $(of separated sdr) < $(of ratio_mask sdr) + 20" "the network"
holds "$(number eval.json audio_seconds) == 3" "seconds"
run eval runs/whole -o scores --bss
check [ "$(grep -c . scores/metrics.csv)" = 7 ]
check grep -q "ratio_mask" out
check grep -q "SDR v4" out
expect 1 "data.leave_out=null" eval runs/whole data.path=songs/song-0
run eval runs/whole data.path=songs/song-0 data.leave_out=null
mkdir bytes && cp -r songs/song-0 "bytes/$(printf 'a\377b')"
run eval runs/whole data.path=bytes data.leave_out=null --part all -o named
check iconv -f UTF-8 -t UTF-8 -o /dev/null named/metrics.json
run eval runs/four --part all
check grep -q "song-0" out
check grep -q "bass" out
expect 2 "of other networks" eval runs/four --speed
expect 2 "from 0.01 to 600" eval runs/four --segment nan
expect 0 "song-0" eval runs/four --segment .5
expect 0 "no song was kept out" eval runs/four

# ---- it learns: one song, its voice ----
run example voice --songs 1 --seconds 2 --rate 8000 --seed 7
run train tfswa/small $tiny data.path=voice run.name=learns data.valid_fraction=0 trainer.max_epochs=60 data.segments_per_track=4 model.mask=complex optimizer.lr=5e-3
check grep -q "best training loss" out
"$swage" eval runs/learns --part all --json >eval.json 2>err || { fail "eval of one song"; cat err; }
holds "$(of separated sdr) > $(of mixture sdr) + 4" "after training"

# ---- what is refused ----
refused() { # refused STATUS TEXT ARGUMENTS...: of a training run; nothing may appear
    status=$1 text=$2
    shift 2
    expect "$status" "$text" train tfswa/small $tiny run.dir=no "$@"
}
refused 2 "two each" model.out=4 data.stems=[vocals]
refused 2 "stands twice" data.stems=[vocals,vocals]
refused 2 "no name of a stem" 'data.stems=["a/b"]'
refused 2 "no name of a stem" 'data.stems=["vocals,drums"]'
refused 2 "no name of a stem" 'data.stems=["vocals "]'
refused 2 "half as many names" model.out=6
refused 2 "2 for mono, 4 for stereo" model.in=3
refused 2 "frequency and time" model.axes=[t,f]
refused 2 "attention" model.dims=[9,18]
refused 2 "less than model.window" model.shift=4
refused 2 "64" model.window=65
refused 2 "numbers for" model.dims=[8]
refused 2 "mag and wave" loss=mse
refused 2 "overlap" data.hop=200
refused 2 "stages need 8 of each" data.n_fft=8 data.hop=2 model.depths=[1,1,1,1] model.dims=[8,8,8,8]
refused 2 "family" kan.grid_size=3
refused 2 "whole songs" data.split=by-file
refused 1 "song-9" data.leave_out=[song-9]
refused 1 "8000" data.rate=44100
refused 1 "" data.path=nowhere
refused 1 "not supported by this build" model.attn=naive
check [ ! -e no ]
expect 2 "swage separate" predict runs/whole input=songs output=x
[ $failures = 0 ]
