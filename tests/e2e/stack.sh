#!/bin/sh
# stack.sh - proves: swage info tells the axes of a stack, as text and as JSON; stacks that are written are read by swage and, with axes, values, sizes and
# names, by tifffile.
# Arguments: path of swage, source folder. SWAGE_PYTHON: a Python with tifffile; without one that part is left out, visibly.
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/common.sh"
value() { "$tools/json" "$@"; }
files=$source/tests/fuzz/corpus/fuzz_stack
"$swage" --version | grep -q libtiff || { echo "stack.sh: this build has no libtiff: skipped"; exit 77; }

expect 0 "extents     T 2, C 3, Z 4, Y 5, X 7 of u16" info "$files/ome_tzcyx.tif"
check grep -q "^axes        TZCYX, by OME-XML" out
check grep -q "^voxel       2 x 0.5 x 0.25 um (z, y, x), 1.5 s" out
check grep -q "^channels    0 DNA" out
expect 0 "note: 2 further images or smaller copies are left out" info "$files/copies.tif"
expect 0 "palette; the numbers are the indices" info "$files/palette.tif"
expect 0 "an alpha channel is left out" info "$files/rgba.tif"
expect 0 "2 planes are in other files" info "$files/ome_missing.tif"
expect 0 "pages are taken as z" info "$files/pages_f4.tif"
expect 0 '"axes":	"TCZYX"' info "$files/ome_tczyx.tif" --json
check [ "$(value out extents.c)" = 3 ]
check [ "$(value out voxel_um.y)" = 0.5 ]
check [ "$(value out type)" = u16 ]
check [ "$(value out channels.0)" = DNA ]
expect 1 "say which by layout: ZYX, CYX" info "$files/zyx_u2.npy"
expect 0 "C 3" info "$files/zyx_u2.npy" --layout CYX
expect 1 "end in YX" info "$files/zyx_u2.npy" --layout ZXY
expect 1 "damaged or cut short" info "$files/bad_cut.tif"
expect 1 "cannot open" info none.tif
expect 2 "is for a stack" info none.swz --layout ZYX

pairs=
for name in ome_tczyx ome_tzcyx ome_ztcyx imagej_hyper shaped_zyx_be ome_big_tiles; do
    for how in none deflate; do
        "$tools/stack_copy" "$files/$name.tif" "$name-$how.tif" u16 $how || fail "stack_copy $name $how"
        pairs="$pairs $files/$name.tif $name-$how.tif"
    done
done
for kind in u8:palette f32:pages_f4 f32:imagej_f32 u32:pages_u4; do
    name=${kind#*:}
    "$tools/stack_copy" "$files/$name.tif" "$name.tif" "${kind%:*}" deflate || fail "stack_copy $name"
    [ $kind = u32:pages_u4 ] || pairs="$pairs $files/$name.tif $name.tif" # through floats: ids above 2^24 are for swg_stack_read_labels
done
check [ -z "$(find . -name '*.part')" ]
expect 0 "T 2, C 3, Z 4, Y 5, X 7 of u16" info ome_ztcyx-deflate.tif
check grep -q "compression deflate" out
check grep -q "axes        TCZYX, by OME-XML" out
python=${SWAGE_PYTHON:-python3}
if "$python" -c 'import tifffile, numpy' 2>/dev/null; then
    "$python" "$source/tests/tools/check_stack.py" $pairs >log 2>&1 || { fail "tifffile"; cat log; }
else
    echo "stack.sh: $python has no tifffile: reading with it was not tried (SWAGE_PYTHON names one)"
fi
[ $failures = 0 ]
