# check_stack.py - compares stacks written by Swage with their originals through tifffile. Usage: check_stack.py ORIGINAL WRITTEN ...
# SPDX-License-Identifier: Apache-2.0
import sys
import numpy as np, tifffile

for original, written in zip(sys.argv[1::2], sys.argv[2::2]):
    pair = []
    for path in (original, written):
        with tifffile.TiffFile(path) as f:
            series, pixels = f.series[0], tifffile.xml2dict(f.ome_metadata)["OME"]["Image"]["Pixels"] if f.ome_metadata else {}
            axes, a = series.axes.replace("Q", "Z").replace("I", "Z"), series.asarray()
            for letter in "TCZYX":
                if letter not in axes:
                    axes, a = letter + axes, a[None]
            channels = pixels.get("Channel", [])
            channels = channels if isinstance(channels, list) else [channels]
            names = [c.get("Name") for c in channels] if any(c.get("Name") for c in channels) else []
            pair.append((a.transpose([axes.index(x) for x in "TCZYX"]), names, [pixels.get("PhysicalSize" + x) for x in "ZYX"]))
    (a, a_names, a_size), (b, b_names, b_size) = pair
    if a.shape != b.shape or not np.array_equal(a, b) or (a_names and a_names != b_names) or (a_size[0] and a_size != b_size):
        sys.exit(f"{original} {a.shape} {a_names} {a_size} and {written} {b.shape} {b_names} {b_size} differ")
    print(f"{written}: {b.dtype} {b.shape} {b_names} {b_size}")
