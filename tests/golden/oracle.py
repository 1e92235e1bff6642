# What the golden-vector scripts share: losses in float64 PyTorch and a deterministic safetensors writer.
# In: float64 tensors. Out: scalar losses with gradients; files that are the same bytes on every run.
# SPDX-License-Identifier: Apache-2.0

import json
import math
import os

# One thread and one code path, so that a sum has one order; must stand before torch is loaded.
os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", MKL_CBWR="COMPATIBLE", ATEN_CPU_CAPABILITY="default")

import numpy as np  # noqa: E402
import torch  # noqa: E402

torch.set_num_threads(1)
torch.use_deterministic_algorithms(True)

DTYPES = {np.dtype("<f8"): "F64", np.dtype("<f4"): "F32"}


def f64(array):
    """float64 tensor of the float32-rounded values, so that float32 code can be given exactly the same input."""
    return torch.from_numpy(np.asarray(array).astype(np.float32).astype(np.float64))


def sliced_wasserstein(z, theta, prior):
    """z: (m, k) latents. theta: (l, k) unit rows. prior: (m, k). Mean over m and l of squared gaps of sorted projections."""
    a = torch.sort(z @ theta.T, dim=0, stable=True).values
    p = torch.sort(prior @ theta.T, dim=0, stable=True).values
    return ((a - p) ** 2).sum() / a.numel()


def mse(y, x):
    return ((y - x) ** 2).mean()


def l1(y, x):
    return (y - x).abs().mean()


def huber(y, x):
    """beta = 1."""
    d = (y - x).abs()
    return torch.where(d < 1, d * d / 2, d - 0.5).mean()


def logcosh(y, x):
    d = (y - x).abs()
    return (d + torch.log1p(torch.exp(-2 * d)) - math.log(2)).mean()


def relative(y, x):
    """0.9 mse + 0.1 mean clamp(|y-x| / (|x|+eps), 0, 10), eps = max(1e-6, 0.1 population std of x), no gradient through eps."""
    eps = (0.1 * x.std(correction=0)).clamp(min=1e-6).detach()
    r = ((y - x).abs() / (x.abs() + eps)).clamp(0, 10)
    return 0.9 * mse(y, x) + 0.1 * r.mean()


def log_loss(reconstruction, sw, s=1000.0, lam=0.1):
    return torch.log(1 + s * reconstruction) + lam * torch.log(1 + s * sw)


def save(path, tensors, metadata):
    """safetensors: 8-byte header length, JSON header, data. Wider elements first, then by name, so all are aligned.

    Written here because the published writer does not promise an order of the metadata.
    """
    arrays = {}
    for name, value in tensors.items():
        value = value.detach().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)
        if not np.isfinite(value).all():
            raise SystemExit(f"{name}: not finite")
        arrays[name] = value
    header, data, offset = {"__metadata__": dict(sorted(metadata.items()))}, [], 0
    for name in sorted(arrays, key=lambda n: (-arrays[n].itemsize, n)):
        a = arrays[name]
        header[name] = {"dtype": DTYPES[a.dtype], "shape": list(a.shape), "data_offsets": [offset, offset + a.nbytes]}
        data.append(a.tobytes())
        offset += a.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text + b"".join(data))
    print(f"{os.path.basename(path)}: {len(arrays)} tensors, {8 + len(text) + offset} bytes")


def self_check():
    """The known answers of the SWAE specification, section 10."""

    def near(what, found, expected, tolerance=1e-11):
        found, expected = np.atleast_1d(found), np.atleast_1d(expected)
        if not np.all(np.abs(found - expected) <= tolerance * np.maximum(np.abs(expected), 1e-30)):
            raise SystemExit(f"oracle: {what}: found {found.tolist()}, expected {expected.tolist()}")

    def gradient(function, x):
        x = x.clone().requires_grad_()
        return torch.autograd.grad(function(x), x)[0].numpy()

    def t(*values):
        return torch.tensor(values, dtype=torch.float64)

    gelu = torch.nn.functional.gelu
    near("gelu", gelu(t(-3, -1, -0.5, 0.5, 1, 3)).numpy(),
         [-0.00404969409489, -0.158655253931, -0.154268769363, 0.345731230637, 0.841344746069, 2.99595030591])
    near("gelu'", gradient(lambda v: gelu(v).sum(), t(-1, 0, 0.5, 1)),
         [-0.0833154705877, 0.5, 0.867495124656, 1.08331547059])

    z, prior = t([0.5, -1], [1.5, 0.25], [-0.75, 2]), t([0.1, 0.2], [-1.2, 0.7], [0.9, -0.4])
    theta = t([1, 0], [0.6, 0.8])
    near("sw", sliced_wasserstein(z, theta, prior).item(), 0.4129)
    near("sw'", gradient(lambda v: sliced_wasserstein(v, theta, prior), z),
         [[0.0653333333333, -0.0906666666667], [0.376, 0.234666666667], [0.336, 0.248]])

    x, y = t(0, 1, -2, 0.5), t(0.1, 0.8, -2.6, 2.5)
    near("mse", mse(y, x).item(), 1.1025)
    near("l1", l1(y, x).item(), 0.725)
    near("logcosh", logcosh(y, x).item(), 0.379999448699)
    near("logcosh'", gradient(lambda v: logcosh(v, x), y),
         [0.0249169986562, -0.0493438300562, -0.134262391750, 0.241006895019])
    near("huber", huber(y, x).item(), 0.42625)
    near("relative", relative(y, x).item(), 1.10723670649)
    near("log loss", log_loss(mse(y, x), t(0.01)).item(), 7.24603175298)


if __name__ == "__main__":
    self_check()
    print("oracle: all known answers agree")
