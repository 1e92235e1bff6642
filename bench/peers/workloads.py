# The work of the rows of `swage bench`, in PyTorch: shapes, data, the function, and its float64 truth.
# In: a row's name. Out: a Work. Shapes are those of src/bench/{run,conv,layers}.c.
# SPDX-License-Identifier: Apache-2.0

import math
import re

import torch
import torch.nn.functional as F


class Work:
    """run(inputs, parameters) -> result. mode: forward; gradients (of sum(y dy), by inputs and parameters); step (loss mean(y^2), AdamW).

    check: this many leading samples are compared with float64 (0: all). forms: further ways of writing the same, by name.
    channels_last: tensors of four and five axes may also lie so.
    """

    def __init__(self, run, inputs, parameters=(), mode="forward", check=0, forms=None, channels_last=False, tolerance=1e-5):
        self.run, self.inputs, self.parameters, self.mode, self.check = run, list(inputs), list(parameters), mode, check
        self.forms, self.channels_last, self.tolerance = forms or {}, channels_last, tolerance

    def gradient(self):
        if not hasattr(self, "dy"):
            torch.manual_seed(7)
            with torch.no_grad():
                self.dy = torch.rand_like(self.run(self.inputs, self.parameters)) * 2 - 1
        return self.dy


def random(*shape, scale=1.0):
    return (torch.rand(*shape) * 2 - 1) * scale


# ---- convolutions: what, batch, channels of x and y, extents of x, kernel, stride, padding, output padding ----

CONVOLUTIONS = {
    "c5-1-32": ("forward", 64, 1, 32, (5, 5, 5)),
    "c5-32-64": ("forward", 64, 32, 64, (5, 5, 5)),
    "c5-64-128": ("forward", 64, 64, 128, (5, 5, 5)),
    "c5-128-256": ("forward", 64, 128, 256, (5, 5, 5)),
    "c5-256-256": ("forward", 64, 256, 256, (5, 5, 5)),
    "c5-bwd-data": ("data", 64, 64, 128, (5, 5, 5)),
    "c5-bwd-weights": ("weights", 64, 64, 128, (5, 5, 5)),
    "c2-256-256": ("forward", 256, 256, 256, (2, 2, 2)),
    "c2-bwd-data": ("data", 256, 256, 256, (2, 2, 2)),
    "c2-bwd-weights": ("weights", 256, 256, 256, (2, 2, 2)),
    "u64": ("forward", 1, 32, 32, (64, 64, 64)),
    "u64-bwd-data": ("data", 1, 32, 32, (64, 64, 64)),
    "u64-bwd-weights": ("weights", 1, 32, 32, (64, 64, 64)),
    "u64-first": ("forward", 1, 1, 32, (64, 64, 64)),
    "u32": ("forward", 1, 64, 64, (32, 32, 32)),
    "u32-bwd-data": ("data", 1, 64, 64, (32, 32, 32)),
    "u32-bwd-weights": ("weights", 1, 64, 64, (32, 32, 32)),
    "u16": ("forward", 1, 128, 128, (16, 16, 16)),
    "u16-bwd-data": ("data", 1, 128, 128, (16, 16, 16)),
    "u16-bwd-weights": ("weights", 1, 128, 128, (16, 16, 16)),
    "conv2d-64-256": ("forward", 1, 64, 64, (256, 256)),
}
# batch, channels in, channels out, extents in, kernel, stride, padding, output padding
TRANSPOSED = {"ct3": (64, 256, 128, 2, 2, 2, 0, 0), "ct3-k3s2": (64, 64, 32, 2, 3, 2, 1, 1)}


def convolution(name):
    what, batch, cx, cy, size = CONVOLUTIONS[name]
    d = len(size)
    x, y, w = random(batch, cx, *size), random(batch, cy, *size), random(cy, cx, *[3] * d)
    conv = F.conv3d if d == 3 else F.conv2d

    def backward(inputs, parameters, which):
        a, b, c = {"data": (inputs[0], inputs[1], parameters[0] if parameters else None),
                   "weights": (inputs[1], inputs[0], inputs[2] if len(inputs) > 2 else None)}[which]
        mask = [which == "data", which == "weights", False]
        return torch.ops.aten.convolution_backward(a, b, c, None, [1] * d, [1] * d, [1] * d, False, [0] * d, 1, mask)[0 if which == "data" else 1]

    if what == "forward":
        return Work(lambda i, p: conv(i[0], p[0], padding=1), [x], [w], channels_last=True)
    if what == "data":  # x gives its shape only
        return Work(lambda i, p: backward(i, p, "data"), [y, x], [w], channels_last=True)
    return Work(lambda i, p: backward(i, p, "weights"), [x, y, w], channels_last=True, tolerance=1e-4)


