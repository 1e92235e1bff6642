# Makes kan.safetensors: Kolmogorov-Arnold layers as kan.md, section 3, defines them: patches cut out, bases by the recursion, one product;
# values and gradients. In: nothing but seed 42. Out: the file, in the folder of this script; the naming is in README.md.
# SPDX-License-Identifier: Apache-2.0

import os

import torch
import torch.nn.functional as F

import oracle
import philox
from make_spline import bases

SEED = 42
TENSORS, METADATA = {}, {"script": os.path.basename(__file__), "torch": torch.__version__, "seed": str(SEED)}


def draw(name, shape, scale=1.0):
    return (oracle.f64(philox.normal(SEED, f"kan:{name}", 0, tuple(shape))) * scale).requires_grad_()


def grid(intervals, order):
    return -1 + 2 / intervals * (torch.arange(intervals + 2 * order + 1, dtype=torch.float64) - order)


def edges(patches, base, spline, scaler, intervals, order, silu_first):
    """patches (..., i), base (o, i), spline (o, i, j), scaler (o, i), (o, 1) or None."""
    weights = spline if scaler is None else spline * scaler[..., None]
    splines = torch.einsum("...ij,oij->...o", bases(patches, grid(intervals, order), order), weights)
    first = F.silu(patches) @ base.T if silu_first else F.silu(patches @ base.T)
    return first + splines


def parameters(name, out, channels, intervals, order, scaler):
    params = {"base_weight": draw(f"{name}.base", (out, channels), 0.5),
              "spline_weight": draw(f"{name}.spline", (out, channels, intervals + order), 0.5)}
    if scaler == "edge":
        params["spline_scaler"] = draw(f"{name}.scaler", (out, channels))
    elif scaler == "channel":
        params["spline_scaler"] = draw(f"{name}.scaler", (out,))
    return params


def finish(name, x, params, out, numbers):
    weight = draw(f"{name}.w", out.shape).detach()
    (out * weight).sum().backward()
    TENSORS.update({f"{name}.in": x, f"{name}.out": out, f"{name}.w": weight, f"{name}.grad": x.grad})
    for key, value in params.items():
        TENSORS.update({f"{name}.{key}": value, f"{name}.grad_{key}": value.grad})
    METADATA[f"{name}.numbers"] = ",".join(str(n) for n in numbers)


def wide(scaler):
    return scaler[:, None] if scaler is not None and scaler.dim() == 1 else scaler


def linear(name, shape, out, intervals, order, scaler="edge", silu_first=True):
    x = draw(f"{name}.in", shape, 1.2)
    params = parameters(name, out, shape[-1], intervals, order, scaler)
    y = edges(x, params["base_weight"], params["spline_weight"], wide(params.get("spline_scaler")), intervals, order, silu_first)
    finish(name, x, params, y, (intervals, order, int(not silu_first), 0, 1, 0, 1))


def conv(name, shape, out, kernel, intervals, order, scaler="edge", silu_first=True, stride=1, padding=0, dilation=1):
    x = draw(f"{name}.in", shape, 1.2)
    params = parameters(name, out, shape[1] * kernel * kernel, intervals, order, scaler)
    patches = F.unfold(x, kernel, dilation=dilation, padding=padding, stride=stride).transpose(1, 2)
    y = edges(patches, params["base_weight"], params["spline_weight"], wide(params.get("spline_scaler")), intervals, order, silu_first)
    rows = (shape[2] + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
    y = y.transpose(1, 2).reshape(shape[0], out, rows, -1)
    finish(name, x, params, y, (intervals, order, int(not silu_first), kernel, stride, padding, dilation))


def main():
    philox.self_check()
    oracle.self_check()
    linear("linear", (4, 7), 3, 5, 3)
    linear("linear_rows", (2, 3, 5), 4, 3, 2, scaler="channel", silu_first=False)
    conv("conv", (2, 3, 5, 6), 4, 3, 5, 3, padding=1)
    conv("conv_published", (2, 3, 6, 5), 4, 3, 5, 3, scaler="channel", silu_first=False, padding=1)
    conv("conv_stride", (1, 4, 7, 6), 3, 3, 3, 2, scaler="none", stride=2, padding=2)
    conv("conv_dilation", (1, 2, 7, 8), 3, 3, 2, 1, dilation=2, padding=1)
    conv("conv_pointwise", (2, 3, 4, 4), 3, 1, 2, 1, silu_first=False)
    METADATA["cases"] = ",".join(dict.fromkeys(key.split(".")[0] for key in TENSORS))
    oracle.save(os.path.join(os.path.dirname(os.path.abspath(__file__)), "kan.safetensors"), TENSORS, METADATA)


if __name__ == "__main__":
    main()
