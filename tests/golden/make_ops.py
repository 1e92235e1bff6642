# Makes ops.safetensors: forward values and gradients of single operations and losses, one case per name.
# In: nothing but seed 42. Out: the file, in the folder of this script; the naming is in README.md.
# SPDX-License-Identifier: Apache-2.0

import os

import numpy as np
import torch

import oracle
import philox

SEED = 42
TENSORS, METADATA = {}, {"script": os.path.basename(__file__), "torch": torch.__version__, "seed": str(SEED)}


def draw(name, shape, low=None, high=None, scale=1.0):
    """Normals times scale, or uniforms in [low, high): float32 values held in float64. Stream "ops:<name>"."""
    if low is None:
        return oracle.f64(scale * philox.normal(SEED, f"ops:{name}", 0, shape))
    return oracle.f64(low + (high - low) * philox.uniform(SEED, f"ops:{name}", 0, shape))


def case(name, function, *inputs, constant=(), **attributes):
    """Rounds the inputs to float32, stores function(*inputs) and the gradients of sum(out * w) but for constant inputs."""
    inputs = [oracle.f64(x).requires_grad_(i not in constant) for i, x in enumerate(inputs)]
    out = function(*inputs)
    w = draw(f"{name}.w", tuple(out.shape)) if out.dim() else draw(f"{name}.w", (1,)).reshape(())
    (out * w).sum().backward()
    TENSORS.update({f"{name}.out": out, f"{name}.w": w})
    for i, x in enumerate(inputs):
        TENSORS[f"{name}.in{i}"] = x
        if i not in constant:
            TENSORS[f"{name}.grad{i}"] = x.grad if x.grad.abs().max() > 1e-13 else torch.zeros_like(x.grad)  # a bias before a norm
    for key, value in attributes.items():
        METADATA[f"{name}.{key}"] = ",".join(map(str, value)) if isinstance(value, (tuple, list)) else str(value)


def elementwise():
    shape = (3, 5, 7)
    wide = {"scale": 2.0}
    positive = {"low": 0.05, "high": 4.0}
    unary = {
        "gelu": (lambda x: x / 2 * torch.erfc(-x / 2**0.5), wide),  # erf form; torch's own loses the left tail
        "relu": (torch.relu, wide),
        "tanh": (torch.tanh, wide),
        "sigmoid": (torch.sigmoid, wide),
        # torch's own softplus turns into the identity above 20, which costs nine digits
        "softplus": (lambda x: torch.logaddexp(x, torch.zeros_like(x)), wide),
        "exp": (torch.exp, wide),
        "log": (torch.log, positive),
        "sqrt": (torch.sqrt, positive),
        "abs": (torch.abs, wide),
        "square": (torch.square, wide),
        "log1p": (torch.log1p, {"low": -0.9, "high": 3.0}),
    }
    edges = {  # planted in the first elements: kinks, far tails and cancellation
        "gelu": (0, 8, -8, 1e-4), "relu": (0,), "abs": (0,), "square": (0,), "tanh": (0, 20, -20, 1e-4),
        "sigmoid": (0, 40, -40), "softplus": (0, 40, -40, 25), "exp": (0, -40, 10), "log": (1, 1e-20, 1e20),
        "sqrt": (1, 1e-20, 1e20), "log1p": (0, 1e-7, -1e-7),
    }
    for name, (function, kind) in unary.items():
        x = draw(f"{name}.in0", shape, **kind)
        x.view(-1)[: len(edges[name])] = oracle.f64(edges[name])
        case(name, function, x)
    low, high = -0.75, 1.25
    case("clamp", lambda x: x.clamp(low, high), draw("clamp.in0", shape), lo=low, hi=high)

    a, small = draw("binary.a", shape), {"51": (5, 1), "7": (7,)}
    for name, function in (("add", torch.add), ("sub", torch.sub), ("mul", torch.mul), ("div", torch.div)):
        for suffix, s in small.items():
            b = draw(f"binary.b{suffix}", s)
            b = b + 0.5 * b.sign()  # away from zero, for div
            case(f"{name}_{suffix}", function, a, b)
            case(f"{name}_{suffix}_swapped", function, b, a + 0.5 * a.sign())
        case(f"{name}_both", function, draw("binary.c", (3, 1, 7)), draw("binary.d", (5, 1), 0.5, 2.0))


