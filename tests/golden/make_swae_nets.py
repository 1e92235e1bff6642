# Makes swae_{gmlp,conv,conv_opt,conv7,gdn}.safetensors: forward, losses, all gradients, batch-norm statistics, three Adam steps.
# In: nothing but seed 42 (see README.md for the streams). Out: the five files, in the folder of this script.
# SPDX-License-Identifier: Apache-2.0

import math
import os

import numpy as np
import torch
from torch.nn import functional as F

import oracle
import philox

SEED, M, L, STEPS = 42, 8, 50, 3
WHOLE, SAMPLES = 1024, 700  # gradients of up to WHOLE elements are stored whole, others as about SAMPLES elements


class Network:
    """Parameters made on first use, in the order of the forward pass; running statistics updated by it."""

    def __init__(self):
        self.parameters, self.states = {}, {}

    def uniform(self, name, shape, bound):
        if name not in self.parameters:
            u = philox.uniform(SEED, f"init:{name}", 0, shape).astype(np.float32)
            self.parameters[name] = oracle.f64(np.float32(bound) * (np.float32(2) * u - np.float32(1))).requires_grad_()
        return self.parameters[name]

    def constant(self, name, value):
        if name not in self.parameters:
            self.parameters[name] = oracle.f64(value).requires_grad_()
        return self.parameters[name]

    def linear(self, name, x, n):
        bound = 1 / math.sqrt(x.shape[1])
        return F.linear(x, self.uniform(f"{name}.weight", (n, x.shape[1]), bound), self.uniform(f"{name}.bias", (n,), bound))

    def conv(self, name, x, n, stride):
        bound = 1 / math.sqrt(x.shape[1] * 27)
        w = self.uniform(f"{name}.weight", (n, x.shape[1], 3, 3, 3), bound)
        return F.conv3d(x, w, self.uniform(f"{name}.bias", (n,), bound), stride=stride, padding=1)

    def deconv(self, name, x, n, kernel, stride, padding, output_padding):
        bound = 1 / math.sqrt(n * kernel**3)
        w = self.uniform(f"{name}.weight", (x.shape[1], n, kernel, kernel, kernel), bound)
        return F.conv_transpose3d(x, w, self.uniform(f"{name}.bias", (n,), bound), stride=stride, padding=padding,
                                  output_padding=output_padding)

    def batch_norm(self, name, x):
        c = x.shape[1]
        for key, value in (("running_mean", 0.0), ("running_var", 1.0)):
            self.states.setdefault(f"{name}.{key}", torch.full((c,), value, dtype=torch.float64))
        weight, bias = self.constant(f"{name}.weight", np.ones(c)), self.constant(f"{name}.bias", np.zeros(c))
        return F.batch_norm(x, self.states[f"{name}.running_mean"], self.states[f"{name}.running_var"], weight, bias,
                            training=True, momentum=0.1, eps=1e-5)

    def gdn(self, name, x, inverse):
        c = x.shape[1]
        beta, gamma = self.constant(f"{name}.beta", np.ones(c)), self.constant(f"{name}.gamma", 0.1 * np.eye(c))
        pool = torch.einsum("ij,bj...->bi...", gamma.abs(), x * x) + beta.clamp(min=1e-6).reshape(1, c, *[1] * (x.ndim - 2))
        return x * pool.sqrt() if inverse else x / pool.sqrt()


def glu(net, name, x, n):
    u, v = net.linear(f"{name}.w1", x, 2 * n).chunk(2, dim=1)
    return net.linear(f"{name}.p", F.gelu(u) * v, n) + net.linear(f"{name}.f", x, n)


def gmlp(net, x):
    h = F.gelu(net.linear("encoder.fc1", x, 256))
    h = glu(net, "encoder.block2", glu(net, "encoder.block1", h, 256), 256)
    z = net.linear("encoder.fc2", h, 16)
    h = net.linear("decoder.fc1", z, 256)
    h = glu(net, "decoder.block2", glu(net, "decoder.block1", h, 256), 256)
    return z, net.linear("decoder.fc2", F.gelu(h), 125)


def conv(net, x):
    h = x.reshape(-1, 1, 5, 5, 5)
    for i, (channels, stride) in enumerate(((32, 2), (64, 2), (128, 1), (256, 1)), start=1):
        h = net.conv(f"encoder.stage{i}.conv1", h, channels, stride)
        h = net.conv(f"encoder.stage{i}.conv2", h, channels, 1)
        h = torch.relu(net.batch_norm(f"encoder.stage{i}.bn", h))
    z = net.linear("encoder.fc", h.flatten(1), 16)
    h = net.linear("decoder.fc", z, 2048).reshape(-1, 256, 2, 2, 2)
    for i, (channels, stride, more) in enumerate(((128, 1, 0), (64, 1, 0), (32, 2, 1)), start=1):
        h = net.deconv(f"decoder.stage{i}.deconv", h, channels, 3, stride, 1, more)
        h = torch.relu(net.batch_norm(f"decoder.stage{i}.bn", h))
    return z, net.deconv("decoder.stage4.deconv", h, 1, 2, 1, 0, 0).flatten(1)


def conv_opt(net, x):
    h = x.reshape(-1, 1, 5, 5, 5)
    for i, (channels, stride) in enumerate(((32, 2), (64, 2), (128, 1), (256, 1)), start=1):
        h = torch.relu(net.conv(f"encoder.stage{i}.conv1", h, channels, stride))
    z = net.linear("encoder.fc", h.flatten(1), 16)
    h = net.linear("decoder.fc", z, 2048).reshape(-1, 256, 2, 2, 2)
    for i, (channels, stride) in enumerate(((128, 1), (64, 1), (32, 2)), start=1):
        h = torch.relu(net.deconv(f"decoder.stage{i}.deconv", h, channels, 3, stride, 1, 0))
    return z, net.deconv("decoder.stage4.deconv", h, 1, 3, 2, 1, 0).flatten(1)


