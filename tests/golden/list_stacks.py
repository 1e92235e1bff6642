# list_stacks.py - the table of test_stack_data.c: extents (t, c, z, y, x) and CRC-32 of all values as little-endian f32, as tifffile reads them.
# Usage: python3 list_stacks.py FOLDER
# SPDX-License-Identifier: Apache-2.0
import os, sys, zlib
import numpy as np, tifffile

for folder, _, names in sorted(os.walk(sys.argv[1])):
    for name in sorted(n for n in names if n.endswith(".tif")):
        path = os.path.join(folder, name)
        series = tifffile.TiffFile(path).series[0]
        axes, a = series.axes.replace("Q", "Z"), series.asarray()
        if "S" in axes:  # samples of a pixel are its channels; no file here has both
            axes = axes.replace("S", "C")
        for letter in "TCZYX":
            if letter not in axes:
                axes, a = letter + axes, a[None]
        a = np.ascontiguousarray(a.transpose([axes.index(x) for x in "TCZYX"]).astype("<f4"))
        print(f'    {{"{os.path.relpath(path, sys.argv[1])}", {{{", ".join(map(str, a.shape))}}}, SWG_ELEMENT_{series.dtype.kind.upper()}{8 * series.dtype.itemsize}, '
              f"0x{zlib.crc32(a.tobytes()):08x}}},")
