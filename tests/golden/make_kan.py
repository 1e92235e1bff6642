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


def edges(patches, params, knots, order, silu_first):
    """patches (..., i), base_weight (o, i), spline_weight (o, i, j), spline_scaler (o, i), (o) or absent, knots (k) or (i, k)."""
    scaler = params.get("spline_scaler")
    weights = params["spline_weight"]
    if scaler is not None:
        weights = weights * (scaler[..., None] if scaler.dim() == 2 else scaler[:, None, None])
    splines = torch.einsum("...ij,oij->...o", bases(patches, knots, order), weights)
    base = params["base_weight"]
    return (F.silu(patches) @ base.T if silu_first else F.silu(patches @ base.T)) + splines


def parameters(name, out, edges_in, bases_of_edge, scaler):
    params = {"base_weight": draw(f"{name}.base", (out, edges_in), 0.5),
              "spline_weight": draw(f"{name}.spline", (out, edges_in, bases_of_edge), 0.5)}
    if scaler == "edge":
        params["spline_scaler"] = draw(f"{name}.scaler", (out, edges_in))
    elif scaler == "channel":
        params["spline_scaler"] = draw(f"{name}.scaler", (out,))
    return params


def penalty(c):
    """R and H of kan.md, section 4."""
    size = c.abs().mean(-1)
    share = size / size.sum()
    return size.sum(), -(share * share.log()).sum()


def finish(name, x, params, out, numbers):
    weight = draw(f"{name}.w", out.shape).detach()
    magnitude, entropy = penalty(params["spline_weight"])
    loss = (out * weight).sum() + 0.3 * magnitude + 0.7 * entropy
    loss.backward()
    TENSORS.update({f"{name}.in": x, f"{name}.out": out, f"{name}.w": weight, f"{name}.loss": loss, f"{name}.grad": x.grad})
    for key, value in params.items():
        TENSORS.update({f"{name}.{key}": value, f"{name}.grad_{key}": value.grad})
    METADATA[f"{name}.numbers"] = ",".join(str(n) for n in numbers)


def knots_of(name, features, intervals, order, adaptive):
    """The uniform grid, or for each feature one of uneven steps from about -2 on."""
    if not adaptive:
        return grid(intervals, order)
    steps = draw(f"{name}.knots", (features, intervals + 2 * order + 1)).detach().abs() * 0.25 + 0.125
    TENSORS[f"{name}.knots"] = torch.cumsum(steps, 1) - 2
    return TENSORS[f"{name}.knots"]


def linear(name, shape, out, intervals, order, scaler="edge", silu_first=True, adaptive=False):
    x = draw(f"{name}.in", shape, 1.2)
    params = parameters(name, out, shape[-1], intervals + order, scaler)
    y = edges(x, params, knots_of(name, shape[-1], intervals, order, adaptive), order, silu_first)
    finish(name, x, params, y, (intervals, order, int(not silu_first), 0, 1, 0, 1, 0, out))


def rbf(name, shape, out):
    x, n = draw(f"{name}.in", shape, 1.2), shape[-1]
    params = {"norm.weight": draw(f"{name}.gamma", (n,)), "norm.bias": draw(f"{name}.beta", (n,)),
              "spline_weight": draw(f"{name}.spline", (out, n, 8), 0.5), "base.weight": draw(f"{name}.base", (out, n), 0.5),
              "base.bias": draw(f"{name}.bias", (out,))}
    normal = F.layer_norm(x, (n,), params["norm.weight"], params["norm.bias"])
    gaussians = torch.exp(-((normal[..., None] - torch.linspace(-2, 2, 8, dtype=torch.float64)) / (4 / 7)) ** 2)
    y = torch.einsum("...ij,oij->...o", gaussians, params["spline_weight"]) + F.linear(F.silu(x), params["base.weight"], params["base.bias"])
    finish(name, x, params, y, (0, 0, 0, 0, 1, 0, 1, 1, out))


def chebyshev(x, degree):
    u = torch.tanh(x)
    t = [torch.ones_like(u), u]
    for _ in range(2, degree + 1):
        t.append(2 * u * t[-1] - t[-2])
    return torch.stack(t, -1)


def cheb(name, shape, out, degree):
    x = draw(f"{name}.in", shape, 1.2)
    params = {"spline_weight": draw(f"{name}.spline", (shape[-1], out, degree + 1), 0.5)}
    y = torch.einsum("...ij,ioj->...o", chebyshev(x, degree), params["spline_weight"])
    finish(name, x, params, y, (0, degree, 0, 0, 1, 0, 1, 2, out))


def conv(name, shape, out, kernel, intervals, order, scaler="edge", silu_first=True, stride=1, padding=0, dilation=1, adaptive=False, basis=0):
    x = draw(f"{name}.in", shape, 1.2)
    patches = F.unfold(x, kernel, dilation=dilation, padding=padding, stride=stride).transpose(1, 2)
    taps = kernel * kernel
    if basis == 2:
        params = {"spline_weight": draw(f"{name}.spline", (shape[1] * taps, out, order + 1), 0.5)}
        y = torch.einsum("...ij,ioj->...o", chebyshev(patches, order), params["spline_weight"])
    else:
        params = parameters(name, out, shape[1] * taps, intervals + order, scaler)
        knots = knots_of(name, shape[1], intervals, order, adaptive)
        y = edges(patches, params, knots.repeat_interleave(taps, 0) if adaptive else knots, order, silu_first)
    rows = (shape[2] + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
    y = y.transpose(1, 2).reshape(shape[0], out, rows, -1)
    finish(name, x, params, y, (intervals, order, int(not silu_first), kernel, stride, padding, dilation, basis, out))


def main():
    philox.self_check()
    oracle.self_check()
    linear("linear", (4, 7), 3, 5, 3)
    linear("linear_rows", (2, 3, 5), 4, 3, 2, scaler="channel", silu_first=False)
    linear("linear_hats", (4, 5), 3, 2, 1, scaler="none")
    linear("linear_knots", (6, 5), 3, 5, 3, adaptive=True)
    rbf("rbf", (4, 6), 3)
    cheb("cheb", (4, 6), 3, 4)
    conv("conv", (2, 3, 5, 6), 4, 3, 5, 3, padding=1)
    conv("conv_published", (2, 3, 6, 5), 4, 3, 5, 3, scaler="channel", silu_first=False, padding=1)
    conv("conv_stride", (1, 4, 7, 6), 3, 3, 3, 2, scaler="none", stride=2, padding=2)
    conv("conv_dilation", (1, 2, 7, 8), 3, 3, 2, 1, scaler="channel", dilation=2, padding=1)
    conv("conv_pointwise", (2, 3, 4, 4), 3, 1, 2, 1, silu_first=False)
    conv("conv_bare", (1, 2, 4, 5), 2, 3, 3, 2, scaler="none", silu_first=False, padding=1)
    conv("conv_knots", (1, 3, 4, 5), 2, 3, 3, 2, padding=1, adaptive=True)
    conv("conv_cheb", (1, 3, 4, 5), 2, 3, 0, 3, padding=1, basis=2)
    METADATA["cases"] = ",".join(dict.fromkeys(key.split(".")[0] for key in TENSORS))
    oracle.save(os.path.join(os.path.dirname(os.path.abspath(__file__)), "kan.safetensors"), TENSORS, METADATA)


if __name__ == "__main__":
    main()
