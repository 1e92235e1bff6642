"""otsu.py - nuclei without a network: Otsu's threshold and a watershed, by scikit-image and by `swage instances`, on the development half of DSB2018.

In: the folder `microscopy/dsb2018` of the project's data, a built `swage`. Out: a table as Markdown, and a row per image with --rows.
Split: an image is for validation if the first two hexadecimal digits of its id are a multiple of 5 (62 of 378), else for training; figures are of the
validation part unless --part says otherwise. Images of one plate may be in both parts. Images of kind bfgray have dark nuclei and are inverted.
One scorer, here, judges the label images of both, and swage's own figures must agree with it.
    python3 bench/quality/otsu.py --swage build/swage --data microscopy/dsb2018
Needs numpy, scipy and scikit-image.
SPDX-License-Identifier: Apache-2.0
"""
import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time

import numpy as np
import scipy
import skimage
from scipy import ndimage
from skimage import feature, filters, io, morphology, segmentation

MIN_SIZE = 20  # pixels; best of 10, 20 and 40 on the training part, for both; so are the depth .5 (of .25, .5, .75) and the distance 5 (of 3, 5, 7, 10)


def is_validation(identity):
    return int(identity[:2], 16) % 5 == 0


def images(folder, part):
    """(id, kind, path of image, path of labels) of what is there."""
    with open(os.path.join(folder, "index_dev.tsv"), encoding="utf-8") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            paths = [os.path.join(folder, name, row["id"] + ".png") for name in ("images", "labels")]
            if all(map(os.path.exists, paths)) and is_validation(row["id"]) == (part == "validation"):
                yield row["id"], row["kind"], *paths


def by_skimage(image, split):
    """The usual recipe: threshold, holes, distance, its smoothed maxima as markers, watershed, small objects."""
    mask = ndimage.binary_fill_holes(image > filters.threshold_otsu(image))
    if split == "none":
        labels = ndimage.label(mask, np.ones((3, 3)))[0]
    else:
        distance = ndimage.gaussian_filter(ndimage.distance_transform_edt(mask).astype(np.float32), 1)
        if split == "min_distance 5":
            peaks = feature.peak_local_max(distance, min_distance=5, labels=ndimage.label(mask, np.ones((3, 3)))[0], exclude_border=False)
            tops = np.zeros(mask.shape, bool)
            tops[tuple(peaks.T)] = True
        else:
            tops = morphology.h_maxima(distance, 0.5) > 0
        labels = segmentation.watershed(-distance, ndimage.label(tops, np.ones((3, 3)))[0], 2, mask=mask)
    sizes = np.bincount(labels.ravel())
    labels[sizes[labels] < MIN_SIZE] = 0
    return labels


def by_swage(swage, path, labels_path, kind, options, out):
    command = [swage, "instances", path, "--threshold", "otsu", "--min-size", str(MIN_SIZE), "--json", "-o", out, "--reference", labels_path, *options]
    if kind == "bfgray":
        command.append("--invert")
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{path}: {done.stderr.strip()}")
    return io.imread(out), json.loads(done.stdout)


def score(reference, found):
    """Average precision at IoU > .5 and > .75, Dice of the foreground, found minus true objects."""
    a, b = (np.unique(v, return_inverse=True) for v in (reference, found))
    table = np.zeros((len(a[0]), len(b[0])), np.int64)
    np.add.at(table, (a[1].ravel(), b[1].ravel()), 1)
    area, other = table.sum(1), table.sum(0)
    keep, keep_other = a[0] > 0, b[0] > 0
    iou = table / np.maximum(area[:, None] + other[None] - table, 1)
    iou = iou[keep][:, keep_other]
    n, m = iou.shape
    ap = [(iou > t).sum() / (n + m - (iou > t).sum()) if n + m else 1.0 for t in (0.5, 0.75)]
    both, one = table[keep][:, keep_other].sum(), area[keep].sum() + other[keep_other].sum()
    return np.array([*ap, 2 * both / one if one else 1.0, m - n, abs(m - n)], float)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--swage", default="build/swage")
    parser.add_argument("--data", required=True)
    parser.add_argument("--part", choices=("validation", "training"), default="validation")
    parser.add_argument("--rows", help="CSV of a row per image and method")
    args = parser.parse_args()
    ways = {
        "scikit-image: Otsu, connected parts": lambda x: (by_skimage(x[0], "none"), None),
        "scikit-image: Otsu, watershed, maxima 5 apart": lambda x: (by_skimage(x[0], "min_distance 5"), None),
        "scikit-image: Otsu, watershed, h-maxima .5": lambda x: (by_skimage(x[0], "h"), None),
        "swage instances --whole": lambda x: by_swage(args.swage, x[1], x[2], x[3], ["--whole"], x[4]),
        "swage instances": lambda x: by_swage(args.swage, x[1], x[2], x[3], [], x[4]),
        "swage instances --blur 1": lambda x: by_swage(args.swage, x[1], x[2], x[3], ["--blur", "1"], x[4]),
    }
    rows, found = {way: [] for way in ways}, list(images(args.data, args.part))
    seconds = dict.fromkeys(ways, 0.0)
    with tempfile.TemporaryDirectory() as folder:
        for identity, kind, path, labels_path in found:
            image, reference = io.imread(path)[..., 0], io.imread(labels_path)
            given = (255 - image if kind == "bfgray" else image, path, labels_path, kind, os.path.join(folder, "labels.tif"))
            for way, function in ways.items():
                begin = time.perf_counter()
                labels, own = function(given)
                seconds[way] += time.perf_counter() - begin
                figures = score(reference, labels)
                rows[way].append(figures)
                if own:
                    own = own["reference"]
                    theirs = [own["ap"][0], own["ap"][5], own["dice"], own["count_bias"]]
                    if not np.allclose(theirs, figures[:4], rtol=1e-9, atol=1e-9):
                        sys.exit(f"{identity}: swage says {theirs}, the scorer {figures[:4].tolist()}")
    if not found:
        sys.exit(f"{args.data}: no images")
    objects = sum(int(np.count_nonzero(np.unique(io.imread(p[3])))) for p in found)
    print(f"{len(found)} images of the {args.part} part, {objects} objects; scikit-image {skimage.__version__}, SciPy {scipy.__version__}\n")
    print("| method | AP@.5 | AP@.75 | Dice | count error | bias | s |\n|---|---|---|---|---|---|---|")
    for way, figures in rows.items():
        ap, ap75, dice, bias, error = np.mean(figures, axis=0)
        print(f"| {way} | {ap:.3f} | {ap75:.3f} | {dice:.3f} | {error:.2f} | {bias:+.2f} | {seconds[way]:.1f} |")
    if args.rows:
        with open(args.rows, "w", newline="", encoding="utf-8") as file:
            out = csv.writer(file)
            out.writerow(["id", "kind", "method", "ap50", "ap75", "dice", "excess", "count_error"])
            for way, figures in rows.items():
                out.writerows([p[0], p[1], way, *f] for p, f in zip(found, figures))


if __name__ == "__main__":
    main()
