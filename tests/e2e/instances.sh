#!/bin/sh
# instances.sh - proves: swage instances counts and numbers objects of planes and volumes, writes labels that it reads again as the same objects,
# says how well they fit a reference, and refuses what cannot be.
# Arguments: path of swage, source folder.
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/common.sh"

# npy NAME DTYPE SHAPE: an array whose bytes (octal escapes) come on standard input
npy() {
    head="{'descr': '$2', 'fortran_order': False, 'shape': ($3), }"
    { printf '\223NUMPY\001\000v\000'; printf '%-117s\n' "$head"; printf "$(cat)"; } >"$1"
}
# Two balls that touch and a small cube, in 12 x 24 x 40 voxels of u8, 200 on 10.
volume() {
    awk 'BEGIN { for (z = 0; z < 12; z++) for (y = 0; y < 24; y++) for (x = 0; x < 40; x++) {
        a = (z-6)^2 + (y-12)^2 + (x-11)^2 < 49; b = (z-6)^2 + (y-12)^2 + (x-23)^2 < 49; c = z > 3 && z < 6 && y < 3 && x > 36
        printf "\\%03o", (a || b || c) ? 200 : 10 } }'
}
volume | npy balls.npy '|u1' '12, 24, 40'

if ! "$swage" doctor 2>/dev/null | grep -q 'libtiff [0-9]'; then
    expect 0 "3 objects in 12 x 24 x 40 voxels" instances balls.npy --layout ZYX
    [ $failures = 0 ] || exit 1
    echo "skipped: this build writes no TIFF"
    exit 77
fi
expect 0 "3 objects in 12 x 24 x 40 voxels" instances balls.npy --layout ZYX -o labels.tif
expect 0 "2 objects" instances balls.npy --layout ZYX --whole
expect 0 "2 objects" instances balls.npy --layout ZYX --distance 20
expect 0 "2 objects in 12 x 24 x 40 voxels, 22.9 % foreground above 127.5; 1 smaller ones removed" instances balls.npy --layout ZYX --min-size 100
expect 0 "3 objects in 12 x 24 x 40 voxels, 22.9 % foreground above 10.37" instances balls.npy --layout ZYX --threshold otsu
expect 0 "0 objects" instances balls.npy --layout ZYX --threshold 200
expect 0 "1 objects" instances balls.npy --layout ZYX --threshold 100 --invert --whole
expect 0 "reference: 3 objects, 3 of them found; AP@.5 1.000, AP@.75 1.000, mean AP@.5:.95 1.000, Dice 1.0000" instances balls.npy --layout ZYX --threads 3 --reference labels.tif
expect 0 "AP@.75 0.250" instances balls.npy --layout ZYX --whole --reference labels.tif
"$swage" instances balls.npy --layout ZYX --spacing 2,1,1 --reference labels.tif --json >found.json || fail "--json"
for key in input z y x threshold objects removed foreground filled seconds reference matched ap ap_mean dice iou count_bias; do
    grep -q "\"$key\"" found.json || fail "no $key: $(cat found.json)"
done

expect 1 "cannot open" instances none.tif
expect 1 "layout" instances balls.npy --layout YX
expect 2 "--channel 1: not an integer from 0 to 0" instances balls.npy --layout ZYX --channel 1
expect 2 "--threshold half" instances balls.npy --layout ZYX --threshold half
expect 2 "--spacing 1,1" instances balls.npy --layout ZYX --spacing 1,1
expect 2 "--neighbours some" instances balls.npy --layout ZYX --neighbours some
volume | head -c 7680 | npy half.npy '|u1' '6, 8, 40'
expect 1 "6 x 8 x 40 voxels, but the image has 12 x 24 x 40" instances balls.npy --layout ZYX --reference half.npy
printf '\000\000\300\177\000\000\200\077' >bytes
{ printf '\223NUMPY\001\000v\000'; printf '%-117s\n' "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2), }"; cat bytes; } >nan.npy
expect 1 "nan" instances nan.npy --layout YX
[ $failures = 0 ]
