# KAN convolutions and the networks kan/dae and kan/dae-opt in PyTorch: as published, and as PyTorch does them best.
# In: sizes. Out: modules; the networks give encoded (b, 384, h/2, w/2), decoded (b, 3, h, w), z (b, 16, h/8, w/8) of x (b, 3, h, w).
# Facts and formulas: Histo-Research and efficient-KAN; both could not run as published where `repaired` says so.
# SPDX-License-Identifier: Apache-2.0

import math

import torch
import torch.nn.functional as F
from torch import nn

WIDE = 384  # channels of the widest stage


def cox_de_boor(x, knots, order):
    """All bases of x (n, features) on knots (features, count), by the recursion as published: divisions of tensors, level by level."""
    x = x.unsqueeze(-1)
    bases = ((x >= knots[:, :-1]) & (x < knots[:, 1:])).to(x.dtype)
    for k in range(1, order + 1):
        left = (x - knots[:, : -(k + 1)]) / (knots[:, k:-1] - knots[:, : -(k + 1)])
        right = (knots[:, k + 1 :] - x) / (knots[:, k + 1 :] - knots[:, 1:-k])
        bases = left * bases[:, :, :-1] + right * bases[:, :, 1:]
    return bases


class KanLinear(nn.Module):
    """x (n, features) -> (n, out): a base with SiLU and splines, a scaler per edge."""

    def __init__(self, features, out, grid, order):
        super().__init__()
        self.order = order
        knots = torch.arange(-order, grid + order + 1) * (2 / grid) - 1
        self.register_buffer("knots", knots.expand(features, -1).contiguous())
        bound = 1 / math.sqrt(features)
        self.base = nn.Parameter(torch.empty(out, features).uniform_(-bound, bound))
        self.spline = nn.Parameter(torch.empty(out, features, grid + order).uniform_(-0.05, 0.05))
        self.scaler = nn.Parameter(torch.empty(out, features).uniform_(-bound, bound))

    def forward(self, x):
        bases = cox_de_boor(x, self.knots, self.order)
        return F.linear(F.silu(x), self.base) + F.linear(bases.flatten(1), (self.spline * self.scaler.unsqueeze(-1)).flatten(1))


def patches_of(x, k, padding):
    """(b, c, h, w) -> (b h' w', c k k), and h', w'."""
    size = [n + 2 * padding - k + 1 for n in x.shape[2:]]
    return F.unfold(x, k, padding=padding).transpose(1, 2).reshape(-1, x.shape[1] * k * k), size


def image_of(rows, batch, size):
    return rows.view(batch, *size, -1).permute(0, 3, 1, 2).contiguous()


