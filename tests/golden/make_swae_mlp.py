# Makes swae_mlp.safetensors and swae_mlp_deep.safetensors: forward, losses, gradients and ten Adam steps.
# In: nothing but seed 42 (see README.md for the streams). Out: the two files, in the folder of this script.
# SPDX-License-Identifier: Apache-2.0

import math
import os

import numpy as np
import torch

import oracle
import philox

SEED, M, L, LAMBDA, STEPS = 42, 64, 50, 1.0, 10
WHOLE, SAMPLES = 4096, 2000  # parameters of up to WHOLE elements are stored whole, others as about SAMPLES elements

NETWORKS = {
    "swae_mlp": ("swae/mlp", "gelu", [125, 512, 16]),
    "swae_mlp_deep": ("swae/mlp-deep", "relu", [125, 512, 256, 16]),
}
ACTIVATIONS = {"gelu": torch.nn.functional.gelu, "relu": torch.relu}


def init_parameters(widths):
    """Both halves, in the order of the forward pass. Bounds and products in float32, then widened."""
    parameters = {}
    for half, w in (("encoder", widths), ("decoder", widths[::-1])):
        for i, (fan_in, fan_out) in enumerate(zip(w, w[1:]), start=1):
            bound = np.float32(1 / math.sqrt(fan_in))
            for kind, shape in (("weight", (fan_out, fan_in)), ("bias", (fan_out,))):
                name = f"{half}.fc{i}.{kind}"
                u = philox.uniform(SEED, f"init:{name}", 0, shape).astype(np.float32)
                parameters[name] = oracle.f64(bound * (np.float32(2) * u - np.float32(1))).requires_grad_()
    return parameters


def forward(parameters, activation, layers, x):
    """x: (m, 125). Activation after every linear layer but the last of each half. Returns latents and reconstruction."""

    def half(name, h):
        for i in range(1, layers + 1):
            h = torch.nn.functional.linear(h, parameters[f"{name}.fc{i}.weight"], parameters[f"{name}.fc{i}.bias"])
            h = activation(h) if i < layers else h
        return h

    z = half("encoder", x)
    return z, half("decoder", z)


def draws(step, k):
    """Directions (L, K), rows normalised in float64, and prior (M, K). A norm below 1e-12 would need a redraw; none comes."""
    theta = oracle.f64(philox.normal(SEED, "sw:theta", step, (L, k)))
    norm = theta.norm(dim=1, keepdim=True)
    assert norm.min() > 1e-12
    return theta / norm, oracle.f64(philox.normal(SEED, "sw:prior", step, (M, k)))


def stride_of(n):
    """1 for small tensors. Otherwise odd and coprime to n, so that the samples meet every row and every column."""
    if n <= WHOLE:
        return 1
    stride = n // SAMPLES | 1
    while math.gcd(stride, n) > 1:
        stride += 2
    return stride


def make(name):
    preset, activation, widths = NETWORKS[name]
    parameters = init_parameters(widths)
    x = oracle.f64(philox.normal(SEED, "golden:x", 0, (M, widths[0])))
    optimiser = torch.optim.Adam(parameters.values(), lr=2e-4, betas=(0.9, 0.999), eps=1e-8, weight_decay=0)
    tensors = {"x": x.numpy().astype(np.float32)}
    metadata = {
        "script": os.path.basename(__file__), "torch": torch.__version__, "preset": preset, "activation": activation,
        "widths": ",".join(map(str, widths)), "seed": str(SEED), "M": str(M), "L": str(L), "lambda": str(LAMBDA),
        "optimiser": "adam lr=2e-4 betas=0.9,0.999 eps=1e-8 clip=1.0",
    }

    def put(prefix, values):
        for key, value in values.items():
            flat, stride = value.detach().numpy().astype(np.float64), stride_of(value.numel())
            sample = flat if stride == 1 else flat.reshape(-1)[::stride]
            tensors[f"{prefix}.{key}"] = sample.astype(np.float32)
            tensors[f"{prefix}norm.{key}"] = np.array(np.sqrt((flat * flat).sum()))
            metadata[f"stride.{key}"] = str(stride)

    curve, norms = [], []
    for step in range(STEPS):
        z, y = forward(parameters, ACTIVATIONS[activation], len(widths) - 1, x)
        theta, prior = draws(step, widths[-1])
        mse, sw = oracle.mse(y, x), oracle.sliced_wasserstein(z, theta, prior)
        total = mse + LAMBDA * sw
        optimiser.zero_grad()
        total.backward()
        curve.append([mse.item(), sw.item(), total.item()])
        if step == 0:
            tensors.update({key: value.detach().numpy().astype(np.float32)
                            for key, value in (("theta", theta), ("prior", prior), ("z", z), ("y", y))})
            put("grad", {key: p.grad for key, p in parameters.items()})
        # total norm over all parameters; factor min(1, 1/(total + 1e-6)), as the training specification has it
        norms.append(torch.nn.utils.clip_grad_norm_(parameters.values(), 1.0).item())
        optimiser.step()
    put("param10", parameters)

    tensors.update(loss=np.array(curve[0]), curve=np.array(curve), grad_norm=np.array(norms))
    oracle.save(os.path.join(os.path.dirname(os.path.abspath(__file__)), f"{name}.safetensors"), tensors, metadata)
    print("  total loss", *(f"{c[2]:.6f}" for c in curve), "\n  norm", *(f"{n:.4f}" for n in norms))


if __name__ == "__main__":
    philox.self_check()
    oracle.self_check()
    for network in NETWORKS:
        make(network)
