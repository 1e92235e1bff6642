# SPDX-License-Identifier: Apache-2.0
"""Fits the polynomial of vmath.inc.h: Q(t) with 0.5 erfc(a / sqrt 2) = exp(-a^2 / 2) Q(t), t = 1 / (1 + 0.3 a), a >= 0.
Iteratively reweighted least squares on the relative error; prints the coefficients and the largest relative error."""
import math
import numpy as np

a = np.concatenate([np.linspace(0, 4, 20001), np.linspace(4, 14, 10001)])
q = np.array([0.5 * math.erfc(x / math.sqrt(2)) * math.exp(x * x / 2) for x in a])
rows = np.vander(1 / (1 + 0.3 * a), 9, increasing=True) / q[:, None]
weight = np.ones(len(a))
for _ in range(30):
    c, *_ = np.linalg.lstsq(rows * weight[:, None], weight, rcond=None)
    error = np.abs(rows @ c - 1)
    weight *= (1e-3 + error / error.max()) ** 0.5
    weight /= weight.max()
print(", ".join(f"{x:.10e}f" for x in c), "largest relative error %.1e" % error.max())
