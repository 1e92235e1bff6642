# Makes optim.safetensors: weights after each of six updates by PyTorch's optimisers, one case per name.
# In: nothing but seed 42. Out: the file, in the folder of this script; the naming is in README.md.
# SPDX-License-Identifier: Apache-2.0

import os

import torch

import oracle
import philox

SEED, STEPS = 42, 6
SHAPES = {"fc.weight": (5, 7), "fc.bias": (5,), "out.weight": (3, 5), "out.bias": (3,)}
TENSORS, METADATA = {}, {"script": os.path.basename(__file__), "torch": torch.__version__, "seed": str(SEED)}


def draw(name, shape):
    return oracle.f64(philox.normal(SEED, f"optim:{name}", 0, shape))


def case(name, make, bias=None, max_norm=0.0, **attributes):
    """make(groups) -> optimiser; `bias`: lr factor and weight decay of the parameters named *.bias."""
    params = {key: torch.nn.Parameter(draw(key, shape)) for key, shape in SHAPES.items()}
    lr, decay = attributes["lr"], attributes["weight_decay"]
    groups = [{"params": [p for key, p in params.items() if not key.endswith(".bias")], "lr": lr, "weight_decay": decay},
              {"params": [p for key, p in params.items() if key.endswith(".bias")],
               "lr": lr * (bias[0] if bias else 1), "weight_decay": bias[1] if bias else decay}]
    optimiser = make(groups)
    for step in range(STEPS):
        for key, p in params.items():
            p.grad = draw(f"{key}.grad{step}", SHAPES[key])
            TENSORS.setdefault(f"grad{step}.{key}", p.grad.clone())
        if max_norm:
            torch.nn.utils.clip_grad_norm_(params.values(), max_norm)
        optimiser.step()
        for key, p in params.items():
            TENSORS[f"{name}.{step}.{key}"] = p.detach().clone()
    for key, p in SHAPES.items():
        TENSORS.setdefault(f"start.{key}", draw(key, p))
    attributes |= {"max_norm": max_norm} | ({"bias_lr": bias[0], "bias_decay": bias[1]} if bias else {})
    for key, value in attributes.items():
        METADATA[f"{name}.{key}"] = str(value)


def sgd(name, momentum=0.0, nesterov=False, decay=0.0, **more):
    case(name, lambda groups: torch.optim.SGD(groups, momentum=momentum, nesterov=nesterov), kind="sgd", lr=0.05, momentum=momentum,
         nesterov=int(nesterov), weight_decay=decay, **more)


def adam(name, kind, amsgrad=False, decay=0.0, **more):
    make = torch.optim.AdamW if kind == "adamw" else torch.optim.Adam
    case(name, lambda groups: make(groups, betas=(0.8, 0.9), eps=1e-8, amsgrad=amsgrad), kind=kind, lr=0.01, beta1=0.8, beta2=0.9,
         amsgrad=int(amsgrad), weight_decay=decay, **more)


if __name__ == "__main__":
    sgd("sgd")
    sgd("sgd_decay", decay=0.1)
    sgd("sgd_momentum", momentum=0.9, decay=0.1)
    sgd("sgd_nesterov", momentum=0.9, nesterov=True, decay=0.1)
    sgd("sgd_groups", momentum=0.9, decay=0.1, bias=(0.5, 0.0))
    sgd("sgd_clipped", momentum=0.9, max_norm=2.0)
    adam("adam_decay", "adam", decay=0.1)
    adam("adam_amsgrad", "adam", amsgrad=True, decay=0.1)
    adam("adamw_amsgrad", "adamw", amsgrad=True, decay=0.1)
    adam("adam_groups", "adam", decay=0.1, bias=(3.0, 0.0))
    adam("adamw_groups", "adamw", decay=0.1, bias=(0.5, 0.0), max_norm=2.0)
    METADATA["cases"] = ",".join(sorted({key.split(".")[0] for key in METADATA if "." in key}))
    oracle.save(os.path.join(os.path.dirname(os.path.abspath(__file__)), "optim.safetensors"), TENSORS, METADATA)