def conv7(net, x):
    h = x.reshape(-1, 1, 7, 7, 7)
    for i, channels in enumerate((32, 64, 128), start=1):
        h = net.conv(f"encoder.stage{i}.conv1", h, channels, 2)
        h = net.conv(f"encoder.stage{i}.conv2", h, channels, 1)
        h = torch.relu(net.batch_norm(f"encoder.stage{i}.bn", h))
    z = net.linear("encoder.fc", h.flatten(1), 16)
    h = net.linear("decoder.fc", z, 128).reshape(-1, 128, 1, 1, 1)
    for i, channels in enumerate((64, 32), start=1):
        h = net.deconv(f"decoder.stage{i}.deconv", h, channels, 3, 2, 1, 1)
        h = torch.relu(net.batch_norm(f"decoder.stage{i}.bn", h))
    return z, net.deconv("decoder.stage3.deconv", h, 1, 3, 2, 1, 1)[:, :, :7, :7, :7].flatten(1)


def gdn(net, x):
    """conv-opt with two small stages, GDN and int8 latents."""
    h = x.reshape(-1, 1, 5, 5, 5)
    for i, channels in enumerate((8, 12), start=1):
        h = net.gdn(f"encoder.stage{i}.gdn", net.conv(f"encoder.stage{i}.conv1", h, channels, 2), False)
    z = net.linear("encoder.fc", h.flatten(1), 16)
    scale = (z.detach().abs().amax(dim=1, keepdim=True) / 127).clamp(min=1e-30)
    z = (z.detach() / scale).round() * scale + (z - z.detach())
    h = net.linear("decoder.fc", z, 96).reshape(-1, 12, 2, 2, 2)
    h = net.gdn("decoder.stage1.gdn", net.deconv("decoder.stage1.deconv", h, 8, 3, 2, 1, 0), True)
    return z, net.deconv("decoder.stage2.deconv", h, 1, 3, 2, 1, 0).flatten(1)


NETWORKS = {  # lambda as published
    "swae_gmlp": (gmlp, 125, 1.2), "swae_conv": (conv, 125, 0.9), "swae_conv_opt": (conv_opt, 125, 0.9), "swae_conv7": (conv7, 343, 10.0),
    "swae_gdn": (gdn, 125, 0.9),
}


def draws(step, k):
    """Directions (L, K), rows normalised in float64, and prior (M, K)."""
    theta = oracle.f64(philox.normal(SEED, "sw:theta", step, (L, k)))
    norm = theta.norm(dim=1, keepdim=True)
    assert norm.min() > 1e-12
    return theta / norm, oracle.f64(philox.normal(SEED, "sw:prior", step, (M, k)))


def stride_of(n):
    """1 for small tensors. Otherwise odd and coprime to n, so that the samples meet every axis."""
    if n <= WHOLE:
        return 1
    stride = n // SAMPLES | 1
    while math.gcd(stride, n) > 1:
        stride += 2
    return stride


def make(name):
    forward, values, weight = NETWORKS[name]
    net = Network()
    x = oracle.f64(philox.normal(SEED, "golden:x", 0, (M, values)))
    tensors = {"x": x.numpy().astype(np.float32)}
    metadata = {"script": os.path.basename(__file__), "torch": torch.__version__, "seed": str(SEED), "lambda": str(weight),
                "optimiser": "adam lr=2e-4 betas=0.9,0.999 eps=1e-8 clip=1.0"}
    curve, norms, optimiser = [], [], None
    for step in range(STEPS):
        z, y = forward(net, x)
        theta, prior = draws(step, z.shape[1])
        mse, sw = oracle.mse(y, x), oracle.sliced_wasserstein(z, theta, prior)
        total = mse + weight * sw
        optimiser = optimiser or torch.optim.Adam(net.parameters.values(), lr=2e-4, betas=(0.9, 0.999), eps=1e-8)
        optimiser.zero_grad()
        total.backward()
        curve.append([mse.item(), sw.item(), total.item()])
        if step == 0:
            tensors.update({key: value.detach().numpy().astype(np.float32)
                            for key, value in (("theta", theta), ("prior", prior), ("z", z), ("y", y))})
            for key, p in net.parameters.items():
                flat, stride = p.grad.numpy().reshape(-1), stride_of(p.numel())
                tensors[f"grad.{key}"] = flat[::stride].astype(np.float32)
                tensors[f"gradnorm.{key}"] = np.array(np.sqrt((flat * flat).sum()))
                metadata[f"stride.{key}"] = str(stride)
        norms.append(torch.nn.utils.clip_grad_norm_(net.parameters.values(), 1.0).item())
        optimiser.step()
        if step == 0:
            tensors.update({f"state.{key}": value.numpy().astype(np.float32) for key, value in net.states.items()})
    tensors.update(curve=np.array(curve), grad_norm=np.array(norms))
    count = sum(p.numel() for p in net.parameters.values())
    metadata["parameters"] = str(count)
    oracle.save(os.path.join(os.path.dirname(os.path.abspath(__file__)), f"{name}.safetensors"), tensors, metadata)
    print(f"  {count} parameters; total loss", *(f"{c[2]:.6f}" for c in curve), "norm", *(f"{n:.4f}" for n in norms))


if __name__ == "__main__":
    philox.self_check()
    oracle.self_check()
    for network in NETWORKS:
        make(network)