def transposed(name):
    batch, cin, cout, size, k, stride, padding, more = TRANSPOSED[name]
    x, w = random(batch, cin, size, size, size), random(cin, cout, k, k, k)
    return Work(lambda i, p: F.conv_transpose3d(i[0], p[0], stride=stride, padding=padding, output_padding=more), [x], [w], channels_last=True)


# ---- layers ----


def last_norm(kind, mode):
    x = random(8, 64, 64, 64, scale=2)
    weight, bias = torch.ones(64), torch.zeros(64)
    run = {"batch": lambda i, p: F.batch_norm(i[0], None, None, p[0], p[1], training=True),
           "instance": lambda i, p: F.instance_norm(i[0], weight=p[0], bias=p[1]),
           "group": lambda i, p: F.group_norm(i[0], 8, p[0], p[1])}[kind]
    return Work(run, [x], [weight, bias], mode=mode, channels_last=True, tolerance=2e-5)


def layer_norm(mode):
    return Work(lambda i, p: F.layer_norm(i[0], (256,), p[0], p[1]), [random(4096, 256, scale=2)], [torch.ones(256), torch.zeros(256)], mode=mode)


def window_block(mode):
    """A Swin block: 64 windows of 64 tokens, 96 wide, 6 heads, MLP 4x."""
    d, heads, windows, tokens = 96, 6, 64, 64
    x = random(windows, tokens, d)
    s = 1 / math.sqrt(d)
    parameters = [torch.ones(d), torch.zeros(d), random(3 * d, d, scale=s), random(d, d, scale=s), random(d, scale=s), torch.ones(d), torch.zeros(d),
                  random(4 * d, d, scale=s), random(4 * d, scale=s), random(d, 4 * d, scale=s / 2), random(d, scale=s / 2)]

    def block(attend):
        def run(i, p):
            x = i[0]
            qkv = F.linear(F.layer_norm(x, (d,), p[0], p[1]), p[2]).view(windows if x.shape[0] == windows else -1, tokens, 3, heads, d // heads)
            q, k, v = qkv.permute(2, 0, 3, 1, 4)
            x = x + F.linear(attend(q, k, v).transpose(1, 2).reshape(-1, tokens, d), p[3], p[4])
            return x + F.linear(F.gelu(F.linear(F.layer_norm(x, (d,), p[5], p[6]), p[7], p[8])), p[9], p[10])

        return run

    def explicit(q, k, v):
        return torch.softmax(q * (d // heads) ** -0.5 @ k.transpose(-2, -1), -1) @ v

    return Work(block(F.scaled_dot_product_attention), [x], parameters, mode=mode, check=2, forms={"softmax": block(explicit)}, tolerance=1e-4)


def attention(batch, tokens, d, mode="forward"):
    part = [random(batch, 8, tokens, d, scale=2) for _ in range(3)]
    return Work(lambda i, p: F.scaled_dot_product_attention(*i), part, mode=mode, check=1)


def sliced_wasserstein(mode):
    """50 directions and the prior are drawn in the call."""
    draws = torch.Generator().manual_seed(3)

    def run(i, p):
        x = i[0]
        if x.dtype == torch.float64:  # of the check: the draws of the call before
            theta, prior = run.last
        else:
            theta, prior = torch.randn(50, 16, generator=draws), torch.randn(256, 16, generator=draws)
            run.last = theta.double(), prior.double()
        theta = theta / theta.norm(dim=1, keepdim=True)
        gap = (x @ theta.T).sort(dim=0).values - (prior @ theta.T).sort(dim=0).values
        return gap.square().mean()

    return Work(run, [random(256, 16, scale=2)], mode=mode, tolerance=1e-2)


# ---- KAN convolution, 64 -> 64, 3x3, 32^2, grid of 5 over [-1, 1], order 3, base SiLU, a scaler per edge ----


def cox_de_boor(x, grid, order):
    """Bases of the recursion (de Boor 1972), as published KAN layers write it. x: (..., f), grid: (f, g + 2 order + 1)."""
    x = x.unsqueeze(-1)
    b = ((x >= grid[:, :-1]) & (x < grid[:, 1:])).to(x.dtype)
    for k in range(1, order + 1):
        b = (x - grid[:, : -(k + 1)]) / (grid[:, k:-1] - grid[:, : -(k + 1)]) * b[..., :-1] + \
            (grid[:, k + 1 :] - x) / (grid[:, k + 1 :] - grid[:, 1:-k]) * b[..., 1:]
    return b


def kan(mode):
    c, o, size, g, order = 64, 64, 32, 5, 3
    x = random(1, c, size, size, scale=1.5)
    base, spline, scaler = random(o, c * 9, scale=1 / 24), random(o, c * 9, g + order, scale=1 / 24), random(o, c * 9) + 2

    def knots(like, features):
        h = 2 / g
        return (torch.arange(-order, g + order + 1, dtype=like.dtype) * h - 1).expand(features, -1).contiguous()

    def unfold(i, p):
        patches = F.unfold(i[0], 3, padding=1).transpose(1, 2).reshape(-1, c * 9)
        bases = cox_de_boor(patches, knots(patches, c * 9), order)
        y = F.linear(F.silu(patches), p[0]) + F.linear(bases.flatten(1), (p[1] * p[2].unsqueeze(-1)).flatten(1))
        return y.view(1, size * size, o).transpose(1, 2).reshape(1, o, size, size)

    def once(i, p):  # every element expanded once; a padded pixel is x = 0, so padding comes first
        x = F.pad(i[0], (1, 1, 1, 1))
        bases = cox_de_boor(x.movedim(1, -1), knots(x, c), order)
        wide = torch.cat([F.silu(x), bases.movedim((3, 4), (1, 2)).flatten(1, 2)], 1)
        weight = torch.cat([p[0].view(o, c, 3, 3), (p[1] * p[2].unsqueeze(-1)).view(o, c, 3, 3, g + order).permute(0, 1, 4, 2, 3).reshape(o, -1, 3, 3)], 1)
        return F.conv2d(wide, weight)

    return Work(unfold, [x], [base, spline, scaler], mode=mode, forms={"basis once": once}, tolerance=1e-4)


TABLE = {
    "win": lambda: window_block("forward"),
    "win-train": lambda: window_block("step"),
    "layer-norm": lambda: layer_norm("forward"),
    "layer-norm-train": lambda: layer_norm("gradients"),
    "batch-norm": lambda: last_norm("batch", "forward"),
    "batch-norm-train": lambda: last_norm("batch", "gradients"),
    "instance-norm": lambda: last_norm("instance", "forward"),
    "group-norm": lambda: last_norm("group", "forward"),
    "gelu": lambda: Work(lambda i, p: F.gelu(i[0]), [random(4096, 384, scale=6)]),
    "gelu-train": lambda: Work(lambda i, p: F.gelu(i[0]), [random(4096, 384, scale=6)], mode="gradients"),
    "softmax": lambda: Work(lambda i, p: torch.softmax(i[0], -1), [random(4096, 512, scale=6)]),
    "resize": lambda: Work(lambda i, p: F.interpolate(i[0], size=(128, 128), mode="bilinear", align_corners=False),
                           [random(8, 64, 64, 64, scale=2)], channels_last=True),
    "pool-max": lambda: Work(lambda i, p: F.max_pool3d(i[0], 2), [random(1, 32, 64, 64, 64)], channels_last=True),
    "pool-max-train": lambda: Work(lambda i, p: F.max_pool3d(i[0], 2), [random(1, 32, 64, 64, 64)], mode="gradients", channels_last=True),
    "pool-avg": lambda: Work(lambda i, p: F.avg_pool3d(i[0], 2), [random(1, 32, 64, 64, 64)], channels_last=True),
    "transpose": lambda: Work(lambda i, p: i[0].permute(0, 3, 1, 2).contiguous(), [random(8, 64, 64, 64, scale=2)]),
    "att-1025": lambda: attention(259, 1025, 4),
    "att-1025-train": lambda: attention(16, 1025, 4, "gradients"),
    "att-259": lambda: attention(1025, 259, 4),
    "att-64": lambda: attention(4257, 64, 4),
    "att-64-train": lambda: attention(4257, 64, 4, "gradients"),
    "att-512": lambda: attention(129, 512, 8),
    "att-512-train": lambda: attention(16, 512, 8, "gradients"),
    "att-256": lambda: attention(64, 256, 16),
    "att-128": lambda: attention(32, 128, 32),
    "stft": lambda: Work(lambda i, p: torch.view_as_real(torch.stft(i[0], 2048, 512, window=torch.hann_window(2048, dtype=i[0].dtype),
                                                                   return_complex=True)), [random(2, 3 * 44100)]),
    "sw": lambda: sliced_wasserstein("forward"),
    "sw-train": lambda: sliced_wasserstein("gradients"),
    "kan": lambda: kan("forward"),
    "kan-train": lambda: kan("gradients"),
    **{name: lambda name=name: convolution(name) for name in CONVOLUTIONS},
    **{name: lambda name=name: transposed(name) for name in TRANSPOSED},
}
PRODUCTS = [f"matmul-4096x{k}x{n}" for k, n in ((125, 512), (512, 256), (256, 16), (16, 256), (256, 512), (512, 125), (512, 16), (16, 512))]
LATENT = 16
NETWORKS = {"mlp1": ("gelu", (125, 512, LATENT)), "mlp": ("relu", (125, 512, 256, LATENT))}
CONVOLUTIONAL = {  # arguments of Convolutional in pytorch/networks.py
    "conv": {"edge": 5, "per_stage": 2, "norm": True, "channels": (32, 64, 128, 256), "strides": (2, 2, 1, 1), "small": 2,
             "ups": ((3, 1, 1, 0), (3, 1, 1, 0), (3, 2, 1, 1), (2, 1, 0, 0))},
    "conv-opt": {"edge": 5, "per_stage": 1, "norm": False, "channels": (32, 64, 128, 256), "strides": (2, 2, 1, 1), "small": 2,
                 "ups": ((3, 1, 1, 0), (3, 1, 1, 0), (3, 2, 1, 0), (3, 2, 1, 0))},
    "conv7": {"edge": 7, "per_stage": 2, "norm": True, "channels": (32, 64, 128), "strides": (2, 2, 2), "small": 1,
              "ups": ((3, 2, 1, 1), (3, 2, 1, 1), (3, 2, 1, 1))},
}
INFERENCE = [f"{name}-b{batch}" for name in NETWORKS for batch in (1, 16, 256, 4096)]
TRAINING = [f"{name}-train-b256" for name in (*NETWORKS, *CONVOLUTIONAL)]
UPDATES = ["adamw-400013", "adamw-15400000"]
NAMES = [*PRODUCTS, *TABLE, *INFERENCE, *TRAINING, *UPDATES]


def inputs_of(name):
    """Values of a block."""
    return CONVOLUTIONAL[name]["edge"] ** 3 if name in CONVOLUTIONAL else NETWORKS[name][1][0]


def work_of(name):
    """A Work, or None where the row is none of these."""
    product = re.fullmatch(r"matmul-(\d+)x(\d+)x(\d+)", name)
    torch.manual_seed(42)
    if product:
        m, k, n = map(int, product.groups())
        return Work(lambda i, p: F.linear(i[0], p[0]), [random(m, k)], [random(n, k, scale=1 / math.sqrt(k))], check=32)
    return TABLE[name]() if name in TABLE else None


def error_of(found, expected, least=1e-300):
    """Largest difference over the largest value, or over `least`."""
    return ((found.detach().double() - expected.detach()).abs().max() / expected.detach().abs().max().clamp_min(least)).item()


def agree(what, found, expected, tolerance, least=1e-300):
    """A wrong result has no time."""
    error = error_of(found, expected, least)
    if not error < tolerance:
        raise RuntimeError(f"{what}: {error:.1e} from the float64 result, at most {tolerance:.0e} allowed")
