#!/bin/sh
# demo.sh - the main job end to end on real simulation data: train, compress within a bound, restore, prove it.
# In: path of the command. Out: demo/ with the run, the archive, the restored files and report.html.
# SPDX-License-Identifier: Apache-2.0
set -eu
swage=$1
out=demo
bound=${BOUND:-rel:1e-4}
rm -rf "$out"
mkdir -p "$out"

echo "== train: an autoencoder (swae/mlp, 145,549 parameters) on blocks of samples/bssn, binary black holes"
"$swage" train codec/swae-mlp data.path=samples/bssn run.dir="$out" run.name=run

echo
echo "== compress: 24 variables of 4 files into one file, every error at most $bound of each array's range"
"$swage" compress samples/bssn -e "$bound" -m "$out/run" -o "$out/bssn.swz" --report "$out/report.html" > "$out/table.txt"
grep '^wrote' "$out/table.txt"

echo
echo "== decompress, and check every restored value against the original files"
"$swage" decompress "$out/bssn.swz" -o "$out/restored"
"$swage" verify "$out/bssn.swz" samples/bssn | tail -n 1

echo
echo "== what each way of coding reaches alone (the default takes the shortest, chunk by chunk)"
modes="poly interpolation stencil network planes" # blocks is of no use here
for alone in $modes; do
    others=$(for mode in $modes blocks; do [ "$mode" = "$alone" ] || printf '%s,' "$mode"; done)
    "$swage" compress samples/bssn -e "$bound" -m "$out/run" --without "${others%,}" -o "$out/alone.swz" --json > "$out/alone.json"
    awk -v m="$alone" '/"ratio":/ { gsub(/[",]/, ""); printf "   %-13s %6.2f : 1\n", m, $2; exit }' "$out/alone.json"
done
rm -f "$out/alone.swz" "$out/alone.json"

echo
grep -v '^wrote\|^report' "$out/table.txt"
echo
echo "report: $out/report.html"
