#!/bin/sh
# separate.sh - proves: swage separate writes the stems of songs as long as they are, in every format, adds up with --residual, leaves out what is done, and refuses
# what cannot be read with the reason; an interrupted run leaves no stem.
# Arguments: path of swage, source folder.
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/common.sh"
"$swage" --version | grep -q '^libsndfile [0-9]' || { echo "separate.sh: this build has no libsndfile: skipped"; exit 77; }
files=$source/tests/fuzz/corpus/fuzz_audio

"$swage" example songs --songs 3 --seconds 3 --rate 8000 >/dev/null || fail "example songs"
"$swage" train tfswa/small data.path=songs data.rate=8000 'model.dims=[4,8,8,8]' model.mlp_ratio=1 data.n_fft=256 data.hop=64 data.segment=4000 \
    'data.stems=[vocals,other]' model.in=4 model.out=4 trainer.max_epochs=1 trainer.max_steps=2 run.dir=runs run.name=tiny -q || fail "train"
mkdir -p album/track && cp songs/song-1/vocals.wav album/a.wav && cp songs/song-2/bass.wav album/b.wav && cp songs/song-0/drums.wav album/track/mixture.wav

expect 0 "3 songs, 3 separated, 0 there already, 0 unreadable; real-time factor" separate album -m runs/tiny -o stems --segment 1
for song in a b track; do
    [ "$(ls stems/$song | tr '\n' ' ')" = "other.wav vocals.wav " ] || fail "stems/$song: $(ls stems/$song)"
    size=$(wc -c <stems/$song/vocals.wav)
    [ "$size" = 96080 ] || fail "stems/$song/vocals.wav: $size bytes" # 24,000 samples of 2 x 16 bits and the head
done
expect 0 "0 separated, 3 there already" separate album -m runs/tiny -o stems
expect 0 "--force replaces them" separate album/a.wav -m runs/tiny -o stems
expect 0 "3.00 s of 2 channels at 8000 Hz in 1 segment," separate album/a.wav -m runs/tiny -o stems --force
expect 0 "in 5 segments" separate album/a.wav -m runs/tiny -o stems --force --segment 1 --overlap 0.5
expect 0 "in 4 segments" separate album/a.wav -m runs/tiny -o stems --force --segment 1 --overlap 0.25
expect 0 "in 3 segments" separate album/a.wav -m runs/tiny -o stems --force --segment 1 --overlap 0
expect 0 "wrote flac/a/*.flac" separate album/a.wav -m runs/tiny -o flac --format flac inference.precision=bf16
[ "$(wc -c <flac/a/vocals.flac)" -gt 1000 ] || fail "flac"
expect 0 "real-time factor" separate album/track -m runs/tiny -o float --format float --residual
[ "$(wc -c <float/track/other.wav)" = 192094 ] || fail "float: $(wc -c <float/track/other.wav) bytes"
"$swage" separate album/b.wav -m runs/tiny -o json --json --format wav24 >out || fail "--json"
for key in separated skipped unreadable planned_bytes segment song folder stems rate samples song_channels channels segments seconds audio_seconds peak gain clipped \
    real_time_factor; do
    grep -q "\"$key\"" out || fail "no $key: $(cat out)"
done
grep -q '"samples":	24000' out || fail "samples: $(cat out)"

mkdir -p mine/a && cp album/a.wav mine/a/vocals.wav
expect 1 "mine/a: holds other files of the names of stems" separate album/a.wav -m runs/tiny -o mine
cmp -s album/a.wav mine/a/vocals.wav || fail "somebody's stem was replaced"

mkdir own && cp -r songs/song-0 own/track && cp album/a.wav own/track/mixture.wav
expect 0 "are there already" separate own -m runs/tiny -o own
expect 1 "own/track: the song itself lies here" separate own -m runs/tiny -o own --force
cmp -s songs/song-0/vocals.wav own/track/vocals.wav || fail "--force replaced the song's own stem"

