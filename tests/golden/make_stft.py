# Makes stft.safetensors: torch.stft and torch.istft, values and gradients.
# In: nothing but seed 42. Out: the file, in the folder of this script; the naming is in README.md.
# SPDX-License-Identifier: Apache-2.0

import os

import torch

import oracle
import philox

SEED = 42
TENSORS, METADATA = {}, {"script": os.path.basename(__file__), "torch": torch.__version__, "seed": str(SEED)}


def draw(name, shape):
    return oracle.f64(philox.normal(SEED, f"stft:{name}", 0, tuple(shape)))


def finish(name, out, x, n, hop, window, samples):
    weight = draw(f"{name}.w", out.shape)
    (out * weight).sum().backward()
    TENSORS.update({f"{name}.out": out, f"{name}.w": weight, f"{name}.in": x, f"{name}.grad": x.grad})
    METADATA[f"{name}.numbers"] = f"{n},{hop},{window},{samples}"


def hann(window):
    return torch.hann_window(window, periodic=True, dtype=torch.float64)


def stft(name, shape, n, hop, window):
    """Signal (batch, channels, samples) to (batch, 2 channels, bins, frames), real parts first."""
    x = draw(f"{name}.in", shape).requires_grad_()
    s = torch.stft(x.flatten(0, 1), n, hop, window, hann(window), center=True, pad_mode="reflect", onesided=True, return_complex=True)
    s = s.unflatten(0, shape[:2])
    finish(name, torch.cat([s.real, s.imag], 1), x, n, hop, window, shape[2])


def istft(name, shape, n, hop, window, samples):
    x = draw(f"{name}.in", shape).requires_grad_()
    re, im = x.chunk(2, 1)
    y = torch.istft(torch.complex(re, im).flatten(0, 1), n, hop, window, hann(window), center=True, onesided=True, length=samples)
    finish(name, y.unflatten(0, (shape[0], shape[1] // 2)), x, n, hop, window, samples)


def mrstft(name, shape, resolutions):
    """Mean over resolutions of the distances of magnitudes and of their logarithms; the last channel of the target is silent."""
    y, x = draw(f"{name}.in", shape).requires_grad_(), draw(f"{name}.target", shape)
    x[:, -1] = 0
    loss = 0
    for n, hop, window in resolutions:
        a, b = (torch.stft(s.flatten(0, 1), n, hop, window, hann(window), center=True, pad_mode="reflect", return_complex=True).abs() for s in (y, x))
        loss = loss + (a - b).abs().mean() + ((a + 1e-5).log() - (b + 1e-5).log()).abs().mean()
    loss = loss / len(resolutions)
    loss.backward()
    TENSORS.update({f"{name}.out": loss.reshape(1), f"{name}.in": y, f"{name}.target": x, f"{name}.grad": y.grad})
    METADATA["losses"] = ",".join(filter(None, [METADATA.get("losses"), name]))
    METADATA[f"{name}.numbers"] = ",".join(f"{n},{hop},{window}" for n, hop, window in resolutions)


def main():
    philox.self_check()
    oracle.self_check()
    stft("forward", (2, 2, 50), 16, 4, 16)
    stft("forward_odd", (1, 1, 61), 15, 4, 12)
    stft("forward_480", (1, 1, 700), 480, 160, 400)
    istft("inverse", (2, 4, 9, 12), 16, 4, 16, 44)
    istft("inverse_cut", (1, 2, 8, 9), 15, 5, 15, 31)
    istft("inverse_64", (1, 2, 33, 20), 64, 16, 48, 304)
    cases = dict.fromkeys(key.split(".")[0] for key in TENSORS)
    mrstft("mrstft", (2, 2, 300), ((64, 16, 64), (32, 8, 32), (16, 4, 12)))
    METADATA["cases"] = ",".join(cases)
    oracle.save(os.path.join(os.path.dirname(os.path.abspath(__file__)), "stft.safetensors"), TENSORS, METADATA)


if __name__ == "__main__":
    main()
