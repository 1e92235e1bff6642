# Makes separation.safetensors: references, estimates and their separation figures in float64, and estimates by ideal masks.
# BSSEval by explicit matrices of delayed signals and least squares (the library solves normal equations from correlations), masks by numpy.fft.
# In: nothing but seed 42. Out: the file, in the folder of this script.
# SPDX-License-Identifier: Apache-2.0

import os

import numpy as np
import torch

import oracle
import philox
from make_ops import draw

TENSORS = {}
FIGURES = 5  # SDR, SI-SDR, ISR, SIR, SAR, as the library numbers them
NAN = float("nan")
ABSENT = -1000.0  # stands for n/a in the file


def decibels(part, rest):
    return 10 * np.log10(part / rest) if rest else float("inf")


def energy(x):
    return np.sum(x * x)


def plain(s, y, target):
    """s: (sources, channels, n), y: (channels, n). Section 6 of the family's specification."""
    t = s[target]
    centred, fitted = y - y.mean(-1, keepdims=True), t - t.mean(-1, keepdims=True)
    fitted = fitted * np.sum(centred * fitted) / energy(fitted)
    parts = [np.sum(y * k) / energy(k) * k for k in s if energy(k)]
    own = np.sum(y * t) / energy(t) * t
    return [decibels(energy(t), energy(y - t)), decibels(energy(fitted), energy(fitted - centred)), NAN,
            decibels(energy(own), energy(sum(parts) - own)), decibels(energy(sum(parts)), energy(y - sum(parts)))]


def delayed(s, taps):
    """(sources, channels, n) -> (n + taps - 1, sources * channels * taps)"""
    flat = s.reshape(-1, s.shape[-1])
    return np.stack([np.concatenate([np.zeros(d), x, np.zeros(taps - 1 - d)]) for x in flat for d in range(taps)], 1)


def pad(x, taps):
    return np.concatenate([x, np.zeros(x.shape[:-1] + (taps - 1,))], -1)


def filters(s, y, taps):
    return np.linalg.lstsq(delayed(s, taps), pad(y, taps).T, rcond=1e-10)[0]


def figures_of(t, y, own, everything, images, taps):
    t, y = pad(t, taps), pad(y, taps)
    if images:
        sdr, isr = decibels(energy(t), energy(y - t)), decibels(energy(t), energy(own - t))
    else:
        sdr, isr = decibels(energy(own), energy(y - own)), NAN
    return [sdr, NAN, isr, decibels(energy(own), energy(everything - own)), decibels(energy(everything), energy(y - everything))]


def bss(s, y, taps, images, window, hop, whole):
    """s, y: (sources, channels, n) -> (sources, windows, FIGURES)"""
    n = s.shape[-1]
    window = window or n
    out = []
    for target in range(len(s)):
        rows = []
        for first in range(0, n - window + 1, hop or window):
            a, b = s[:, :, first:first + window], y[target, :, first:first + window]
            if not a[target].any():
                rows.append([NAN] * FIGURES)
                continue
            fa, fb = (s, y[target]) if whole else (a, b)
            own = (delayed(a[target:target + 1], taps) @ filters(fa[target:target + 1], fb, taps)).T
            everything = (delayed(a, taps) @ filters(fa, fb, taps)).T
            rows.append(figures_of(a[target], b, own, everything, images, taps))
            if not np.delete(a, target, 0).any():
                rows[-1][3] = NAN  # nobody to interfere
        out.append(rows)
    return np.array(out)


