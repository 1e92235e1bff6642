# Makes layers.safetensors: values and gradients of activations, norms, pooling, resize and losses, by PyTorch's own functions.
# In: nothing but seed 42. Out: the file, in the folder of this script; the naming is that of make_ops.py, see README.md.
# SPDX-License-Identifier: Apache-2.0

import os

import numpy as np
import torch
import torch.nn.functional as F

import make_ops
import oracle
import philox
from make_ops import case, draw


def activations():
    x = draw("layers.wide", (3, 5, 7), scale=2.0)
    x.view(-1)[:4] = oracle.f64((8, -8, 1e-4, -1e-4))
    case("leaky_relu", lambda v: F.leaky_relu(v, 0.2), x, slope=0.2)
    case("elu", lambda v: F.elu(v, 1.25), x, alpha=1.25)
    case("gelu_tanh", lambda v: v * torch.sigmoid(2 * (2 / np.pi) ** 0.5 * (v + 0.044715 * v**3)), x)  # F.gelu loses the left tail
    case("hard_sigmoid", lambda v: F.relu6(v + 3) / 6, x)  # F.hardsigmoid's gradient has 1/6 rounded to float32
    case("hard_swish", lambda v: v * F.relu6(v + 3) / 6, x)
    assert torch.allclose(F.gelu(x, approximate="tanh"), make_ops.TENSORS["gelu_tanh.out"], rtol=0, atol=1e-14)


def last(v):
    return v.permute(0, *range(2, v.dim()), 1).contiguous()


def first(v):
    return v.permute(0, v.dim() - 1, *range(1, v.dim() - 1))


def norms():
    """in1 and in2 are weight and bias. `_last`: the same with the channels as the last axis."""
    x, small = draw("norm.x", (3, 6, 2, 3)), draw("norm.small", (3, 6, 2, 3), scale=1e-2)
    weight, bias = draw("norm.weight", (6,), 0.5, 1.5), draw("norm.bias", (6,))
    kinds = {
        "batch_norm": lambda v, w, b: F.batch_norm(v, None, None, w, b, training=True),
        "instance_norm": lambda v, w, b: F.instance_norm(v, None, None, w, b),
        "group_norm": lambda v, w, b: F.group_norm(v, 3, w, b),
    }
    for name, function in kinds.items():
        case(name, function, x, weight, bias)
        case(f"{name}_last", lambda v, w, b, f=function: last(f(first(v), w, b)), last(x), weight, bias)
    case("batch_norm_small", kinds["batch_norm"], small, weight, bias)  # variance near eps 1e-5
    case("instance_norm_plain", lambda v: F.instance_norm(v), x)
    w2, b2 = draw("norm.weight2", (2, 3), 0.5, 1.5), draw("norm.bias2", (2, 3))
    case("layer_norm_2", lambda v, w, b: F.layer_norm(v, (2, 3), w, b), x, w2, b2)
    case("layer_norm_1", lambda v, w, b: F.layer_norm(v, (6,), w, b), last(x), weight, bias)


def running():
    """Batch norm over three training steps, then in use: xs, running statistics after each, result of the last x."""
    xs = draw("running.x", (3, 4, 2, 5), scale=2.0) + 1.5
    norm = torch.nn.BatchNorm1d(2, dtype=torch.float64)
    means, variances = [], []
    for x in oracle.f64(xs):
        norm(x)
        means.append(norm.running_mean.clone())
        variances.append(norm.running_var.clone())
    norm.eval()
    EXTRA.update({"running.x": oracle.f64(xs), "running.mean": torch.stack(means), "running.var": torch.stack(variances),
                  "running.eval": norm(oracle.f64(xs)[2]).detach()})


def pooling():
    """`_last`: channels last. Attributes: kernel, stride, padding, or extent of the result."""
    x1, x2, x3 = draw("pool.x1", (2, 3, 11)), draw("pool.x2", (2, 3, 7, 6)), draw("pool.x3", (1, 2, 5, 4, 6))
    x2.view(-1)[:5] = x2.view(-1)[0]  # equal maxima
    windows = {"1": (x1, (3,), (2,), (1,)), "2": (x2, (3, 2), (2, 1), (1, 1)), "3": (x3, (2, 2, 3), (1, 2, 3), (0, 1, 1))}
    for d, (x, kernel, stride, padding) in windows.items():
        attributes = {"kernel": kernel, "stride": stride, "padding": padding}
        maxima, averages = getattr(F, f"max_pool{d}d"), getattr(F, f"avg_pool{d}d")
        case(f"max_pool_{d}", lambda v: maxima(v, kernel, stride, padding), x, **attributes)
        case(f"avg_pool_{d}", lambda v: averages(v, kernel, stride, padding), x, **attributes)
        case(f"avg_pool_{d}_exclude", lambda v: averages(v, kernel, stride, padding, count_include_pad=False), x, **attributes)
        if d != "1":
            case(f"max_pool_{d}_last", lambda v: last(maxima(first(v), kernel, stride, padding)), last(x), **attributes)
            case(f"avg_pool_{d}_last", lambda v: last(averages(first(v), kernel, stride, padding)), last(x), **attributes)
    for d, x, extent in (("1", x1, (4,)), ("2", x2, (3, 6)), ("3", x3, (2, 3, 4))):
        case(f"adaptive_avg_{d}", lambda v: getattr(F, f"adaptive_avg_pool{d}d")(v, extent), x, extent=extent)
        case(f"adaptive_max_{d}", lambda v: getattr(F, f"adaptive_max_pool{d}d")(v, extent), x, extent=extent)


