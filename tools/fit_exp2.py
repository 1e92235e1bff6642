# SPDX-License-Identifier: Apache-2.0
"""Fits the polynomials of narrow.inc.h: 2^f = 1 + c1 f + ... for 0 <= f <= 1. Iteratively reweighted least squares on the relative
error; prints the coefficients, the lowest power first, and the largest relative error. Then the 64 cells of avx512_bf16.c, means of
2^f - 1 - f in units of 1 / 512 and half a unit of bf16, and the relative error of what is made with them."""
import numpy as np

f = 0.5 - 0.5 * np.cos(np.pi * np.arange(4001) / 4000)
y = 2.0**f
for degree in (3, 5):
    rows = np.vander(f, degree + 1, increasing=True)[:, 1:] / y[:, None]
    weight, best = np.ones(len(f)), (np.inf, None)
    for _ in range(4000):
        root = np.sqrt(weight)
        c, *_ = np.linalg.lstsq(rows * root[:, None], (1 - 1 / y) * root, rcond=None)
        error = np.abs(rows @ c + 1 / y - 1)
        if error.max() < best[0]:
            best = error.max(), c
        weight *= 1e-3 + error / error.max()
        weight /= weight.sum()
    print(", ".join(f"{x:.10e}f" for x in best[1]), "largest relative error %.1e" % best[0])

f = (np.arange(4096) + 0.5) / 4096
cells = np.rint((2**f - 1 - f).reshape(64, 64).mean(1) * 512 + 2).astype(int)
x = np.linspace(-30, 30, 600001)
fixed = np.rint(512 * (95 + x)).astype(int)
bits = fixed + cells[fixed >> 3 & 63] >> 2
error = np.ldexp(1 + (bits & 127) / 128, (bits >> 7) - 95) / 2**x - 1
print(", ".join(map(str, cells)), "largest relative error %.1e, RMS %.1e" % (np.abs(error).max(), np.sqrt((error**2).mean())))
