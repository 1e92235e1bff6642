# Makes kan_dae.safetensors and kan_dae_opt.safetensors: both denoising autoencoders of kan.md, sections 3.4 and 3.5, from the formulas: KAN layers
# as patches and the recursion, norms by their statistics. In: nothing but seed 42 (streams in README.md). Out: the files, in the folder of this
# script: results, losses, all gradients, running statistics and ten steps of a narrow network, results of the full one.
# SPDX-License-Identifier: Apache-2.0

import math
import os

import numpy as np
import torch
import torch.nn.functional as F

import oracle
import philox
from make_spline import bases
from make_swae_nets import stride_of

SEED, STEPS, BATCH, SIDE = 42, 10, 3, 32  # of two images, the norm over the batch makes +-1, whatever comes in
NARROW, FULL = (32, 12, 8, 16), (384, 128, 64, 16)


class Network:
    """Parameters made on first use; running statistics."""

    def __init__(self, opt, channels):
        self.opt, self.channels, self.parameters, self.states = opt, channels, {}, {}
        self.kan_grids = [(5, 3)] * 3 if opt else [(3, 2), (3, 2), (2, 1)]

    def get(self, name, shape):
        """1 +- 0.3 where 1 changes nothing, biases +- 0.2, other weights +- 1/sqrt(elements per index of the first axis)."""
        if name not in self.parameters:
            one = name.endswith("spline_scaler") or (len(shape) == 1 and name.endswith("weight"))
            bound = 0.3 if one else 0.2 if len(shape) == 1 else 1 / math.sqrt(math.prod(shape[1:]))
            u = np.float32(2) * philox.uniform(SEED, f"golden:{name}", 0, shape).astype(np.float32) - np.float32(1)
            self.parameters[name] = oracle.f64(np.float32(one) + np.float32(bound) * u).requires_grad_()
        return self.parameters[name]

    def bias(self, name, n, always=False):
        return None if self.opt and not always else self.get(f"{name}.bias", (n,))

    def norm(self, name, x):
        """Over all axes but the second; running statistics move by 0.1."""
        axes, c = [0, *range(2, x.dim())], x.shape[1]
        mean, var = x.mean(axes), x.var(axes, correction=0)
        for key, value, start in (("running_mean", mean, 0.0), ("running_var", x.var(axes, correction=1), 1.0)):
            old = self.states.get(f"{name}.{key}", torch.full((c,), start, dtype=torch.float64))
            self.states[f"{name}.{key}"] = 0.9 * old + 0.1 * value.detach()
        wide = (1, c, *[1] * (x.dim() - 2))
        x = (x - mean.reshape(wide)) / (var.reshape(wide) + 1e-5).sqrt()
        return x * self.get(f"{name}.weight", (c,)).reshape(wide) + self.get(f"{name}.bias", (c,)).reshape(wide)

    def conv(self, name, x, n, stride=2):
        y = F.conv2d(x, self.get(f"{name}.conv.weight", (n, x.shape[1], 3, 3)), self.bias(f"{name}.conv", n), stride=stride, padding=1)
        return F.elu(self.norm(f"{name}.bn", y))

    def up(self, name, x, n):
        w = self.get(f"{name}.deconv.weight", (x.shape[1], n, 3, 3))
        y = F.conv_transpose2d(x, w, self.bias(f"{name}.deconv", n), stride=2, padding=1, output_padding=1)
        return F.elu(self.norm(f"{name}.bn", y))

    def kan(self, name, x, n, k, grid):
        intervals, order = grid
        p = F.unfold(x, k, padding=k // 2).transpose(1, 2)
        base = self.get(f"{name}.base_weight", (n, p.shape[2]))
        c = self.get(f"{name}.spline_weight", (n, p.shape[2], intervals + order))
        s = self.get(f"{name}.spline_scaler", (n,) if self.opt else (n, p.shape[2]))
        knots = -1 + 2 / intervals * (torch.arange(intervals + 2 * order + 1, dtype=torch.float64) - order)
        splines = torch.einsum("bpij,oij->bpo", bases(p, knots, order), c * (s[:, None, None] if self.opt else s[..., None]))
        y = splines + (F.silu(p @ base.T) if self.opt else F.silu(p) @ base.T)
        return y.transpose(1, 2).reshape(x.shape[0], n, *x.shape[2:])

    def low(self, half, x, grid):
        x = self.kan(f"{half}.kan", x, self.channels[2], 3, grid)
        if self.opt:
            k = int(abs((math.log2(x.shape[1]) + 1) / 2)) | 1
            gate = F.conv1d(x.mean((2, 3))[:, None], self.get(f"{half}.eca.weight", (1, 1, k)), padding=k // 2)
            x = x * torch.sigmoid(gate).reshape(*x.shape[:2], 1, 1)
        return self.norm(f"{half}.bn", x)

    def bam(self, name, x):
        c = x.shape[1]
        r = max(1, c // 16)

        def linear(key, v, n):
            return F.linear(v, self.get(f"{name}.channel.{key}.weight", (n, v.shape[1])), self.bias(f"{name}.channel.{key}", n, True))

        def conv(key, v, n, k):
            w = self.get(f"{name}.spatial.{key}.weight", (n, v.shape[1], k, k))
            return F.conv2d(v, w, self.bias(f"{name}.spatial.{key}", n, True), padding=4 * (k // 2), dilation=4)

        a = self.norm(f"{name}.channel.bn", linear("fc2", F.relu(linear("fc1", x.mean((2, 3)), r)), c))
        b = conv("conv1", x, r, 1)
        b = F.relu(self.norm(f"{name}.spatial.bn2", conv("conv2", b, r, 3)))
        b = F.relu(self.norm(f"{name}.spatial.bn3", conv("conv3", b, r, 3)))
        b = self.norm(f"{name}.spatial.bn4", conv("conv4", b, 1, 1))
        return x + x * torch.sigmoid(a[:, :, None, None] + b)

    def forward(self, x):
        c, grids = self.channels, self.kan_grids
        e1 = self.conv("encoder.e1", x, c[0])
        e2 = self.conv("encoder.e2", e1, c[1])
        h = self.low("encoder", self.conv("encoder.e3", e2, c[2]), grids[0])
        encoded = self.up("encoder.d2", self.up("encoder.d1", h, c[1]) + e2, c[0]) + e1
        h = self.bam("bottleneck.bam1", self.conv("bottleneck.c1", encoded, c[0]))
        z = self.bam("bottleneck.bam2", self.conv("bottleneck.c2", h, c[3]))
        h = self.up("decoder.d1", self.up("bottleneck.d1", z, c[1]), c[1])
        h = self.conv("decoder.c2", self.conv("decoder.c1", h, c[1]), c[2])
        h = self.up("decoder.d2", self.low("decoder", h, grids[1]), c[1])
        h = self.up("decoder.d3", h + e2 if self.opt else h, c[0])
        h = self.up("decoder.d4", h + e1 if self.opt else h, c[0])
        return encoded, self.kan("decoder.kan_out", self.conv("decoder.out", h, 3, stride=1), 3, 1, grids[2]), z


def ssim(y, x):
    taps = torch.exp(-0.5 * ((torch.arange(11, dtype=torch.float64) - 5) / 1.5) ** 2)
    window = torch.outer(taps / taps.sum(), taps / taps.sum())[None, None]

    def blur(v):
        return F.conv2d(v.flatten(0, 1)[:, None], window)

    my, mx = blur(y), blur(x)
    vy, vx, c = blur(y * y) - my * my, blur(x * x) - mx * mx, blur(y * x) - my * mx
    return ((2 * my * mx + 1e-4) * (2 * c + 9e-4) / ((my * my + mx * mx + 1e-4) * (vy + vx + 9e-4))).mean()


def samples(key, value, tensors, metadata):
    flat, stride = value.detach().numpy().reshape(-1), stride_of(value.numel())
    tensors[key] = flat[::stride].astype(np.float32)
    metadata[f"stride.{key}"] = str(stride)


def make(name, opt):
    net = Network(opt, NARROW)
    x, target = (oracle.f64(philox.uniform(SEED, f"golden:{k}", 0, (BATCH, 3, SIDE, SIDE))) for k in ("noisy", "clean"))
    tensors, metadata = {}, {"script": os.path.basename(__file__), "torch": torch.__version__, "seed": str(SEED), "batch": str(BATCH), "side": str(SIDE),
                             "channels": ",".join(map(str, NARROW)), "optimiser": "adamw lr=2e-4 betas=0.9,0.95 eps=1e-8 decay=1e-4"}
    curve, optimiser = [], None
    for step in range(STEPS):
        encoded, decoded, z = net.forward(x)
        mse, structure = oracle.mse(decoded, target), 1 - ssim(decoded, target)
        total = mse + 0.1 * structure
        optimiser = optimiser or torch.optim.AdamW(net.parameters.values(), lr=2e-4, betas=(0.9, 0.95), eps=1e-8, weight_decay=1e-4)
        optimiser.zero_grad()
        total.backward()
        curve.append([mse.item(), structure.item(), total.item()])
        if step == 0:
            for key, value in (("encoded", encoded), ("decoded", decoded), ("z", z)):
                samples(key, value, tensors, metadata)
            for key, p in net.parameters.items():
                samples(f"grad.{key}", p.grad, tensors, metadata)
                tensors[f"gradnorm.{key}"] = p.grad.norm()
            tensors.update({f"state.{key}": value.numpy().astype(np.float32) for key, value in net.states.items()})
        optimiser.step()
    tensors["curve"] = np.array(curve)
    metadata["parameters"] = str(sum(p.numel() for p in net.parameters.values()))
    with torch.no_grad():
        full = Network(opt, FULL)
        for key, value in zip(("full.encoded", "full.decoded", "full.z"), full.forward(x)):
            samples(key, value, tensors, metadata)
            tensors[f"{key}.moments"] = torch.stack((value.mean(), value.std(correction=0)))
    metadata["full.parameters"] = str(sum(p.numel() for p in full.parameters.values()))
    oracle.save(os.path.join(os.path.dirname(os.path.abspath(__file__)), f"{name}.safetensors"), tensors, metadata)
    print(f"  {metadata['parameters']} and {metadata['full.parameters']} parameters; loss", *(f"{c[2]:.6f}" for c in curve))


if __name__ == "__main__":
    philox.self_check()
    oracle.self_check()
    make("kan_dae", False)
    make("kan_dae_opt", True)