def resizing():
    sizes = {"1": ((2, 3, 5), (8,), "linear"), "2": ((2, 2, 5, 4), (3, 9), "bilinear"), "3": ((1, 2, 3, 4, 2), (6, 5, 4), "trilinear"),
             "one": ((1, 2, 3, 1), (1, 3), "bilinear")}
    for d, (shape, extent, mode) in sizes.items():
        x = draw(f"resize.{d}", shape)
        case(f"resize_{d}_linear", lambda v: F.interpolate(v, extent, mode=mode), x, extent=extent)
        case(f"resize_{d}_corners", lambda v: F.interpolate(v, extent, mode=mode, align_corners=True), x, extent=extent)
        case(f"resize_{d}_nearest", lambda v: F.interpolate(v, extent, mode="nearest"), x, extent=extent)
        case(f"resize_{d}_linear_last", lambda v: last(F.interpolate(first(v), extent, mode=mode)), last(x), extent=extent)


def movement():
    case("roll", lambda v: torch.roll(v, (1, -2), (0, 2)), draw("roll", (3, 2, 5)), shift=(1, 0, -2))
    x, window, shift = draw("windows", (2, 8, 4, 3)), (4, 2), (2, 1)

    def partition(v):
        v = torch.roll(v, (-shift[0], -shift[1]), (1, 2))
        n, h, w, c = v.shape
        v = v.view(n, h // window[0], window[0], w // window[1], window[1], c)
        return v.permute(0, 1, 3, 2, 4, 5).reshape(-1, window[0] * window[1], c)

    case("window_partition", partition, x, window=window, shift=shift)
    volume = draw("windows3", (2, 4, 2, 6, 3))
    case("window_partition3", lambda v: v.view(2, 2, 2, 2, 1, 2, 3, 3).permute(0, 1, 3, 5, 2, 4, 6, 7).reshape(-1, 12, 3), volume,
         window=(2, 1, 3), shift=(0, 0, 0))


def classes():
    """in1 is the target; ce_class: numbers, -100 does not count; in2: weights."""
    y, x = draw("classes.y", (3, 4, 5), scale=3.0), draw("classes.x", (3, 4, 5), 0.0, 1.0)
    y.view(-1)[:3] = oracle.f64((60, -60, 0))
    number = (draw("classes.number", (3, 5), 0.0, 4.0)).floor()
    number[0, 1], weight = -100, draw("classes.weight", (4,), 0.5, 2.0)
    case("bce_logits", F.binary_cross_entropy_with_logits, y, x, constant=(1,))
    case("ce_soft", F.cross_entropy, y, x, constant=(1,))
    case("ce_soft_weight", lambda v, t, w: F.cross_entropy(v, t, w), y, x, weight, constant=(1, 2))
    case("ce_class", lambda v, t: F.cross_entropy(v, t.long()), y, number, constant=(1,))
    case("ce_class_weight", lambda v, t, w: F.cross_entropy(v, t.long(), w), y, number, weight, constant=(1, 2))
    case("ce_class_last", lambda v, t: F.cross_entropy(v.permute(0, 2, 1), t.long()), y.permute(0, 2, 1).contiguous(), number, constant=(1,))

    def dice(v, t):
        s = torch.sigmoid(v)
        return (1 - (2 * (s * t).sum(2) + 1e-5) / ((s + t).sum(2) + 1e-5)).mean()

    case("dice", dice, y, x, constant=(1,))
    case("dice_empty", dice, y, torch.zeros_like(x), constant=(1,))


def gdn():
    """in1 beta, in2 gamma; `_last`: channels last. One beta is below its floor."""
    x, beta, gamma = draw("gdn.x", (2, 3, 2, 2)), draw("gdn.beta", (3,), 0.5, 2.0), draw("gdn.gamma", (3, 3), scale=0.3)
    beta[2] = -1.0

    def pool(v, b, c):
        return torch.einsum("ij,nj...->ni...", c.abs(), v * v) + b.clamp(min=1e-6).view(1, -1, *[1] * (v.dim() - 2))

    case("gdn", lambda v, b, c: v / pool(v, b, c).sqrt(), x, beta, gamma)
    case("gdn_inverse_last", lambda v, b, c: last(first(v) * pool(first(v), b, c).sqrt()), last(x), beta, gamma)


def gates():
    """Image attention; in1, in2, ... are the parameters. BAM: r = max(1, c / 16). eca: 3 taps for 16 channels; eca_wide: 5 for 128."""

    def bam(v, *p):
        def norm(u, i):
            return F.batch_norm(u, None, None, p[i], p[i + 1], training=True)

        a = norm(F.linear(F.relu(F.linear(v.mean((2, 3)), p[0], p[1])), p[2], p[3]), 4)
        b = F.conv2d(v, p[6], p[7])
        b = F.relu(norm(F.conv2d(b, p[8], p[9], padding=4, dilation=4), 10))
        b = F.relu(norm(F.conv2d(b, p[12], p[13], padding=4, dilation=4), 14))
        b = norm(F.conv2d(b, p[16], p[17]), 18)
        return v + v * torch.sigmoid(a[:, :, None, None] + b)

    for name, (n, c, h, w) in (("bam", (4, 32, 5, 5)), ("bam_narrow", (3, 5, 9, 4))):
        r = max(1, c // 16)
        shapes = ((r, c), (r,), (c, r), (c,), (c,), (c,), (r, c, 1, 1), (r,), (r, r, 3, 3), (r,), (r,), (r,), (r, r, 3, 3), (r,), (r,), (r,),
                  (1, r, 1, 1), (1,), (1,), (1,))
        case(name, bam, draw(f"{name}.x", (n, c, h, w)),
             *[draw(f"{name}.{i}", s, scale=0.7 if r > 1 or i < 17 else 0.01) for i, s in enumerate(shapes, start=1)])  # eps counts, too
    for name, c, k in (("eca", 16, 3), ("eca_wide", 128, 5)):
        def eca(v, p):
            return v * torch.sigmoid(F.conv1d(v.mean((2, 3))[:, None], p, padding=p.shape[2] // 2)).reshape(*v.shape[:2], 1, 1)
        case(name, eca, draw(f"{name}.x", (2, c, 3, 2 if c == 16 else 1)), draw(f"{name}.w1", (1, 1, k)))


def images():
    """in0 prediction, in1 target; ssim_flat: constant images, whose variance is 0."""
    taps = torch.exp(-0.5 * ((torch.arange(11, dtype=torch.float64) - 5) / 1.5) ** 2)
    window = torch.outer(taps / taps.sum(), taps / taps.sum())[None, None]

    def ssim(y, x):
        def blur(v):
            return F.conv2d(v.flatten(0, 1)[:, None], window)

        my, mx = blur(y), blur(x)
        vy, vx, c = blur(y * y) - my * my, blur(x * x) - mx * mx, blur(y * x) - my * mx
        s = (2 * my * mx + 1e-4) * (2 * c + 9e-4) / ((my * my + mx * mx + 1e-4) * (vy + vx + 9e-4))
        return 1 - s.mean()

    x = draw("ssim.x", (2, 3, 13, 16), 0.0, 1.0)
    case("ssim", ssim, (x + 0.2 * draw("ssim.noise", x.shape)).clamp(0, 1), x, constant=(1,))
    case("ssim_flat", ssim, torch.full((1, 1, 12, 11), 0.4), torch.full((1, 1, 12, 11), 0.2), constant=(1,))
    assert abs(make_ops.TENSORS["ssim_flat.out"].item() - (1 - 0.800099950025)) < 1e-7


EXTRA = {}  # not cases
PARTS = [activations, norms, running, pooling, resizing, movement, classes, gdn, gates, images]

if __name__ == "__main__":
    philox.self_check()
    oracle.self_check()
    for part in PARTS:
        part()
    make_ops.METADATA["script"] = os.path.basename(__file__)
    make_ops.METADATA["cases"] = ",".join(sorted({name.split(".")[0] for name in make_ops.TENSORS}))
    make_ops.TENSORS.update(EXTRA)
    tensors = {name: np.ascontiguousarray(value.detach().numpy()).reshape(value.shape) for name, value in make_ops.TENSORS.items()}
    oracle.save(os.path.join(os.path.dirname(os.path.abspath(__file__)), "layers.safetensors"), tensors, make_ops.METADATA)
