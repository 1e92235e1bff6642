#!/bin/sh
# score.sh - proves: swage score gives perfect estimates inf and swapped ones less than the mixture, bounds in their order, the same figures for a folder of songs as for
# one, sums of stems, JSON that holds what docs/cli.md says; and refuses folders and files that do not fit by name.
# Arguments: path of swage, source folder.
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/common.sh"
"$swage" --version | grep -q libsndfile || { echo "score.sh: this build has no libsndfile: skipped"; exit 77; }
number() { "$tools/json" "$1" "$2"; }
holds() { awk "BEGIN { exit !($1) }" || fail "$2: $1"; }

"$swage" example songs --songs 2 --seconds 3 --rate 8000 >/dev/null || fail "songs"
expect 0 "4 stems, 2 channels, 3.0 s at 8000 Hz" score songs/song-0 songs/song-0
check grep -q "vocals *estimate *inf *inf" out
mkdir -p swapped/song-0 swapped/song-1
for n in 0 1; do
    cp songs/song-$n/*.wav swapped/song-$n/
    cp songs/song-$n/drums.wav swapped/song-$n/bass.wav
    cp songs/song-$n/bass.wav swapped/song-$n/drums.wav
done
expect 0 "2 songs: SDR in dB of whole songs" score songs swapped --bounds
"$swage" score songs swapped --bounds --threads 2 --json >score.json 2>err || { fail "--json"; cat err; }
check [ "$(wc -l <score.json)" = 2 ]
tail -n 1 score.json >second.json
"$swage" score songs/song-1 swapped/song-1 --bounds --threads 1 --json | sed 's#songs/song-1#song-1#' >alone.json
check cmp second.json alone.json
of() { number second.json "$1.$2.track.sdr"; }
holds "$(of mixture vocals) + 1 < $(of ratio vocals) && $(of ratio vocals) < $(of phase vocals) && $(of ratio2 vocals) < $(of phase vocals) && $(of phase vocals) < $(of complex vocals)" "bounds"
holds "$(of estimate drums) < $(of phase drums) - 5" "the wrong stem"
check [ "$(of estimate vocals)" = inf ]
for key in track.si_sdr track.sir track.sar segments.sdr windows.windows windows.absent; do
    number second.json "estimate.drums.$key" >value && [ -s value ] || fail "no estimate.drums.$key"
done
"$swage" score songs/song-1 swapped/song-1 --bss --mono --stems drums,other --json >bss.json 2>err || { fail "--bss"; cat err; }
for key in bss_v3.sdr bss_v3.sir bss_v4.sdr bss_v4.isr bss_v4.windows; do
    number bss.json "estimate.drums.$key" >value && [ -s value ] || fail "no estimate.drums.$key"
done
check [ "$(number bss.json estimate.drums.bss_v4.sdr)" = "$(number bss.json estimate.drums.windows.sdr)" ]
check [ "$(number second.json estimate.vocals.windows.perfect)" = 3 ]

# ---- other sources than files ----
expect 0 "2 stems, 1 channel," score songs/song-0 --bounds --stems vocals,other --mono
cp -r songs/song-0 quiet
begin=$(($(LC_ALL=C grep -abo data songs/song-0/vocals.wav | head -n 1 | cut -d: -f1) + 8)) # of the samples
head -c $begin songs/song-0/vocals.wav >quiet/vocals.wav
head -c $(($(wc -c <songs/song-0/vocals.wav) - begin)) /dev/zero >>quiet/vocals.wav
expect 0 "3/3" score quiet songs/song-0
check grep -q "vocals *estimate *n/a *n/a *n/a *n/a *n/a *n/a *3/3" out

# ---- what is refused ----
expect 2 "a folder of estimates, or --bounds" score songs
expect 2 "none or published" score songs songs --floor low
expect 1 'no stem "choir"' score songs/song-0 songs/song-0 --stems choir
mkdir empty short
expect 1 "neither stems nor folders of stems" score empty empty
expect 1 'no estimate of "bass"' score songs/song-0 empty
"$swage" example short --songs 1 --seconds 2 --rate 8000 >/dev/null || fail "a short song"
expect 1 "bass.wav: 16000 samples in 2 channels at 8000 Hz, but the files before it have 24000 in 2 at 8000" score songs/song-0 short/song-0
cp -r songs/song-0 both && cp both/vocals.wav both/vocals.flac
expect 1 "both: holds vocals.flac and vocals.wav: one of them must go" score both songs/song-0 --stems vocals
expect 1 "both: holds vocals.flac and vocals.wav: one of them must go" score songs/song-0 both
expect 1 "nowhere" score nowhere songs
[ $failures = 0 ]
