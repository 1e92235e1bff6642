# Makes attention.safetensors: scaled dot-product attention and nn.MultiheadAttention, values and gradients.
# In: nothing but seed 42. Out: the file, in the folder of this script; the naming is in README.md.
# SPDX-License-Identifier: Apache-2.0

import os

import torch
import torch.nn.functional as F

import oracle
import philox

SEED = 42
TENSORS, METADATA = {}, {"script": os.path.basename(__file__), "torch": torch.__version__, "seed": str(SEED)}


def draw(name, shape):
    return oracle.f64(philox.normal(SEED, f"attention:{name}", 0, tuple(shape)))


def finish(name, out, inputs):
    weight = draw(f"{name}.w", out.shape)
    (out * weight).sum().backward()
    TENSORS.update({f"{name}.out": out, f"{name}.w": weight})
    for key, v in inputs.items():
        TENSORS.update({f"{name}.{key}": v, f"{name}.grad_{key}": v.grad})


def attention(name, q, k, v, mask=None, scale=0.0):
    inputs = {"q": draw(f"{name}.q", q), "k": draw(f"{name}.k", k), "v": draw(f"{name}.v", v)}
    if mask:
        inputs["mask"] = draw(f"{name}.mask", mask)
    inputs = {key: x.requires_grad_() for key, x in inputs.items()}
    out = F.scaled_dot_product_attention(inputs["q"], inputs["k"], inputs["v"], attn_mask=inputs.get("mask"), scale=scale or None)
    METADATA[f"{name}.scale"] = repr(scale)
    finish(name, out, inputs)


def multihead(name, e, heads, query, key_value=None, bias=True):
    c = key_value[2] if key_value else e
    layer = torch.nn.MultiheadAttention(e, heads, bias=bias, kdim=c, vdim=c, batch_first=True, dtype=torch.float64)
    inputs = {"query": draw(f"{name}.query", query).requires_grad_()}
    if key_value:
        inputs["key_value"] = draw(f"{name}.key_value", key_value).requires_grad_()
    for key, parameter in layer.named_parameters():
        parameter.data = draw(f"{name}.{key}", parameter.shape) * 0.5
        inputs[key] = parameter
    source = inputs.get("key_value", inputs["query"])
    out, _ = layer(inputs["query"], source, source, need_weights=False)
    METADATA[f"{name}.heads"] = str(heads)
    METADATA[f"{name}.parameters"] = ",".join(key for key, _ in layer.named_parameters())
    finish(name, out, inputs)


def main():
    philox.self_check()
    oracle.self_check()
    attention("plain", (2, 2, 5, 4), (2, 2, 7, 4), (2, 2, 7, 3))
    attention("scaled", (1, 3, 6, 5), (1, 3, 6, 5), (1, 3, 6, 5), scale=0.3)
    attention("tiles", (1, 1, 60, 3), (1, 1, 150, 3), (1, 1, 150, 2))
    attention("biased", (2, 2, 5, 4), (2, 2, 7, 4), (2, 2, 7, 4), mask=(1, 2, 5, 7))
    attention("by_key", (2, 2, 5, 4), (2, 2, 7, 4), (2, 2, 7, 4), mask=(2, 1, 1, 7))
    multihead("self", 6, 3, (2, 5, 6))
    multihead("self_no_bias", 6, 2, (2, 5, 6), bias=False)
    multihead("cross", 6, 2, (2, 5, 6), (2, 4, 6))
    multihead("cross_wide", 4, 2, (2, 5, 4), (2, 3, 7))
    names = list(dict.fromkeys(key.split(".")[0] for key in TENSORS))
    METADATA["attentions"] = ",".join(n for n in names if f"{n}.scale" in METADATA)
    METADATA["layers"] = ",".join(n for n in names if f"{n}.heads" in METADATA)
    oracle.save(os.path.join(os.path.dirname(os.path.abspath(__file__)), "attention.safetensors"), TENSORS, METADATA)


if __name__ == "__main__":
    main()