def reductions():
    x = draw("reduce.in0", (2, 3, 5, 7))
    for axes in ((0,), (1,), (3,), (1, 2), (0, 2, 3), (0, 1, 2, 3)):
        suffix = "".join(map(str, axes))
        case(f"sum_{suffix}", lambda v: v.sum(axes), x, axes=axes)
        case(f"mean_{suffix}", lambda v: v.mean(axes), x, axes=axes)
        case(f"max_{suffix}", lambda v: v.amax(axes), x, axes=axes)
    logits = draw("softmax.in0", (3, 5, 7), scale=3.0)
    logits[0, 0] += 200  # overflows unless the row's maximum is taken off first
    case("softmax", lambda v: v.softmax(-1), logits, axis=-1)
    case("log_softmax", lambda v: v.log_softmax(-1), logits, axis=-1)

    s = draw("sort.in0", (13, 5))
    case("sort", lambda v: torch.sort(v, dim=0, stable=True).values, s, axis=0)
    ties = torch.round(2 * s) / 2 + 0.0
    case("sort_ties", lambda v: torch.sort(v, dim=0, stable=True).values, ties, axis=0)


def contractions():
    m, k, n = 5, 11, 7
    for name in ("nn", "nt", "tn", "tt"):
        a = draw(f"matmul_{name}.in0", (k, m) if name[0] == "t" else (m, k))
        b = draw(f"matmul_{name}.in1", (n, k) if name[1] == "t" else (k, n))
        flip = [axis == "t" for axis in name]
        case(f"matmul_{name}", lambda p, q: (p.T if flip[0] else p) @ (q.T if flip[1] else q), a, b)
    case("matmul_batched", torch.matmul, draw("matmul_batched.in0", (3, m, k)), draw("matmul_batched.in1", (3, k, n)))


def movement():
    x = draw("move.in0", (2, 3, 5, 7))
    for suffix, axes in (("2031", (2, 0, 3, 1)), ("0231", (0, 2, 3, 1))):
        case(f"permute_{suffix}", lambda v: v.permute(axes), x, axes=axes)
    case("slice", lambda v: v[:, 1:3, 2:5, 3:4], x, start=(0, 1, 2, 3), stop=(2, 3, 5, 4), step=(1, 1, 1, 1))
    case("slice_step", lambda v: v[1:2, ::2, 1:5:3, :6:2], x, start=(1, 0, 1, 0), stop=(2, 3, 5, 6), step=(1, 2, 3, 2))
    parts = [draw(f"concat.in{i}", (3, s, 7)) for i, s in enumerate((1, 5, 2))]
    case("concat", lambda *v: torch.cat(v, 1), *parts, axis=1)
    for name, value in (("pad", 0.0), ("pad_value", -1.5)):
        low, high = (0, 1, 0, 2), (0, 0, 3, 1)
        pairs = [p for axis in reversed(range(4)) for p in (low[axis], high[axis])]  # torch: last axis first
        case(name, lambda v: torch.nn.functional.pad(v, pairs, value=value), x, low=low, high=high, value=value)
    for shape, taken, axis in (((7, 5), (9, 5), 0), ((4, 7, 3), (4, 5, 3), 1)):
        index = draw(f"take_along_axis_{axis}.in1", taken, 0, shape[axis]).floor()
        case(f"take_along_axis_{axis}", lambda v, i: torch.take_along_dim(v, i.long(), axis),
             draw(f"take_along_axis_{axis}.in0", shape), index, constant=(1,), axis=axis)


