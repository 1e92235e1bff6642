# Makes instances.safetensors: masks and what SciPy and scikit-image make of them: parts, distances, holes, seeds, watersheds, Otsu's
# threshold; and scores of label images from their definition. In: nothing but seed 42. Out: the file, in the folder of this script.
# SPDX-License-Identifier: Apache-2.0

import os

import numpy as np
import scipy
import skimage
from scipy import ndimage
from skimage import filters, morphology, segmentation

import oracle
import philox
from make_ops import draw

TENSORS = {}
SPACING = {2: (1.5, 0.7), 3: (2.0, 0.5, 0.75)}


def put(name, field, value, dtype=np.float32):
    """Planes are stored as (1, y, x)."""
    value = np.asarray(value, dtype=dtype)
    TENSORS[f"{name}.{field}"] = value[None] if value.ndim == 2 else value


def blobs(name, shape, sigma, share):
    """A mask of `share` of the voxels, and the smooth values it comes from."""
    values = ndimage.gaussian_filter(draw(f"instances.{name}", shape).numpy(), sigma)
    values = (values / np.abs(values).max()).astype(np.float32)
    return values, values > np.quantile(values, 1 - share)


def case(name, values, mask):
    d = mask.ndim
    put(name, "mask", mask)
    put(name, "values", values)
    put(name, "filled", ndimage.binary_fill_holes(mask))  # background by faces
    put(name, "filled_faces", ndimage.binary_fill_holes(mask, ndimage.generate_binary_structure(d, d)))
    put(name, "distance", ndimage.distance_transform_edt(mask))
    put(name, "distance_spaced", ndimage.distance_transform_edt(mask, sampling=SPACING[d]))
    smooth = ndimage.gaussian_filter(ndimage.distance_transform_edt(mask).astype(np.float64), 1.2, truncate=4.0, mode="reflect")
    put(name, "smooth", smooth)
    spaced = ndimage.gaussian_filter(values.astype(np.float64), [0.9 / s for s in SPACING[d]], truncate=4.0, mode="reflect")
    put(name, "smooth_spaced", spaced)
    put(name, "otsu", [filters.threshold_otsu(values)], np.float64)
    noise = draw(f"instances.{name}.height", mask.shape, 0.0, 1.0).numpy()
    height = (ndimage.distance_transform_edt(mask) + 0.5 * noise).astype(np.float32)  # no two are equal
    assert len(np.unique(height)) == height.size
    steps = np.round(8 * ndimage.gaussian_filter(height, 0.7)).astype(np.int32)  # plateaus
    put(name, "height", height)
    put(name, "steps", steps)
    for connectivity, suffix in ((d, ""), (1, "_faces")):
        structure = ndimage.generate_binary_structure(d, connectivity)
        parts, count = ndimage.label(mask, structure)
        put(name, "parts" + suffix, parts)
        # Maxima of dynamics above 2 within the mask: maxima of what is left of the heights below heights - 2, each at its highest voxel.
        inside = np.where(mask, steps, -1000)
        left = morphology.reconstruction(inside - 2, inside, footprint=structure)
        tops, _ = ndimage.label(morphology.local_maxima(left, connectivity=connectivity) & mask, structure)
        firsts = [np.argmax(np.where(tops == t, inside, -2000)) for t in range(1, tops.max() + 1)]
        seeds = np.zeros(mask.shape)
        for number, first in enumerate(sorted(firsts), 1):
            seeds.flat[first] = number
        assert (seeds > 0).sum() >= count and not seeds[~mask].any()
        put(name, "seeds" + suffix, seeds)
        put(name, "flood" + suffix, segmentation.watershed(-height, seeds.astype(np.int32), connectivity, mask=mask))


def score(name, reference, found):
    """Counts, Dice, IoU and precision per level, from the definition."""
    reference, found = np.asarray(reference, np.int64), np.asarray(found, np.int64)
    put(name, "reference", reference)
    put(name, "found", found)
    a, b = (np.setdiff1d(np.unique(v), [0]) for v in (reference, found))
    overlaps = [
        ((reference == i) & (found == j)).sum() / ((reference == i) | (found == j)).sum() for i in a for j in b
    ]
    matched = [sum(o > (50 + 5 * level) / 100 for o in overlaps) for level in range(10)]
    precision = [m / (len(a) + len(b) - m) if len(a) + len(b) else 1.0 for m in matched]
    both, either = ((reference > 0) & (found > 0)).sum(), ((reference > 0) | (found > 0)).sum()
    dice = 2 * both / ((reference > 0).sum() + (found > 0).sum()) if either else 1.0
    put(name, "figures", [len(a), len(b), dice, both / either if either else 1.0] + precision, np.float64)


if __name__ == "__main__":
    philox.self_check()
    case("plane", *blobs("plane", (36, 43), 2.0, 0.4))
    case("volume", *blobs("volume", (11, 16, 21), 1.5, 0.35))
    case("noise", *blobs("noise", (9, 11, 13), 0.4, 0.5))
    case("dense", *blobs("dense", (17, 19), 0.6, 0.8))
    thin = np.zeros((5, 3, 40), bool)
    thin[1:4, 1, 2:38] = thin[2, :, 5:9] = True
    case("thin", draw("instances.thin", thin.shape).numpy().astype(np.float32), thin)

    plane = TENSORS["plane.flood"]
    shifted = np.roll(plane, (2, 1), (1, 2))
    shifted[shifted == 3] = 70000  # any number is a label
    shifted[:, :9] = 0
    score("shifted", plane, shifted)
    score("same", plane, plane)
    score("empty", 0 * plane, 0 * plane)
    score("missed", plane, 0 * plane)
    whole, part = np.zeros((1, 4, 10)), np.zeros((1, 4, 10))
    whole[0, :2] = 1
    part[0, :2, :5] = 2  # IoU exactly .5: no match; below it exactly .6
    whole[0, 2:] = 5
    part[0, 2:, :6] = 9
    score("half", whole, part)
    metadata = {"script": os.path.basename(__file__), "scipy": scipy.__version__, "skimage": skimage.__version__, "seed": "42"}
    oracle.save(os.path.join(os.path.dirname(os.path.abspath(__file__)), "instances.safetensors"), TENSORS, metadata)