# Songs of one sample, of none, in mono; rates; channels; damaged ones.
expect 0 "0.00 s of 1 channel at 8000 Hz in 1 segment," separate "$files/wav_one.wav" -m runs/tiny -o odd
expect 0 "mono; both channels" separate "$files/wav_one.wav" -m runs/tiny -o odd --force
[ "$(wc -c <odd/wav_one/vocals.wav)" = 84 ] || fail "one sample: $(wc -c <odd/wav_one/vocals.wav) bytes"
expect 0 "in 0 segments" separate "$files/wav_empty.wav" -m runs/tiny -o odd
[ "$(wc -c <odd/wav_empty/other.wav)" = 80 ] || fail "no samples"
expect 0 "in 1 segment" separate "$files/ogg.ogg" -m runs/tiny -o odd
expect 1 "has 192000 samples a second, 8000 are needed; say --resample" separate "$files/wav_192k.wav" -m runs/tiny -o odd
if "$swage" --version | grep -q '^libsoxr [0-9]'; then
    expect 0 "at 192000 Hz in 1 segment" separate "$files/wav_192k.wav" -m runs/tiny -o odd --resample
    [ "$(wc -c <odd/wav_192k/vocals.wav)" = 280 ] || fail "50 samples at 192 kHz: $(wc -c <odd/wav_192k/vocals.wav) bytes"
else
    expect 1 "no libsoxr" separate "$files/wav_192k.wav" -m runs/tiny -o odd --resample
fi
expect 1 "6 channels, 2 are wanted; mix it down (swage separate: --downmix itu or mean)" separate "$files/wav_6ch.wav" -m runs/tiny -o odd
expect 0 "of 6 channels" separate "$files/wav_6ch.wav" -m runs/tiny -o odd --downmix itu
expect 1 "sample 31 of channel 1 is" separate "$files/bad_nan.wav" -m runs/tiny -o bad
[ -z "$(ls bad)" ] || fail "folder of a song that was refused: $(find bad)"
expect 1 "cut short" separate "$files/bad_cut.wav" -m runs/tiny -o bad
expect 1 "damaged" separate "$files/bad_flac_byte.flac" -m runs/tiny -o bad
expect 1 "ffmpeg -i" separate "$files/bad_stem.mp4" -m runs/tiny -o bad
expect 0 "3 songs, 1 separated, 0 there already, 2 unreadable" separate "$files/bad_cut.wav" "$files/bad_mp3.mp3" album/a.wav -m runs/tiny -o bad --skip-unreadable
[ "$(find bad -type f | wc -l)" = 2 ] || fail "files of songs that were refused: $(find bad -type f)"

mkdir empty && mkdir -p twice/x && cp album/a.wav twice/x.wav && cp album/a.wav twice/x/mixture.wav
expect 1 "has no songs" separate empty -m runs/tiny -o stems
expect 1 "would both be written to out/x" separate twice -m runs/tiny -o out
expect 2 "say -m RUN and -o DIR" separate album -m runs/tiny
expect 2 "--overlap 0.9" separate album -m runs/tiny -o stems --overlap 0.9
expect 2 "--format wave: unknown; did you mean" separate album -m runs/tiny -o stems --format wave
expect 2 "--downmix all" separate album -m runs/tiny -o stems --downmix all
if [ "$(id -u)" != 0 ]; then
    mkdir -m 555 closed
    expect 1 "cannot create folder: Permission denied" separate album/a.wav -m runs/tiny -o closed
fi
expect 1 "segments of" separate album -m runs/tiny -o stems --segment 0.02 --force
expect 1 "cannot" separate album -m runs/none -o stems

# Ctrl-C in the middle: no stem and no temporary file is left.
"$swage" example long --songs 1 --seconds 60 --rate 8000 >/dev/null || fail "example long"
"$swage" separate long/song-0/other.wav -m runs/tiny -o stopped --segment 0.5 --overlap 0.75 >out 2>err &
pid=$!
for i in $(seq 100); do
    [ -z "$(find stopped -name '*.tmp' 2>/dev/null)" ] || break
    sleep 0.1
done
kill -INT $pid
wait $pid
got=$?
[ $got = 130 ] || fail "Ctrl-C: exit $got, $(cat err)"
[ -z "$(find stopped -type f)" ] || fail "left after Ctrl-C: $(find stopped -type f)"
[ $failures = 0 ]