def losses():
    shape = (7, 5)
    x = draw("loss.target", shape)
    y = x + draw("loss.difference", shape)
    y.view(-1)[:3] = x.view(-1)[:3]  # no difference: the gradient of an absolute value there is 0
    y.view(-1)[3:6] = x.view(-1)[3:6] + oracle.f64([4, -4, 50])  # both linear ends, and far out
    x.view(-1)[6:9], y.view(-1)[6:9] = oracle.f64([0, 1e-9, 0.001]), oracle.f64([3, -3, 0.1])  # clamped, if relative
    for function in (oracle.mse, oracle.l1, oracle.huber, oracle.logcosh, oracle.relative):
        case(function.__name__, function, y, x, constant=(1,))
    tiny = draw("loss.tiny", shape, scale=1e-7)  # the population std is below 1e-5, so eps is its floor
    case("relative_floor", oracle.relative, tiny * 1.5, tiny, constant=(1,))

    m, k, l = 7, 3, 4
    z, prior, theta = draw("sw.z", (m, k)), draw("sw.prior", (m, k)), draw("sw.theta", (l, k))
    theta = theta / theta.norm(dim=1, keepdim=True)  # unit but for the rounding to float32
    case("sliced_wasserstein", oracle.sliced_wasserstein, z, theta, prior, constant=(1, 2))
    case("sliced_wasserstein_m1", oracle.sliced_wasserstein, z[:1], theta, prior[:1], constant=(1, 2))
    case("log_loss", lambda y, x, z, t, p: oracle.log_loss(oracle.mse(y, x), oracle.sliced_wasserstein(z, t, p)),
         y, x, z, theta, prior, constant=(1, 3, 4), scale=1000, weight=0.1)


def clip():
    """Global norm clip of two gradients: out = total norm before, out0 and out1 = the gradients after."""
    for name, limit in (("clip_active", 1.0), ("clip_inactive", 100.0)):
        gradients = [draw(f"clip.in{i}", s) for i, s in enumerate(((5, 7), (11,)))]
        leaves = [torch.zeros_like(g) for g in gradients]
        for leaf, g in zip(leaves, gradients):
            leaf.grad = g.clone()
        total = torch.nn.utils.clip_grad_norm_(leaves, limit)
        assert (total > limit) == (name == "clip_active")
        TENSORS[f"{name}.out"] = total
        for i, (leaf, g) in enumerate(zip(leaves, gradients)):
            TENSORS.update({f"{name}.in{i}": g, f"{name}.out{i}": leaf.grad})
        METADATA[f"{name}.max_norm"] = str(limit)


def check_gradients():
    """Where a gradient has a closed form in the specification, it must be the stored one."""

    def near(name, i, expected):
        found = TENSORS[f"{name}.grad{i}"]
        error = (found - expected).abs().max() / expected.abs().max()
        if not error < 1e-13:
            raise SystemExit(f"{name}: gradient is off by {error:.1e}")

    t = {key: value.detach() for key, value in TENSORS.items()}
    d = t["mse.in0"] - t["mse.in1"]
    n, wl, wh = d.numel(), t["logcosh.w"], t["huber.w"]
    near("logcosh", 0, wl * torch.tanh(d) / n)
    near("huber", 0, wh * d.clamp(-1, 1) / n)
    x = t["relative.in1"]
    eps = 0.1 * (x - x.mean()).square().mean().sqrt()
    r = d.abs() / (x.abs() + eps)
    assert (r > 10).any() and (d == 0).any()
    slope = torch.where(r < 10, d.sign() / (x.abs() + eps), 0.0)
    near("relative", 0, t["relative.w"] * (1.8 * d + 0.1 * slope) / n)

    z, theta, prior = (t[f"sliced_wasserstein.in{i}"] for i in range(3))
    a, p = z @ theta.T, (prior @ theta.T).sort(dim=0).values
    gap = a - p.gather(0, a.argsort(dim=0).argsort(dim=0))
    near("sliced_wasserstein", 0, t["sliced_wasserstein.w"] * 2 / a.numel() * gap @ theta)
    sw, e, w = (gap * gap).mean(), (d * d).mean(), t["log_loss.w"]
    near("log_loss", 0, w * 1000 / (1 + 1000 * e) * 2 * d / n)
    near("log_loss", 2, w * 0.1 * 1000 / (1 + 1000 * sw) * 2 / a.numel() * gap @ theta)


if __name__ == "__main__":
    philox.self_check()
    oracle.self_check()
    for part in (elementwise, reductions, contractions, movement, losses, clip):
        part()
    check_gradients()
    METADATA["cases"] = ",".join(sorted({name.split(".")[0] for name in TENSORS}))
    TENSORS = {name: np.ascontiguousarray(value.detach().numpy()).reshape(value.shape) for name, value in TENSORS.items()}
    oracle.save(os.path.join(os.path.dirname(os.path.abspath(__file__)), "ops.safetensors"), TENSORS, METADATA)