def stft(x, n, hop):
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n) / n)
    padded = np.pad(x, n // 2, mode="reflect")
    return np.stack([np.fft.rfft(window * padded[i:i + n]) for i in range(0, len(padded) - n + 1, hop)]), window


def istft(spectrum, window, hop, samples):
    n = len(window)
    out, weight = np.zeros(n + hop * (len(spectrum) - 1)), np.zeros(n + hop * (len(spectrum) - 1))
    for i, frame in enumerate(spectrum):
        out[i * hop:i * hop + n] += window * np.fft.irfft(frame, n)
        weight[i * hop:i * hop + n] += window**2
    return (out / np.maximum(weight, 1e-11))[n // 2:n // 2 + samples]


def mask(kind, x, s, k):
    with np.errstate(divide="ignore", invalid="ignore"):
        if kind in ("ratio", "ratio2"):
            power = np.abs(s) ** (1 if kind == "ratio" else 2)
            return np.where(power.sum(0) > 0, power[k] / power.sum(0), 1 / len(s))
        m = s[k] / x
        return np.clip(m.real, 0, 1) if kind == "phase" else m / np.maximum(np.abs(m), 1)


def masked(s, n, hop, kind):
    out = np.zeros_like(s)
    for c in range(s.shape[1]):
        spectra = [stft(v[c], n, hop) for v in s]
        window, spectra = spectra[0][1], np.stack([v[0] for v in spectra])
        mixture = stft(s[:, c].sum(0), n, hop)[0]
        for k in range(len(s)):
            out[k, c] = istft(mask(kind, mixture, spectra, k) * mixture, window, hop, s.shape[-1])
    return out


def case(name, s, y, taps, runs, masks=()):
    s, y = s.astype(np.float32).astype(np.float64), y.astype(np.float32).astype(np.float64)
    TENSORS[f"{name}.reference"], TENSORS[f"{name}.estimate"] = torch.tensor(s, dtype=torch.float32), torch.tensor(y, dtype=torch.float32)
    rows = [plain(s, y[k], k) if s[k].any() else [NAN] * FIGURES for k in range(len(s))]
    TENSORS[f"{name}.plain"] = torch.tensor(np.nan_to_num(rows, nan=ABSENT), dtype=torch.float64)
    for key, (images, window, hop, whole) in runs.items():
        TENSORS[f"{name}.{key}"] = torch.tensor(np.nan_to_num(bss(s, y, taps, images, window, hop, whole), nan=ABSENT), dtype=torch.float64)
    for kind in masks:
        TENSORS[f"{name}.{kind}"] = torch.tensor(masked(s, 64, 16, kind), dtype=torch.float32)


def random(name, shape):
    return draw(f"separation.{name}", shape).numpy()


def blurred(x):
    """Something a filter of few taps explains."""
    return 0.8 * x + 0.3 * np.roll(x, 2, -1) - 0.1 * np.roll(x, 5, -1)


if __name__ == "__main__":
    philox.self_check()
    oracle.self_check()
    s, y = np.array([[1, -2, 3, 0.5]])[None], np.array([[0.9, -1.8, 3.3, 0.4]])
    assert abs(plain(s, y, 0)[0] - 19.7772360529) < 1e-9 and abs(plain(s, y, 0)[1] - 20.1606783867) < 1e-9
    noise = 0.1
    a = random("mono", (3, 1, 900))
    case("mono", a, blurred(a) + 0.2 * a[[1, 2, 0]] + noise * random("mono.n", a.shape), 16,
         {"sources": (False, 0, 0, False), "framewise": (False, 300, 150, False), "images": (True, 0, 0, False)}, ("ratio", "ratio2", "phase", "complex"))
    b = random("stereo", (2, 2, 700))
    b[1, :, 400:600] = 0  # silent in a window
    case("stereo", b, blurred(b) + 0.1 * b[::-1] + noise * random("stereo.n", b.shape), 8,
         {"images": (True, 0, 0, False), "framewise": (True, 350, 350, False), "v4": (True, 200, 200, True), "v4_sources": (False, 200, 100, True)}, ("ratio", "phase"))
    c = np.repeat(random("centre", (3, 1, 500)), 2, 1)  # both channels alike: dependent columns
    c[2] = 0  # a silent source
    case("centre", c, blurred(c) + 0.1 * c[[1, 0, 2]] + noise * random("centre.n", c.shape), 8, {"images": (True, 0, 0, False), "v4": (True, 250, 250, True)})
    metadata = {"script": os.path.basename(__file__), "numpy": np.__version__, "torch": torch.__version__.split("+")[0], "seed": "42"}
    oracle.save(os.path.join(os.path.dirname(os.path.abspath(__file__)), "separation.safetensors"), TENSORS, metadata)
