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


PARTS = [activations]

if __name__ == "__main__":
    philox.self_check()
    oracle.self_check()
    for part in PARTS:
        part()
    make_ops.METADATA["script"] = os.path.basename(__file__)
    make_ops.METADATA["cases"] = ",".join(sorted({name.split(".")[0] for name in make_ops.TENSORS}))
    tensors = {name: np.ascontiguousarray(value.detach().numpy()).reshape(value.shape) for name, value in make_ops.TENSORS.items()}
    oracle.save(os.path.join(os.path.dirname(os.path.abspath(__file__)), "layers.safetensors"), tensors, make_ops.METADATA)
