# Makes spline.safetensors: B-spline bases by the recursion on tensors, as KAN implementations in PyTorch write it; values and gradients.
# In: nothing but seed 42. Out: the file, in the folder of this script; the naming is in README.md.
# SPDX-License-Identifier: Apache-2.0

import os

import torch

import oracle
import philox

SEED = 42
TENSORS, METADATA = {}, {"script": os.path.basename(__file__), "torch": torch.__version__, "seed": str(SEED)}


def draw(name, shape):
    return oracle.f64(philox.normal(SEED, f"spline:{name}", 0, tuple(shape)))


def bases(x, t, order):
    x = x.unsqueeze(-1)
    b = ((x >= t[..., :-1]) & (x < t[..., 1:])).to(x.dtype)
    for k in range(1, order + 1):
        b = ((x - t[..., :-k - 1]) / (t[..., k:-1] - t[..., :-k - 1]) * b[..., :-1] +
             (t[..., k + 1:] - x) / (t[..., k + 1:] - t[..., 1:-k]) * b[..., 1:])
    return b


def case(name, shape, order, intervals, low=-1.0, high=1.0, given=False):
    if given:
        t = torch.cumsum(draw(f"{name}.knots", (intervals + 2 * order + 1,)).abs() * 0.25 + 0.125, 0)
        t = oracle.f64(t.numpy() - t.mean().numpy())
        TENSORS[f"{name}.knots"] = t
    else:
        t = low + (high - low) / intervals * (torch.arange(intervals + 2 * order + 1, dtype=torch.float64) - order)
    x = draw(f"{name}.in", shape).requires_grad_()
    out = bases(x, t, order)
    weight = draw(f"{name}.w", out.shape)
    (out * weight).sum().backward()
    TENSORS.update({f"{name}.out": out, f"{name}.w": weight, f"{name}.in": x, f"{name}.grad": x.grad})
    METADATA[f"{name}.numbers"] = f"{intervals},{order},{low!r},{high!r}"


def main():
    philox.self_check()
    oracle.self_check()
    case("cubic", (4, 25), 3, 5)
    case("quadratic", (50,), 2, 3)
    case("linear", (50,), 1, 2)
    case("quintic", (50,), 5, 4, -2.0, 1.5)
    case("knots_3", (2, 3, 10), 3, 6, given=True)
    case("knots_2", (50,), 2, 4, given=True)
    METADATA["cases"] = ",".join(dict.fromkeys(key.split(".")[0] for key in TENSORS))
    oracle.save(os.path.join(os.path.dirname(os.path.abspath(__file__)), "spline.safetensors"), TENSORS, METADATA)


if __name__ == "__main__":
    main()
