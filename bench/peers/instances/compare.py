# Times the steps from mask to objects in libswage.so beside SciPy and scikit-image, in turns, on generated nuclei; what both make is compared first.
# In: --library build/libswage.so, --extent Z Y X, --threads N, --reps N. Out: a table of medians in ms; the exit status is 1 if results differ.
# SPDX-License-Identifier: Apache-2.0

import argparse
import ctypes
import os
import statistics
import sys
import time

import numpy as np
from scipy import ndimage
from skimage import filters, measure, morphology, segmentation


def nuclei(extent, seed=1):
    """Balls of radius 5 to 11 (in z half of that), some touching: probabilities with soft edges, f32."""
    rng, values = np.random.default_rng(seed), np.zeros(extent, np.float32)
    for _ in range(int(np.prod(extent)) // (9000 if extent[0] > 1 else 700)):
        r = rng.uniform(5, 11)
        centre = [rng.uniform(0, n) for n in extent]
        radii = [max(r / 2, 1e-9) if extent[0] > 1 else 1e9, r, r]
        low = [max(0, int(c - q)) if q < 1e8 else 0 for c, q in zip(centre, radii)]
        high = [min(n, int(c + q) + 1) if q < 1e8 else n for c, q, n in zip(centre, radii, extent)]
        grid = np.ogrid[tuple(slice(a, b) for a, b in zip(low, high))]
        away = sum(((g - c) / q) ** 2 for g, c, q in zip(grid, centre, radii))
        box = values[tuple(slice(a, b) for a, b in zip(low, high))]
        np.maximum(box, np.clip(1.5 - np.sqrt(away).astype(np.float32), 0, 1), out=box)
    return values


class Swage:
    def __init__(self, path, threads):
        self.so = ctypes.CDLL(path)
        self.so.swg_context_message.restype = ctypes.c_char_p
        self.so.swg_instances_threshold.restype = ctypes.c_int64
        class Opts(ctypes.Structure):  # the head of swg_context_opts; what follows is zero
            _fields_ = [("threads", ctypes.c_int), ("rest", ctypes.c_void_p * 8)]
        self.ctx = ctypes.c_void_p()
        assert self.so.swg_context_open(ctypes.byref(Opts(threads=threads)), ctypes.byref(self.ctx)) == 0

    def call(self, name, *args):
        put = [a.ctypes.data_as(ctypes.c_void_p) if isinstance(a, np.ndarray) else ctypes.c_double(a) if isinstance(a, float) else a for a in args]
        status = getattr(self.so, "swg_instances_" + name)(self.ctx, *put)
        if status:
            sys.exit(f"{name}: {self.so.swg_context_message(self.ctx).decode()}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--library", default="build/libswage.so")
    parser.add_argument("--extent", type=int, nargs=3, default=(32, 256, 256))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--reps", type=int, default=3)
    args = parser.parse_args()
    extent, swage = np.array(args.extent, np.int64), Swage(os.path.abspath(args.library), args.threads)
    values = nuclei(tuple(args.extent))
    mask = values > 0.5
    bytes_, n = mask.astype(np.uint8), ctypes.c_int64()
    count, all_, null = ctypes.byref(n), ctypes.c_int(0), None
    squeeze = (lambda a: a[0]) if extent[0] == 1 else (lambda a: a)
    flat, axes = squeeze(mask), 2 if extent[0] == 1 else 3
    structure = ndimage.generate_binary_structure(axes, axes)
    spacing = np.array([2.0, 1.0, 1.0])
    labels, distance, filled, threshold = np.zeros(mask.shape, np.uint32), np.zeros(mask.shape, np.float32), bytes_.copy(), np.zeros(1)
    theirs_distance = ndimage.distance_transform_edt(flat, sampling=spacing[3 - axes:])
    swage.call("distance", extent, spacing, bytes_, distance)
    height = distance.copy()
    swage.call("smooth", extent, spacing, 1.0, height)
    seeds = np.zeros(mask.shape, np.uint32)
    swage.call("seeds", extent, spacing, height, bytes_, all_, 0.75, 0.0, seeds, count)
    objects, flood = n.value, seeds.copy()

    def refill():
        filled[...] = bytes_
        swage.call("fill", extent, filled, all_, count)

    def reflood():
        flood[...] = seeds
        swage.call("flood", extent, height, bytes_, all_, flood)

    def resmooth():
        height[...] = distance
        swage.call("smooth", extent, spacing, 1.0, height)

    sigma = [1 / s for s in spacing[3 - axes:]]
    flat_height, flat_seeds = squeeze(height), squeeze(seeds).astype(np.int32)
    theirs_distance32 = theirs_distance.astype(np.float32)
    steps = [
        ("Otsu", lambda: swage.call("otsu", values, ctypes.c_int64(values.size), threshold), [("scikit-image", lambda: filters.threshold_otsu(values))]),
        ("parts, 26 or 8", lambda: swage.call("label", extent, bytes_, all_, labels, count),
         [("SciPy", lambda: ndimage.label(flat, structure)), ("scikit-image", lambda: measure.label(flat, connectivity=axes))]),
        ("holes", refill, [("SciPy", lambda: ndimage.binary_fill_holes(flat))]),
        ("distance", lambda: swage.call("distance", extent, spacing, bytes_, distance),
         [("SciPy", lambda: ndimage.distance_transform_edt(flat, sampling=spacing[3 - axes:]))]),
        ("Gaussian, sigma 1", resmooth, [("SciPy", lambda: ndimage.gaussian_filter(theirs_distance32, sigma))]),
        ("maxima of depth .75", lambda: swage.call("seeds", extent, spacing, height, bytes_, all_, 0.75, 0.0, labels, count),
         [("scikit-image", lambda: morphology.h_maxima(flat_height, 0.75))]),
        ("watershed", reflood, [("scikit-image", lambda: segmentation.watershed(-flat_height, flat_seeds, axes, mask=flat))]),
    ]
    print(f"{' x '.join(map(str, args.extent))} voxels, {mask.mean():.1%} foreground, {objects} seeds, {args.threads} thread(s), medians of {args.reps} in turns")
    print(f"{'step':22} {'swage ms':>10}   peers (one thread)")
    for name, ours, peers in steps:
        times = {k: [] for k in ["swage"] + [p[0] for p in peers]}
        for _ in range(args.reps):
            for who, call in [("swage", ours)] + peers:
                begin = time.perf_counter()
                call()
                times[who].append(1e3 * (time.perf_counter() - begin))
        own = statistics.median(times.pop("swage"))
        print(f"{name:22} {own:10.1f}   " + "   ".join(f"{who} {statistics.median(t):.1f} ({statistics.median(t) / own:.1f}x)" for who, t in times.items()))

    swage.call("label", extent, bytes_, all_, labels, count)
    reflood()
    watershed = segmentation.watershed(-flat_height, flat_seeds, axes, mask=flat)
    same = {
        "parts": np.array_equal(squeeze(labels), ndimage.label(flat, structure)[0]),
        "holes": np.array_equal(squeeze(filled) > 0, ndimage.binary_fill_holes(flat)),
        "distance within 1e-6": np.allclose(squeeze(distance), theirs_distance, rtol=1e-6, atol=0),
    }
    print("\n".join(f"{what}: {'the same' if good else 'DIFFERENT'}" for what, good in same.items()))
    print(f"watershed: {(watershed != squeeze(flood)).mean():.2e} of the voxels differ (between equal heights the order is each one's own)")
    sys.exit(0 if all(same.values()) else 1)


if __name__ == "__main__":
    main()