class KanConv2d(nn.Module):
    """As published: every patch through one KanLinear."""

    def __init__(self, channels, out, k, grid, order):
        super().__init__()
        self.k, self.linear = k, KanLinear(channels * k * k, out, grid, order)

    def forward(self, x):
        rows, size = patches_of(x, self.k, self.k // 2)
        return image_of(self.linear(rows), x.shape[0], size)


class NaiveKanConv2d(nn.Module):
    """One KanLinear of k k numbers for every pair of channels."""

    def __init__(self, channels, out, k, grid, order):
        super().__init__()
        self.k, self.out = k, out
        self.pairs = nn.ModuleList(KanLinear(k * k, 1, grid, order) for _ in range(channels * out))

    def forward(self, x):
        rows, size = patches_of(x, self.k, self.k // 2)
        channel = rows.view(rows.shape[0], x.shape[1], -1).unbind(1)
        y = [sum(self.pairs[o * len(channel) + c](channel[c]) for c in range(len(channel))) for o in range(self.out)]
        return image_of(torch.cat(y, 1), x.shape[0], size)


class OptimizedKanConv2d(nn.Module):
    """The published optimised layer, repaired: SiLU of a convolution, and one contraction over bases of patches; a scaler per result."""

    def __init__(self, channels, out, k, grid, order):
        super().__init__()
        self.k, self.order, features = k, order, channels * k * k
        knots = torch.arange(-order, grid + order + 1) * (2 / grid) - 1
        self.register_buffer("knots", knots.expand(features, -1).contiguous())
        self.base = nn.Conv2d(channels, out, k, padding=k // 2, bias=False)
        bound = 1 / math.sqrt(features * (grid + order))
        self.spline = nn.Parameter(torch.empty(out, features, grid + order).uniform_(-bound, bound))
        self.scaler = nn.Parameter(torch.ones(out))

    def forward(self, x):
        rows, size = patches_of(x, self.k, self.k // 2)
        splines = torch.einsum("bpf,opf->bo", cox_de_boor(rows, self.knots, self.order), self.spline) * self.scaler
        return F.silu(self.base(x)) + image_of(splines, x.shape[0], size)


class OnceKanConv2d(nn.Module):
    """Not published: every element expanded once, then one convolution. x is padded first, because SiLU and bases of 0 are not 0."""

    def __init__(self, channels, out, k, grid, order):
        super().__init__()
        self.k, self.channels = k, channels
        self.linear = KanLinear(channels * k * k, out, grid, order)

    def forward(self, x):
        own, c, k = self.linear, self.channels, self.k
        x = F.pad(x, (k // 2,) * 4)
        bases = cox_de_boor(x.movedim(1, -1).reshape(-1, c), own.knots[:c], own.order)
        bases = bases.view(x.shape[0], *x.shape[2:], c, -1).permute(0, 3, 4, 1, 2).flatten(1, 2)
        weight = (own.spline * own.scaler.unsqueeze(-1)).view(-1, c, k, k, own.spline.shape[-1]).permute(0, 1, 4, 2, 3).flatten(1, 2)
        return F.conv2d(torch.cat([F.silu(x), bases], 1), torch.cat([own.base.view(-1, c, k, k), weight], 1))


# ---- the networks ----


def down(cin, cout, bias=True):
    return nn.Sequential(nn.Conv2d(cin, cout, 3, 2, 1, bias=bias), nn.BatchNorm2d(cout), nn.ELU())


def up(cin, cout, bias=True):
    return nn.Sequential(nn.ConvTranspose2d(cin, cout, 3, 2, 1, 1, bias=bias), nn.BatchNorm2d(cout), nn.ELU())


class BAM(nn.Module):
    def __init__(self, c):
        super().__init__()
        r = c // 16
        self.channel = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(c, r), nn.ReLU(), nn.Linear(r, c), nn.BatchNorm1d(c))
        dilated = [nn.Sequential(nn.Conv2d(r, r, 3, padding=4, dilation=4), nn.BatchNorm2d(r), nn.ReLU()) for _ in range(2)]
        self.spatial = nn.Sequential(nn.Conv2d(c, r, 1), *dilated, nn.Conv2d(r, 1, 1), nn.BatchNorm2d(1))

    def forward(self, x):
        return x + x * torch.sigmoid(self.channel(x)[:, :, None, None] + self.spatial(x))


class ECA(nn.Module):
    def __init__(self, c):
        super().__init__()
        k = int(abs((math.log2(c) + 1) / 2))
        k += 1 - k % 2
        self.conv = nn.Conv1d(1, 1, k, padding=k // 2, bias=False)

    def forward(self, x):
        return x * torch.sigmoid(self.conv(x.mean((2, 3)).unsqueeze(1)))[:, 0, :, None, None]


class DAE(nn.Module):
    """kan/dae; optimised: kan/dae-opt. twice: e1 and e2 evaluated a second time for the residuals, as published."""

    def __init__(self, layer=KanConv2d, optimised=False, twice=True):
        super().__init__()
        bias, order, grid = not optimised, 3 if optimised else 2, 5 if optimised else 3
        self.residual, self.twice = optimised, twice

        def kan():
            return nn.Sequential(layer(64, 64, 3, grid, order), *([ECA(64), nn.Dropout2d(0.1)] if optimised else []), nn.BatchNorm2d(64))

        self.e1, self.e2, self.e3 = down(3, WIDE, bias), down(WIDE, 128, bias), down(128, 64, bias)
        self.e_kan, self.e4, self.e5 = kan(), up(64, 128, bias), up(128, WIDE, bias)
        self.b1, self.b2, self.b3, self.b4 = down(WIDE, WIDE, bias), BAM(WIDE), down(WIDE, 16, bias), BAM(16)
        self.b5 = up(16, 128, bias)
        self.d1, self.d2, self.d3, self.d_kan = up(128, 128, bias), down(128, 128, bias), down(128, 64, bias), kan()
        self.d4, self.d5, self.d6 = up(64, 128, bias), up(128, WIDE, bias), up(WIDE, WIDE, bias)
        self.d7 = nn.Sequential(nn.Conv2d(WIDE, 3, 3, padding=1, bias=bias), nn.BatchNorm2d(3), nn.ELU())
        self.d_last = layer(3, 3, 1, grid if optimised else 2, order if optimised else 1)

    def forward(self, x):
        e1 = self.e1(x)
        e2 = self.e2(e1)
        h = self.e_kan(self.e3(e2))
        if self.twice:
            e1 = self.e1(x)
            e2 = self.e2(e1)
        encoded = self.e5(self.e4(h) + e2) + e1
        z = self.b4(self.b3(self.b2(self.b1(encoded))))
        h = self.d4(self.d_kan(self.d3(self.d2(self.d1(self.b5(z))))))
        h = self.d5(h + e2 if self.residual else h)
        h = self.d6(h + e1 if self.residual else h)
        return encoded, self.d_last(self.d7(h)), z
