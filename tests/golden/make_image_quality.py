# Makes image_quality.safetensors: pairs of images and their errors, SSIM and correlation, in float64 with a direct
# convolution (the library filters axes apart), in planes and volumes. In: nothing but seed 42. Out: the file, in the folder of this script.
# SPDX-License-Identifier: Apache-2.0

import os

import torch
import torch.nn.functional as F

import oracle
import philox
from make_ops import draw

TENSORS = {}


def ssim(x, y):
    """Wang et al. 2004, (channels, h, w): 11x11 Gaussian of sigma 1.5, K .01 and .03, L 1, valid positions."""
    offsets = torch.arange(11, dtype=torch.float64) - 5
    window = torch.exp(-(offsets[:, None] ** 2 + offsets[None, :] ** 2) / (2 * 1.5**2))
    window = (window / window.sum())[None, None]

    def smooth(v):
        return F.conv2d(v[:, None], window)[:, 0]

    mx, my = smooth(x), smooth(y)
    vx, vy, cov = smooth(x * x) - mx * mx, smooth(y * y) - my * my, smooth(x * y) - mx * my
    return ((2 * mx * my + 0.01**2) * (2 * cov + 0.03**2) / ((mx**2 + my**2 + 0.01**2) * (vx + vy + 0.03**2))).mean()


def case(name, clean, image):
    x, y = (v.to(torch.float32).to(torch.float64) for v in (clean, image))
    clipped = y.clamp(0, 1)
    TENSORS[f"{name}.clean"], TENSORS[f"{name}.image"] = x.to(torch.float32), y.to(torch.float32)
    for suffix, v in (("", y), ("_clipped", clipped)):
        figures = [((v - x) ** 2).mean(), (v - x).abs().mean(), ssim(x, v), torch.corrcoef(torch.stack([x.flatten(), v.flatten()]))[0, 1]]
        TENSORS[f"{name}.figures{suffix}"] = torch.stack(figures)  # mse, mae, ssim, r


def index(x, y, span):
    """SSIM of (channels, z, y, x) with range `span`: taps per axis 11, or the largest odd number that fits."""
    window = torch.ones(1, 1, 1, dtype=torch.float64)
    for axis, extent in enumerate(x.shape[1:]):
        taps = min(11, (extent - 1) // 2 * 2 + 1)
        offsets = torch.arange(taps, dtype=torch.float64) - taps // 2
        line = torch.exp(-(offsets**2) / (2 * 1.5**2))
        window = window * (line / line.sum()).reshape([-1 if a == axis else 1 for a in range(3)])

    def smooth(v):
        return F.conv3d(v[:, None], window[None, None])[:, 0]

    mx, my = smooth(x), smooth(y)
    vx, vy, cov = smooth(x * x) - mx * mx, smooth(y * y) - my * my, smooth(x * y) - mx * my
    c1, c2 = (0.01 * span) ** 2, (0.03 * span) ** 2
    return ((2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))).mean()


def volume(name, target, image):
    x, y = (v.to(torch.float32).to(torch.float64) for v in (target, image))
    TENSORS[f"{name}.target"], TENSORS[f"{name}.image"] = x.to(torch.float32), y.to(torch.float32)
    mse, span = ((y - x) ** 2).mean(), x.max() - x.min()
    psnr = 20 * torch.log10(span) - 10 * torch.log10(mse)
    r = torch.corrcoef(torch.stack([x.flatten(), y.flatten()]))[0, 1]
    TENSORS[f"{name}.figures"] = torch.stack([mse, (y - x).abs().mean(), index(x, y, float(span)), r, psnr])
    peer(x, y, float(span))


def peer(x, y, span):
    """scikit-image, where it is installed and all axes have 11 voxels: the same conventions."""
    try:
        from skimage.metrics import structural_similarity
    except ImportError:
        return
    if min(x.shape[1:]) >= 11:
        options = dict(gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=span)
        theirs = sum(structural_similarity(a.numpy(), b.numpy(), **options) for a, b in zip(x, y)) / len(x)
        assert abs(float(index(x, y, span)) - theirs) < 1e-12, (float(index(x, y, span)), theirs)
        print(f"scikit-image agrees: {theirs:.15f}")


if __name__ == "__main__":
    philox.self_check()
    oracle.self_check()
    assert abs(ssim(torch.full((1, 20, 20), 0.2, dtype=torch.float64), torch.full((1, 20, 20), 0.4, dtype=torch.float64)) - 0.800099950025) < 1e-12
    waves = torch.sin(torch.arange(24.0)[:, None] / 5) * torch.cos(torch.arange(31.0)[None, :] / 3)
    colour = torch.stack([0.5 + 0.4 * waves, 0.5 - 0.3 * waves, 0.2 + 0.2 * waves]).to(torch.float64)
    case("colour", colour, colour + draw("quality.noise", (3, 24, 31), scale=0.2))
    case("smallest", draw("quality.small", (1, 11, 11), 0.0, 1.0), draw("quality.other", (1, 11, 11), 0.0, 1.0))
    case("row", draw("quality.row", (2, 11, 40), 0.0, 1.0), draw("quality.row2", (2, 11, 40), -0.2, 1.2))
    base = 3 + 2 * torch.sin(torch.arange(13.0)[:, None, None] / 3) * torch.cos(torch.arange(16.0)[None, :, None] / 4) * torch.sin(torch.arange(15.0) / 2)
    volume("volume", base.expand(2, -1, -1, -1).to(torch.float64), base + draw("quality.volume", (2, 13, 16, 15), scale=0.3))
    volume("thin", draw("quality.thin", (1, 1, 12, 17)), draw("quality.thin2", (1, 1, 12, 17), -0.5, 1.5))
    volume("short", draw("quality.short", (1, 6, 14, 9), -2.0, 5.0), draw("quality.short2", (1, 6, 14, 9), -2.0, 5.0))
    metadata = {"script": os.path.basename(__file__), "torch": torch.__version__.split("+")[0], "seed": "42"}
    oracle.save(os.path.join(os.path.dirname(os.path.abspath(__file__)), "image_quality.safetensors"), TENSORS, metadata)
