# Makes transforms.safetensors: what is done to volumes before a network sees them, by PyTorch and NumPy in float64.
# In: nothing but seed 42. Out: the file, in the folder of this script; the naming is in README.md.
# SPDX-License-Identifier: Apache-2.0

import os

import numpy as np
import torch
import torch.nn.functional as F

import oracle
import philox

SEED = 42
TENSORS, METADATA = {}, {"script": os.path.basename(__file__), "torch": torch.__version__, "numpy": np.__version__, "seed": str(SEED)}


def draw(name, shape):
    return oracle.f64(philox.normal(SEED, f"transforms:{name}", 0, tuple(shape)))


def resample(name, shape, to, how):
    """shape: C, Z, Y, X. area: adaptive average pooling; linear: between pixel centres; nearest: of pixel centres."""
    x = draw(name, shape)
    if how == "area":
        out = F.interpolate(x[None], size=to, mode="area")[0]
    elif how == "linear":
        out = F.interpolate(x[None], size=to, mode="trilinear", align_corners=False)[0]
    else:
        out = F.interpolate(x[None], size=to, mode="nearest-exact")[0]
    TENSORS.update({f"{name}.in": x, f"{name}.out": out})
    METADATA[f"{name}.how"] = how


def zoom(name, shape, factor):
    """As published: interpolate with a scale factor and mode area; output floor(factor n)."""
    x = draw(name, shape)
    TENSORS.update({f"{name}.in": x, f"{name}.out": F.interpolate(x[None], scale_factor=factor, mode="area")[0]})
    METADATA[f"{name}.factor"] = repr(factor)


def values():
    x = draw("values", (500,))
    a = x.numpy()
    TENSORS["values.in"] = x
    TENSORS["values.normalised"] = torch.from_numpy((a - a.mean()) / a.std())
    percents = np.array([0, 0.01, 5, 12.34, 50, 99.99, 100])
    TENSORS["values.percents"] = torch.from_numpy(percents)
    TENSORS["values.percentiles"] = torch.from_numpy(np.percentile(a, percents))
    low, high = np.percentile(a, [5, 99.99])
    TENSORS["values.scaled"] = torch.from_numpy(np.clip((a - low) / (high - low) * 2 - 1, -1, 1))
    TENSORS["values.threshold"] = torch.from_numpy(np.where(a >= np.float64(0.1), 1, a))
    steps = philox.normal(SEED, "transforms:points", 0, (119,)).astype(np.float64)
    points = np.concatenate([[0], np.cumsum(np.abs(steps)) / np.abs(steps).sum()])
    TENSORS["values.points"] = torch.from_numpy(points)
    reference = np.linspace(0, 1, len(points)) * (a.max() - a.min()) + a.min()
    TENSORS["values.histogram"] = torch.from_numpy(np.interp(a, reference, points * (a.max() - a.min()) + a.min()))
    TENSORS["values.shifted"] = torch.from_numpy(a + 0.07 * a.std())
    for gamma in (0.9, 1.5):
        width = a.max() - a.min()
        TENSORS[f"values.gamma_{gamma}"] = torch.from_numpy(((a - a.min()) / (width + 1e-7)) ** gamma * width + a.min())


def main():
    philox.self_check()
    oracle.self_check()
    resample("area_even", (2, 8, 12, 16), (2, 3, 4), "area")
    resample("area_odd", (1, 5, 8, 17), (3, 5, 7), "area")
    resample("area_one", (1, 5, 9, 11), (1, 8, 1), "area")
    resample("linear", (1, 3, 5, 4), (7, 5, 9), "linear")
    resample("nearest_up", (1, 3, 5, 4), (7, 5, 9), "nearest")
    resample("nearest_down", (1, 5, 8, 17), (3, 5, 7), "nearest")
    METADATA["cases"] = ",".join(dict.fromkeys(key.split(".")[0] for key in TENSORS))
    zoom("zoom_quarter", (1, 9, 14, 23), 0.25)
    zoom("zoom_third", (1, 10, 13, 11), 0.3)
    METADATA["zooms"] = "zoom_quarter,zoom_third"
    values()
    oracle.save(os.path.join(os.path.dirname(os.path.abspath(__file__)), "transforms.safetensors"), TENSORS, METADATA)


if __name__ == "__main__":
    main()
