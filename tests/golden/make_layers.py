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


def norms():
    """in1 and in2 are weight and bias. `_last`: the same with the channels as the last axis."""
    x, small = draw("norm.x", (4, 6, 3, 5)), draw("norm.small", (4, 6, 3, 5), scale=1e-2)
    weight, bias = draw("norm.weight", (6,), 0.5, 1.5), draw("norm.bias", (6,))
    last = lambda v: v.permute(0, 2, 3, 1).contiguous()
    first = lambda v: v.permute(0, 3, 1, 2)
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
    w2, b2 = draw("norm.weight2", (3, 5), 0.5, 1.5), draw("norm.bias2", (3, 5))
    case("layer_norm_2", lambda v, w, b: F.layer_norm(v, (3, 5), w, b), x, w2, b2)
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


EXTRA = {}  # not cases
PARTS = [activations, norms, running]

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
