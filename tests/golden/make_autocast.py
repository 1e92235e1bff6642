# Makes autocast.safetensors: the loss curves of 100 Adam steps under bf16 autocast, with float32 weights and losses.
# In: nothing but seed 42 (see README.md for the streams). Out: per network mse, sliced-Wasserstein and total loss of every step.
# SPDX-License-Identifier: Apache-2.0

import os

import numpy as np
import torch

import make_swae_mlp as golden
import oracle
import philox

STEPS = 100


def curve(name, autocast):
    _, activation, widths = golden.NETWORKS[name]
    parameters = {k: p.detach().float().requires_grad_() for k, p in golden.init_parameters(widths).items()}
    x = oracle.f64(philox.normal(golden.SEED, "golden:x", 0, (golden.M, widths[0]))).float()
    optimiser = torch.optim.Adam(parameters.values(), lr=2e-4)
    rows = []
    for step in range(STEPS):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
            z, y = golden.forward(parameters, golden.ACTIVATIONS[activation], len(widths) - 1, x)
        theta, prior = (v.float() for v in golden.draws(step, widths[-1]))
        mse, sw = oracle.mse(y.float(), x), oracle.sliced_wasserstein(z.float(), theta, prior)
        optimiser.zero_grad()
        (mse + sw).backward()
        torch.nn.utils.clip_grad_norm_(parameters.values(), 1.0)
        optimiser.step()
        rows.append([mse.item(), sw.item(), mse.item() + sw.item()])
    return np.array(rows)


if __name__ == "__main__":
    philox.self_check()
    curves = {name: curve(name, True) for name in golden.NETWORKS}
    for name, rows in curves.items():
        exact = curve(name, False)
        print(f"{name}: autocast and f32 differ by at most", np.abs(rows / exact - 1).max(axis=0))
    oracle.save(os.path.join(os.path.dirname(os.path.abspath(__file__)), "autocast.safetensors"), curves,
                {"script": os.path.basename(__file__), "torch": torch.__version__, "seed": str(golden.SEED), "steps": str(STEPS)})
