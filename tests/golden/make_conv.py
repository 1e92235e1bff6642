# Makes conv.safetensors: convolutions and transposed convolutions over one to three axes, values and gradients.
# In: nothing but seed 42. Out: the file, in the folder of this script; the naming is in README.md.
# SPDX-License-Identifier: Apache-2.0

import os

import torch
import torch.nn.functional as F

import oracle
import philox

SEED = 42
TENSORS, METADATA = {}, {"script": os.path.basename(__file__), "torch": torch.__version__, "seed": str(SEED)}
FUNCTIONS = {False: (F.conv1d, F.conv2d, F.conv3d), True: (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)}


def draw(name, shape):
    return oracle.f64(philox.normal(SEED, f"conv:{name}", 0, tuple(shape)))


def case(name, x, w, transposed=False, bias=True, **options):
    spatial = len(x) - 2
    inputs = [draw(f"{name}.in0", x), draw(f"{name}.in1", w)]
    if bias:
        inputs.append(draw(f"{name}.in2", (w[1] * options.get("groups", 1) if transposed else w[0],)))
    inputs = [v.requires_grad_() for v in inputs]
    out = FUNCTIONS[transposed][spatial - 1](*inputs, **options)
    weight = draw(f"{name}.w", out.shape)
    (out * weight).sum().backward()
    TENSORS.update({f"{name}.out": out, f"{name}.w": weight})
    for i, v in enumerate(inputs):
        TENSORS.update({f"{name}.in{i}": v, f"{name}.grad{i}": v.grad})
    for key in ("stride", "padding", "dilation", "output_padding", "groups"):
        value = options.get(key, 0)
        METADATA[f"{name}.{key}"] = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
    METADATA[f"{name}.transposed"] = str(int(transposed))


def main():
    philox.self_check()
    oracle.self_check()
    case("conv1", (2, 3, 17), (5, 3, 4), stride=(3,), padding=(2,), dilation=(2,))
    case("conv1_depthwise", (2, 4, 9), (4, 1, 3), groups=4, padding=(1,), bias=False)
    case("conv2", (2, 4, 7, 6), (6, 2, 3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2), groups=2)
    case("conv2_point", (2, 5, 3, 4), (7, 5, 1, 1))
    case("conv3_block", (3, 2, 5, 5, 5), (4, 2, 3, 3, 3), padding=(1, 1, 1))
    case("conv3_stride", (2, 2, 6, 5, 4), (3, 2, 3, 2, 3), stride=(2, 1, 2), padding=(1, 1, 0), dilation=(1, 2, 1))
    case("up1", (2, 3, 6), (3, 4, 5), True, stride=(3,), padding=(2,), output_padding=(2,), dilation=(2,))
    case("up2", (2, 4, 4, 3), (4, 3, 3, 2), True, stride=(2, 3), padding=(1, 0), output_padding=(1, 2), groups=2)
    case("up2_sparse", (1, 2, 3, 3), (2, 3, 2, 1), True, stride=(4, 3), bias=False)
    case("up3_k2s2", (2, 4, 2, 2, 2), (4, 3, 2, 2, 2), True, stride=(2, 2, 2))
    case("up3_k3s2", (2, 3, 2, 2, 2), (3, 2, 3, 3, 3), True, stride=(2, 2, 2), padding=(1, 1, 1), output_padding=(1, 1, 1))
    METADATA["cases"] = ",".join(dict.fromkeys(key.split(".")[0] for key in TENSORS))
    oracle.save(os.path.join(os.path.dirname(os.path.abspath(__file__)), "conv.safetensors"), TENSORS, METADATA)


if __name__ == "__main__":
    main()
