# Makes tfswa.safetensors: TFSWA-UNet of tfswa.md, sections 2 to 4, by the PyTorch module of bench/peers/pytorch/tfswa.py in float64.
# In: nothing but seed 42 (streams in README.md). Out: the file, in the folder of this script. Per case of CASES, from audio through STFT, network,
# masks and inverse: results, losses, all gradients and running statistics of a training step, and the result with running statistics; of the two
# named networks the result, of which "unet" is at full size (some minutes).
# SPDX-License-Identifier: Apache-2.0

import math
import os
import sys

import numpy as np
import torch

import oracle
import philox

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "bench", "peers", "pytorch"))
import tfswa  # noqa: E402

SEED, MOST = 42, 40  # tensors of up to MOST elements are stored whole, others as about MOST
STFT = (32, 8, 32)
RESOLUTIONS = ((32, 8, 32), (16, 4, 16), (64, 16, 64))
BATCH, SAMPLES = 2, 104

DEEP = {"depths": (1, 2, 1), "dims": (8, 12, 16), "window": 4, "shift": 2, "heads": 4, "mlp_ratio": 2}
FLAT = {"depths": (2, 1), "dims": (8, 12), "window": 5, "shift": 1, "heads": 2, "mlp_ratio": 3}
# channels, stems, inputs; factors of the magnitude, wave and multi-resolution losses
CASES = {
    "mono": ((1, 2, 2), (1, 0, 0), {**DEEP, "mask": "sigmoid", "window_mask": None}),
    "shift": ((2, 2, 4), (0, 1, 0.5), {**FLAT, "mask": "sigmoid", "window_mask": "shift"}),
    "all": ((2, 1, 2), (1, 0, 0), {**FLAT, "mask": "published", "window_mask": "all"}),
    "complex": ((1, 2, 4), (0, 1, 0), {**FLAT, "mask": "complex", "window_mask": None}),
}


def drawn(name, shape):
    return philox.uniform(SEED, f"golden:{name}", 0, shape).astype(np.float32)


def symmetric(name, shape, bound, middle=0.0):
    return oracle.f64(np.float32(middle) + np.float32(bound) * (np.float32(2) * drawn(name, shape) - np.float32(1)))


def draw_weights(net):
    """1 +- 0.3 where norms have weights, biases +- 0.2, other weights +- 1/sqrt(elements per index of the first axis); running means +- 0.2,
    running variances 1 +- 0.3."""
    with torch.no_grad():
        for name, p in net.named_parameters():
            one = p.dim() == 1 and name.endswith("weight")
            bound = 0.3 if one else 0.2 if p.dim() == 1 else 1 / math.sqrt(math.prod(p.shape[1:]))
            p.copy_(symmetric(name, tuple(p.shape), bound, float(one)))


def draw_states(net):
    for name, b in net.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            variance = name.endswith("var")
            b.copy_(symmetric(name, tuple(b.shape), 0.3 if variance else 0.2, float(variance)))


def build(inputs, outputs, attention="naive", **options):
    net = tfswa.TFSWAUNet(inputs, outputs, attention=attention, **options).double()
    draw_weights(net)
    return net


def spectrum(x, n, hop, window):
    """(..., samples) to (..., F, T), complex."""
    s = torch.stft(x.reshape(-1, x.shape[-1]), n, hop, window, torch.hann_window(window, dtype=torch.float64), pad_mode="reflect", return_complex=True)
    return s.reshape(*x.shape[:-1], *s.shape[1:])


def wave(s, n, hop, window):
    x = torch.istft(s.reshape(-1, *s.shape[-2:]), n, hop, window, torch.hann_window(window, dtype=torch.float64), length=SAMPLES)
    return x.reshape(*s.shape[:-2], SAMPLES)


def magnitude(s):
    return s.abs()


def mrstft(y, x):
    loss = 0
    for r in RESOLUTIONS:
        a, b = magnitude(spectrum(y, *r)), magnitude(spectrum(x, *r))
        loss = loss + (a - b).abs().mean() + ((a + 1e-5).log() - (b + 1e-5).log()).abs().mean()
    return loss / len(RESOLUTIONS)


def parts(s):
    """Complex (..., c, F, T) as (..., 2 c, F, T): Re of all channels, then Im."""
    return torch.cat((s.real, s.imag), -3)


class File:
    def __init__(self):
        self.tensors, self.metadata = {}, {"script": os.path.basename(__file__), "torch": torch.__version__, "seed": str(SEED), "cases": ",".join(CASES)}

    def samples(self, key, value, most=MOST):
        """All, or every so manieth: a step that is coprime to the number of elements, so that all axes are met."""
        flat = value.detach().numpy().reshape(-1)
        stride = 1 if flat.size <= most else flat.size // most | 1
        while stride > 1 and math.gcd(stride, flat.size) > 1:
            stride += 2
        self.tensors[key] = flat[::stride].astype(np.float32)
        self.metadata[f"stride.{key}"] = str(stride)


def make_case(file, case):
    (channels, stems, inputs), factors, options = CASES[case]
    net = build(inputs, 2 * stems, **options)
    target = symmetric("stems", (BATCH, stems, channels, SAMPLES), 0.5)
    wanted = spectrum(target, *STFT)
    mixture = wanted.sum(1) if stems > 1 else spectrum(symmetric("mixture", (BATCH, channels, SAMPLES), 0.5), *STFT)

    def run():
        o = net(tfswa.network_input(mixture, inputs))
        return o, tfswa.apply_mask(o, mixture, options["mask"])

    o, spectra = run()
    waves = wave(spectra, *STFT)
    flat = (BATCH * stems, channels, SAMPLES)
    terms = [(magnitude(spectra) - magnitude(wanted)).abs().mean(), (waves - target).abs().mean(), mrstft(waves.reshape(flat), target.reshape(flat))]
    sum(f * t for f, t in zip(factors, terms)).backward()
    for key, value in (("o", o), ("spectra", parts(spectra)), ("waves", waves)):
        file.samples(f"{case}.{key}", value, 700)
    file.tensors[f"{case}.terms"] = torch.stack(terms)
    for name, p in net.named_parameters():
        file.samples(f"{case}.grad.{name}", p.grad)
        file.tensors[f"{case}.gradnorm.{name}"] = p.grad.norm()
    for name, b in net.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            file.samples(f"{case}.state.{name}", b)
    draw_states(net)
    net.eval()
    with torch.no_grad():
        file.samples(f"{case}.used", run()[0], 700)
    file.metadata[f"{case}.parameters"] = str(sum(p.numel() for p in net.parameters()))
    print(f"  {case}: {file.metadata[f'{case}.parameters']} parameters, terms", *(f"{t.item():.6f}" for t in terms))


def make_named(file, name, options, shape):
    """The result with running statistics, and its mean and mean of squares."""
    net = build(2, 2, attention="sdpa", **options).eval()
    draw_states(net)
    with torch.no_grad():
        o = net(symmetric("x", shape, 0.5))
    file.samples(f"{name}.used", o, 2000)
    file.tensors[f"{name}.moments"] = torch.stack((o.mean(), o.square().mean()))
    print(f"  {name}: results from {o.min().item():.4f} to {o.max().item():.4f}, mean {o.mean().item():.6f}")


if __name__ == "__main__":
    philox.self_check()
    file = File()
    for case in CASES:
        make_case(file, case)
    make_named(file, "small", tfswa.SMALL, (1, 2, 128, 64))
    make_named(file, "unet", tfswa.UNET, (1, 2, 1025, 259))
    oracle.save(os.path.join(HERE, "tfswa.safetensors"), file.tensors, file.metadata)
